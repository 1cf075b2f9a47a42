// The kernel sets by name, each made in a file of its own.
#ifndef PENSTOCK_RUNTIME_PS_KERNEL_SETS_H_
#define PENSTOCK_RUNTIME_PS_KERNEL_SETS_H_

#include "runtime/ps/kernels.h"

namespace penstock::ps::internal {

#if defined(__x86_64__)
extern const KernelSet<float> kAvx512Floats;
extern const KernelSet<double> kAvx512Doubles;
extern const KernelSet<float> kAvx2Floats;
extern const KernelSet<double> kAvx2Doubles;
#endif
// Vectors of 16 bytes, which every processor has: SSE2 on x86.
extern const KernelSet<float> k128Floats;
extern const KernelSet<double> k128Doubles;

}  // namespace penstock::ps::internal

#endif  // PENSTOCK_RUNTIME_PS_KERNEL_SETS_H_
