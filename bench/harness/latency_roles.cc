// What each process of a latency floor does.
#include "bench/harness/latency_roles.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "bench/harness/clock.h"
#include "bench/harness/stage_bells.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr size_t kAskWord = 0;
constexpr size_t kEchoWord = 1;
constexpr size_t kToRelay = 0;
constexpr size_t kToConsumer = 1;
constexpr size_t kToProducer = 2;
constexpr size_t kMessageBytes = 64;

absl::Status SendMessage(int socket, const std::byte* message) {
  if (write(socket, message, kMessageBytes) != static_cast<ssize_t>(kMessageBytes)) {
    return ErrnoStatus(errno, "writing to a UNIX socket");
  }
  return absl::OkStatus();
}

absl::Status ReceiveMessage(int socket, std::byte* message) {
  for (size_t have = 0; have < kMessageBytes;) {
    const ssize_t got = read(socket, message + have, kMessageBytes - have);
    if (got <= 0 && errno != EINTR) return ErrnoStatus(errno, "reading from a UNIX socket");
    if (got > 0) have += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

double NsSince(int64_t start_ns) { return static_cast<double>(NowNs() - start_ns); }

// `order.first` counts on from the operations before, so that no word needs a reset.
uint32_t Turn(const RoleOrder& order, uint64_t i) {
  return static_cast<uint32_t>(order.first + i + 1);
}

}  // namespace

absl::Status FutexAsker(Member& member, const RoleOrder& order, RoleAnswer& answer) {
  auto& words = member.stage.shared->words;
  for (uint64_t i = 0; i < order.count; ++i) {
    if (order.pause_ns > 0) SleepNs(order.pause_ns);
    const int64_t start_ns = NowNs();
    words[kAskWord].PublishAndWake(Turn(order, i));
    words[kEchoWord].SleepUntil(Turn(order, i));
    member.observations()[answer.observations++] = NsSince(start_ns);
  }
  return absl::OkStatus();
}

absl::Status FutexEcho(Member& member, const RoleOrder& order, RoleAnswer&) {
  auto& words = member.stage.shared->words;
  for (uint64_t i = 0; i < order.count; ++i) {
    words[kAskWord].SleepUntil(Turn(order, i));
    words[kEchoWord].PublishAndWake(Turn(order, i));
  }
  return absl::OkStatus();
}

absl::Status SocketAsker(Member& member, const RoleOrder& order, RoleAnswer& answer) {
  std::byte message[kMessageBytes] = {};
  for (uint64_t i = 0; i < order.count; ++i) {
    const int64_t start_ns = NowNs();
    PENSTOCK_RETURN_IF_ERROR(SendMessage(member.stage.pipe_ends[0], message));
    PENSTOCK_RETURN_IF_ERROR(ReceiveMessage(member.stage.pipe_ends[0], message));
    member.observations()[answer.observations++] = NsSince(start_ns);
  }
  return absl::OkStatus();
}

absl::Status SocketEcho(Member& member, const RoleOrder& order, RoleAnswer&) {
  std::byte message[kMessageBytes];
  for (uint64_t i = 0; i < order.count; ++i) {
    PENSTOCK_RETURN_IF_ERROR(ReceiveMessage(member.stage.pipe_ends[1], message));
    PENSTOCK_RETURN_IF_ERROR(SendMessage(member.stage.pipe_ends[1], message));
  }
  return absl::OkStatus();
}

absl::Status RelayProducer(Member& member, const RoleOrder& order, RoleAnswer&) {
  for (uint64_t i = 0; i < order.count; ++i) {
    SleepNs(order.pause_ns);
    member.stage.shared->start_ns = NowNs();
    PENSTOCK_RETURN_IF_ERROR(RingBell(member.stage.bells[kToRelay]));
    PENSTOCK_RETURN_IF_ERROR(AwaitBell(member.stage.bells[kToProducer]));
  }
  return absl::OkStatus();
}

absl::Status RelayMiddle(Member& member, const RoleOrder& order, RoleAnswer&) {
  for (uint64_t i = 0; i < order.count; ++i) {
    PENSTOCK_RETURN_IF_ERROR(AwaitBell(member.stage.bells[kToRelay]));
    PENSTOCK_RETURN_IF_ERROR(RingBell(member.stage.bells[kToConsumer]));
  }
  return absl::OkStatus();
}

absl::Status RelayConsumer(Member& member, const RoleOrder& order, RoleAnswer& answer) {
  for (uint64_t i = 0; i < order.count; ++i) {
    PENSTOCK_RETURN_IF_ERROR(AwaitBell(member.stage.bells[kToConsumer]));
    member.observations()[answer.observations++] = NsSince(member.stage.shared->start_ns);
    PENSTOCK_RETURN_IF_ERROR(RingBell(member.stage.bells[kToProducer]));
  }
  return absl::OkStatus();
}

absl::Status SpinAsker(Member& member, const RoleOrder& order, RoleAnswer& answer) {
  auto& words = member.stage.shared->words;
  // The first round trip waits for the other process to begin; it is not timed.
  words[kAskWord].Publish(Turn(order, 0));
  words[kEchoWord].SpinUntil(Turn(order, 0));
  for (uint64_t turn = 1; turn + kSpinBatch <= order.count; turn += kSpinBatch) {
    const int64_t start_ns = NowNs();
    for (uint64_t i = turn; i < turn + kSpinBatch; ++i) {
      words[kAskWord].Publish(Turn(order, i));
      words[kEchoWord].SpinUntil(Turn(order, i));
    }
    member.observations()[answer.observations++] = NsSince(start_ns) / kSpinBatch;
  }
  return absl::OkStatus();
}

absl::Status SpinEcho(Member& member, const RoleOrder& order, RoleAnswer&) {
  auto& words = member.stage.shared->words;
  for (uint64_t i = 0; i < order.count; ++i) {
    words[kAskWord].SpinUntil(Turn(order, i));
    words[kEchoWord].Publish(Turn(order, i));
  }
  return absl::OkStatus();
}

absl::Status SystemCaller(Member& member, const RoleOrder& order, RoleAnswer& answer) {
  for (uint64_t done = 0; done + kCallBatch <= order.count; done += kCallBatch) {
    const int64_t start_ns = NowNs();
    for (uint64_t i = 0; i < kCallBatch; ++i) syscall(SYS_getppid);
    member.observations()[answer.observations++] = NsSince(start_ns) / kCallBatch;
  }
  return absl::OkStatus();
}

}  // namespace penstock::bench
