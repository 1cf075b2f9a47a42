// IdleMemory: how much of the free memory nobody needed for a while.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_IDLE_MEMORY_H_
#define PENSTOCK_TOOLS_PENSTOCKD_IDLE_MEMORY_H_

#include <algorithm>
#include <cstdint>

namespace penstock {

// Thread safety: one thread.
class IdleMemory {
 public:
  // Of the least that was free during `after_ns`, what is beyond `keep_bytes` is idle.
  IdleMemory(uint64_t keep_bytes, int64_t after_ns)
      : keep_bytes_(keep_bytes), after_ns_(after_ns) {}

  // Told now and then how much is free. What is idle, once for each such time; else 0.
  uint64_t Look(int64_t now_ns, uint64_t free_bytes) {
    if (since_ns_ == 0) Begin(now_ns, free_bytes);
    least_bytes_ = std::min(least_bytes_, free_bytes);
    if (now_ns < until_ns()) return 0;
    const uint64_t idle_bytes = least_bytes_ - std::min(least_bytes_, keep_bytes_);
    Begin(now_ns, free_bytes);
    return idle_bytes;
  }
  // Whether the next look may find something, from until_ns() on.
  bool is_any_idle() const { return since_ns_ == 0 || least_bytes_ > keep_bytes_ + kLeast; }
  int64_t until_ns() const { return since_ns_ + after_ns_; }
  uint64_t keep_bytes() const { return keep_bytes_; }

 private:
  // What goes is whole pages of 2 MiB: a rest below that stays for good.
  static constexpr uint64_t kLeast = uint64_t{2} << 20;

  void Begin(int64_t now_ns, uint64_t free_bytes) {
    since_ns_ = now_ns;
    least_bytes_ = free_bytes;
  }

  const uint64_t keep_bytes_;
  const int64_t after_ns_;
  int64_t since_ns_ = 0;  // 0: never looked
  uint64_t least_bytes_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_IDLE_MEMORY_H_
