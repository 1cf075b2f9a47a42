// CopyPlan: which kernel copies blocks of which size, in one word of shared memory.
//
// The store process measures once (CopyTrial) and writes the word into the index's header;
// each process takes it from there (UseCopyPlan). Before that, and where the word names a
// kernel that this process cannot run, the default for the processor holds.
//
// Thread safety: any number of threads at once. No call takes a system call.
#ifndef PENSTOCK_STORE_BASE_COPY_PLAN_H_
#define PENSTOCK_STORE_BASE_COPY_PLAN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "store/base/copy_kernels.h"

namespace penstock {

// Blocks of similar size have a kernel together, found with a block in the middle of them.
struct CopyClass {
  const char* label;
  uint64_t end_bytes;   // blocks of less; the last class has no end
  uint64_t trial_bytes;
};
inline constexpr int kCopyClasses = 4;
inline constexpr std::array<CopyClass, kCopyClasses> kCopyClassTable = {{
    {"up to 2 MiB", uint64_t{2} << 20, uint64_t{1} << 20},
    {"2 to 8 MiB", uint64_t{8} << 20, uint64_t{4} << 20},
    {"8 to 32 MiB", uint64_t{32} << 20, uint64_t{16} << 20},
    {"32 MiB and more", ~uint64_t{0}, uint64_t{112} << 20},
}};
constexpr int CopyClassOf(uint64_t bytes) {
  int number = 0;
  while (number < kCopyClasses - 1 && bytes >= kCopyClassTable[number].end_bytes) ++number;
  return number;
}

// Numbers of kernels, by class; 0: not chosen.
using CopyPlan = std::array<uint8_t, kCopyClasses>;

// Byte i of the word is class i; a word of 0 chooses nothing.
uint32_t PackCopyPlan(const CopyPlan& plan);
CopyPlan UnpackCopyPlan(uint32_t word);

// What is taken unmeasured: of the kernels that `processor` can run, what was found best on one
// of its vendor's.
CopyPlan DefaultCopyPlan(const Processor& processor);
// The same plan with the default wherever it chooses nothing that `processor` can run.
CopyPlan Completed(const CopyPlan& plan, const Processor& processor);

// Of this process, for all copies that begin later. Cost: a load and a comparison when the word
// is the one in use.
void UseCopyPlan(uint32_t word);
// The kernel in use for blocks of this size.
const CopyKernel& CopyKernelFor(uint64_t bytes);
uint32_t CopyPlanInUse();

// "up to 2 MiB avx512-places, 2 to 8 MiB avx2, ...", for people.
std::string Describe(const CopyPlan& plan);

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_COPY_PLAN_H_
