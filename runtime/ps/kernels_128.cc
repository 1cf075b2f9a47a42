// The kernels with vectors of 16 bytes, for every processor.
#define PENSTOCK_KERNEL_BYTES 16
#define PENSTOCK_KERNEL_TARGET
#include "runtime/ps/kernel_loops.h"

#include "runtime/ps/kernel_sets.h"

namespace penstock::ps::internal {

#if defined(__x86_64__)
constexpr const char* kName = "sse2";
constexpr const char* kPlacesName = "sse2-places";
#else
constexpr const char* kName = "128 bits";
constexpr const char* kPlacesName = "128 bits, places";
#endif

constinit const TwoSets<float> k128Floats = {MakeKernelSet<float, kPlaces>(kPlacesName),
                                             MakeKernelSet<float, 1>(kName)};
constinit const TwoSets<double> k128Doubles = {MakeKernelSet<double, kPlaces>(kPlacesName),
                                               MakeKernelSet<double, 1>(kName)};

}  // namespace penstock::ps::internal
