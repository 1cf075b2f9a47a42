// ObjectView: a sealed object, pinned for as long as the view lives.
#ifndef PENSTOCK_OBJECT_VIEW_H_
#define PENSTOCK_OBJECT_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include <penstock/internal/session_head.h>
#include <penstock/object_id.h>

#include "absl/status/status.h"

namespace penstock {

namespace internal {
class Session;
}

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
      : session_(std::exchange(other.session_, nullptr)), object_(other.object_) {}
  ObjectView& operator=(ObjectView&& other) noexcept {
    if (this != &other) {
      Release();
      session_ = std::exchange(other.session_, nullptr);
      object_ = other.object_;
    }
    return *this;
  }
  ~ObjectView() { Release(); }

  // The payload; its address is a multiple of 64. Empty for a moved-from view.
  std::span<const std::byte> data() const {
    if (!Usable()) return {};
    return {session_->arena + object_->offset, object_->size};
  }
  std::span<const std::byte> metadata() const {
    if (!Usable()) return {};
    return {session_->arena + object_->offset + MetadataOffset(object_->size),
            object_->metadata_size};
  }
  // The payload as characters.
  std::string_view text() const {
    const auto bytes = data();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  // Nil and 0 when the view cannot be used.
  ObjectId id() const { return Usable() ? object_->id : ObjectId(); }
  uint32_t type_tag() const { return Usable() ? object_->type_tag : 0; }
  // Ok, or why the view cannot be used: it holds nothing, or was made before a fork.
  absl::Status status() const;

  // Lets the object go now.
  void Release() {
    internal::SessionHead* const session = std::exchange(session_, nullptr);
    if (session != nullptr) internal::Unpin(session, object_);
  }

 private:
  friend class internal::Session;
  friend class Client;
  // What only the library can name, so that only it can call the public constructor.
  struct Key {};

 public:
  // The library's own, public so that a status can be filled in place.
  ObjectView(Key, const internal::Pinned& pinned)
      : session_(pinned.session), object_(pinned.object) {}

 private:
  bool Usable() const { return session_ != nullptr && session_->IsOfThisProcess(); }

  internal::SessionHead* session_ = nullptr;  // null: holds nothing
  const Slot* object_ = nullptr;  // pinned; of the index, or the view's own (OwnSlot)
};

}  // namespace penstock

#endif  // PENSTOCK_OBJECT_VIEW_H_
