// Session: one process's connection to its daemon, with everything mapped.
//
// Owned by a ClientState and never moved: views and builders point to it.
#ifndef PENSTOCK_CLIENT_SRC_SESSION_H_
#define PENSTOCK_CLIENT_SRC_SESSION_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <penstock/client.h>

#include "absl/status/statusor.h"
#include "client/src/completion_queue.h"
#include "client/src/file_mark.h"
#include "client/src/fork_guard.h"
#include "client/src/lease_cache.h"
#include "client/src/submission_queue.h"
#include "client/src/thread_marks.h"
#include "store/shm/index_segment.h"
#include "store/shm/mapping.h"
#include "store/shm/pin_row.h"
#include "store/shm/slot_table.h"
#include "store/wire/control_message.h"
#include "store/wire/packet_socket.h"

namespace penstock::internal {

// A get or a release on the short way has a mark of its own (ThreadMark), which it takes back.
enum class Way { kShort, kWithinACall };

// Thread safety: every call from any thread of the process that opened it.
class Session : public SessionHead {
 public:
  static absl::StatusOr<std::unique_ptr<Session>> Open(const ClientOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Usable here and now: this process opened it and the daemon lives.
  bool Usable() const {
    return IsOfThisProcess() && !dead_.load(std::memory_order_relaxed);
  }
  bool IsDead() const { return dead_.load(std::memory_order_relaxed); }
  bool FromThisProcess() const { return IsOfThisProcess(); }
  absl::Status WhyUnusable() const;
  // Something was sealed or deleted after the last Sync.
  bool HasUnsynced();

  // Its end (session_end.cc). From here on no new call comes to it, but of its views and builders.
  void Retire() {
    retired_.store(true, std::memory_order_relaxed);
    reach_.store(0, std::memory_order_relaxed);
  }
  bool IsRetired() const { return retired_.load(std::memory_order_relaxed); }
  enum class Rest { kNothing, kHandles, kThreads };
  // What keeps a retired session: views or builders, or threads that may be in it. Of a dead one
  // that only handles keep, all goes that they do not need. One caller at a time.
  Rest WhatKeepsIt(Patience patience);
  // In a child, of its parent's session: closes what still is that session's. A program that
  // becomes a daemon closes all that it inherited, and has other files under those numbers.
  void CloseInherited();

  // Reads (session_get.cc).
  // Fills `view`, which holds nothing yet, if the object is here and sealed.
  bool GetLocal(const ObjectId& id, ObjectView& view);
  std::vector<absl::StatusOr<ObjectView>> GetMany(std::span<const ObjectId> ids,
                                                  absl::Duration deadline);
  absl::StatusOr<bool> Contains(const ObjectId& id);
  absl::StatusOr<std::vector<ObjectInfo>> List();
  template <Way kWay>
  Pinned PinAtFirstLook(const ObjectId& id);
  // The last steps of ObjectView::Release; the last of them as an ordinary function too.
  void ReleaseView(const Slot* object);
  // Of an object without a published slot, or of a retired session.
  static void ReleaseAtLength(Session* session, const Slot* object);
  template <Way kWay>
  void ReleasePin(uint32_t slot);
  void Release(uint32_t slot);
  const Slot& slot(uint32_t index) const { return index_.slot(index); }

  // Writes (session_create.cc).
  // `why`: the daemon's word, where it is its refusal.
  absl::StatusOr<Builder> Create(uint64_t size, const CreateOptions& options,
                                 AnswerCode* why = nullptr);
  // All or none, within one deadline. Whoever has some and waits for the rest keeps them from
  // others who do the same, so it holds nothing while it waits, but for a moment.
  absl::StatusOr<std::vector<Builder>> CreateMany(std::span<const uint64_t> sizes,
                                                  const CreateOptions& options);
  std::span<std::byte> BuilderBytes(const Builder& builder, uint64_t offset, uint64_t bytes) {
    return {arena_writable_.data() + builder.lease_.offset + offset, bytes};
  }
  absl::StatusOr<ObjectId> Seal(Builder& builder);
  absl::StatusOr<ObjectView> SealToView(Builder& builder);
  absl::StatusOr<std::vector<ObjectId>> SealMany(std::span<Builder> builders);
  void ReturnLease(const Builder& builder);
  absl::Status Delete(const ObjectId& id);
  absl::Status Sync();
  // The same, without what it says of refused seals.
  absl::Status AwaitHandled();
  ObjectId NextIds(uint32_t count) { return MakeId(leases_->NextSequences(count)); }

  absl::Status Subscribe(uint32_t flags);
  absl::StatusOr<Event> NextEvent(absl::Duration deadline);

  static Session* Of(const Builder& builder) { return builder.session_; }

 private:
  Session() = default;
  absl::Status Connect(const ClientOptions& options);
  absl::Status Adopt(const WelcomeFacts& facts, std::vector<UniqueFd>& fds);
  void WatchSocket();
  void Die(absl::Status why);
  void ReturnLeasesAhead();
  void Shed();
  std::array<UniqueFd*, 4> Descriptors() {
    return {&socket_, &daemon_doorbell_, &own_doorbell_, &stop_watching_};
  }
  uint64_t OpenBuilders();
  bool HasPins();
  void AskAgain();

  class LookAhead;

  // What a view says of an object that the daemon may not have published yet.
  struct OwnSlot : Slot {
    uint32_t number;
  };
  ObjectView ViewOfOwn(uint32_t slot, const ObjectFacts& facts);
  // The one of the view that this thread released last: allocating would double a seal's cost.
  static std::unique_ptr<OwnSlot> TakeSpareOwnSlot();
  static void KeepSpareOwnSlot(std::unique_ptr<OwnSlot> own);

  bool Holds(const Slot& object, const ObjectId& id) const;
  template <Way kWay>
  static Pinned PinAtLength(Session* session, const ObjectId& id);
  template <Way kWay>
  static Pinned RefusePin(Session* session, uint32_t slot);
  template <Way kWay>
  static void ReleaseTelling(Session* session, uint32_t slot, uint64_t word);
  static void TellOfRelease(Session* session, uint32_t slot, uint64_t word);
  bool GetUnpublished(const ObjectId& id, ObjectView& view);
  enum class AskingFor { kPresent, kFuture };
  std::vector<size_t> AskFor(std::span<const ObjectId> ids, const std::vector<size_t>& which,
                             AskingFor asking, absl::Duration deadline, int64_t until_ns,
                             std::vector<absl::StatusOr<ObjectView>>& outcomes);
  bool PushUntil(PendingCall& call, int64_t until_ns);
  bool TakeLastWords(PendingCall& call, uint64_t taken_before, int64_t asked_ns);
  absl::StatusOr<ObjectView> TakeHeld(const Completion& answer, const ObjectId& id,
                                      absl::Duration deadline, int64_t until_ns);
  ObjectId MakeId(uint64_t sequence) const { return {incarnation_, number_, sequence}; }
  // `asked_again`: a daemon died meanwhile, and the next one was asked too.
  absl::StatusOr<Completion> Ask(const Submission& record, int64_t deadline_ns,
                                 bool* asked_again = nullptr);
  absl::Status CheckTogether(std::span<const uint64_t> sizes, uint64_t metadata) const;
  // Up to the first that is refused. The first may wait until the deadline, the others briefly.
  absl::Status CreateSome(std::span<const uint64_t> sizes, const CreateOptions& options,
                          int64_t until_ns, std::vector<Builder>& builders, AnswerCode* why);
  absl::StatusOr<HeldLease> WaitForLease(uint64_t block_bytes, const CreateOptions& options,
                                         const ObjectId* reserve, AnswerCode* why);
  // The block that the next create of this size fills is on its way into the cache while
  // this one is being filled.
  void PrefetchBlock(uint64_t offset, uint64_t block_bytes) const {
    const std::byte* const block = arena_writable_.data() + offset;
    for (uint64_t at = 0; at < block_bytes && at < 1024; at += 64) {
      __builtin_prefetch(block + at, 1);
    }
  }
  static Submission SealRecord(const Builder& builder);
  uint32_t Epoch() const { return index_.header().epoch.load(std::memory_order_relaxed); }

  // What a get touches, together.
  IndexSegment index_;
  PinRow pins_;
  const std::atomic<uint32_t>* revoked_ = nullptr;
  std::atomic<bool> dead_{false};
  // Slots that the short ways of get and release take: all, then none. So what a dead or retired
  // session needs beyond them costs no other a look.
  std::atomic<uint32_t> reach_{0};
  std::atomic<bool> retired_{false};
  std::atomic<uint64_t> synced_changes_{0};
  std::atomic<uint32_t> subscription_{0};  // SubscribeFlags

  uint64_t incarnation_ = 0;
  uint64_t number_ = 0;
  uint64_t arena_bytes_ = 0;
  bool read_only_ = false;
  bool asked_for_read_only_ = false;
  std::string dir_;
  UniqueFd socket_;
  UniqueFd daemon_doorbell_;
  UniqueFd own_doorbell_;
  UniqueFd stop_watching_;
  std::array<FileMark, 4> marks_;  // of Descriptors(), for a child
  Mapping arena_mapping_;
  Mapping arena_writable_;
  Mapping index_mapping_;
  Mapping client_mapping_;
  Mapping daemon_mapping_;
  SessionSegments segments_;
  std::unique_ptr<SubmissionQueue> submissions_;
  std::unique_ptr<LeaseCache> leases_;
  std::unique_ptr<CompletionQueue> completions_;
  std::thread watcher_;

  mutable std::mutex death_mutex_;  // guards why_dead_
  absl::Status why_dead_;

  std::mutex returning_;  // held while leases count as taken that no builder has
  std::atomic<uint64_t> ended_when_dead_{0};  // builders
  // A pinned slot that keeps a retired session: the release of any other changes nothing.
  static constexpr uint32_t kNoSlot = ~uint32_t{0};
  std::atomic<uint32_t> witness_{kNoSlot};
  // WhatKeepsIt's.
  bool fenced_ = false;
  bool fenced_when_dead_ = false;  // a thread that found it alive shows its mark
  bool no_getters_ = false;   // of those that may have begun before it retired
  bool is_shed_ = false;
  int64_t marks_count_from_ns_ = 0;
  uint32_t first_pinned_ = 0;  // no slot before it is pinned, or will be
  uint64_t builders_when_shed_ = 0;
};

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_SESSION_H_
