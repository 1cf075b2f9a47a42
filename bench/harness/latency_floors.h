// The floors in microseconds and nanoseconds: what the kernel and the caches need for a
// word to reach another process, without any store between.
#ifndef PENSTOCK_BENCH_HARNESS_LATENCY_FLOORS_H_
#define PENSTOCK_BENCH_HARNESS_LATENCY_FLOORS_H_

#include <cstdint>
#include <string>

#include "bench/harness/crew.h"
#include "bench/harness/paired_runner.h"
#include "bench/harness/pinning.h"

namespace penstock::bench {

// A pause between two parked operations, long enough that everybody sleeps again: longer
// than any adaptive spin.
inline constexpr int64_t kParkPauseNs = 300'000;
inline constexpr uint64_t kParkedBatch = 50;  // operations of one sample

// There and back between two processes that sleep on a futex. `pause_ns`: how long the asker
// sleeps before each, and the other with it. It is that of the call that is compared: a core
// that idled for a millisecond wakes up slower than one that idled for some microseconds.
Series FutexRoundTrip(Crew& crew, std::string name, int cpu, int peer_cpu, int64_t pause_ns);
// There and back through a UNIX stream socket, 64 bytes each way.
Series UnixSocketRoundTrip(Crew& crew, std::string name, int cpu, int peer_cpu);
// One way: a producer's eventfd wakes a relay, the relay's eventfd wakes the consumer.
// The producer pauses before each, so that all three are parked when it begins.
Series Relay(Crew& crew, std::string name, Placement placement);
// There and back between two processes that look at each other's cache line. `unit`: "ns"
// or "us", that of the rows it is the floor of.
Series SpinRoundTrip(Crew& crew, std::string name, int cpu, int peer_cpu,
                     std::string unit = "ns");
// The cheapest system call there is.
Series BareSystemCall(Crew& crew, std::string name, int cpu);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_LATENCY_FLOORS_H_
