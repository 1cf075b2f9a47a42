// The model at the end: what the log knows, against what the store holds.
#include <algorithm>
#include <cstdio>
#include <vector>

#include <fmt/format.h>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "tests/integration/stress/driver.h"
#include "tests/support/test_daemon.h"

namespace penstock::stress {
namespace {

enum class Verdict { kMust, kMay, kMustNot };

// All processes are gone, and each told the log before and after what it did.
Verdict VerdictOn(const Entry& entry) {
  if (entry.Has(kBound)) return Verdict::kMustNot;  // every maker's session has ended
  switch (entry.stage()) {
    case Stage::kSealed: break;
    case Stage::kSealBegun: return Verdict::kMay;  // killed on the way
    default: return Verdict::kMustNot;             // no seal was ever pushed
  }
  switch (entry.removal()) {
    case Removal::kNone: return entry.Durable() ? Verdict::kMust : Verdict::kMay;
    case Removal::kBegun: return Verdict::kMay;
    default: return Verdict::kMustNot;
  }
}

struct Tally {
  uint64_t must = 0, may = 0, may_here = 0, must_not = 0;
};

// Compares every entry with the list of the store.
Tally Compare(SharedLog* log, absl::flat_hash_set<ObjectId> listed) {
  Tally tally;
  for (uint64_t i = 0; i < log->size(); ++i) {
    const Entry& entry = (*log)[i];
    if (entry.stage() == Stage::kEmpty) continue;
    const bool here = listed.erase(entry.id) > 0;
    switch (VerdictOn(entry)) {
      case Verdict::kMust:
        ++tally.must;
        if (!here) log->Fail(fmt::format("{} is lost: sealed, never deleted, not evictable",
                                         entry.id.ToHex()));
        break;
      case Verdict::kMay:
        ++tally.may;
        if (here) ++tally.may_here;
        break;
      case Verdict::kMustNot:
        ++tally.must_not;
        if (here) log->Fail(fmt::format("{} is here: it was deleted, or never sealed (stage {}, "
                                        "removal {}, traits {})", entry.id.ToHex(),
                                        static_cast<int>(entry.stage()),
                                        static_cast<int>(entry.removal()), entry.traits));
    }
  }
  for (const ObjectId& id : listed) {
    log->Fail(fmt::format("{} is here, and nobody ever made it", id.ToHex()));
  }
  return tally;
}

// Reads and deletes all that is left.
void CheckAndDelete(SharedLog* log, Client& client, const std::vector<ObjectInfo>& infos) {
  absl::flat_hash_map<ObjectId, const Entry*> entries;
  for (uint64_t i = 0; i < log->size(); ++i) entries[(*log)[i].id] = &(*log)[i];
  for (const ObjectInfo& info : infos) {
    const auto found = entries.find(info.id);
    if (found == entries.end()) continue;
    auto view = client.Get(info.id, absl::ZeroDuration());
    const std::string wrong =
        view.ok() ? CheckView(*view, info.id, found->second->seed, found->second->size)
                  : view.status().ToString();
    if (!wrong.empty()) log->Fail(fmt::format("at the end, {}: {}", info.id.ToHex(), wrong));
    if (const absl::Status status = client.Delete(info.id); !status.ok()) {
      log->Fail(fmt::format("deleting {} at the end: {}", info.id.ToHex(), status.ToString()));
    }
  }
}

// The daemon holds nothing any more.
void CheckEmpty(const StressPlan& plan, SharedLog* log) {
  constexpr const char* kNames[] = {"objects",      "object_bytes", "leased_bytes",
                                    "leases",       "doomed",       "sessions",
                                    "room_waiters", "get_waiters",  "evictable_bytes"};
  std::string left;
  const auto empty = [&] {
    const auto status = QueryStatus(plan.dir);
    left = status.ok() ? "" : status.status().ToString();
    for (const char* name : kNames) {
      const uint64_t value = status.ok() ? status->Counter(name) : 0;
      if (value != 0) left += fmt::format(" {} {}", name, value);
    }
    if (status.ok() && status->Counter("free_bytes") != status->Counter("arena_bytes")) {
      left += fmt::format(" free_bytes {}", status->Counter("free_bytes"));
    }
    return left.empty();
  };
  if (!testing::Eventually(empty)) {
    log->Fail("after all are gone and all is deleted, the daemon still holds:" + left);
  }
  const auto status = QueryStatus(plan.dir);
  if (status.ok() && status->Counter("broken_sessions") != 0) {
    log->Fail(fmt::format("the daemon ended {} sessions for breaking the protocol",
                          status->Counter("broken_sessions")));
  }
}

}  // namespace

bool JudgeStore(const StressPlan& plan, SharedLog* log) {
  // Sessions end when the daemon has seen their process's death.
  testing::Eventually([&] {
    const auto status = QueryStatus(plan.dir);
    return status.ok() && status->Counter("sessions") == 0;
  });
  {
    auto client = Client::Connect({.dir = plan.dir});
    auto infos = client.ok() ? client->List() : client.status();
    if (!infos.ok()) {
      log->Fail("the driver's list at the end: " + infos.status().ToString());
      return false;
    }
    absl::flat_hash_set<ObjectId> listed;
    for (const ObjectInfo& info : *infos) {
      if (!listed.insert(info.id).second) {
        log->Fail(info.id.ToHex() + " is listed twice");
      }
    }
    const Tally tally = Compare(log, std::move(listed));
    fmt::print("\nModel: {} objects must be here, {} of {} that may be are, {} must not be\n",
               tally.must, tally.may_here, tally.may, tally.must_not);
    CheckAndDelete(log, *client, *infos);
  }
  CheckEmpty(plan, log);
  return log->failures() == 0;
}

}  // namespace penstock::stress
