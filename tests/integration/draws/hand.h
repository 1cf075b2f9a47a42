// Hand: one thread of the draws. It holds clients, builders, views and a subscription, makes
// the calls, and judges how each of them ended.
#ifndef PENSTOCK_TESTS_INTEGRATION_DRAWS_HAND_H_
#define PENSTOCK_TESTS_INTEGRATION_DRAWS_HAND_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <penstock/array.h>
#include <penstock/client.h>

#include "tests/integration/draws/dice.h"
#include "tests/integration/draws/store.h"
#include "tests/integration/draws/tally.h"
#include "tests/integration/draws/watch.h"

namespace penstock::draws {

enum class Rights { kAll, kReadOnly, kMovedFrom };
struct Caller {
  Client client;
  Rights rights = Rights::kAll;
};

class Hand {
 public:
  enum class Patience { kShort, kEndless };

  Hand(Store& store, Watch& watch, uint64_t seed, Patience patience = Patience::kShort);

  void Draw(const Call& call);
  void LetAllGo();
  // Takes away what is old, so that a full store does not stay full.
  void TidyUp();
  // From now on the daemon may be gone, or this be the child of a fork: calls may say so.
  void ExpectEnds(std::vector<absl::StatusCode> codes) { also_ = std::move(codes); }
  // What a parent's hand held at the fork.
  void TakeHandlesOf(Hand& parent);
  const Tally& tally() const { return tally_; }

  // --- for the draws ---

  // Makes the call under the watch, and judges its outcome. `given` says with what. A call
  // without a deadline of its own is answered at once.
  template <typename F>
  auto Ask(absl::Duration deadline, const std::string& given, F&& function) {
    Begin(given, deadline);
    auto outcome = function();
    End();
    if constexpr (std::is_same_v<decltype(outcome), absl::Status>) Judge(outcome);
    else Judge(outcome.status());
    return outcome;
  }
  template <typename F>
  auto Ask(const std::string& given, F&& function) {
    return Ask(absl::ZeroDuration(), given, std::forward<F>(function));
  }
  // The same for a call that cannot fail.
  template <typename F>
  auto Do(F&& function) {
    Begin({}, absl::ZeroDuration());
    auto outcome = function();
    End();
    return outcome;
  }
  void Judge(const absl::Status& status);
  // This draw came to no call.
  void Skip() { tally_.TakeBackDraw(*call_); }
  void Expect(bool holds, const std::string& what);

  Caller& AnyCaller();
  // Makes sure that the outcome of this caller's write is judged as one.
  void Writes(const Caller& caller) { writer_rights_ = caller.rights; }
  bool IsPatient() const { return patience_ == Patience::kEndless; }
  absl::Duration Deadline();
  ObjectId AnyId();                 // and lets the ender know that it is waited for
  CreateOptions Options(bool may_choose_id = true);
  std::string Shown(const CreateOptions& options) const;
  std::span<const std::byte> Bytes(const CreateOptions& options, size_t size);
  void FillMetadata(CreateOptions& options, uint64_t size);

  void Fill(Builder& builder, uint32_t type_tag);
  void Keep(Builder builder);
  void Keep(ObjectView view);       // after a look at what it shows
  Builder& AnyBuilder();
  ObjectView& AnyView();
  std::vector<Builder>& builders() { return builders_; }

  Dice dice;
  Store& store;
  std::vector<Caller> callers;
  std::optional<Subscription> subscription;
  std::optional<ArrayBuilder<double>> array_builder;
  std::optional<ArrayView<double>> array_view;
  ArrayShape shape;

  // --- for the ender, from another thread ---

  std::vector<ObjectId> WaitsFor() const;
  Watch::Seat* seat() const { return seat_; }

 private:
  void Begin(const std::string& given, absl::Duration deadline);
  void End() { tally_.CountLateness(*call_, watch_.End(seat_)); }

  Watch& watch_;
  Tally tally_;
  Watch::Seat* const seat_;
  const Patience patience_;
  std::vector<absl::StatusCode> also_;
  const Call* call_ = nullptr;
  std::string given_;
  Rights writer_rights_ = Rights::kAll;
  std::vector<Builder> builders_;
  std::vector<ObjectView> views_;
  std::vector<std::byte> metadata_;
  std::vector<std::byte> bytes_;
  mutable std::mutex mutex_;
  std::vector<ObjectId> waits_for_;
};

Calls MakingCalls();
Calls ReadingCalls();
Calls HandleCalls();
Calls ArrayCalls();
Calls ValueCalls();

}  // namespace penstock::draws

#endif  // PENSTOCK_TESTS_INTEGRATION_DRAWS_HAND_H_
