// The kernels for processors with AVX-512.
#if defined(__x86_64__)

#define PENSTOCK_KERNEL_BYTES 64
#define PENSTOCK_KERNEL_TARGET __attribute__((target("avx512f")))
#include "runtime/ps/kernel_loops.h"

#include "runtime/ps/kernel_sets.h"

namespace penstock::ps::internal {

constinit const TwoSets<float> kAvx512Floats = {MakeKernelSet<float, kPlaces>("avx512-places"),
                                                MakeKernelSet<float, 1>("avx512")};
constinit const TwoSets<double> kAvx512Doubles = {MakeKernelSet<double, kPlaces>("avx512-places"),
                                                  MakeKernelSet<double, 1>("avx512")};

}  // namespace penstock::ps::internal

#endif
