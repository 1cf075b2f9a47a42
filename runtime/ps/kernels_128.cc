// The kernels with vectors of 16 bytes, for every processor.
#define PENSTOCK_KERNEL_BYTES 16
#define PENSTOCK_KERNEL_TARGET
#include "runtime/ps/kernel_loops.h"

#include "runtime/ps/kernel_sets.h"

namespace penstock::ps::internal {

#if defined(__x86_64__)
constexpr const char* kName = "sse2";
#else
constexpr const char* kName = "128 bits";
#endif

constinit const KernelSet<float> k128Floats = MakeKernelSet<float>(kName);
constinit const KernelSet<double> k128Doubles = MakeKernelSet<double>(kName);

}  // namespace penstock::ps::internal
