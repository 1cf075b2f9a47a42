// One thread of one client process: rolls dice and calls the store.
#ifndef PENSTOCK_TESTS_INTEGRATION_STRESS_ACTOR_H_
#define PENSTOCK_TESTS_INTEGRATION_STRESS_ACTOR_H_

#include <string_view>
#include <vector>

#include <penstock/client.h>

#include "tests/integration/stress/pattern.h"
#include "tests/integration/stress/shared_log.h"

namespace penstock::stress {

struct StressPlan {
  uint32_t processes = 64;
  uint32_t threads = 4;
  uint32_t seconds = 60;
  uint64_t memory_bytes = 0;
  uint64_t seed = 1;
  std::string dir;
};

// Deletions stay as many entries of the log behind the makers as the store has of these.
inline constexpr uint64_t kBytesForEachEntry = 10 * 1024;

class Actor {
 public:
  Actor(const StressPlan& plan, SharedLog* log, Client client, uint32_t thread, uint64_t seed)
      : plan_(plan), log_(log), client_(std::move(client)), thread_(thread), dice_(seed) {}

  // Until the log says stop. Views are let go at the end.
  void Run();

 private:
  struct Held {
    ObjectView view;
    uint64_t seed;
    uint64_t size;
  };
  struct Drawn {
    uint64_t seed = 0;
    uint32_t size = 0;
    uint32_t traits = 0;
    CreateOptions options;
  };

  // make.cc
  Drawn Draw();
  void Make();
  void MakeAndSeal(Drawn drawn);
  void MakeByPut(Drawn drawn);
  void MakeBatch();
  void MakeAborted(Drawn drawn);
  bool Sealed(Entry* entry, const absl::Status& outcome);
  void JudgeCreate(const absl::Status& status);

  // actor.cc
  Entry* PickRecent();
  void GetOne();
  void GetSome();
  void JudgeGet(Entry& entry, absl::StatusOr<ObjectView> outcome, Stage stage, Removal removal);
  void JudgeMiss(Entry& entry, const absl::Status& status, Stage stage);
  void Keep(ObjectView view, uint64_t seed, uint64_t size);
  void LetGo(size_t index);
  void DeleteNext();
  void Delete(Entry& entry);
  void Contains();
  void List();
  void Fork();
  int ForkedChild(Builder& builder);

  void At(Doing doing) { log_->Set(thread_, doing); }
  void Fail(std::string_view what, const ObjectId& id, const std::string& why);
  void Fail(std::string_view what, const ObjectId& id, const absl::Status& why) {
    Fail(what, id, why.ToString());
  }

  const StressPlan& plan_;
  SharedLog* const log_;
  Client client_;
  const uint32_t thread_;
  Dice dice_;
  bool failed_ = false;
  std::vector<Held> held_;
  std::vector<std::byte> scratch_;
};

}  // namespace penstock::stress

#endif  // PENSTOCK_TESTS_INTEGRATION_STRESS_ACTOR_H_
