// Crash points: named places at which a test kills the process, by SIGKILL, between one
// store and the next. Compiled in by the preset `crash` alone; elsewhere PENSTOCK_CRASH_POINT
// is nothing, and the name is only checked.
//
// A test arms a point through a file that all processes map (PENSTOCK_CRASH_FILE), so that a
// daemon that is started again is not killed again; or, in its own process, by a hook.
// Thread safety: any.
#ifndef PENSTOCK_STORE_BASE_CRASH_POINT_H_
#define PENSTOCK_STORE_BASE_CRASH_POINT_H_

#include <atomic>
#include <cstdint>
#include <string_view>

namespace penstock {

// Every point, with who passes it: D the daemon, C a client, K the keeper.
#define PENSTOCK_CRASH_POINTS_LIST(X)                                                     \
  X(kLeaseRecorded, 'D')     /* entry written, slot not leased */                          \
  X(kLeaseTaken, 'D')        /* slot leased, client not told */                            \
  X(kGrantWritten, 'D')      /* in the ring, tail not published */                         \
  X(kRecordHandled, 'D')     /* head not published */                                      \
  X(kHeadPublished, 'D')     /* completions not published */                               \
  X(kCompletionsPublished, 'D') /* of one session, its bell not rung */                    \
  X(kSealTurned, 'D')        /* entry says object, slot still leased */                    \
  X(kSealPublished, 'D')     /* slot sealed, not in the hash table */                      \
  X(kSealListed, 'D')                                                                      \
  X(kRefusalTurned, 'D')     /* a refused seal: entry says object, slot still leased */    \
  X(kRefusalMarked, 'D')     /* slot deleted, not looked for pins */                       \
  X(kDeleteUnlisted, 'D')    /* out of the hash table, slot still sealed */                \
  X(kDeleteMarked, 'D')                                                                    \
  X(kFreeCleared, 'D')       /* entry cleared, slot not free */                            \
  X(kFreed, 'D')                                                                           \
  X(kBlockCleared, 'D')      /* the same of a lease that comes back */                     \
  X(kEvictMarked, 'D')                                                                     \
  X(kEvictDecided, 'D')      /* nobody pins it, nothing freed yet */                       \
  X(kMoveMarked, 'D')        /* copied, the pins not looked at */                          \
  X(kMoveStored, 'D')        /* the slot says the new place */                             \
  X(kMoveRecorded, 'D')      /* the entry too, the old block not free */                   \
  X(kSpillAsked, 'D')        /* a write to disk has begun */                               \
  X(kSpillWritten, 'D')      /* its end is known */                                        \
  X(kCleanDropped, 'D')      /* only on disk now */                                        \
  X(kRestoreAsked, 'D')                                                                    \
  X(kRestoreTurned, 'D')     /* read back, slot not sealed */                              \
  X(kRestorePublished, 'D')                                                                \
  X(kCloseDrained, 'D')      /* a dead session's ring is drained */                        \
  X(kCloseReturned, 'D')     /* its leases are back */                                     \
  X(kClosed, 'D')            /* the keeper not told */                                     \
  X(kSessionMade, 'D')       /* the keeper not told */                                     \
  X(kSessionKept, 'D')       /* no welcome sent */                                         \
  X(kSessionWelcomed, 'D')                                                                 \
  X(kRecoverSettled, 'D')    /* a successor: slots settled, no list made */                \
  X(kRecoverListed, 'D')     /* no ring drained */                                         \
  X(kRecoverDrained, 'D')    /* nobody told */                                             \
  X(kHandOverTold, 'D')      /* the heir knows all, the keeper was not asked to go */      \
  X(kHandOverAsked, 'D')     /* it was */                                                  \
  X(kHandOverLeft, 'D')      /* the heir is the keeper, and not told that it may begin */  \
  X(kClientLeased, 'C')      /* a builder is made */                                       \
  X(kClientRecordWritten, 'C') /* in the ring, tail not published */                       \
  X(kClientRecordPublished, 'C') /* the daemon's bell not rung */                          \
  X(kClientPinned, 'C')      /* slot not looked at */                                      \
  X(kClientAnswered, 'C')    /* told of an object, no pin of its own */                    \
  X(kClientTookOver, 'C')    /* pinned, hold not confirmed */                              \
  X(kClientReleased, 'C')    /* unpinned, slot not looked at */                            \
  X(kKeeperTookMessage, 'K')                                                               \
  X(kKeeperSawDeath, 'K')                                                                  \
  X(kKeeperForked, 'K')                                                                    \
  X(kKeeperYields, 'K')      /* asked to go, has not said that it does */                   \
  X(kHeirKeeps, 'K')         /* the new one, and the daemon does not know */               \
  X(kHeirSawLeft, 'K')       /* the daemon has left, and there is no next one */

enum class CrashPoint : uint32_t {
#define PENSTOCK_CRASH_POINT_ENUM(name, who) name,
  PENSTOCK_CRASH_POINTS_LIST(PENSTOCK_CRASH_POINT_ENUM)
#undef PENSTOCK_CRASH_POINT_ENUM
  kCount
};
inline constexpr uint32_t kCrashPoints = static_cast<uint32_t>(CrashPoint::kCount);

#ifdef PENSTOCK_CRASH_POINTS
inline constexpr bool kHasCrashPoints = true;

std::string_view NameOf(CrashPoint point);
char PasserOf(CrashPoint point);  // 'D', 'C' or 'K'

// The file at PENSTOCK_CRASH_FILE, all zeros at first.
struct CrashFile {
  std::atomic<uint32_t> armed;      // CrashPoint + 1; 0: none
  std::atomic<int32_t> passes_left; // of the armed point: the one that makes it 0 is killed
  std::atomic<uint32_t> fired;      // kills so far
  std::atomic<uint32_t> reserved;
  std::atomic<uint64_t> passes[kCrashPoints];
};

// Runs at every point of this process in place of the file. Set it while nobody passes one.
extern void (*g_crash_hook)(CrashPoint);

void PassCrashPoint(CrashPoint point);
#define PENSTOCK_CRASH_POINT(name) ::penstock::PassCrashPoint(::penstock::CrashPoint::name)
#else
inline constexpr bool kHasCrashPoints = false;
#define PENSTOCK_CRASH_POINT(name) static_cast<void>(::penstock::CrashPoint::name)
#endif

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_CRASH_POINT_H_
