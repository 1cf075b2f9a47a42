// JSON and table of a report.
#include "bench/harness/report.h"

#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "bench/harness/pinning.h"
#include "store/base/processor.h"

namespace penstock::bench {
namespace {

using Json = nlohmann::ordered_json;

Json Number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json Number(const std::optional<double>& value) {
  return value ? Number(*value) : Json(nullptr);
}

// Four significant digits, but whole numbers from 1000 on, with no exponent.
std::string Short(double value) {
  if (!std::isfinite(value)) return "-";
  const double size = std::fabs(value);
  const int digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
  return fmt::format("{:.{}f}", value, digits);
}

std::string Extra(const Json& more) {
  std::string text;
  for (const auto& [key, value] : more.items()) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", key,
                        value.is_number_float() ? Short(value.get<double>())
                        : value.is_string()     ? value.get<std::string>()
                                                : value.dump());
  }
  return text;
}

}  // namespace

Result Figure(std::string name, std::string unit, double value) {
  Result result;
  result.name = std::move(name);
  result.unit = std::move(unit);
  result.value = value;
  result.quantiles = {value, value, value};
  result.operations = 1;
  result.aa_ratio = std::nan("");
  return result;
}

Host DescribeHost() {
  Host host;
  host.cpus = static_cast<int>(AllowedCpus().size());
  host.cpu = Describe(ThisProcessor());
  utsname facts;
  if (uname(&facts) == 0) host.kernel = facts.release;
  host.io = "none";
  return host;
}

Json Report::ToJson() const {
  Json json = {{"schema", 1},
               {"bench", bench},
               {"host", {{"cpus", host.cpus}, {"cpu", host.cpu}, {"kernel", host.kernel},
                         {"pages", host.pages}, {"io", host.io}, {"copies", host.copies}}},
               {"floor", Json::object()},
               {"results", Json::array()},
               {"verified", verification.ok()}};
  if (quick) json["quick"] = true;
  if (!verification.ok()) json["fault"] = verification.fault();
  for (const auto& [name, value] : floors) json["floor"][name] = Number(value);
  for (const Result& result : results) {
    Json entry = {{"name", result.name},
                  {"value", Number(result.value)},
                  {"unit", result.unit},
                  {"p50", Number(result.quantiles.p50)},
                  {"p99", Number(result.quantiles.p99)},
                  {"p999", Number(result.quantiles.p999)},
                  {"n", result.operations},
                  {"floor", result.floor ? Json(*result.floor) : Json(nullptr)},
                  {"ratio", Number(result.ratio)},
                  {"aa_ratio", Number(result.aa_ratio)},
                  {"noisy", result.noisy}};
    for (const auto& [key, value] : result.more.items()) entry[key] = value;
    json["results"].push_back(std::move(entry));
  }
  if (!notes.empty()) json["notes"] = notes;
  return json;
}

std::string Report::ToTable() const {
  size_t width = 6;
  for (const Result& result : results) width = std::max(width, result.name.size());
  for (const auto& [name, value] : floors) width = std::max(width, name.size());
  std::string text = fmt::format(
      "penstock-bench {}: {} cpus, Linux {}, {}{}\nprocessor: {}\ncopies: {}\n\n", bench,
      host.cpus, host.kernel, host.pages, quick ? " (quick: proves nothing)" : "", host.cpu,
      host.copies);
  text += fmt::format("{:<{}} {:>10} {:<6} {:>10} {:>10} {:>10} {:>6} {:>6}\n", "result",
                      width, "median", "", "p99", "p99.9", "floor", "ratio", "a/a");
  for (const Result& result : results) {
    double floor_value = std::nan("");
    for (const auto& [name, value] : floors) {
      if (result.floor && name == *result.floor) floor_value = value;
    }
    text += fmt::format(
        "{:<{}} {:>10} {:<6} {:>10} {:>10} {:>10} {:>6} {:>6}{}\n", result.name, width,
        Short(result.value), result.unit, Short(result.quantiles.p99),
        Short(result.quantiles.p999), Short(floor_value),
        result.ratio ? fmt::format("{:.3f}", *result.ratio) : "-",
        std::isfinite(result.aa_ratio) ? fmt::format("{:.3f}", result.aa_ratio) : "-",
        result.noisy ? "  NOISY" : "");
    const std::string extra = Extra(result.more);
    if (!extra.empty()) text += fmt::format("{:<{}}   {}\n", "", width, extra);
  }
  if (!grid.empty()) text += "\n" + grid;
  for (const std::string& note : notes) text += "\nnote: " + note;
  text += verification.ok() ? "\nverified: " + verified + "\n"
                            : "\nNOT VERIFIED: " + verification.fault() + "\n";
  return text;
}

Result* Report::Find(const std::string& name) {
  for (Result& result : results) {
    if (result.name == name) return &result;
  }
  return nullptr;
}

void Report::AddNote(const char* note) { notes.emplace_back(note); }

}  // namespace penstock::bench
