// What a daemon that has gone wrong may send its keeper: packets of any bytes with any number
// of descriptors. The keeper takes whole messages, and holds nothing that is half.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <vector>

#include <spdlog/spdlog.h>

#include "store/wire/packet_socket.h"
#include "tests/fuzz/input.h"
#include "tools/penstockd/kept_store.h"

namespace penstock::fuzz {
namespace {

constexpr int kMostPackets = 16;
constexpr size_t kMostFds = 8;
constexpr int kMostWaits = 100;

void CheckWhole(const KeptStore& kept) {
  PENSTOCK_CHECK(kept.arena.valid() == kept.index.valid() &&
                 kept.index.valid() == kept.leases.valid());
  for (const auto& [number, session] : kept.sessions) {
    PENSTOCK_CHECK(session.number == number && session.socket.valid() &&
                   session.pidfd.valid() && session.client_file.valid() &&
                   session.daemon_file.valid() && session.daemon_doorbell.valid() &&
                   session.client_doorbell.valid());
  }
}

// Descriptors that are open now: none may be lost.
int NextDescriptor() {
  const int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);
  PENSTOCK_CHECK(fd >= 0);
  close(fd);
  return fd;
}

void Run(Input input) {
  static const UniqueFd some(open("/dev/null", O_RDONLY | O_CLOEXEC));
  auto ends = MakeKeeperChannel();
  PENSTOCK_CHECK(ends.ok()) << ends.status().ToString();
  KeptStore kept;
  for (int i = 0; i < kMostPackets && !input.empty(); ++i) {
    const std::vector<int> fds(input.Pick(kMostFds + 1), some.get());
    const auto bytes = input.TakeBytes(input.Byte() % 32);
    if (!SendPacket(ends->daemon.get(), AsText(bytes), fds).ok()) continue;
    if (bytes.empty() && fds.empty()) continue;
    TakeKeeperMessages(ends->keeper.get(), kept);
    CheckWhole(kept);
  }
  ends->daemon.reset();
  // Who looks at this process's descriptors in /proc may hold the end for a moment.
  bool is_open = TakeKeeperMessages(ends->keeper.get(), kept);
  for (int i = 0; is_open && i < kMostWaits; ++i) {
    pollfd end{ends->keeper.get(), POLLIN, 0};
    poll(&end, 1, 10);
    is_open = TakeKeeperMessages(ends->keeper.get(), kept);
  }
  PENSTOCK_CHECK(!is_open);
  CheckWhole(kept);
}

}  // namespace
}  // namespace penstock::fuzz

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  spdlog::set_level(spdlog::level::off);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::fuzz;
  Run(Input(nullptr, 0));  // opens what stays open
  const int before = NextDescriptor();
  Run(Input(data, size));
  PENSTOCK_CHECK(NextDescriptor() == before) << "a descriptor was lost";
  return 0;
}
