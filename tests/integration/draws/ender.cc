// The rounds of draws that wait, and their end.
#include "tests/integration/draws/ender.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "store/base/units.h"
#include "tests/integration/helpers.h"

namespace penstock::draws {
namespace {

using testing::Must;

constexpr size_t kThreads = 24;
constexpr absl::Duration kWait = absl::Seconds(1);

// Leaves no room, neither for a large object nor for a small one.
void Fill(Client& client) {
  for (uint64_t size = 1 * kMiB; size >= 64;) {
    if (!client.Put(std::string(size, 'f'), {.deadline = absl::ZeroDuration()}).ok()) size /= 2;
  }
}

void MakeRoom(Client& client) {
  for (const ObjectInfo& info : Must(client.List())) {
    const absl::Status status = client.Delete(info.id);
    if (!status.ok() && !absl::IsNotFound(status)) testing::GiveUp(status.ToString());
  }
  // It says as well which of the ids that were waited for another one had sealed first.
  const absl::Status status = client.Sync();
  if (!status.ok() && !absl::IsAlreadyExists(status)) testing::GiveUp(status.ToString());
}

void Seal(Client& client, const std::vector<ObjectId>& ids) {
  for (const ObjectId& id : ids) {
    // It may be here, or of another store: then nothing waits for it.
    if (!id.IsNil()) (void)client.Put("", {.id = id, .deadline = absl::Milliseconds(200)});
  }
}

}  // namespace

Calls WaitingCalls(const Calls& calls) {
  Calls waiting;
  for (const Call& call : calls) {
    const std::string_view name = call.name;
    for (const char* const one :
         {"Client::Create", "Client::CreateMany", "Client::Put(bytes)", "Client::Put(text)",
          "Client::Get", "Client::GetMany", "Subscription::Next", "ArrayBuilder::Create",
          "ArrayView::Get"}) {
      if (name == one) waiting.push_back(call);
    }
  }
  return waiting;
}

Tally DrawWithEnder(Store& store, Watch& watch, const Calls& waiting, uint64_t seed,
                    uint64_t rounds) {
  std::vector<std::unique_ptr<Hand>> hands;
  for (size_t i = 0; i < kThreads; ++i) {
    hands.push_back(std::make_unique<Hand>(store, watch, seed * 1000 + i,
                                           Hand::Patience::kEndless));
  }
  Client ender = store.daemon().Connect();
  Tally tally;
  for (uint64_t round = 0; round < rounds && watch.faults() == 0; ++round) {
    // A store with room as well: then a get alone waits.
    if (round % 4 != 3) Fill(ender);
    std::array<std::atomic<bool>, kThreads> are_under_way = {};
    const auto all_ended = [&] {
      return std::none_of(are_under_way.begin(), are_under_way.end(),
                          [](const std::atomic<bool>& is) { return is.load(); });
    };
    const auto call_of = [&](size_t i) -> const Call& {
      return waiting[(round + i) % waiting.size()];
    };
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kThreads; ++i) {
      are_under_way[i] = true;
      threads.emplace_back([&, i] {
        hands[i]->Draw(call_of(i));
        hands[i]->LetAllGo();
        are_under_way[i] = false;
      });
    }
    testing::Eventually(all_ended, kWait);
    for (size_t i = 0; i < kThreads; ++i) {
      if (are_under_way[i]) tally.CountDraw(call_of(i));
    }
    bool is_told = false;
    while (!all_ended()) {
      MakeRoom(ender);
      for (const auto& hand : hands) Seal(ender, hand->WaitsFor());
      if (!std::exchange(is_told, true)) {
        for (const auto& hand : hands) watch.Ended(hand->seat());
      }
    }
    for (std::thread& thread : threads) thread.join();
    MakeRoom(ender);
  }
  return tally;
}

}  // namespace penstock::draws
