// VersionedArray: an array whose current value is a sealed object of the store, and whose
// changes are new objects. The heart of a parameter shard, without any actor around it.
//
//   auto array = VersionedArray<double>::Create(client, 1000);
//   array->Queue(update);                  // as often as one likes
//   array->Apply();                        // one new version with all of them in it
//   ArrayView<double> view = ArrayView<double>::Get(other_client, array->Current());
//
// A reader that holds a view of a version reads that version for as long as it likes; the
// next ones are made elsewhere. So nobody ever sees half an update.
//
// Memory. Apply makes the next version before it gives the current one up; a replaced
// version that nobody holds is free at once, and its block is what the daemon leases next,
// so that it comes back warm. Measured over 60 versions of 50 MB on huge pages: two
// addresses in turn; their first touch took some 100 page faults, the other 58 versions 2 to
// 4 single ones. Over 1000 versions of 1 MB: 4 to 7 addresses (two blocks are leased ahead,
// and the daemon may be late), one fault in 40 versions, which thin out: rings have pages
// too. (There is a test.)
// Where others create objects of about this size, blocks go round among all of them: each
// process meets each block once for the first time, then never again.
//
// Thread safety: as an int; what is pinned may be read in any thread and process.
// Fork: as Client.
#ifndef PENSTOCK_RUNTIME_PS_VERSIONED_ARRAY_H_
#define PENSTOCK_RUNTIME_PS_VERSIONED_ARRAY_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include <penstock/array.h>
#include <penstock/client.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace penstock::ps {

struct VersionedArrayOptions {
  // How long Apply waits for room in a full store. 0: not at all.
  absl::Duration deadline = absl::Seconds(10);
  // Replaced versions that are not deleted yet, for readers that were told of one and have
  // not pinned it. Each keeps its memory. Without any, such a reader may be told NotFound
  // and asks for the current version again.
  uint32_t kept_versions = 0;
};

// T is float or double.
template <typename T>
class VersionedArray {
 public:
  // `count` elements, each `initial`, in one dimension. Errors: as Client::Create.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<VersionedArray>> Create(
      Client client, size_t count, T initial = T{0}, const VersionedArrayOptions& options = {});
  // Deletes the versions that are left; readers keep what they pinned.
  ~VersionedArray();
  VersionedArray(const VersionedArray&) = delete;
  VersionedArray& operator=(const VersionedArray&) = delete;

  // The current version: its id, for others, and the array's own view of it, which stays
  // until the next Apply that succeeds.
  const ObjectId& Current() const { return versions_.back(); }
  const ArrayView<T>& View() const { return *current_; }

  // Takes an update into the queue. The object stays pinned until it was applied, so its
  // maker may delete it as soon as it is queued. Cost: no pass over the elements.
  // Errors: InvalidArgument when it is no array, or has another element type, another
  // number of elements, or gaps; the status of a view that cannot be used. The queue is
  // then as it was.
  [[nodiscard]] absl::Status Queue(ObjectView update);
  [[nodiscard]] absl::Status Queue(ArrayView<T> update);

  // Makes one new version out of the current one and all that is queued, in the order of
  // the queue and in one pass, and returns its id; the current id when nothing is queued.
  // The version before is deleted (see kept_versions).
  // Errors: ResourceExhausted (the store is full), Unavailable, and the others of
  // Client::Create. The old version is then still current and the queue is kept: the call
  // can be made again. Cost: reads k + 1 times and writes once the array's bytes; no system
  // call while the daemon is awake and has leased ahead.
  [[nodiscard]] absl::StatusOr<ObjectId> Apply();

  size_t count() const { return count_; }
  size_t queued() const { return queue_.size(); }
  uint64_t versions_made() const { return versions_made_; }      // the first one counts
  uint64_t updates_applied() const { return updates_applied_; }

 private:
  VersionedArray(Client client, size_t count, const VersionedArrayOptions& options)
      : client_(std::move(client)), count_(count), options_(options) {}
  absl::StatusOr<Builder> NewVersion();
  // Seals it and makes it the current one.
  absl::Status Publish(Builder& builder);
  // Deletes versions until `keep` are left.
  absl::Status DeleteOldest(size_t keep);

  Client client_;
  size_t count_;
  VersionedArrayOptions options_;
  std::vector<std::byte> metadata_;      // the same for every version
  std::deque<ObjectId> versions_;        // not deleted yet, the current one last
  std::unique_ptr<ArrayView<T>> current_;
  std::vector<ArrayView<T>> queue_;
  std::vector<const T*> update_values_;  // of queue_, in a block that is used again
  uint64_t versions_made_ = 0;
  uint64_t updates_applied_ = 0;
};

extern template class VersionedArray<float>;
extern template class VersionedArray<double>;

}  // namespace penstock::ps

#endif  // PENSTOCK_RUNTIME_PS_VERSIONED_ARRAY_H_
