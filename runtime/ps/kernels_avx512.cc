// The kernels for processors with AVX-512.
#if defined(__x86_64__)

#define PENSTOCK_KERNEL_BYTES 64
#define PENSTOCK_KERNEL_TARGET __attribute__((target("avx512f")))
#include "runtime/ps/kernel_loops.h"

#include "runtime/ps/kernel_sets.h"

namespace penstock::ps::internal {

constinit const KernelSet<float> kAvx512Floats = MakeKernelSet<float>("avx512");
constinit const KernelSet<double> kAvx512Doubles = MakeKernelSet<double>("avx512");

}  // namespace penstock::ps::internal

#endif
