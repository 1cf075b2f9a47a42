// Asking the keeper, and taking its packet apart.
#include "tools/penstock/window.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include "absl/time/clock.h"
#include "store/base/errors.h"
#include "store/base/store_directory.h"
#include "tools/penstock/process_state.h"

namespace penstock {
namespace {

constexpr const char* kKeeperName = "penstock-keeper";  // as penstockd's main gives it
constexpr absl::Duration kBetweenAttempts = absl::Milliseconds(20);

absl::StatusOr<Packet> AskOnce(const std::string& path, uint64_t after_session,
                               int patience_ms) {
  PENSTOCK_ASSIGN_OR_RETURN(const UniqueFd socket, ConnectTo(path, patience_ms));
  const int on = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
  const WindowRequest request{kWindowMagic, kWindowVersion, 0, after_session};
  const absl::Status sent =
      SendPacket(socket.get(), {reinterpret_cast<const char*>(&request), sizeof(request)});
  // Who hung up at once may have answered all the same.
  if (!sent.ok() && !absl::IsUnavailable(sent)) return sent;
  auto packet = ReceivePacketWithin(socket.get(), patience_ms, kMostFdsOfLinux);
  if (!packet.ok() && absl::IsUnavailable(packet.status())) return Packet{};
  return packet;
}

absl::Status NotYours(const std::string& path) {
  struct stat facts{};
  const bool known = stat(path.c_str(), &facts) == 0;
  return absl::PermissionDeniedError(fmt::format(
      "the store behind {} belongs to {}, you are user {}: only its user and root may look into "
      "it", path, known ? fmt::format("user {}", facts.st_uid) : "another user", geteuid()));
}

absl::Status NoAnswer(const std::string& dir) {
  int32_t keeper = 0;
  std::ifstream(LockPath(dir)) >> keeper;
  const ProcessState state = StateOfProcess(keeper);
  // The number is that of the keeper's process namespace, where here another may have it.
  std::string name;
  std::getline(std::ifstream(fmt::format("/proc/{}/comm", keeper)), name);
  if (Lives(state) && !name.empty() && name != kKeeperName) {
    return absl::DeadlineExceededError(WhyNoAnswerElsewhere("keeper", keeper));
  }
  return absl::DeadlineExceededError(WhyNoAnswer("keeper", keeper, state));
}

// Moves the descriptors of `packet` to where they belong.
absl::StatusOr<WindowPage> TakeApart(Packet packet) {
  const auto nonsense = [] {
    return absl::InvalidArgumentError(
        "what answers there is no keeper of Penstock: another program");
  };
  WindowPage page;
  if (packet.bytes.size() < sizeof(page.facts)) return nonsense();
  std::memcpy(&page.facts, packet.bytes.data(), sizeof(page.facts));
  if (page.facts.magic != kWindowMagic) return nonsense();
  if (page.facts.version != kWindowVersion) {
    return absl::FailedPreconditionError(fmt::format(
        "the keeper answers in version {}, this program knows {}: use the same release of "
        "Penstock for both", page.facts.version, kWindowVersion));
  }
  page.is_elsewhere = packet.sender_pid != page.facts.keeper_pid;
  const uint32_t entries = page.facts.session_entries;
  if (entries > kWindowSessionsPerPacket ||
      packet.bytes.size() != sizeof(page.facts) + entries * sizeof(WindowSession)) {
    return nonsense();
  }
  size_t next = 0;
  const auto take = [&](UniqueFd& fd) {
    if (next >= packet.fds.size()) return false;
    fd = std::move(packet.fds[next++]);
    return true;
  };
  if (page.facts.has_store != 0 &&
      !(take(page.index) && take(page.leases) && take(page.spill_table))) {
    return nonsense();
  }
  for (uint32_t i = 0; i < entries; ++i) {
    WindowPage::Session& session = page.sessions.emplace_back();
    std::memcpy(&session.facts,
                packet.bytes.data() + sizeof(page.facts) + i * sizeof(WindowSession),
                sizeof(WindowSession));
    const uint32_t fds = session.facts.fds;
    if ((fds & kWindowDaemonSegment) != 0 && !take(session.daemon_segment)) return nonsense();
    if ((fds & kWindowClientSegment) != 0 && !take(session.client_segment)) return nonsense();
  }
  return page;
}

}  // namespace

absl::StatusOr<WindowPage> AskKeeper(const std::string& dir, uint64_t after_session,
                                     int patience_ms) {
  PENSTOCK_RETURN_IF_ERROR(CheckStoreDirectory(dir));
  const std::string path = WindowPath(dir);
  const absl::Time end = absl::Now() + absl::Milliseconds(patience_ms);
  for (;;) {
    const int left_ms =
        static_cast<int>(std::max<int64_t>(1, absl::ToInt64Milliseconds(end - absl::Now())));
    absl::StatusOr<Packet> packet = AskOnce(path, after_session, left_ms);
    if (absl::IsPermissionDenied(packet.status())) return NotYours(path);
    if (absl::IsDeadlineExceeded(packet.status())) return NoAnswer(dir);
    if (!packet.ok()) return packet.status();
    if (!packet->bytes.empty()) return TakeApart(*std::move(packet));
    // Hung up without a word: it made room for others, or died and has a successor.
    if (absl::Now() >= end) return NoAnswer(dir);
    absl::SleepFor(kBetweenAttempts);
  }
}

}  // namespace penstock
