// The kernels for processors with AVX2.
#if defined(__x86_64__)

#define PENSTOCK_KERNEL_BYTES 32
#define PENSTOCK_KERNEL_TARGET __attribute__((target("avx2")))
#include "runtime/ps/kernel_loops.h"

#include "runtime/ps/kernel_sets.h"

namespace penstock::ps::internal {

constinit const TwoSets<float> kAvx2Floats = {MakeKernelSet<float, kPlaces>("avx2-places"),
                                              MakeKernelSet<float, 1>("avx2")};
constinit const TwoSets<double> kAvx2Doubles = {MakeKernelSet<double, kPlaces>("avx2-places"),
                                                MakeKernelSet<double, 1>("avx2")};

}  // namespace penstock::ps::internal

#endif
