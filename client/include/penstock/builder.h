// Builder: an object that is being made, writable in its final place.
#ifndef PENSTOCK_BUILDER_H_
#define PENSTOCK_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <penstock/object_id.h>
#include <penstock/object_view.h>

#include "absl/status/statusor.h"

namespace penstock {

// Move-only. Nobody else sees the object before Seal; letting an unsealed builder go gives
// the memory back.
//
// Thread safety: as an int. The bytes may be filled by several threads at once.
// Fork: a builder made before a fork is the parent's; in the child data() is empty and
// Seal says FailedPrecondition.
class Builder {
 public:
  Builder() = default;
  Builder(Builder&& other) noexcept
      : session_(std::exchange(other.session_, nullptr)), lease_(other.lease_),
        id_(other.id_), size_(other.size_), metadata_size_(other.metadata_size_),
        type_tag_(other.type_tag_), flags_(other.flags_) {}
  Builder& operator=(Builder&& other) noexcept;
  ~Builder() {
    if (session_ != nullptr) Abort();
  }

  // The payload, 64-byte aligned, with whatever bytes the block had before.
  std::span<std::byte> data() const;
  std::span<std::byte> metadata() const;
  const ObjectId& id() const { return id_; }

  // Makes the object visible and unchangeable. The id is readable everywhere at once: a
  // get that arrives before the daemon has taken the seal waits for it.
  // Errors: FailedPrecondition (sealed already, aborted, moved from, made before a fork),
  // Unavailable (the daemon died). Cost: about 50 ns; a system call if the daemon sleeps. Where
  // an id was given to two Creates, the object that the daemon takes first stays; the other is
  // dropped, and Client::Sync says so.
  [[nodiscard]] absl::StatusOr<ObjectId> Seal();
  // The same, and keeps the object pinned: its bytes stay as they are while the view lives,
  // also of one that the daemon drops.
  [[nodiscard]] absl::StatusOr<ObjectView> SealToView();
  // Gives the memory back unsealed.
  void Abort();

 private:
  friend class internal::Session;
  struct Lease {
    uint64_t generation = 0;
    uint64_t offset = 0;
    uint64_t block_bytes = 0;
    uint32_t slot = 0;
  };

  internal::Session* session_ = nullptr;  // null: nothing to seal
  Lease lease_;
  ObjectId id_;
  uint64_t size_ = 0;
  uint32_t metadata_size_ = 0;
  uint32_t type_tag_ = 0;
  uint32_t flags_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_BUILDER_H_
