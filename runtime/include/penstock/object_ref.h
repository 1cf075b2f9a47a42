// ObjectRef<T>: a value that is, or will be, somewhere. An ordinary value: copy it, pass it
// as an argument, return it, keep it in containers.
#ifndef PENSTOCK_OBJECT_REF_H_
#define PENSTOCK_OBJECT_REF_H_

#include <memory>
#include <utility>

#include <msgpack.hpp>
#include <penstock/internal/result.h>

#include "absl/time/time.h"

namespace penstock {

template <typename T>
class ObjectRef;

namespace internal {
// Packs a ref into the call, result or Put that this thread is building; UsageError
// elsewhere, since nobody would keep the object alive. (process/refs.cc)
std::string PackRef(const ResultPtr& result);
ResultPtr UnpackRef(const char* bytes, size_t size);
template <typename T>
std::shared_ptr<const T> GetValue(const ResultPtr& result, absl::Duration deadline);
}  // namespace internal

// Thread safety: as an int. Cost of a copy: one count; of the last one going: the object.
template <typename T>
class ObjectRef {
 public:
  using Value = T;
  ObjectRef() = default;
  explicit ObjectRef(internal::ResultPtr result) : result_(std::move(result)) {}

  // Waits for the value. Throws what the call threw; GetTimeout past the deadline.
  std::shared_ptr<const T> Get(absl::Duration deadline = absl::InfiniteDuration()) const {
    return internal::GetValue<T>(result_, deadline);
  }
  ObjectId ID() const { return result_ == nullptr ? ObjectId() : result_->id; }
  const internal::ResultPtr& result() const { return result_; }

  template <typename Packer>
  void msgpack_pack(Packer& packer) const {
    const std::string bytes = internal::PackRef(result_);
    packer.pack_ext(bytes.size(), 1);
    packer.pack_ext_body(bytes.data(), static_cast<uint32_t>(bytes.size()));
  }
  void msgpack_unpack(const msgpack::object& object) {
    if (object.type != msgpack::type::EXT || object.via.ext.type() != 1) {
      throw msgpack::type_error();
    }
    result_ = internal::UnpackRef(object.via.ext.data(), object.via.ext.size);
  }

 private:
  internal::ResultPtr result_;
};

}  // namespace penstock

#endif  // PENSTOCK_OBJECT_REF_H_
