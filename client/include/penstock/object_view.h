// ObjectView: a sealed object, pinned for as long as the view lives.
#ifndef PENSTOCK_OBJECT_VIEW_H_
#define PENSTOCK_OBJECT_VIEW_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include <penstock/object_id.h>

#include "absl/status/status.h"

namespace penstock {

namespace internal {
class Session;
// Counts forks; the library's own, read here only to keep data() free of calls. Grows by
// one in the child at each fork. Relaxed: a fork is ordered with everything.
extern std::atomic<uint64_t> g_fork_generation;
inline uint64_t CurrentForkGeneration() {
  return g_fork_generation.load(std::memory_order_relaxed);
}
}  // namespace internal

// Move-only: letting it go is the release (one store, one fence, no system call unless
// the object was deleted or evicted meanwhile).
//
// While it lives, the bytes neither move nor change, whatever others delete. They lie in
// a read-only mapping: a write through them is a fault in the process that did it.
//
// Thread safety: as an int; different threads may each have views of one object.
// Fork: a view made before a fork stays the parent's. In the child, data() and metadata()
// are empty and status() says why; get the object again there.
class ObjectView {
 public:
  ObjectView() = default;
  ObjectView(ObjectView&& other) noexcept
      : session_(std::exchange(other.session_, nullptr)),
        facts_(other.facts_) {}
  ObjectView& operator=(ObjectView&& other) noexcept {
    if (this != &other) {
      Release();
      session_ = std::exchange(other.session_, nullptr);
      facts_ = other.facts_;
    }
    return *this;
  }
  ~ObjectView() { Release(); }

  // The payload; its address is a multiple of 64. Empty for a moved-from view.
  std::span<const std::byte> data() const {
    return Usable() ? std::span<const std::byte>(facts_.data, facts_.size)
                    : std::span<const std::byte>();
  }
  std::span<const std::byte> metadata() const;
  // The payload as characters.
  std::string_view text() const {
    const auto bytes = data();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  const ObjectId& id() const { return facts_.id; }
  uint32_t type_tag() const { return facts_.type_tag; }
  // Ok, or why the view cannot be used: it holds nothing, or was made before a fork.
  absl::Status status() const;

  // Lets the object go now.
  void Release();

 private:
  friend class internal::Session;
  struct Facts {
    const std::byte* data = nullptr;
    uint64_t size = 0;
    uint32_t slot = 0;
    uint32_t metadata_size = 0;
    uint32_t type_tag = 0;
    ObjectId id;
    uint64_t fork_generation = 0;  // of the process that may use the view
  };
  ObjectView(internal::Session* session, const Facts& facts)
      : session_(session), facts_(facts) {}

  bool Usable() const {
    return session_ != nullptr && facts_.fork_generation == internal::CurrentForkGeneration();
  }

  internal::Session* session_ = nullptr;  // null: holds nothing
  Facts facts_;
};

}  // namespace penstock

#endif  // PENSTOCK_OBJECT_VIEW_H_
