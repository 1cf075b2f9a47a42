// The table of `ps --table`.
#include "bench/penstock-bench/ps_table.h"

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/harness/paired_runner.h"
#include "bench/penstock-bench/ps_jobs.h"
#include "bench/penstock-bench/runtime_functions.h"
#include "store/base/errors.h"

namespace penstock::bench {
namespace {

constexpr uint32_t kNumbers[] = {1, 2, 4, 8};
constexpr uint32_t kMostWorkers = 8;

// One field of the table, the last of the report's results.
absl::Status MeasureField(AsynchronousJob& job, const PsWorkload& workload,
                          const RunOptions& options, Report& report) {
  Group group;
  group.values.push_back(SecondsOf(
      fmt::format("ps_views_s_shards{}_workers{}", workload.shards, workload.workers),
      [&] { return job.Run(workload.workers, workload.iterations); }));
  return RunGroup(group, options, report);
}

// A line of the table in Markdown, for docs/performance.md.
std::string Line(const std::string& head, const std::vector<std::string>& fields) {
  std::string line = fmt::format("| {:>6} |", head);
  for (const std::string& field : fields) line += fmt::format(" {:>9} |", field);
  return line + "\n";
}

}  // namespace

absl::Status MeasurePsTable(const PsWorkload& workload, Config config,
                            const RunOptions& options, Report& report) {
  report.host.pages = "those of the store";
  std::vector<std::string> heads, rules;
  for (const uint32_t workers : kNumbers) {
    heads.push_back(fmt::format("{} worker{}", workers, workers == 1 ? "" : "s"));
    rules.push_back("---:");
  }
  report.grid = Line("shards", heads) + Line("---:", rules);
  config.num_cpus = kMostWorkers;  // all of them run, on however many cores
  for (const uint32_t shards : kNumbers) {
    // A cluster for each line: no actors of the line before.
    config.prefault = true;
    Init(config);
    std::vector<std::string> fields;
    {
      PsWorkload field = workload;
      field.shards = shards;
      AsynchronousJob job(ServerWay("ps --table", field, /*contiguous=*/false),
                          report.verification);
      for (const uint32_t workers : kNumbers) {
        field.workers = workers;
        PENSTOCK_RETURN_IF_ERROR(MeasureField(job, field, options, report));
        const Result& result = report.results.back();
        fmt::print(stderr, "{}: {:.3f} s\n", result.name, result.value);
        fields.push_back(fmt::format("{:.3f} s", result.value));
      }
    }
    Shutdown();
    report.grid += Line(fmt::to_string(shards), fields);
  }
  return absl::OkStatus();
}

}  // namespace penstock::bench
