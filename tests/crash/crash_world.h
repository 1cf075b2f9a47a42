// What the crash tests share: the file that arms a point, a daemon that maps it, and clients
// that are busy all along and know what must be there.
#ifndef PENSTOCK_TESTS_CRASH_CRASH_WORLD_H_
#define PENSTOCK_TESTS_CRASH_CRASH_WORLD_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <penstock/client.h>

#include "store/base/crash_point.h"
#include "tests/integration/helpers.h"

namespace penstock::testing {

// Kills at each point: a few, or with PENSTOCK_TEST_LONG as many as the issue names.
int RoundsPerPoint();

// The file of PENSTOCK_CRASH_FILE. This process itself passes points unharmed.
class Arming {
 public:
  Arming();
  ~Arming();
  Arming(const Arming&) = delete;
  Arming& operator=(const Arming&) = delete;

  const std::string& path() const { return path_; }
  // The `passes`-th pass of `point` from now on is a kill.
  void Arm(CrashPoint point, int passes);
  void Disarm() { file_->armed.store(0); }
  uint32_t fired() const { return file_->fired.load(); }
  bool WaitFired(uint32_t more_than, absl::Duration timeout);

 private:
  std::string path_;
  CrashFile* file_;
};

// A client that works on objects of its own until it is told to stop: makes, reads, deletes,
// aborts. No call may fail, no byte may differ. Its objects exceed the memory, so some are
// always on disk.
class BusyClient {
 public:
  BusyClient(const TestDaemon& daemon, uint64_t seed, const Arming* arming,
             uint64_t most_live_bytes);
  ~BusyClient() { Stop(); }
  // Ends the work, compares all that it made and deletes it.
  void Stop();
  uint64_t operations() const { return operations_.load(); }

 private:
  struct Made {
    uint64_t seed;
    size_t size;
    bool evictable;
  };
  void Run();
  void Step();
  void Make();
  void MakeTwice();
  void SyncWithRefusals();
  void Check(const ObjectId& id, const Made& made);
  void CheckAll();
  std::string WhatTheDaemonSays() const;
  std::map<ObjectId, Made>::iterator Any();
  void DeleteAny();

  const TestDaemon& daemon_;
  Client client_;
  const Arming* const arming_;
  const uint64_t most_live_bytes_;
  std::mt19937_64 random_;
  std::map<ObjectId, Made> made_;
  uint64_t live_bytes_ = 0;  // of what may not be dropped
  uint64_t next_seed_;
  std::atomic<uint64_t> operations_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Sessions that come and go, in order and without a word.
class Passengers {
 public:
  explicit Passengers(const TestDaemon& daemon);
  ~Passengers();

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// A daemon of 16 MiB, with the crash file in its environment.
class CrashWorld {
 public:
  enum class Disk { kSpills, kNone };
  explicit CrashWorld(Disk disk = Disk::kSpills);
  // More than there is memory where the rest may go to disk.
  uint64_t live_bytes_per_client() const { return live_bytes_per_client_; }
  Arming& arming() { return arming_; }
  // Another penstockd takes the store over, or dies on the way; returns when one keeps it.
  void TakeOver(const std::function<void()>& meanwhile);
  const TestDaemon& daemon() const { return *daemon_; }
  // Every client is gone: nothing is leased, stored or leaked, and no byte is missing.
  ::testing::AssertionResult IsEmpty() const;

 private:
  Arming arming_;
  TempDir disk_;
  uint64_t live_bytes_per_client_;
  std::unique_ptr<TestDaemon> daemon_;
};

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_CRASH_CRASH_WORLD_H_
