// penstock-bench turns: how long one turn of the store process gets under loads that have much of
// something, and what a bystander feels of it.
//
// Each scenario has two stores of its own. The bystander is at the first of them while the same
// load runs against the second, and then against the first: the host is as busy both times, so
// what differs is the daemon. The longest turn is the worse one of the two daemons'.
#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "bench/harness/clock.h"
#include "bench/harness/copy_area.h"
#include "bench/harness/interrupt.h"
#include "bench/penstock-bench/bare_loop.h"
#include "bench/penstock-bench/bystander.h"
#include "bench/penstock-bench/ring_session.h"
#include "bench/penstock-bench/subcommands.h"
#include "bench/penstock-bench/turn_load.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr int kLoadMember = 1;
constexpr int64_t kQuiet_ns = 2'000'000'000;
constexpr int64_t kLeastLoad_ns = 4'000'000'000;
constexpr int64_t kQuickLoad_ns = 300'000'000;
constexpr absl::Duration kPatience = absl::Minutes(15);
// What must hold.
constexpr double kMostTurn_ms = 1;
constexpr double kMostTimes = 2;
constexpr double kAndBeyond_us = 2000;
constexpr double kBeyond50msPart = 0.001;
constexpr double kBeyondPause_ms = 50;

// The load's side, in three parts.
absl::Status PlayPrepare(Member& member, const RoleOrder& order, RoleAnswer&) {
  LoadOptions options{order.text, order.extra != 0, static_cast<uint32_t>(order.first),
                      order.pause_ns};
  const Scenario scenario = Scenarios().at(order.count);
  const std::shared_ptr<TurnLoad> load = scenario.make(std::move(options));
  member.belongings = load;
  return load->Prepare();
}

absl::Status PlayRun(Member& member, const RoleOrder&, RoleAnswer&) {
  auto& shared = *member.stage.shared;
  const auto load = std::any_cast<std::shared_ptr<TurnLoad>>(member.belongings);
  shared.words[kBystanderIsReady].SleepUntil(1);
  const int64_t start_ns = NowNs();
  const absl::Status status = load->Run();
  LoadBoard board;
  board.seconds = SecondsSince(start_ns);
  shared.words[kLoadIsOver].Publish(1);
  PENSTOCK_RETURN_IF_ERROR(status);
  PENSTOCK_RETURN_IF_ERROR(load->Tell(board));
  std::memcpy(shared.note.data(), &board, sizeof(board));
  return absl::OkStatus();
}

absl::Status PlayEnd(Member& member, const RoleOrder&, RoleAnswer&) {
  member.belongings.reset();
  return absl::OkStatus();
}

struct LongestTurn {
  double cpu_ms = 0;
  double wall_ms = 0;
};

absl::StatusOr<LongestTurn> LongestTurnOf(const PrivateDaemon& daemon) {
  PENSTOCK_ASSIGN_OR_RETURN(const DaemonStatus status, daemon.Status());
  const auto find = [&](std::string_view wanted) -> std::optional<double> {
    for (const auto& [name, value] : status.counters) {
      if (name == wanted) return static_cast<double>(value) * 1e-6;
    }
    return std::nullopt;
  };
  const auto cpu_ms = find("longest_turn_cpu_ns");
  const auto wall_ms = find("longest_turn_wall_ns");
  if (!cpu_ms || !wall_ms) {
    return absl::FailedPreconditionError("this daemon does not count its turns");
  }
  return LongestTurn{*cpu_ms, *wall_ms};
}

// One load against one of the two stores.
struct Phase {
  LongestTurn before;  // since the daemon's start, until all was prepared
  LongestTurn after;
  BystanderTimes times;
  LoadBoard board;
};

class ScenarioRun {
 public:
  ScenarioRun(Crew& crew, const RunOptions& options, size_t number, Report& report)
      : crew_(crew), options_(options), number_(number), scenario_(Scenarios().at(number)),
        report_(report) {}

  absl::Status Run(const std::string& scratch) {
    const uint32_t sessions = options_.quick ? std::min(options_.sessions, 64u)
                                             : options_.sessions;
    const auto start = [&](const char* name) {
      return PrivateDaemon::Start(
          scenario_.daemon(options_.quick, sessions, scratch + "/" + scenario_.name + name));
    };
    PENSTOCK_ASSIGN_OR_RETURN(const auto own, start("-1"));
    PENSTOCK_ASSIGN_OR_RETURN(const auto other, start("-2"));
    report_.host.pages = PagesName(own->is_huge());
    std::fprintf(stderr, "turns: %s: %s\n", scenario_.name, scenario_.description);
    PENSTOCK_ASSIGN_OR_RETURN(const BystanderTimes quiet, PlayQuiet(*own));
    PENSTOCK_ASSIGN_OR_RETURN(const Phase beside, Play(*own, *other, sessions));
    PENSTOCK_ASSIGN_OR_RETURN(const Phase with, Play(*own, *own, sessions));
    bare_loop_ms_ = LongestStepOfABareLoop_ms(static_cast<int64_t>(
        (with.board.seconds + beside.board.seconds) * 1e9));
    TellTurns(with, beside);
    TellBystander("put_get_delete", with.times.put_get_delete, beside.times.put_get_delete,
                  quiet.put_get_delete);
    TellBystander("question", with.times.question, beside.times.question, quiet.question);
    TellCounts(with.board, "the first store");
    TellCounts(beside.board, "the second store");
    TellLate(with.board.late);
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<BystanderTimes> PlayQuiet(const PrivateDaemon& own) {
    const Part part = BystanderPart(own.dir(), options_.quick ? kQuickLoad_ns : kQuiet_ns);
    PENSTOCK_ASSIGN_OR_RETURN(const auto answers, crew_.Play({&part, 1}, kPatience));
    return TimesOf(crew_.ObservationsOf(kBystanderMember, answers[0]));
  }

  absl::StatusOr<Phase> Play(const PrivateDaemon& own, const PrivateDaemon& loaded,
                             uint32_t sessions) {
    PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
    Part load{kLoadMember, PlayPrepare, {}};
    load.order.count = number_;
    load.order.first = sessions;
    load.order.extra = options_.quick ? 1 : 0;
    load.order.pause_ns = options_.quick ? kQuickLoad_ns : kLeastLoad_ns;
    std::snprintf(load.order.text, sizeof(load.order.text), "%s", loaded.dir().c_str());
    PENSTOCK_RETURN_IF_ERROR(crew_.Play({&load, 1}, kPatience).status());
    PENSTOCK_RETURN_IF_ERROR(NotInterrupted());
    Phase phase;
    PENSTOCK_ASSIGN_OR_RETURN(phase.before, Longest(loaded));
    for (const size_t word : {kBystanderIsReady, kLoadIsOver}) {
      crew_.shared().words[word].Publish(0);
    }
    load.role = PlayRun;
    const Part parts[] = {BystanderPart(own.dir(), 0), load};
    PENSTOCK_ASSIGN_OR_RETURN(const auto answers, crew_.Play(parts, kPatience));
    phase.times = TimesOf(crew_.ObservationsOf(kBystanderMember, answers[0]));
    std::memcpy(&phase.board, crew_.shared().note.data(), sizeof(phase.board));
    PENSTOCK_ASSIGN_OR_RETURN(phase.after, Longest(loaded));
    load.role = PlayEnd;
    PENSTOCK_RETURN_IF_ERROR(crew_.Play({&load, 1}, kPatience).status());
    return phase;
  }

  // A daemon that does not count is a fault, and the rest is measured all the same.
  absl::StatusOr<LongestTurn> Longest(const PrivateDaemon& daemon) {
    absl::StatusOr<LongestTurn> longest = LongestTurnOf(daemon);
    if (!absl::IsFailedPrecondition(longest.status())) return longest;
    is_counted_ = false;
    return LongestTurn{};
  }

  std::string RowName(std::string_view what) const {
    return fmt::format("turns_{}_{}", scenario_.letter, what);
  }

  void Miss(const std::string& what) {
    std::string line = fmt::format("MISSED: {}: {}", scenario_.name, what);
    report_.verification.Fail(line);
    report_.notes.push_back(std::move(line));
  }
  // Of a bound of time, which a quick run says nothing of.
  void MissUnlessQuick(const std::string& what) {
    if (!options_.quick) Miss(what);
  }

  void TellTurns(const Phase& with, const Phase& beside) {
    if (!is_counted_) {
      Miss("this daemon does not count its turns");
      return;
    }
    const double worst_ms = std::max(with.after.cpu_ms, beside.after.cpu_ms);
    Result result = Figure(RowName("longest_turn_ms"), "ms", worst_ms);
    result.more["most"] = kMostTurn_ms;
    result.more["other_daemon_ms"] = std::min(with.after.cpu_ms, beside.after.cpu_ms);
    // Since its start: what came before the load may be the longest.
    result.more["until_prepared_ms"] = std::max(with.before.cpu_ms, beside.before.cpu_ms);
    result.more["wall_ms"] = std::max(with.after.wall_ms, beside.after.wall_ms);
    result.more["bare_loop_ms"] = bare_loop_ms_;
    report_.results.push_back(std::move(result));
    if (worst_ms > kMostTurn_ms) {
      MissUnlessQuick(fmt::format("a turn took {:.3f} ms of CPU, at most {} may be ({:.3f} ms "
                                  "before the load began; a step of a bare loop took {:.3f} ms "
                                  "in as long)", worst_ms, kMostTurn_ms,
                                  std::max(with.before.cpu_ms, beside.before.cpu_ms),
                                  bare_loop_ms_));
    }
  }

  void TellBystander(const char* what, const std::vector<double>& with,
                     const std::vector<double>& beside, const std::vector<double>& quiet) {
    const auto paced = [](const std::vector<double>& times) {
      return QuantilesOf(Kind::kLatency,
                         AtSteadyPace(times, static_cast<double>(kBystanderPeriod_ns) * 1e-3));
    };
    Result result = Figure(RowName(what) + "_us", "us", 0);
    result.quantiles = paced(with);
    result.value = result.quantiles.p50;
    result.operations = with.size();
    const double beside_us = paced(beside).p99;
    const double bound_us = kMostTimes * beside_us + kAndBeyond_us;
    result.more["p99_beside_us"] = beside_us;
    result.more["p99_most_us"] = bound_us;
    result.more["p99_quiet_us"] = paced(quiet).p99;
    result.more["p99_of_calls_us"] = Quantile(with, 0.99);
    result.more["worst_us"] = with.empty() ? 0 : *std::max_element(with.begin(), with.end());
    result.more["calls"] = with.size();
    result.more["calls_beside"] = beside.size();
    const double p99_us = result.quantiles.p99;
    report_.results.push_back(std::move(result));
    if (!(p99_us <= bound_us)) {
      MissUnlessQuick(fmt::format("a bystander's {}: p99 {:.0f} us, at most {:.0f} may be, for "
                                  "it is {:.0f} us while the load is at another store", what,
                                  p99_us, bound_us, beside_us));
    }
  }

  void TellCounts(const LoadBoard& board, const char* store) {
    Result result = Figure(RowName(store == std::string_view("the first store") ? "load_s"
                                                                                : "load_beside_s"),
                           "s", board.seconds);
    for (uint32_t i = 0; i < board.count_count; ++i) {
      const Count& count = board.counts[i];
      result.more[count.name] = count.reached;
      if (count.reached >= count.wanted) continue;
      Miss(fmt::format("{} {} of {} were reached in {}", count.reached, count.name, count.wanted,
                       store));
    }
    report_.results.push_back(std::move(result));
  }

  void TellLate(const LateCalls& late) {
    if (late.calls == 0) return;
    const double pause_bound_ms = late.longest_pause_ms + kBeyondPause_ms;
    Result result = Figure(RowName("late_ms"), "ms", late.worst_ms);
    result.quantiles.p999 = late.p999_ms;
    result.operations = late.calls;
    result.more["calls"] = late.calls;
    result.more["deadlines_passed"] = late.passed;
    result.more["beyond_50ms"] = late.beyond_50ms;
    result.more["longest_pause_of_a_sleeper_ms"] = late.longest_pause_ms;
    report_.results.push_back(std::move(result));
    const auto calls = static_cast<double>(late.calls);
    if (static_cast<double>(late.beyond_50ms) > kBeyond50msPart * calls) {
      MissUnlessQuick(fmt::format("{} of {} calls came back more than 50 ms after their deadline, "
                                  "at most one in 1000 may", late.beyond_50ms, late.calls));
    }
    if (late.worst_ms > pause_bound_ms) {
      MissUnlessQuick(fmt::format("a call came back {:.1f} ms after its deadline, at most {:.1f} "
                                  "ms may be, for a thread that only slept was kept waiting "
                                  "{:.1f} ms", late.worst_ms, pause_bound_ms,
                                  late.longest_pause_ms));
    }
  }

  Crew& crew_;
  const RunOptions& options_;
  const size_t number_;
  const Scenario scenario_;
  Report& report_;
  bool is_counted_ = true;
  double bare_loop_ms_ = 0;
};

absl::StatusOr<std::vector<size_t>> Chosen(const RunOptions& options) {
  const std::vector<Scenario> all = Scenarios();
  std::vector<size_t> chosen;
  std::string known;
  for (const Scenario& scenario : all) {
    known += fmt::format("{}{} {}", known.empty() ? "" : ", ", scenario.letter, scenario.name);
  }
  for (const std::string& wanted : options.scenarios) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const Scenario& scenario) {
      return wanted == scenario.name || wanted == std::string(1, scenario.letter);
    });
    if (found == all.end()) {
      return absl::InvalidArgumentError("--scenario: there is no " + wanted + "; there are " +
                                        known);
    }
    chosen.push_back(static_cast<size_t>(found - all.begin()));
  }
  if (chosen.empty()) {
    for (size_t i = 0; i < all.size(); ++i) chosen.push_back(i);
  }
  return chosen;
}

}  // namespace

absl::Status RunTurns(Crew& crew, const RunOptions& options, Report& report) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<size_t> chosen, Chosen(options));
  const uint32_t most_sessions = MostSessionsHere();
  const bool has_deaths = std::any_of(chosen.begin(), chosen.end(), [](size_t number) {
    return Scenarios()[number].letter == 'c';
  });
  if (has_deaths && !options.quick && most_sessions < options.sessions) {
    report.notes.push_back(fmt::format(
        "deaths: a daemon of this host can have {} sessions, not {}: a session takes {} "
        "descriptors and {} are allowed (ulimit -Hn); --sessions {} is what can be measured here",
        most_sessions, options.sessions, RingSession::kDaemonDescriptors, RaiseDescriptorLimit(),
        most_sessions));
    std::fprintf(stderr, "turns: %s\n", report.notes.back().c_str());
  }
  std::string scratch =
      (options.dir.empty() ? std::string("/var/tmp") : options.dir) + "/penstock-bench-XXXXXX";
  if (mkdtemp(scratch.data()) == nullptr) {
    return ErrnoStatus(errno, "making the directory " + scratch, "Give --dir a disk");
  }
  absl::Status status;
  for (const size_t number : chosen) {
    status = ScenarioRun(crew, options, number, report).Run(scratch);
    if (!status.ok()) {
      status = absl::Status(status.code(), fmt::format("{}: {}", Scenarios()[number].name,
                                                       std::string(status.message())));
      break;
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(scratch, ignored);
  report.verified = "every count was reached, and every bound kept";
  if (options.quick) {
    report.AddNote("quick: counts are reduced, and no bound of time is looked at");
  } else if (has_deaths && options.sessions != kManySessions) {
    report.notes.push_back(fmt::format("deaths: {} sessions were asked for, not {}",
                                       options.sessions, kManySessions));
  }
  return status;
}

}  // namespace penstock::bench
