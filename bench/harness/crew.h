// Crew: the processes of a benchmark that needs several.
//
// They are forked at the start of the program, before it has threads, and then play one
// role after the other as they are told. The conductor (the program itself) only waits for
// their answers, so that it can always tell that one has died: it then ends the others and
// says so, and no measurement hangs. A member never outlives its conductor.
#ifndef PENSTOCK_BENCH_HARNESS_CREW_H_
#define PENSTOCK_BENCH_HARNESS_CREW_H_

#include <sys/types.h>

#include <any>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bench/harness/shared_words.h"
#include "store/base/unique_fd.h"

namespace penstock::bench {

inline constexpr int kCrewMembers = 3;

// Memory and descriptors that all members and the conductor have.
struct Stage {
  static constexpr size_t kWords = 16;
  static constexpr size_t kBells = 4;
  static constexpr size_t kObservations = 1 << 16;  // for each member
  static constexpr size_t kNoteBytes = 1 << 20;     // for the conductor to leave word

  struct Shared {
    std::array<SharedWord, kWords> words;
    int64_t start_ns = 0;  // of the operation under way, by its producer
    std::array<std::array<double, kObservations>, kCrewMembers> observations;
    std::array<std::byte, kNoteBytes> note;
  };
  Shared* shared = nullptr;
  std::array<int, kBells> bells{};  // eventfds, blocking
  std::array<int, 2> pipe_ends{};   // a connected pair of UNIX stream sockets
};

// What a role is told and what it answers: plain data, sent through a socket.
struct RoleOrder {
  int cpu = 0;
  uint64_t count = 0;
  uint64_t first = 0;
  uint64_t extra = 0;
  int64_t pause_ns = 0;
  char text[128] = {};
};
struct RoleAnswer {
  bool ok = true;
  bool verified = true;
  char error[240] = {};
  uint64_t observations = 0;  // so many lie in the member's part of the stage
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  int64_t voluntary_switches = 0;
};

// A member, as its role sees it.
struct Member {
  int number = 0;
  Stage stage;
  std::any belongings;  // what a role leaves for a later one of the same member

  std::span<double> observations() { return stage.shared->observations[number]; }
};

using Role = absl::Status (*)(Member&, const RoleOrder&, RoleAnswer&);
struct Part {
  int member = 0;
  Role role = nullptr;
  RoleOrder order;
};

class Crew {
 public:
  // Call before the program has a thread.
  static absl::StatusOr<Crew> Start();
  Crew(Crew&&) = default;
  Crew& operator=(Crew&&) = delete;
  // Ends every member by its pid.
  ~Crew();

  // The parts are played at the same time; their answers come in the order of the parts.
  // Errors: a role's own, Aborted when a member died, DeadlineExceeded. After an error the
  // crew is gone.
  absl::StatusOr<std::vector<RoleAnswer>> Play(std::span<const Part> parts,
                                               absl::Duration deadline = absl::Minutes(2));
  std::span<const double> ObservationsOf(int member, const RoleAnswer& answer) const;
  Stage::Shared& shared() { return *stage_.shared; }

 private:
  struct Hand {
    pid_t pid = 0;
    UniqueFd line;  // orders out, answers in
  };
  Crew() = default;
  absl::Status Fork(int number);
  absl::Status TakeAnswer(int member, RoleAnswer& answer);
  std::string HowItEnded(int member);
  void EndAll(bool at_once);

  Stage stage_;
  std::vector<Hand> hands_;
  std::vector<UniqueFd> kept_;  // the descriptors of stage_
};

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_CREW_H_
