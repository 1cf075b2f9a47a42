// The reader of `churn`: a thread with a session of its own that gets checked objects all
// along, times each get, and compares what it got.
#ifndef PENSTOCK_BENCH_CHURN_READER_H_
#define PENSTOCK_BENCH_CHURN_READER_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include <penstock/client.h>

#include "absl/status/status.h"

namespace penstock::bench {

// An object whose bytes are known.
struct CheckedObject {
  ObjectId id;
  uint64_t seed = 0;
  const std::byte* seen_at = nullptr;  // by the reader, at its last get
};
// Small payloads are written throughout; of large ones both ends, and a word of each 4 KiB.
void WriteChecked(std::span<std::byte> payload, uint64_t seed);
bool IsAsWritten(std::span<const std::byte> payload, uint64_t seed);

// Thread safety: Add and Remove from one thread, the reader's own work beside it.
class ChurnReader {
 public:
  struct Outcome {
    std::vector<double> get_ns;
    // The first get of an object fetches what its maker and the daemon wrote from another
    // core, moved or not.
    std::vector<double> first_get_ns;
    // So does the first after a move. These are in get_ns, too.
    std::vector<double> moved_get_ns;
    uint64_t wrong = 0;   // other bytes
    uint64_t failed = 0;  // of objects that are there
  };

  ChurnReader(Client client, uint64_t seed) : client_(std::move(client)), random_(seed) {}

  void Add(const CheckedObject& object);
  void Remove(const ObjectId& id);

  // Begins a new phase: what was gathered in the last one.
  void Start();
  Outcome Stop();

 private:
  void Run(std::stop_token stop);
  std::optional<CheckedObject> Pick();
  // False: it is gone.
  bool SeeAt(const ObjectId& id, const std::byte* place);

  Client client_;
  std::mt19937_64 random_;
  std::mutex mutex_;  // guards objects_
  std::vector<CheckedObject> objects_;
  Outcome outcome_;
  std::jthread thread_;
};

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_CHURN_READER_H_
