// Versions: made, published, deleted.
#include "runtime/ps/versioned_array.h"

#include <utility>

#include <fmt/format.h>

#include "runtime/ps/kernels.h"
#include "store/base/errors.h"

namespace penstock::ps {
namespace {

template <typename T>
std::span<T> ValuesOf(const Builder& builder) {
  const auto bytes = builder.data();
  return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
}

}  // namespace

template <typename T>
absl::StatusOr<std::unique_ptr<VersionedArray<T>>> VersionedArray<T>::Create(
    Client client, size_t count, T initial, const VersionedArrayOptions& options) {
  std::unique_ptr<VersionedArray> array(
      new VersionedArray(std::move(client), count, options));
  PENSTOCK_ASSIGN_OR_RETURN(
      const ArrayShape shape,
      ArrayShape::Contiguous(penstock::internal::DTypeOf<T>(), {static_cast<int64_t>(count)}));
  array->metadata_ = shape.Encode();
  PENSTOCK_ASSIGN_OR_RETURN(Builder builder, array->NewVersion());
  Fill(ValuesOf<T>(builder), initial);
  PENSTOCK_RETURN_IF_ERROR(array->Publish(builder));
  return array;
}

template <typename T>
VersionedArray<T>::~VersionedArray() {
  current_.reset();
  // A daemon that is gone has taken them along.
  (void)DeleteOldest(0);
}

template <typename T>
absl::Status VersionedArray<T>::Queue(ObjectView update) {
  PENSTOCK_RETURN_IF_ERROR(update.status());
  PENSTOCK_ASSIGN_OR_RETURN(ArrayView<T> array, ArrayView<T>::From(std::move(update)));
  return Queue(std::move(array));
}

template <typename T>
absl::Status VersionedArray<T>::Queue(ArrayView<T> update) {
  PENSTOCK_RETURN_IF_ERROR(update.object().status());
  if (update.values().size() != count_) {
    int64_t elements = 1;
    for (const int64_t extent : update.shape()) elements *= extent;
    return absl::InvalidArgumentError(fmt::format(
        "update {} has {} elements{}, the array {}: send one of the same size without gaps",
        update.object().id().ToHex(), elements,
        static_cast<size_t>(elements) == count_ ? " with gaps" : "", count_));
  }
  queue_.push_back(std::move(update));
  return absl::OkStatus();
}

template <typename T>
absl::StatusOr<ObjectId> VersionedArray<T>::Apply() {
  if (queue_.empty()) return Current();
  PENSTOCK_ASSIGN_OR_RETURN(Builder builder, NewVersion());
  update_values_.clear();
  for (const ArrayView<T>& update : queue_) update_values_.push_back(update.values().data());
  AddUpdates<T>(ValuesOf<T>(builder), current_->values(), update_values_);
  PENSTOCK_RETURN_IF_ERROR(Publish(builder));
  updates_applied_ += queue_.size();
  queue_.clear();
  // The new version is out. One that cannot be deleted now (the daemon is gone) is tried
  // again after the next.
  (void)DeleteOldest(size_t{1} + options_.kept_versions);
  return Current();
}

template <typename T>
absl::StatusOr<Builder> VersionedArray<T>::NewVersion() {
  return client_.Create(count_ * sizeof(T), {.metadata = metadata_,
                                             .type_tag = kArrayTypeTag,
                                             .deadline = options_.deadline});
}

template <typename T>
absl::Status VersionedArray<T>::Publish(Builder& builder) {
  PENSTOCK_ASSIGN_OR_RETURN(ObjectView sealed, builder.SealToView());
  const ObjectId id = sealed.id();
  PENSTOCK_ASSIGN_OR_RETURN(ArrayView<T> view, ArrayView<T>::From(std::move(sealed)));
  // Lets the version before go before it is deleted: a release after the delete would have
  // to tell the daemon.
  current_ = std::make_unique<ArrayView<T>>(std::move(view));
  versions_.push_back(id);
  ++versions_made_;
  return absl::OkStatus();
}

template <typename T>
absl::Status VersionedArray<T>::DeleteOldest(size_t keep) {
  while (versions_.size() > keep) {
    const absl::Status status = client_.Delete(versions_.front());
    // Somebody else may have deleted it.
    if (!status.ok() && !absl::IsNotFound(status)) return status;
    versions_.pop_front();
  }
  return absl::OkStatus();
}

template class VersionedArray<float>;
template class VersionedArray<double>;

}  // namespace penstock::ps
