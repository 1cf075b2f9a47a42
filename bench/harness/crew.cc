// Forking, ordering about and ending the processes of a benchmark.
#include "bench/harness/crew.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/pinning.h"
#include "store/base/errors.h"
#include "store/base/host_limits.h"

namespace penstock::bench {
namespace {

struct Order {
  Role role;  // the same program at the same addresses: a pointer means the same in both
  RoleOrder order;
};

int64_t VoluntarySwitches() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw;
}

RoleAnswer PlayOne(Member& member, const Order& order) {
  RoleAnswer answer;
  absl::Status status = PinToCpu(order.order.cpu);
  const int64_t before = VoluntarySwitches();
  if (status.ok()) status = order.role(member, order.order, answer);
  answer.voluntary_switches = VoluntarySwitches() - before;
  answer.ok = status.ok();
  std::snprintf(answer.error, sizeof(answer.error), "%s",
                std::string(status.message()).c_str());
  return answer;
}

[[noreturn]] void ServeAsMember(Member member, int line) {
  Order order;
  while (recv(line, &order, sizeof(order), 0) == static_cast<ssize_t>(sizeof(order))) {
    const RoleAnswer answer = PlayOne(member, order);
    if (send(line, &answer, sizeof(answer), MSG_NOSIGNAL) < 0) break;
  }
  member.belongings.reset();
  _exit(0);
}

absl::Status MakeStage(Stage& stage, std::vector<UniqueFd>& kept) {
  void* memory = mmap(nullptr, sizeof(Stage::Shared), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) return ErrnoStatus(errno, "memory shared by a benchmark's processes");
  stage.shared = new (memory) Stage::Shared;
  for (int& bell : stage.bells) {
    bell = kept.emplace_back(eventfd(0, EFD_CLOEXEC)).get();
    if (bell < 0) return CallStatus(errno, "eventfd");
  }
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stage.pipe_ends.data()) != 0) {
    return CallStatus(errno, "socketpair");
  }
  for (const int end : stage.pipe_ends) kept.emplace_back(end);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Crew> Crew::Start() {
  Crew crew;
  PENSTOCK_RETURN_IF_ERROR(MakeStage(crew.stage_, crew.kept_));
  for (int number = 0; number < kCrewMembers; ++number) {
    PENSTOCK_RETURN_IF_ERROR(crew.Fork(number));
  }
  return crew;
}

absl::Status Crew::Fork(int number) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return CallStatus(errno, "socketpair");
  }
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const pid_t conductor = getpid();
  const pid_t pid = fork();
  if (pid < 0) return StartStatus(errno, "fork of a benchmark's process");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != conductor) _exit(1);
    ours.reset();
    for (Hand& hand : hands_) hand.line.reset();
    Member member;
    member.number = number;
    member.stage = stage_;
    ServeAsMember(std::move(member), theirs.get());
  }
  hands_.push_back({pid, std::move(ours)});
  return absl::OkStatus();
}

Crew::~Crew() {
  EndAll(/*at_once=*/false);
  if (stage_.shared != nullptr && !kept_.empty()) munmap(stage_.shared, sizeof(Stage::Shared));
}

absl::StatusOr<std::vector<RoleAnswer>> Crew::Play(std::span<const Part> parts,
                                                   absl::Duration deadline) {
  if (hands_.empty()) return absl::AbortedError("the benchmark's processes are gone");
  for (const Part& part : parts) {
    const Order order{part.role, part.order};
    // A dead member is told apart below, by its answer that does not come.
    (void)send(hands_[part.member].line.get(), &order, sizeof(order), MSG_NOSIGNAL);
  }
  std::vector<RoleAnswer> answers(parts.size());
  const absl::Time until = absl::Now() + deadline;
  // A role that fails leaves its partners waiting for it: whoever answers first with an
  // error, or dies, ends the play.
  std::vector<pollfd> waits;
  for (const Part& part : parts) {
    waits.push_back({hands_[part.member].line.get(), POLLIN, 0});
  }
  for (size_t left = parts.size(); left > 0;) {
    const int64_t wait_ms = absl::ToInt64Milliseconds(until - absl::Now());
    const int ready = poll(waits.data(), waits.size(), wait_ms > 0 ? static_cast<int>(wait_ms) : 0);
    if (ready < 0 && errno == EINTR) continue;
    absl::Status status;
    if (ready <= 0) {
      status = absl::DeadlineExceededError(
          "the benchmark's processes did not answer in time: is the machine overloaded?");
    }
    for (size_t i = 0; i < parts.size() && status.ok(); ++i) {
      if (waits[i].revents == 0) continue;
      status = TakeAnswer(parts[i].member, answers[i]);
      waits[i] = {-1, 0, 0};
      --left;
    }
    if (!status.ok()) {
      EndAll(/*at_once=*/true);
      return status;
    }
  }
  return answers;
}

absl::Status Crew::TakeAnswer(int member, RoleAnswer& answer) {
  const ssize_t got = recv(hands_[member].line.get(), &answer, sizeof(answer), 0);
  if (got != static_cast<ssize_t>(sizeof(answer))) return absl::AbortedError(HowItEnded(member));
  if (!answer.ok) return absl::InternalError(answer.error);
  return absl::OkStatus();
}

std::string Crew::HowItEnded(int member) {
  Hand& hand = hands_[member];
  int state = 0;
  if (waitpid(hand.pid, &state, 0) != hand.pid) return "a process of the benchmark is gone";
  const pid_t pid = std::exchange(hand.pid, 0);
  if (WIFSIGNALED(state)) {
    return fmt::format("process {} of the benchmark was ended by signal {} ({})", pid,
                       WTERMSIG(state), strsignal(WTERMSIG(state)));
  }
  return fmt::format("process {} of the benchmark ended by itself with status {}", pid,
                     WEXITSTATUS(state));
}

void Crew::EndAll(bool at_once) {
  for (Hand& hand : hands_) hand.line.reset();  // a member that waits for orders ends
  const int64_t start_ns = NowNs();
  for (Hand& hand : hands_) {
    if (hand.pid == 0) continue;
    while (!at_once && SecondsSince(start_ns) < 2 && waitpid(hand.pid, nullptr, WNOHANG) == 0) {
      SleepNs(1'000'000);
    }
    // Gone already (then the pid is no child of ours any more) or out of time.
    if (waitpid(hand.pid, nullptr, WNOHANG) == 0) {
      kill(hand.pid, SIGKILL);
      waitpid(hand.pid, nullptr, 0);
    }
  }
  hands_.clear();
}

std::span<const double> Crew::ObservationsOf(int member, const RoleAnswer& answer) const {
  return std::span<const double>(stage_.shared->observations[member]).first(answer.observations);
}

}  // namespace penstock::bench
