// Processes that mean harm, each in a way of its own. They run under SCHED_IDLE: what a
// bystander feels of them then is the daemon's work, and not the processor's being shared.
#ifndef PENSTOCK_TESTS_INTEGRATION_ATTACKERS_H_
#define PENSTOCK_TESTS_INTEGRATION_ATTACKERS_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace penstock::testing {

// Of all attacks together, in memory that all processes share.
struct AttackCounts {
  std::atomic<uint64_t> messages{0};  // random or mutated ones
  std::atomic<uint64_t> spoilt{0};    // of them: not what a right client could have sent
  std::atomic<uint64_t> others{0};    // right ones, whose answers nobody reads
  std::atomic<uint64_t> sessions{0};
  std::atomic<uint64_t> idle_connections{0};
  std::atomic<bool> stop{false};
};

// What every attack is given.
struct Attack {
  std::string dir;
  uint64_t seed = 1;
  uint64_t messages = 1000;  // to send before it ends
  AttackCounts* counts = nullptr;
};

// Each runs in a process of its own and returns that process's exit code; 0: it did all that
// it wanted to.
using AttackFunction = int (*)(const Attack&);

// Random packets, and right ones with some bits turned, over fresh connections and over those
// of sessions; and answers that are asked for and not read.
int FloodTheSocket(const Attack& attack);
// Records in own rings: random ones, right ones with some fields spoilt, sizes of 1 TiB.
int FloodTheRing(const Attack& attack);
// A thread scribbles over the whole own segment, tails, heads, entries and pins, while another
// pushes records that are right: what is checked and what is used must be one copy.
int ScribbleOverTheOwnSegment(const Attack& attack);
// Asks and asks, and takes no answer out of its ring.
int AskAndNeverRead(const Attack& attack);
// Reopens, cuts, seals and punches every descriptor it was given; fills the doorbells.
int AbuseDescriptors(const Attack& attack);
// A thousand connections that say nothing, or half a message, until the daemon closes them.
int HoldIdleConnections(const Attack& attack);

// Runs `attack` again and again, until it is told to stop, in a process under SCHED_IDLE, where
// its own processes are too, on the CPUs of the caller.
pid_t StartAttack(AttackFunction attack, const Attack& how);

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_INTEGRATION_ATTACKERS_H_
