// The kernel sets by name, each made in a file of its own.
#ifndef PENSTOCK_RUNTIME_PS_KERNEL_SETS_H_
#define PENSTOCK_RUNTIME_PS_KERNEL_SETS_H_

#include "runtime/ps/kernels.h"

namespace penstock::ps::internal {

// Of each kind two: one that visits several places in turn, and one that goes straight on.
template <typename T>
using TwoSets = KernelSet<T>[2];
#if defined(__x86_64__)
extern const TwoSets<float> kAvx512Floats;
extern const TwoSets<double> kAvx512Doubles;
extern const TwoSets<float> kAvx2Floats;
extern const TwoSets<double> kAvx2Doubles;
#endif
// Vectors of 16 bytes, which every processor has: SSE2 on x86.
extern const TwoSets<float> k128Floats;
extern const TwoSets<double> k128Doubles;

}  // namespace penstock::ps::internal

#endif  // PENSTOCK_RUNTIME_PS_KERNEL_SETS_H_
