// Core: the store of one node as a state machine. It reads submissions, decides, writes
// slots and completions. No thread, socket, system call or clock of its own: the daemon
// (and a simulator) calls it, and what it wants done outside goes through CoreHost.
//
// Invariants
//   1. A slot is free, leased to one session, or holds one object; a block belongs to at
//      most one slot (Allocator).
//   2. Bytes of a sealed object are reused only after its slot was marked, every pin row
//      was read after the mark, and neither a pin nor a hold was found (SYNC S2).
//   3. A request is answered exactly once, or its session is gone.
//   4. A get, contains or delete by id that misses is answered only after every ring that may
//      hold a seal of that id was drained up to the tail it had after the request was taken,
//      or up to there held no such seal.
//   5. A ring's head is published before another ring's record is taken.
//   6. A record from a client is checked against the lease table and the slot before any
//      state changes; a wrong one ends that session and nothing else.
//
// Thread safety: one thread.
#ifndef PENSTOCK_STORE_OBJECT_CORE_H_
#define PENSTOCK_STORE_OBJECT_CORE_H_

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "store/base/units.h"
#include "store/object/allocator.h"
#include "store/object/chunked_array.h"
#include "store/object/closing.h"
#include "store/object/compaction.h"
#include "store/object/core_books.h"
#include "store/object/core_host.h"
#include "store/object/core_stats.h"
#include "store/object/copy_records.h"
#include "store/object/eviction_queue.h"
#include "store/object/graveyard.h"
#include "store/object/intrusive_slots.h"
#include "store/object/pin_columns.h"
#include "store/object/pool_allocator.h"
#include "store/object/session.h"
#include "store/object/spill_host.h"
#include "store/shm/hash_index.h"
#include "store/shm/index_segment.h"
#include "store/shm/lease_segment.h"
#include "store/shm/parking.h"
#include "store/shm/slot_table.h"

namespace penstock {

struct SessionState;

class Core {
 public:
  // `leases` has as many entries as the index has slots.
  Core(IndexSegment index, LeaseSegment leases, CoreLimits limits, CoreHost* host);
  // `infos`: memory for as many, zeroed, that may outlive this core.
  Core(IndexSegment index, LeaseSegment leases, CoreLimits limits, CoreHost* host,
       SlotInfoTable infos);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Arena bytes that are populated and may be handed out.
  void AddExtent(uint64_t offset, uint64_t bytes);
  // Merges blocks that were freed with their neighbours, some at a time. True: all are, and
  // TakeFreeExtents is quick.
  bool MergeFreeBlocks() { return allocator_.CloseStacks(); }
  // Gives whole free extents of huge pages back to the host: they are nobody's until AddExtent. At
  // least `keep_bytes` stay free; none go while somebody waits for room, or if the limits do not
  // say that memory comes back. Some hundreds at most: call it again for the rest.
  std::vector<Allocator::Extent> TakeFreeExtents(uint64_t keep_bytes,
                                                 uint64_t alignment = kHugePageBytes);
  // Of what is with the host: the bytes that somebody waits for, until AddExtent brings them.
  // Nothing is dropped, moved or written out for room before.
  uint64_t MemoryWanted() const;
  // The host has none to give just now: room is made from what there is.
  void SetHostIsShort(bool is_short);
  uint64_t free_bytes() const { return allocator_.free_bytes(); }
  // Of the arena, with the host: given back, or not populated yet.
  uint64_t returned_bytes() const {
    return limits_.memory_comes_back ? stats_.arena_bytes - allocator_.total_bytes() : 0;
  }
  // No more extents will come but those that are with the host: who waits for room beyond the
  // arena is refused.
  void FinishPopulation();

  // Takes over the store and the sessions of a daemon that died at any point: reads every row
  // and ring before it frees anything, keeps every sealed object and every lease that its
  // client has heard of. Before anything else. `rows`: one for each session kept, of those
  // whose process has ended too (close them afterwards). `copies`: what is on disk, for
  // EnableSpill's host. Cost: about 0.5 us a slot in use.
  RecoveryReport Recover(std::span<const KeptSession> kept, std::vector<SessionRow>& rows,
                         std::span<const uint32_t> copies = {});

  // The last that this core does, between turns: leaves the store in order. The result and the
  // slot infos let another core go on without looking at every slot. Nothing may be under way
  // to or from the disk.
  std::string Retire();
  // Whether `state` is what a core of this kind left, which was the last to serve.
  static bool CanResume(std::string_view state, const IndexSegment& index);
  // In place of Recover, where CanResume says so; this core was made with the slot infos of the
  // one that retired.
  RecoveryReport Resume(std::string_view state, std::span<const KeptSession> kept,
                        std::vector<SessionRow>& rows, std::span<const uint32_t> copies = {});

  // From now on objects may go to disk. Before Recover and the first turn.
  void EnableSpill(SpillHost* spill);
  // Between turns: the end of a write or read that the core asked for.
  void SpillWritten(const SpillOutcome& outcome);
  void SpillRead(const SpillOutcome& outcome);
  // Writing stopped at a trouble of the disk: tries again. The host calls it now and then.
  void RetrySpill();
  bool spill_stopped() const { return spill_stopped_; }

  // Takes a session whose segments are formatted with `number`. ResourceExhausted at the
  // limit of sessions.
  absl::StatusOr<SessionRow> OpenSession(SessionSegments segments, uint64_t number,
                                         int32_t pid,
                                         SessionRole role = SessionRole::kReadWrite);
  // The session's process is gone, or said good-bye: drains its ring (what it sealed counts) and
  // forgets its pins. Its segments may go then. Its requests, leases and bound objects go in the
  // next turns, as many as they take.
  void CloseSession(SessionRow row);
  // Ends a session for what its client did outside its ring, as for a wrong record.
  void EndSession(SessionRow row, const std::string& why) { Break(row, why); }
  // The host calls it now and then: looks again at a few of the objects that stay until a release
  // is heard of. A session that is not read any more says nothing of its releases, and any client
  // can let a pin go without a word.
  void LookAgainAtKept();
  bool keeps_any() const {
    return !doomed_.empty() || !left_queue_.empty() || !left_clean_.empty();
  }
  // The host calls it now and then, with a clock that starts anywhere but 0: a session that pins
  // beyond its quota while somebody waits for releases is named (PinQuotaExceeded), and ended when
  // it still does after the grace. Its pins stand until its process ends.
  void EnforcePinQuota(int64_t now_ms);
  bool somebody_waits_for_room() const {
    return !room_waiters_.empty();
  }
  // Whether somebody waits whom the release of a pin may help, and not only the host.
  bool somebody_waits_for_releases() const {
    return somebody_waits_for_room() && !WaitsForHost() &&
           !IsOutOfReach(FirstForRoom().block_bytes);
  }
  // Whether an open session of this number belongs to process `pid`.
  bool IsSessionOf(uint64_t number, int32_t pid) const;
  // Deletes what these sessions sealed: of those that have ended in the next turns, of the others
  // when they end. Cost: one walk through every slot for all that have ended, one for each of the
  // others that left something.
  void DropObjectsOf(std::span<const uint64_t> numbers);

  // Takes what waits in every ring in sight, in parts where it is much, and answers. True if
  // anything was done: there may be more.
  bool Turn();
  // The session's doorbell rang: its ring is in sight from now on.
  void Hear(SessionRow row);
  // Whether any ring is out of sight, so that doorbells tell more than that somebody is awake.
  bool depends_on_bells() const { return watched_rows_.size() < open_rows_.size(); }

  // SYNC S1 parking, consumer's half: sets the parked flag and looks at every ring in sight again.
  // True: the caller may sleep. False: there is work, the flag is down again.
  bool PreparePark();
  void Unpark() { Parker::Unpark(index_.header().parked); }

  // Objects are being moved, or looked for: Turn goes on with it, and nobody parks.
  bool IsCompacting() const { return compaction_.phase != Compaction::Phase::kIdle; }

  CoreStats Stats() const;
  // Walks everything and aborts with the facts when an invariant does not hold.
  void CheckInvariants() const;

 private:
  // Who waits for room on the store's own behalf.
  static constexpr SessionRow kStoreRow = ~SessionRow{0};

  // core.cc
  void Break(SessionRow row, std::string why);

  // core_close.cc
  void GoOnClosing();
  bool CloseSome(Closing& closing, size_t& most);
  void TakeBack(SessionRow row, uint32_t slot);
  void TakeBackIfEnded(const ObjectId& id);
  bool RefuseOrphans(uint64_t number, Closing& closing, size_t& most);
  void LoseHold(CoreSession& session);
  bool ForgetPinsOf(Closing& closing, size_t& most);
  void DropAllHolds(CoreSession& session);
  void GoOnSweeping();
  bool IsSwept(uint64_t session) const;

  // core_watch.cc
  bool MayBeLetGo(size_t place) const;
  void LetGo(size_t place);
  void StopWatching(SessionRow row);
  bool HasWork(CoreSession& session) const;
  uint64_t LapFromHere();
  void KeepLapsWhole();
  void LookOutOfSight();

  // core_turn.cc
  bool Drain(SessionRow row, uint32_t most = ~uint32_t{0});
  bool TakeRecords();
  bool MayTakeCancel(SessionRow row, bool is_whole);
  bool ForgetSome(SessionRow row, const Submission& cancel);
  void ForgetLate();
  uint64_t CountWaiting() const;
  uint32_t CountWaiting(SessionRow row) const;
  absl::InlinedVector<SessionRow, 2> SealersOf(const ObjectId& id) const;
  bool ASealMayWait(const ObjectId& id);
  absl::flat_hash_set<ObjectId> SealsWaitingOf(const std::vector<Deferred>& deferred) const;
  bool HasPassed(uint64_t round) const;
  void AnswerDeferred();
  void Resolve(const std::vector<Deferred>& deferred);

  // core_recover.cc
  SessionRow KeepSession(const KeptSession& kept);
  void SettleSlot(uint32_t slot, RecoveryReport& report);
  bool HasHeardOf(const LeaseEntry& lease) const;
  bool IsPlausible(uint32_t slot) const;
  void Discard(uint32_t slot);
  std::vector<ExtentEntry> MergedExtents() const;
  void RecoverAllocator(RecoveryReport& report);
  void RecoverHash(RecoveryReport& report);
  uint32_t BeginAfterAnother();

  // core_handover.cc
  void ForgetWork();
  void RestoreAllocator(std::span<const Allocator::Extent> free_extents);
  void RestoreSession(SessionRow row, const SessionState& state);
  void ListLease(uint32_t slot);
  void ListObject(uint32_t slot);
  uint32_t MakerOf(const LeaseEntry& lease);
  uint32_t NewMaker(int32_t pid, bool live);
  SessionRow NewRow(const SessionSegments& segments, uint64_t number, int32_t pid,
                    SessionRole role);

  // core_records.cc: one record each. Each returns false after Break.
  bool Handle(SessionRow row, const Submission& record);
  bool MayHandle(SessionRow row, SubmissionOp op);
  void WaitForSeal(SessionRow row, const Submission& record);
  void WaitForRoom(SessionRow row, const Submission& record);
  bool HandleSeal(SessionRow row, const Submission& record);
  bool HandleReturnLease(SessionRow row, const Submission& record);
  bool HandleConfirm(SessionRow row, const Submission& record);
  bool HandleGet(SessionRow row, const Submission& record);
  void HandleDelete(const Submission& record);
  void HandleRelease(const Submission& record);
  void HandleCancel(SessionRow row, uint32_t request);
  bool OwnsLease(SessionRow row, const Submission& record) const;
  bool IsReplay(SessionRow row) const;
  void Resolve(SessionRow row, const Submission& record);
  void AnswerMiss(SessionRow row, const Submission& record);
  AnswerCode WhyAbsent(const ObjectId& id) const;

  // core_room.cc: blocks and slots, and who waits for them.
  bool HandleLease(SessionRow row, const Submission& record);
  uint32_t LeasesAhead(SessionRow row, uint64_t block_bytes) const;
  uint32_t FreeSlots() const {
    return static_cast<uint32_t>(free_slots_.size()) + index_.capacity() - fresh_slot_;
  }
  // With what is with the host.
  uint64_t StoreBytes() const { return allocator_.total_bytes() + returned_bytes(); }
  bool MemoryComesBack() const { return returned_bytes() > 0 && !host_is_short_; }
  // Whether a block is to be waited for, and no room made from what there is.
  bool WaitsForHost() const { return MemoryComesBack() && FreeSlots() > 0; }
  // Longer than any piece that is populated while the host has no more: no room that is made
  // would do.
  bool IsOutOfReach(uint64_t block_bytes) const {
    return host_is_short_ && block_bytes > allocator_.LongestRange();
  }
  void AskForLeases();
  bool HandleReserve(SessionRow row, const Submission& record);
  std::optional<uint32_t> TakeBlock(uint64_t block_bytes, uint64_t session, int32_t pid);
  void FreeBlock(uint32_t slot);
  std::optional<uint32_t> TakeLease(SessionRow row, uint64_t block_bytes);
  std::optional<uint32_t> TakeLeaseEvicting(SessionRow row, uint64_t block_bytes);
  bool MayOvertake(uint64_t block_bytes) const;
  std::optional<uint32_t> TakeLeaseInTurn(SessionRow row, uint64_t block_bytes);
  uint32_t GrantMany(SessionRow row, uint32_t request, uint64_t block_bytes, uint32_t count);
  void GrantReserved(SessionRow row, uint32_t request, const ObjectId& id, uint32_t slot);
  void ReturnLease(SessionRow row, uint32_t slot);
  bool EvictFor(uint64_t block_bytes);
  std::vector<EvictionEntry> LeastRecentlyUsed(uint64_t wanted_bytes);
  void BeginEvictionLooks();
  bool HasMoreToEvict() const {
    return share_.has_more_to_flush ||
           (share_.eviction_looks_left == 0 && (!evictable_.empty() || clean_bytes_ > 0));
  }
  // In the next turns, without anybody's doing.
  bool RoomMayCome() const { return HasMoreToEvict() || !closings_.empty() || !sweeps_.empty(); }
  bool FlushesFor(uint64_t block_bytes);
  void PutBackWanted(std::vector<SlotLook>& pinned);
  void ReturnToQueue(uint32_t slot);
  void CancelRoom(SessionRow row, uint32_t request);
  void HandleLateCancels();
  void Enqueue(const RoomWaiter& waiter);
  enum class Evicting { kNo, kAllowed };
  bool ServeRoomWaiter(const RoomWaiter& waiter, Evicting evicting);
  void ServeRoomWaiters();
  const RoomWaiter& FirstForRoom() const { return room_waiters_.begin()->second; }
  void PassOverOutOfReach();
  void ServeOthers();
  Completion RoomRefusal(AnswerCode code);
  void RefuseRoom(SessionRow row, uint32_t request, AnswerCode code);
  void RefuseQuota(SessionRow row, uint32_t request);
  bool MayEverFit(uint64_t block_bytes) const;

  // core_quota.cc
  uint64_t HeldBytes(SessionRow row) const;
  bool IsWithinQuota(SessionRow row, uint64_t block_bytes) const;
  uint64_t PinnedBytes(SessionRow row) const;
  void CountHolders();
  void CountPins();
  void CountMade();

  // core_compact.cc: moving objects, so that a long enough extent appears.
  bool MayCompact(uint64_t block_bytes) const;
  void ConsiderCompaction();
  bool StepCompaction();
  void ListBlocks();
  void StartSearch();
  void Search();
  void FeedRegion(uint64_t region);
  void EndSearch();
  bool IsMovable(uint32_t slot);
  void EmptyWindow();
  bool NextVictim();
  bool CollectVictims();
  Moved MoveSome(uint64_t& budget_bytes);
  bool Relocate();
  void DropCopy();
  void ReleaseWindow();
  void AbandonStaleCompaction();
  void TryAnotherWindow();
  void FailCompaction();
  void AskForRelease(uint32_t slot);

  // core_objects.cc: publishing, finding, freeing.
  std::optional<uint32_t> Find(const ObjectId& id) const;
  void Publish(SessionRow row, const Submission& record);
  void DropUnpublished(SessionRow row, const Submission& record);
  void LeaveLeases(CoreSession& session, uint32_t slot);
  uint64_t Epoch();
  uint64_t EpochOfSeals();
  void AdvanceEpoch();
  void CountObject(uint32_t slot);
  void List(uint32_t slot);
  bool Exists(const ObjectId& id) const;
  void Delete(uint32_t slot, AnswerCode cause);
  void Unlist(uint32_t slot);
  void Free(uint32_t slot);
  void FreeLater(uint32_t slot);
  void FreeMarked();
  void FreeMarkedIfItMatters();
  size_t FreeMarked(std::span<const SlotGeneration> marked_slots);
  void FreeAllMarked();
  bool IsPinned(uint32_t slot) const { return columns_.IsPinned(slot); }
  bool IsInUse(uint32_t slot) const;
  uint64_t LastUse(uint32_t slot);
  void DropHolds(SessionRow row, uint32_t slot, uint32_t count);
  void RetryDoomed();
  void ForgetMaker(uint32_t maker);

  // core_spill.cc: objects on disk.
  void CountSealedBytes(uint64_t bytes);
  uint64_t OriginOf(uint32_t slot) const;
  void AdoptCopies(std::span<const uint32_t> copies);
  void AddClean(uint32_t slot, uint32_t copy);
  std::optional<uint32_t> TakeCopy(uint32_t slot);
  bool DropClean(uint64_t block_bytes);
  uint64_t DropCleanOf(std::deque<CleanCopy>& queue, uint64_t block_bytes);
  std::vector<CleanCopy> UnusedClean(std::deque<CleanCopy>& queue, uint64_t wanted_bytes);
  void DropClean(const CleanCopy& item);
  bool Want(uint32_t slot);
  bool MayBeWritten(uint32_t slot) const;
  std::vector<SpillCandidate> SampleForSpill();
  void StartSpill(uint64_t bytes);
  void WriteOut(uint32_t slot);
  void SpillAhead();
  void WaitForRestore(SessionRow row, const Submission& record);
  void ForgetRestore(const ObjectId& id);
  bool ServeRestore(const RoomWaiter& waiter, Evicting evicting);
  void PublishRestored(uint32_t slot, const ObjectId& id);
  void DeleteSpilled(const ObjectId& id);
  void DropCopy(uint32_t copy);

  // core_completions.cc: what clients are told.
  void Complete(SessionRow row, const Completion& completion);
  void PublishCompletions(size_t most = ~size_t{0});
  void WriteCompletion(CoreSession& session, const Completion& completion);
  void FlushBacklog(SessionRow row);
  void Answer(SessionRow row, uint32_t request, AnswerCode code, uint64_t detail = 0);
  void AnswerObject(SessionRow row, uint32_t request, uint32_t slot);
  void AnswerWaiters(const ObjectId& id, uint32_t slot);
  void RefuseWaiters(const ObjectId& id, AnswerCode code);
  void RefuseWaiters(const ObjectId& id, const Completion& refusal);
  bool TellSome(const Telling& telling, size_t most);
  void GoOnTelling();
  void EndTelling(const Telling& telling);
  bool HasWaiters(const ObjectId& id) const;
  void Announce(uint8_t kind, uint32_t slot);
  void Subscribe(SessionRow row, uint32_t wanted);
  void ForgetRequest(SessionRow row, uint32_t request);

  IndexSegment index_;
  SlotTable slots_;
  HashIndex hash_;
  LeaseSegment leases_;
  CoreLimits limits_;
  CoreHost* host_;
  Parker parker_;
  Allocator allocator_;
  Compaction compaction_;
  bool host_is_short_ = false;
  bool population_done_ = false;

  SlotInfoTable infos_;
  // Free slots are those given back, and all from fresh_slot_ on. The lowest are used
  // first, so that pin rows stay short.
  std::vector<uint32_t> free_slots_;
  uint32_t fresh_slot_ = 0;
  // Trees, where there may be a million: a hash table that grows moves all at once.
  PooledMap<ObjectId, uint32_t> overflow_;
  PooledMap<ObjectId, uint32_t> reserved_;         // chosen ids, not sealed yet
  PooledSet<uint32_t> doomed_;                     // deleted, still pinned or held
  std::deque<SlotGeneration> marked_;  // deleted, the pins not looked at yet: FreeMarked
  EvictionQueue evictable_;
  // Evictable, found pinned, and out of the queue until something of that changes.
  PooledMap<uint32_t, EvictionEntry> left_queue_;
  PooledMap<uint32_t, CleanCopy> left_clean_;  // the same of clean_
  uint32_t look_again_at_doomed_ = 0;  // from this slot on: LookAgainAtKept
  uint32_t look_again_at_pinned_ = 0;
  uint32_t look_again_at_clean_ = 0;
  Graveyard graves_;

  std::vector<std::unique_ptr<CoreSession>> sessions_;
  std::vector<SessionRow> open_rows_;
  std::vector<SessionRow> watched_rows_;  // of these, those whose rings are in sight
  Laps laps_;                             // through the others
  std::deque<Closing> closings_;
  std::deque<Sweep> sweeps_;
  PinColumns columns_;  // of the open rows
  std::vector<SessionRow> free_rows_;
  absl::flat_hash_map<uint64_t, SessionRow> rows_by_number_;
  PooledMap<uint64_t, uint32_t> departed_makers_;  // of ended sessions, by number
  PooledSet<uint64_t> objects_go_with_;  // sessions whose objects end with them
  ChunkedArray<Maker> makers_;
  ChunkedArray<uint32_t> free_makers_;

  PooledSet<Waiter> waiters_;
  std::deque<Telling> tellings_;
  PooledMap<uint64_t, RoomWaiter> room_waiters_;  // by ticket: first come, first served
  uint64_t last_ticket_ = 0;
  OthersPass others_;
  size_t rows_to_ask_ = 0;       // for leases that they hold ahead of need
  size_t next_to_ask_ = 0;
  std::vector<LateCancel> late_cancels_;
  std::deque<Deferred> deferred_;
  std::deque<Deferred> late_forgets_;  // cancels of many
  Rounds rounds_;
  uint64_t refusing_since_ = 0;  // the round in which somebody was about to be refused first,
  uint64_t refusing_at_ = 0;     // and the turn in which that was so last
  uint64_t refusing_lap_ends_ = 0;
  std::deque<SessionRow> unpublished_rows_;

  SpillHost* spill_ = nullptr;                           // null: nothing goes to disk
  PooledMap<ObjectId, uint32_t> spilled_;      // on disk only: the copy
  PooledMap<ObjectId, Restore> restoring_;
  PooledMap<uint64_t, SpillJob> spill_jobs_;   // by ticket
  std::array<std::deque<CleanCopy>, kPriorities> clean_; // in memory and on disk, by priority
  uint64_t next_ticket_ = 1;
  uint64_t clean_bytes_ = 0;
  uint64_t writing_bytes_ = 0;
  uint64_t sealed_bytes_ = 0;     // since the epoch advanced for them
  uint32_t hand_ = 0;             // the slot that was looked at last for a candidate
  uint32_t fruitless_looks_ = 0;  // since the last candidate was found
  bool spill_stopped_ = false;
  SpillTrouble spill_trouble_ = SpillTrouble::kNone;  // of the last write

  TopHolders top_holders_;
  std::vector<SessionRow> subscriber_rows_;
  bool room_changed_ = false;
  bool sealed_evictable_ = false;
  TurnShare share_;
  uint64_t epoch_ = uint64_t{1} << 32;  // as of the last look: Epoch()
  CoreStats stats_;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_CORE_H_
