// Reads the JSON of one penstock-bench run from standard input and says what is wrong with
// it: for the smoke tests. Exit status 0 when all is as DESIGN section 15 has it, and the
// results are the named ones, if any are named.
//
//   penstock-bench ps --quick --json | bench-check-json ps [ps_views_s ...]
#include <algorithm>
#include <cctype>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace {

using Json = nlohmann::json;

struct Field {
  const char* name;
  bool (*fits)(const Json&);
};

bool IsText(const Json& value) { return value.is_string() && !value.get<std::string>().empty(); }
bool IsNumber(const Json& value) { return value.is_number(); }
bool IsNumberOrNull(const Json& value) { return value.is_number() || value.is_null(); }
bool IsTextOrNull(const Json& value) { return value.is_string() || value.is_null(); }
bool IsFlag(const Json& value) { return value.is_boolean(); }
bool IsCount(const Json& value) { return value.is_number_unsigned() && value.get<uint64_t>() > 0; }

constexpr Field kResultFields[] = {
    {"name", IsText},      {"value", IsNumber},      {"unit", IsText},
    {"p50", IsNumber},     {"p99", IsNumber},        {"p999", IsNumber},
    {"n", IsCount},        {"floor", IsTextOrNull},  {"ratio", IsNumberOrNull},
    {"aa_ratio", IsNumberOrNull}, {"noisy", IsFlag},
};
constexpr Field kHostFields[] = {
    {"cpus", IsCount}, {"kernel", IsText}, {"pages", IsText}, {"io", IsText}};

template <size_t kCount>
std::string Wrong(const Json& object, const Field (&fields)[kCount], const std::string& where) {
  if (!object.is_object()) return where + " is no object";
  for (const Field& field : fields) {
    if (!object.contains(field.name)) return where + " lacks " + field.name;
    if (!field.fits(object[field.name])) {
      return where + "." + field.name + " is " + object[field.name].dump();
    }
  }
  return "";
}

std::string WrongResult(const Json& result, const Json& floors) {
  std::string wrong = Wrong(result, kResultFields, "a result");
  if (!wrong.empty()) return wrong;
  const auto name = result["name"].get<std::string>();
  if (result["floor"].is_null() != result["ratio"].is_null()) {
    return name + " has a floor without a ratio or a ratio without a floor";
  }
  if (result["floor"].is_string() && !floors.contains(result["floor"].get<std::string>())) {
    return name + " is compared with a floor that is not listed";
  }
  return "";
}

// `wanted`: the names of all results, in any order; empty when they do not matter.
std::string WrongNames(const Json& results, std::vector<std::string> wanted) {
  std::vector<std::string> names;
  for (const Json& result : results) names.push_back(result["name"].get<std::string>());
  std::sort(names.begin(), names.end());
  std::sort(wanted.begin(), wanted.end());
  if (wanted.empty() || names == wanted) return "";
  return "the results are " + Json(names).dump() + " instead of " + Json(wanted).dump();
}

std::string WrongReport(const Json& report, const std::string& bench,
                        const std::vector<std::string>& wanted) {
  if (!report.is_object() || report.value("schema", 0) != 1) return "no object of schema 1";
  if (report.value("bench", "") != bench) return "bench is not " + bench;
  if (!report.contains("host") || !report.contains("floor") || !report.contains("results")) {
    return "host, floor or results are missing";
  }
  std::string wrong = Wrong(report["host"], kHostFields, "host");
  if (!wrong.empty()) return wrong;
  if (report["results"].empty()) return "no results";
  for (const Json& result : report["results"]) {
    wrong = WrongResult(result, report["floor"]);
    if (!wrong.empty()) return wrong;
  }
  wrong = WrongNames(report["results"], wanted);
  if (!wrong.empty()) return wrong;
  if (report.value("verified", false) != true) return "not verified";
  return "";
}

// "" where none of the fields of the host has `word` in it, in small letters or large ones.
std::string HostThatNames(const std::string& word, const Json& host) {
  std::string text = host.dump();
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text.find(word) == std::string::npos ? "" : "the host has " + word + ": " + text;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: bench-check-json BENCH [RESULT ...] [!WORD] < report.json\n";
    return 2;
  }
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  const Json report = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::vector<std::string> wanted;
  std::string unwanted;  // the last one wins
  for (int i = 2; i < argc; ++i) {
    if (argv[i][0] == '!') {
      unwanted = argv[i] + 1;
    } else {
      wanted.push_back(argv[i]);
    }
  }
  std::string wrong = report.is_discarded() ? "not one JSON object and nothing else"
                                            : WrongReport(report, argv[1], wanted);
  if (wrong.empty() && !unwanted.empty()) wrong = HostThatNames(unwanted, report["host"]);
  if (wrong.empty()) return 0;
  std::cerr << "bench-check-json: " << wrong << "\n" << text << "\n";
  return 1;
}
