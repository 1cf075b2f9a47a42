// penstock doctor: findings as a table, and for machines.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "tools/penstock/doctor.h"
#include "tools/penstock/json_text.h"

namespace penstock {
namespace {

const char* Word(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood: return "yes";
    case Verdict::kImprovable: return "no";
    default: return "CANNOT RUN";
  }
}

}  // namespace

std::string FormatFindings(const std::vector<Finding>& findings) {
  size_t what = 4, found = 5;
  for (const Finding& finding : findings) {
    what = std::max(what, finding.what.size());
    found = std::max(found, finding.found.size());
  }
  const auto row = [&](std::string_view a, std::string_view b, std::string_view c,
                       std::string_view d) {
    std::string line = fmt::format("{:<{}} | {:<{}} | {:<10} | {}", a, what, b, found, c, d);
    line.erase(line.find_last_not_of(' ') + 1);
    return line + "\n";
  };
  std::string table = row("what", "found", "good?", "to improve");
  for (const Finding& finding : findings) {
    table += row(finding.what, finding.found, Word(finding.verdict), finding.improve);
  }
  return table;
}

std::string FormatFindingsAsJson(const std::vector<Finding>& findings) {
  nlohmann::ordered_json json;
  json["schema"] = 1;
  json["can_run"] = ExitStatus(findings) == 0;
  json["findings"] = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    nlohmann::ordered_json item;
    item["what"] = finding.what;
    item["found"] = finding.found;
    item["good"] = finding.verdict == Verdict::kGood;
    item["can_run"] = finding.verdict != Verdict::kCannotRun;
    if (finding.improve.empty()) item["improve"] = nullptr;
    else item["improve"] = finding.improve;
    json["findings"].push_back(std::move(item));
  }
  return JsonText(json, 2) + "\n";
}

int ExitStatus(const std::vector<Finding>& findings) {
  return std::ranges::any_of(findings, [](const Finding& finding) {
    return finding.verdict == Verdict::kCannotRun;
  }) ? 1 : 0;
}

}  // namespace penstock
