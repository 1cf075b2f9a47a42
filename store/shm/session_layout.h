// The two segments of a session, as pure data: one written by the client process, one by
// the daemon.
//
// 1. LAYOUT (little endian, offsets from each segment's start; SessionGeometry computes)
//      client's segment
//        0       ClientHeader, 4096 bytes
//        4096    submissions: kSubmissionEntries x 64 bytes
//        then    pin bitmap: one bit for each 4 KiB page of pins, from (session % 32) x 64 bytes
//                on; with the 2 KiB of that rounded up to 4 KiB
//        then    pins: capacity x 8 bytes, starting at a multiple of 2 MiB
//      daemon's segment
//        0       DaemonHeader, 4096 bytes
//        4096    completions: kCompletionEntries x 64 bytes
// 2. WHO WRITES EACH WORD
//      client's segment: the client process alone (its threads take a private lock for
//        the ring; pins are counted by atomic read-modify-write).
//        submission_tail  exchange seq_cst; daemon loads seq_cst         SYNC S1
//        completion_head  exchange seq_cst; daemon loads seq_cst         SYNC S1
//        parked           exchange seq_cst; daemon loads seq_cst         SYNC S1
//        bitmap words     fetch_or seq_cst; daemon loads seq_cst         SYNC S2
//        pin.count        fetch_add/fetch_sub seq_cst; daemon loads seq_cst  SYNC S2, S3
//        pin.epoch        store release; daemon loads relaxed            (a hint for LRU)
//        use              store release; daemon loads acquire
//      daemon's segment: the daemon alone; the client maps it read-only.
//        submission_head  store release; client loads acquire
//        completion_tail  exchange seq_cst; client loads seq_cst         SYNC S1
//        backlogged       exchange seq_cst; client loads seq_cst         SYNC S1
//        revoked          exchange seq_cst; client loads relaxed after its pin
//        unwatched        exchange seq_cst; client loads seq_cst         SYNC S1
// 3. STATES: a ring entry is the producer's while head + entries > position >= tail, the
//    consumer's while tail > position >= head. `revoked` goes from 0 to 1 once.
// 4. SYNC POINTS: S1 at RingProducer::Publish and Parker::Park in ring.h and parking.h; S2
//    and S3 at PinRow::Pin and Unpin in pin_row.h.
// 5. INVARIANTS
//      a. tail - head <= entries (RingConsumer::Available refuses anything else)
//      b. head and tail never decrease (each side keeps its own in private memory)
//      c. a page's bit is set before the first pin in it (PinRow::Pin)
// 6. CRASH SAFETY: the tail moves last, so a process killed in the middle of a push leaves
//    nothing that anybody sees. The daemon drains a dead client's ring, then forgets its
//    row. Proof: tests/integration/client_death_test.cc.
// 7. TRUST: every byte of the client's segment is hostile input for the daemon: it copies
//    a record before it checks it, and a bad value ends that session and nothing else. A
//    nonzero pin count only keeps memory that this client could pin anyway.
// 8. VERSION: kSessionLayoutVersion, in both headers and in the handshake; any change of a
//    struct or constant here bumps it. Another version is refused before mapping.
// 9. TESTS: tests/unit/shm/{ring,pin_row,session_segment,parking}_test.cc,
//    tests/unit/object/core_{hostile,death}_test.cc, tests/model/{ring,s1_parking}.pml,
//    tests/integration/{hostile_client,client_death}_test.cc, tests/fuzz/session.cc. More of
//    all parts in docs/formats/session.md.
#ifndef PENSTOCK_STORE_SHM_SESSION_LAYOUT_H_
#define PENSTOCK_STORE_SHM_SESSION_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <penstock/object_id.h>

namespace penstock {

inline constexpr uint64_t kClientSegmentMagic = 0x494c434b434e5450;  // "PTNCKCLI"
inline constexpr uint64_t kDaemonSegmentMagic = 0x4d44414b434e5450;  // "PTNCKADM"
inline constexpr uint32_t kSessionLayoutVersion = 4;

inline constexpr uint32_t kSubmissionEntries = 1024;
inline constexpr uint32_t kCompletionEntries = 1024;

// What a client asks of the daemon. `request` is a number the client chose; 0 asks for no
// answer.
enum class SubmissionOp : uint8_t {
  kNone = 0,
  kSeal = 1,          // slot, generation, id, size, metadata_size, type_tag, flags
  kDelete = 2,        // slot, generation, id: an object the client has seen; no answer
  kDeleteById = 3,    // id -> answer
  kLease = 4,         // size = block bytes, count; request 0: refill the magazine
  kReserve = 5,       // id, size = block bytes -> grant, or AlreadyExists
  kReturnLease = 6,   // slot, generation
  kGet = 7,           // id -> object; waits for the seal unless flags has kGetNoWait
  kContains = 8,      // id -> answer with detail[0] = 1 or 0
  kConfirm = 9,       // slot, generation, and in flags the answer's `count`: the client's own
                      // pin stands, drop the hold
  kRelease = 10,      // slot, generation: SYNC S3, last release of an unplain slot
  kCancel = 11,       // request: the asker's deadline has passed -> its last word. With a count in
                      // flags: so many requests from this one on, which are forgotten in silence
  kSync = 12,         // -> answer once every record pushed before has been handled
  kSubscribe = 13,    // flags: SubscribeFlags, replaces what was there
};

enum GetFlags : uint32_t { kGetNoWait = 1 };
enum SubscribeFlags : uint32_t { kSubscribeSeals = 1, kSubscribeDeletions = 2 };

struct alignas(64) Submission {
  SubmissionOp op;
  uint8_t reserved_a[3];
  uint32_t request;
  uint64_t generation;
  uint32_t slot;
  uint32_t metadata_size;
  ObjectId id;
  uint64_t size;
  uint32_t type_tag;
  uint32_t flags_or_count;  // SealFlags, GetFlags, SubscribeFlags, a count of leases, or of a
                            // confirmation IndexHeader::restarts as the answer said (SYNC S4)
};
static_assert(sizeof(Submission) == 64 && offsetof(Submission, id) == 24);
static_assert(std::is_trivially_copyable_v<Submission>);

enum class CompletionOp : uint8_t {
  kNone = 0,
  kGrant = 1,       // leases[0..count), block_bytes; ends `request` unless it is 0
  kAnswer = 2,      // code, detail: ends `request`
  kObject = 3,      // a sealed object, held by the daemon until kConfirm: ends `request`
  kEvent = 4,       // an object was sealed or deleted
  kEventsLost = 5,  // detail[0] events did not fit
  kSealRefused = 6, // id of an object that was not published, code says why
};

// What kFull counts pinned bytes in: 2^32 of them are more than the largest arena.
inline constexpr uint64_t kPinnedUnitBytes = 4096;

// Why a request was refused. On the wire in one byte: never renumber.
enum class AnswerCode : uint8_t {
  kOk = 0,
  kNotFound = 1,       // not here now
  kDeleted = 2,        // was here, a client deleted it
  kEvicted = 3,        // was here, dropped to make room
  kMakerDied = 4,      // its maker's session ended before the seal
  kAlreadyExists = 5,
  kFull = 6,           // detail: bytes of objects, evictable, leased, of the store; pid of
                       // who made and leased most, its bytes; number of objects. In the
                       // upper halves of the fifth and the last: pid of who pins most, and how
                       // many pages of 4 KiB. `count`: SpillTrouble of the last write to disk
  kTooLarge = 7,       // detail[0]: the largest object this store takes
  kNoSlots = 8,        // detail as kFull
  kCancelled = 9,      // detail[0]: kCancelledOnDisk, or 0
  kTooManyRequests = 10,
  kOtherStore = 11,    // the id was made by a store that is not this one
  kSpillLost = 12,     // on disk, and not to be read back: detail: SpillTrouble, number of the
                       // file, errno
  kNoRoomToRestore = 13,  // on disk, and neither memory nor disk has room: detail as kFull
  kOverQuota = 14,     // detail: the client's quota, what it holds
};

// Why an object could not be written to disk or read back. On the wire in one byte.
enum class SpillTrouble : uint8_t {
  kNone = 0,
  kDiskFull = 1,
  kUnwritable = 2,
  kIo = 3,
  kMissing = 4,    // the file is gone
  kTruncated = 5,  // the file ends before the object does
  kAltered = 6,    // other bytes than were written
  kLimit = 7,      // --spill-limit
  kTableFull = 8,  // more objects than the spill table has entries
  kGone = 9,       // the directory is not there
};
std::string_view NameOf(SpillTrouble trouble);
// What ends a trouble of writes; of reads: "".
std::string_view NextStepOf(SpillTrouble trouble);

// Of a get that was cancelled while the object was being read from disk.
inline constexpr uint64_t kCancelledOnDisk = 1;

struct GrantedLease {
  uint64_t generation;
  uint64_t slot_and_offset;  // slot << 36 | offset / 64

  static constexpr uint64_t kOffsetBits = 36;
  static constexpr GrantedLease Make(uint32_t slot, uint64_t generation, uint64_t offset) {
    return {generation, (uint64_t{slot} << kOffsetBits) | (offset / 64)};
  }
  constexpr uint32_t slot() const {
    return static_cast<uint32_t>(slot_and_offset >> kOffsetBits);
  }
  constexpr uint64_t offset() const {
    return (slot_and_offset & ((uint64_t{1} << kOffsetBits) - 1)) * 64;
  }
};
inline constexpr uint32_t kMaxSlots = uint32_t{1} << 28;            // 28 bits of slot
inline constexpr uint64_t kMaxArenaBytes = uint64_t{1} << 42;       // 36 bits x 64 bytes
inline constexpr uint32_t kLeasesPerGrant = 3;

struct alignas(64) Completion {
  constexpr Completion()
      : op(), code(), count(), for_reserved_id(), request(), detail() {}

  CompletionOp op;
  AnswerCode code;
  uint8_t count;       // leases in a grant; for an event 1 = sealed, 2 = deleted, 3 = evicted;
                       // for an object: IndexHeader::restarts (SYNC S4)
  uint8_t for_reserved_id;  // of a grant: 1 = the lease is bound to the id asked for
  uint32_t request;
  struct Grant {
    uint64_t block_bytes;
    GrantedLease leases[kLeasesPerGrant];
  };
  struct Object {
    ObjectId id;
    uint64_t size;
    uint64_t generation;
    uint32_t slot;
    uint32_t metadata_size;
    uint64_t offset;
  };
  union {
    Grant grant;
    Object object;  // kObject, kEvent, kSealRefused
    uint64_t detail[7];
  };
};
static_assert(sizeof(Completion) == 64 && offsetof(Completion, detail) == 8);
static_assert(std::is_trivially_copyable_v<Completion>);

struct Pin {
  std::atomic<uint32_t> count;
  std::atomic<uint32_t> epoch;  // IndexHeader::epoch at the last get
};
static_assert(sizeof(Pin) == 8 && std::atomic<uint32_t>::is_always_lock_free);
inline constexpr uint32_t kPinsPerPage = 4096 / sizeof(Pin);

// How far a client is with its session: what a daemon's successor has to know of it.
enum SessionUse : uint32_t {
  kNotYetUsed = 0,  // the welcome may not have reached it
  kInUse = 1,
  kClosed = 2,      // it said good-bye
};

struct ClientHeader {
  uint64_t magic;
  uint32_t layout_version;
  uint32_t capacity;  // pins, as many as the index has slots
  alignas(64) std::atomic<uint64_t> submission_tail;
  alignas(64) std::atomic<uint64_t> completion_head;
  alignas(64) std::atomic<uint64_t> parked;  // number of the sleep, 0: awake
  alignas(64) std::atomic<uint32_t> use;     // SessionUse
};
static_assert(offsetof(ClientHeader, submission_tail) == 64);
static_assert(offsetof(ClientHeader, completion_head) == 128);
static_assert(offsetof(ClientHeader, parked) == 192);
static_assert(offsetof(ClientHeader, use) == 256);
static_assert(sizeof(ClientHeader) == 320);

struct DaemonHeader {
  uint64_t magic;
  uint32_t layout_version;
  uint32_t reserved_a;
  uint64_t session;  // this session's number, part of the ids it makes
  alignas(64) std::atomic<uint64_t> submission_head;
  alignas(64) std::atomic<uint64_t> completion_tail;
  alignas(64) std::atomic<uint32_t> backlogged;  // completions wait for room in the ring
  alignas(64) std::atomic<uint32_t> revoked;     // this session may pin nothing new
  uint32_t reserved_b;
  // Number of the time that no turn looks at this session's ring, 0: every turn does.
  std::atomic<uint64_t> unwatched;
};
static_assert(offsetof(DaemonHeader, submission_head) == 64);
static_assert(offsetof(DaemonHeader, completion_tail) == 128);
static_assert(offsetof(DaemonHeader, backlogged) == 192);
static_assert(offsetof(DaemonHeader, revoked) == 256);
static_assert(offsetof(DaemonHeader, unwatched) == 264);
static_assert(sizeof(DaemonHeader) == 320);

inline constexpr uint64_t kSegmentHeaderBytes = 4096;
inline constexpr uint64_t kBitmapColours = 32;
inline constexpr uint64_t kColourBytes = 64;

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_SESSION_LAYOUT_H_
