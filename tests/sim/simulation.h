// Simulation: one store, its clients, its disk and its deaths, from one seed. No thread, no
// clock, no process: what happens next is chosen by the seed alone, so any failure is
// replayed by it.
//
// Faults that it injects: a client dies at any moment, also in the middle of a push; the
// daemon dies at any of its crash points, also while it takes over from another, with its
// writes to disk done, undone or done untold; it leaves in order for another (--take-over),
// and dies while it does; the disk is full, slow, answers out of order,
// fails a read, alters an object for good; creators hoard leases; readers sit on pins and on
// answers that they do not confirm; askers give up; names are fought for; a deleted object is
// asked for again; free memory goes to the host, which has none to give when it is needed. It
// does not inject hostile records (tests/fuzz does).
//
// After every step: Core::CheckInvariants; every pin that a living client has keeps its
// bytes; every answer agrees with what was sealed and deleted. At the end: everything that
// must be there is, and when all is deleted nothing is left, in memory or on disk.
#ifndef PENSTOCK_TESTS_SIM_SIMULATION_H_
#define PENSTOCK_TESTS_SIM_SIMULATION_H_

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/support/fake_disk.h"
#include "tests/support/fake_client.h"

namespace penstock::testing {

// What a seed's run did, so that a run that did nothing is seen.
struct SimulationCounts {
  uint64_t steps = 0;
  uint64_t sealed = 0;
  uint64_t deleted = 0;
  uint64_t objects_got = 0;
  uint64_t client_deaths = 0;
  uint64_t daemon_deaths = 0;
  uint64_t hand_overs = 0;  // of a daemon that left in order
  uint64_t spilled = 0;
  uint64_t restored = 0;
  uint64_t evicted = 0;
  uint64_t given_back = 0;  // extents
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed);
  ~Simulation();
  // Runs `steps` steps and the end. The first violation, or nothing.
  std::string Run(int steps);
  const SimulationCounts& counts() const { return counts_; }

 private:
  struct Object {
    uint64_t mark = 0;
    uint64_t size = 0;
    uint32_t flags = 0;
    uint64_t maker = 0;  // number of its session
    uint64_t sealed_at = 0;  // step
  };
  struct Pin {
    uint32_t slot;
    uint64_t generation;
    ObjectId id;
    uint64_t mark;
  };
  struct Actor {
    FakeClient* client = nullptr;
    std::vector<FakeLease> leases;
    std::vector<std::pair<ObjectId, FakeLease>> reserved;
    std::vector<Pin> pins;
    std::vector<Completion> unconfirmed;
    std::map<uint32_t, Submission> asked;  // requests without an answer
    std::map<uint32_t, uint64_t> asked_at;  // their steps
    std::set<uint32_t> cancelled;  // requests
  };

  uint64_t Below(uint64_t limit) { return random_() % limit; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  void Fail(const std::string& what);
  // With PENSTOCK_SIM_TRACE in the environment: what happens, a line each.
  template <typename... Args>
  void Note(fmt::format_string<Args...> text, Args&&... args) {
    if (!traced_) return;
    fmt::print("{:5} {}\n", counts_.steps, fmt::format(text, std::forward<Args>(args)...));
  }
  bool failed() const { return !failure_.empty(); }

  // The core's steps; the daemon may die in each.
  template <typename Call>
  bool Survives(Call&& call);
  void Turn();
  void Disk();
  void GiveBack();
  void FetchAgain();
  void RestartDaemon();
  void HandOver();
  void AskAgain();
  void Die(Actor& actor);

  void Step();
  void Ask(Actor& actor, Submission record);
  void TakeAnswers(Actor& actor);
  void TakeAnswer(Actor& actor, const Submission& record, const Completion& answer);
  void TakeOver(Actor& actor, const Completion& answer);
  void Refused(const Actor& actor, const Submission& record, AnswerCode code);
  void Seal(Actor& actor, const FakeLease& lease, const ObjectId& id);
  void PinLocally(Actor& actor);
  void Unpin(Actor& actor);
  void Delete(Actor& actor);
  void CheckPins();
  void CheckBytes(const ObjectId& id, uint32_t slot, const char* where);
  void Finish();
  ObjectId AnyId();
  uint64_t AnySize();
  uint64_t MarkAt(uint32_t slot);

  std::mt19937_64 random_;
  FakeStore store_;
  FakeDisk disk_;
  std::vector<Allocator::Extent> returned_;  // to the host
  std::vector<Actor> actors_;
  std::vector<ObjectId> names_;
  std::map<ObjectId, Object> live_;                 // must be there
  std::map<ObjectId, std::set<uint64_t>> marks_;    // every content an id ever had
  std::set<ObjectId> damaged_;
  uint64_t next_mark_ = 1;
  bool disk_was_full_ = false;
  uint64_t taken_over_at_ = 0;  // the last step in which a core took over from another
  std::string failure_;
  const bool traced_ = std::getenv("PENSTOCK_SIM_TRACE") != nullptr;
  SimulationCounts counts_;
};

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_SIM_SIMULATION_H_
