// The attacks. A session that broke the protocol is kept until its process ends, so each runs
// in a process of its own.
#include "tests/integration/attackers.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <random>
#include <thread>

#include <fmt/format.h>

#include "store/base/store_directory.h"
#include "store/base/units.h"
#include "store/shm/parking.h"
#include "store/shm/size_class.h"
#include "tests/integration/helpers.h"
#include "tests/integration/raw_session.h"

namespace penstock::testing {
namespace {

using Random = std::mt19937_64;

constexpr uint64_t kTiB = uint64_t{1} << 40;

uint64_t Below(Random& random, uint64_t limit) { return random() % limit; }

// A few numbers that sit at the edges of what is allowed, and any other.
uint64_t EdgeOrNoise(Random& random) {
  constexpr std::array<uint64_t, 10> kEdges = {
      0, 1, 63, 65, kTiB, kTiB + 1, ~uint64_t{0}, uint64_t{1} << 63, 0xffffffff, 0x100000000};
  const uint64_t pick = Below(random, kEdges.size() * 2);
  return pick < kEdges.size() ? kEdges[pick] : random();
}

// A record that a client might push and that does no harm, except to who pushes it.
Submission LikelyRecord(Random& random, const RawSession& session, uint32_t request) {
  Submission record{};
  constexpr std::array<SubmissionOp, 9> kOps = {
      SubmissionOp::kGet,     SubmissionOp::kContains,   SubmissionOp::kDeleteById,
      SubmissionOp::kLease,   SubmissionOp::kReserve,    SubmissionOp::kRelease,
      SubmissionOp::kCancel,  SubmissionOp::kSync,       SubmissionOp::kSubscribe};
  record.op = kOps[Below(random, kOps.size())];
  record.request = request;
  record.slot = static_cast<uint32_t>(Below(random, session.facts.capacity));
  record.generation = random();
  record.id = {session.facts.incarnation, random(), random()};
  if (Below(random, 2) == 0) record.id = ObjectId::FromName(fmt::format("{}", random() % 64));
  record.flags_or_count = record.op == SubmissionOp::kGet ? uint32_t{kGetNoWait} : 1;
  record.size = Below(random, 8) == 0 ? kTiB : BlockBytes(1 + Below(random, 4096));
  if (record.op == SubmissionOp::kCancel) {
    record.request = static_cast<uint32_t>(Below(random, request + 2));
  }
  return record;
}

// The same with one field spoilt.
Submission SpoiltRecord(Random& random, const RawSession& session, uint32_t request) {
  Submission record = LikelyRecord(random, session, request);
  switch (Below(random, 8)) {
    case 0: record.op = static_cast<SubmissionOp>(random()); break;
    case 1: record.slot = static_cast<uint32_t>(EdgeOrNoise(random)); break;
    case 2: record.size = EdgeOrNoise(random); break;
    case 3: record.flags_or_count = static_cast<uint32_t>(EdgeOrNoise(random)); break;
    case 4: record.metadata_size = static_cast<uint32_t>(EdgeOrNoise(random)); break;
    case 5: record.request = static_cast<uint32_t>(EdgeOrNoise(random)); break;
    case 6: record.op = SubmissionOp::kSeal; record.size = EdgeOrNoise(random); break;
    default:
      for (size_t i = 0; i < sizeof(record); ++i) {
        reinterpret_cast<unsigned char*>(&record)[i] = static_cast<unsigned char>(random());
      }
  }
  return record;
}

std::string SpoiltPacket(Random& random) {
  if (Below(random, 2) == 0) {
    std::string noise(1 + Below(random, Below(random, 64) == 0 ? 65'000 : 200), '\0');
    for (char& byte : noise) byte = static_cast<char>(random());
    return noise;
  }
  std::array<std::string, 5> right = {
      HelloMessage(wire::Role_Client, kIndexLayoutVersion, kSessionLayoutVersion),
      StatusRequestMessage(), GoodbyeMessage(), ReturnLeasesMessage(),
      RefusedMessage(absl::UnavailableError("no"))};
  std::string packet = right[Below(random, right.size())];
  const uint64_t flips = Below(random, 4);
  for (uint64_t i = 0; i < flips; ++i) {
    packet[Below(random, packet.size())] ^= static_cast<char>(1 << Below(random, 8));
  }
  // A vector or string that claims to be huge.
  if (Below(random, 4) == 0 && packet.size() >= 8) {
    const uint64_t huge = EdgeOrNoise(random);
    std::memcpy(packet.data() + Below(random, packet.size() - 7), &huge, sizeof(huge));
  }
  if (Below(random, 8) == 0) packet.resize(Below(random, packet.size()) + 1);
  return packet;
}

// Runs `body` in a process of its own and waits for it; its sessions end with it.
int InAProcess(const std::function<int()>& body) {
  const pid_t pid = StartChild(body);
  return WaitForChild(pid);
}

// Of one attack, over all its processes.
std::atomic<uint64_t>& SharedCount() {
  void* const memory = mmap(nullptr, sizeof(std::atomic<uint64_t>), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) GiveUp("no memory for a counter");
  return *new (memory) std::atomic<uint64_t>{0};
}

bool IsRevoked(const RawSession& session) {
  return session.segments.daemon->revoked.load() != 0;
}

// Sends without waiting for room: 0 when the daemon has closed, or reads nothing just now.
bool TrySend(int fd, const std::string& packet) {
  return send(fd, packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

}  // namespace

int FloodTheSocket(const Attack& attack) {
  Random random(attack.seed);
  for (uint64_t sent = 0; sent < attack.messages;) {
    const UniqueFd socket = Must(ConnectTo(SocketPath(attack.dir)));
    // Some say a right hello first, some ask for status; nobody reads anything.
    if (Below(random, 4) == 0) {
      TrySend(socket.get(), HelloMessage(wire::Role_Observer, kIndexLayoutVersion,
                                         kSessionLayoutVersion));
    }
    const uint64_t most = 1 + Below(random, 30);
    for (uint64_t i = 0; i < most; ++i) {
      const bool is_question = Below(random, 3) == 0;
      if (!TrySend(socket.get(), is_question ? StatusRequestMessage() : SpoiltPacket(random))) {
        break;
      }
      ++sent;
      attack.counts->messages.fetch_add(1);
      if (!is_question) attack.counts->spoilt.fetch_add(1);
    }
  }
  return 0;
}

int FloodTheRing(const Attack& attack) {
  Random random(attack.seed);
  std::atomic<uint64_t>& sent = SharedCount();
  while (sent.load() < attack.messages) {
    const uint64_t part = std::min<uint64_t>(attack.messages - sent.load(), 5000);
    const uint64_t seed = random();
    const int code = InAProcess([&] {
      Random own(seed);
      RawSession session(attack.dir, Below(own, 8) == 0);
      attack.counts->sessions.fetch_add(1);
      for (uint32_t i = 1; i <= part && !IsRevoked(session); ++i) {
        // One in 400 is spoilt, so that those before it count, and one ends the session.
        const bool is_spoilt = Below(own, 400) == 0;
        session.Push(is_spoilt ? SpoiltRecord(own, session, i) : LikelyRecord(own, session, i));
        sent.fetch_add(1);
        attack.counts->messages.fetch_add(1);
        if (is_spoilt) attack.counts->spoilt.fetch_add(1);
        if (i % 64 == 0) session.Drain();
      }
      return 0;
    });
    if (code != 0) return code;
  }
  return 0;
}

int ScribbleOverTheOwnSegment(const Attack& attack) {
  Random random(attack.seed);
  std::atomic<uint64_t>& sent = SharedCount();
  while (sent.load() < attack.messages) {
    const uint64_t seed = random();
    const int code = InAProcess([&] {
      Random own(seed);
      RawSession session(attack.dir);
      attack.counts->sessions.fetch_add(1);
      std::atomic<bool> stop{false};
      auto* const words = reinterpret_cast<std::atomic<uint64_t>*>(session.client_mapping.data());
      const uint64_t count = session.client_mapping.bytes() / sizeof(uint64_t);
      // The first page holds tail and head: a touch of them ends the session, so only
      // sometimes.
      const uint64_t first = Below(own, 4) == 0 ? 0 : 512;
      std::thread scribbler([&] {
        Random noise(seed + 1);
        while (!stop.load(std::memory_order_relaxed)) {
          const uint64_t at = first + Below(noise, count - first);
          words[at].store(Below(noise, 2) == 0 ? EdgeOrNoise(noise) : noise(),
                          std::memory_order_relaxed);
        }
      });
      for (uint32_t i = 1; i <= 500 && !IsRevoked(session); ++i) {
        session.Push(LikelyRecord(own, session, i));
        sent.fetch_add(1);
        attack.counts->messages.fetch_add(1);
      }
      stop.store(true);
      scribbler.join();
      return 0;
    });
    if (code != 0) return code;
  }
  return 0;
}

int AskAndNeverRead(const Attack& attack) {
  for (uint64_t sent = 0; sent < attack.messages;) {
    const uint64_t part = std::min<uint64_t>(attack.messages - sent, 100'000);
    const int code = InAProcess([&] {
      RawSession session(attack.dir);
      attack.counts->sessions.fetch_add(1);
      Random random(attack.seed + sent);
      Submission record{};
      for (uint32_t i = 1; i <= part && !IsRevoked(session); ++i) {
        record.op = i % 2 == 0 ? SubmissionOp::kSync : SubmissionOp::kGet;
        record.id = ObjectId::FromName(fmt::format("never {}", i % 16));
        record.request = i;
        session.Push(record);
        TrySend(session.socket.get(), StatusRequestMessage());
        attack.counts->others.fetch_add(1);
      }
      // All the waiting gets at once, by their numbers.
      for (uint32_t i = 1; i <= part && !IsRevoked(session); i += 2) {
        record = {};
        record.op = SubmissionOp::kCancel;
        record.request = i;
        session.Push(record);
      }
      return 0;
    });
    if (code != 0) return code;
    sent += part;
  }
  return 0;
}

int AbuseDescriptors(const Attack& attack) {
  const uint64_t rounds = std::max<uint64_t>(1, attack.messages / 1000);
  for (uint64_t round = 0; round < rounds; ++round) {
    const int code = InAProcess([&] {
      RawSession session(attack.dir, round % 2 == 1);
      attack.counts->sessions.fetch_add(1);
      for (size_t which = 0; which < session.fds.size(); ++which) {
        const int fd = session.fds[which].get();
        // The arena's writable descriptor may be punched by who may write it: its own trust.
        if (fd < 0 || which == kFdArenaWritable) continue;
        for (const int flags : {O_RDONLY, O_RDWR | O_TRUNC, O_WRONLY}) {
          // A read-only descriptor of one's own user can be reopened; it is not written here.
          const UniqueFd again(open(fmt::format("/proc/self/fd/{}", fd).c_str(),
                                    flags | O_NONBLOCK | O_CLOEXEC));
        }
        const bool is_own = which == kFdClientSegment;
        PENSTOCK_CHILD_EXPECT(ftruncate(fd, 0) != 0);
        PENSTOCK_CHILD_EXPECT(ftruncate(fd, static_cast<off_t>(kTiB)) != 0);
        for (const int seal : {F_SEAL_WRITE, F_SEAL_FUTURE_WRITE, F_SEAL_GROW}) {
          PENSTOCK_CHILD_EXPECT(fcntl(fd, F_ADD_SEALS, seal) != 0);
        }
        const int punched = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20);
        PENSTOCK_CHILD_EXPECT(is_own || punched != 0);
        // Flags belong to the open file, which may be shared with whoever sent it.
        fcntl(fd, F_SETFL, 0);
        fcntl(fd, F_SETFL, O_APPEND | O_ASYNC);
        fcntl(fd, F_SETFL, 0);
        fcntl(fd, F_SETLEASE, F_WRLCK);
      }
      // A doorbell that is full: whoever rings it next must not wait.
      fcntl(session.fds[kFdClientDoorbell].get(), F_SETFL, O_NONBLOCK);
      for (const uint64_t value : {~uint64_t{0} - 1, uint64_t{1}}) {
        for (int i = 0; i < 100'000; ++i) {
          if (write(session.fds[kFdClientDoorbell].get(), &value, sizeof(value)) < 0) break;
        }
      }
      fcntl(session.fds[kFdClientDoorbell].get(), F_SETFL, 0);
      // It says it sleeps, and asks: the daemon rings.
      session.segments.client->parked.exchange(1 + round);
      Submission sync{};
      sync.op = SubmissionOp::kSync;
      for (uint32_t i = 1; i <= 1000 && !IsRevoked(session); ++i) {
        session.segments.client->parked.exchange(i);
        sync.request = i;
        session.Push(sync);
        attack.counts->others.fetch_add(1);
      }
      return 0;
    });
    if (code != 0) return code;
  }
  return 0;
}

int HoldIdleConnections(const Attack& attack) {
  PENSTOCK_CHILD_EXPECT(RaiseDescriptorLimit());
  std::vector<UniqueFd> sockets;
  for (int i = 0; i < 1000; ++i) {
    sockets.push_back(Must(ConnectTo(SocketPath(attack.dir))));
    if (i % 10 == 0) TrySend(sockets.back().get(), std::string(1, 'P'));
  }
  attack.counts->idle_connections.fetch_add(sockets.size());
  while (CountClosed(sockets) < sockets.size() && !attack.counts->stop.load()) usleep(100'000);
  return 0;
}

pid_t StartAttack(AttackFunction attack, const Attack& how) {
  return StartChild([=] {
    const sched_param none{};
    if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) perror("SCHED_IDLE");
    Attack next = how;
    for (int code = 0; !how.counts->stop.load(); next.seed += 1000) {
      if ((code = attack(next)) != 0) return code;
    }
    return 0;
  });
}

}  // namespace penstock::testing
