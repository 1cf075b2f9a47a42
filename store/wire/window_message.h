// What the keeper's window says: the packets between the keeper and the operator's tools, as
// pure data, little endian.
//
// A tool connects to WindowPath(), sends one WindowRequest and gets one packet: a
// WindowAnswer, `session_entries` WindowSessions after it, and descriptors, none of which can
// be written through. Then the keeper hangs up. Who wants more sessions asks again, from the
// last number on.
//
// Descriptors, in this order: index, lease table, spill table (all three or none: `has_store`);
// then for each session, in the order of the entries, the daemon's segment and the client's
// segment, as its `fds` says.
//
// TRUST: the keeper reads of a request what WindowRequest has and nothing else. A tool believes
// an answer as far as its own rights go: who could answer there in the keeper's place has the
// same user's rights.
#ifndef PENSTOCK_STORE_WIRE_WINDOW_MESSAGE_H_
#define PENSTOCK_STORE_WIRE_WINDOW_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "store/wire/packet_socket.h"

namespace penstock {

inline constexpr uint64_t kWindowMagic = 0x4e49574b434e5450;  // "PTNCKWIN"
inline constexpr uint32_t kWindowVersion = 1;

struct WindowRequest {
  uint64_t magic;
  uint32_t version;
  uint32_t reserved;       // zero
  uint64_t after_session;  // only sessions with a higher number
};
static_assert(sizeof(WindowRequest) == 24 && std::is_trivially_copyable_v<WindowRequest>);

enum WindowFds : uint32_t { kWindowDaemonSegment = 1, kWindowClientSegment = 2 };

struct WindowAnswer {
  uint64_t magic;
  uint32_t version;        // another one than the tool's: nothing below counts
  int32_t keeper_pid;
  int32_t daemon_pid;      // 0: there is none just now
  uint32_t is_serving;     // 0 or 1: the daemon of now has come so far
  uint32_t deaths;         // of daemons that this keeper has seen
  uint32_t has_store;      // 0 or 1
  uint32_t sessions;       // all that there are
  uint32_t session_entries;  // those in this packet
  uint32_t has_more;       // 0 or 1: sessions with higher numbers
  uint32_t reserved;       // zero
};
static_assert(sizeof(WindowAnswer) == 48 && std::is_trivially_copyable_v<WindowAnswer>);

struct WindowSession {
  uint64_t number;
  int32_t pid;
  uint32_t uid;
  uint32_t is_read_only;  // 0 or 1
  uint32_t fds;           // WindowFds
};
static_assert(sizeof(WindowSession) == 24 && std::is_trivially_copyable_v<WindowSession>);

inline constexpr size_t kWindowStoreFds = 3;
inline constexpr size_t kWindowSessionsPerPacket = 100;
static_assert(kWindowStoreFds + 2 * kWindowSessionsPerPacket <= kMostFdsOfLinux);
static_assert(sizeof(WindowAnswer) + kWindowSessionsPerPacket * sizeof(WindowSession) <=
              kMaxPacketBytes);

}  // namespace penstock

#endif  // PENSTOCK_STORE_WIRE_WINDOW_MESSAGE_H_
