// The plan in use, and what is taken before one was measured.
#include "store/base/copy_plan.h"

#include <atomic>

#include <fmt/format.h>

namespace penstock {
namespace {

struct InUse {
  std::atomic<uint32_t> word{0};
  std::array<std::atomic<const CopyKernel*>, kCopyClasses> kernels;

  InUse() { Take(0); }
  void Take(uint32_t new_word) {
    const CopyPlan plan = Completed(UnpackCopyPlan(new_word), ThisProcessor());
    for (int i = 0; i < kCopyClasses; ++i) {
      kernels[i].store(FindCopyKernel(plan[i]), std::memory_order_relaxed);
    }
    word.store(new_word, std::memory_order_relaxed);
  }
};

// A copy that begins meanwhile takes the old kernel or the new one: both are right.
InUse& Plan() {
  static InUse in_use;
  return in_use;
}

}  // namespace

uint32_t PackCopyPlan(const CopyPlan& plan) {
  uint32_t word = 0;
  for (int i = 0; i < kCopyClasses; ++i) word |= uint32_t{plan[i]} << (8 * i);
  return word;
}

CopyPlan UnpackCopyPlan(uint32_t word) {
  CopyPlan plan;
  for (int i = 0; i < kCopyClasses; ++i) plan[i] = static_cast<uint8_t>(word >> (8 * i));
  return plan;
}

CopyPlan DefaultCopyPlan(const Processor& processor) {
#if defined(__x86_64__)
  if (!processor.avx2) return {kCopySse2, kCopySse2, kCopySse2, kCopySse2};
  if (processor.vendor != "GenuineIntel") {
    return {kCopyAvx2, kCopyAvx2, kCopyAvx2, kCopyAvx2};  // EPYC Milan
  }
  if (!processor.avx512) {
    return {kCopyAvx2Places, kCopyAvx2Places, kCopyAvx2Places, kCopyAvx2Places};
  }
  return {kCopyAvx512Places, kCopyAvx2, kCopyAvx2, kCopyAvx512Places};  // Ice Lake
#else
  (void)processor;
  return {kCopyMemcpy, kCopyMemcpy, kCopyMemcpy, kCopyMemcpy};
#endif
}

CopyPlan Completed(const CopyPlan& plan, const Processor& processor) {
  CopyPlan completed = DefaultCopyPlan(processor);
  for (int i = 0; i < kCopyClasses; ++i) {
    const CopyKernel* const kernel = FindCopyKernel(plan[i]);
    if (kernel != nullptr && CanRun(*kernel, processor)) completed[i] = plan[i];
  }
  return completed;
}

void UseCopyPlan(uint32_t word) {
  InUse& in_use = Plan();
  if (in_use.word.load(std::memory_order_relaxed) != word) in_use.Take(word);
}

const CopyKernel& CopyKernelFor(uint64_t bytes) {
  return *Plan().kernels[CopyClassOf(bytes)].load(std::memory_order_relaxed);
}

uint32_t CopyPlanInUse() { return Plan().word.load(std::memory_order_relaxed); }

std::string Describe(const CopyPlan& plan) {
  std::string text;
  for (int i = 0; i < kCopyClasses; ++i) {
    const CopyKernel* const kernel = FindCopyKernel(plan[i]);
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", kCopyClassTable[i].label,
                        kernel != nullptr ? kernel->name : "not chosen");
  }
  return text;
}

}  // namespace penstock
