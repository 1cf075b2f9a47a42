// The environment that withholds, and the second start.
#include "bench/harness/withhold.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "store/base/errors.h"
#include "store/base/processor.h"

namespace penstock::bench {
namespace {

constexpr char kTunables[] = "GLIBC_TUNABLES";
constexpr char kStartedAnew[] = "PENSTOCK_BENCH_STARTED_ANEW";

// In glibc's words (x86; manual, "Hardware Capability Tunables"): what memcpy is chosen by.
std::string Tunables(const Withheld& withheld) {
  std::string features = "-AVX512F,-AVX512VL,-AVX512BW";
  if (withheld.avx2) features += ",-AVX2,-AVX,-AVX_Fast_Unaligned_Load";
  return features;
}

// Of two values of one tunable glibc takes the last: what the user has set stands before ours.
std::string Joined(const std::string& before, const std::string& features) {
  const std::string name = "glibc.cpu.hwcaps=";
  const size_t at = before.find(name);
  if (at == std::string::npos) {
    return (before.empty() ? "" : before + ":") + name + features;
  }
  const size_t end = std::min(before.find(':', at), before.size());
  return before.substr(0, end) + "," + features + before.substr(end);
}

}  // namespace

absl::Status Withhold(const std::string& features, char** argv) {
  PENSTOCK_ASSIGN_OR_RETURN(const Withheld withheld, ParseWithheld(features));
  if (!withheld.avx512) return absl::OkStatus();
  const char* const had = std::getenv(kTunables);
  const std::string before = had == nullptr ? "" : had;
  const std::string wanted = Tunables(withheld);
  const char* const said = std::getenv(kWithholdVariable);
  if (said != nullptr && features == said && before.find(wanted) != std::string::npos) {
    unsetenv(kStartedAnew);  // the second start; programs that this one starts are another matter
    return absl::OkStatus();
  }
  if (std::getenv(kStartedAnew) != nullptr) {
    return absl::FailedPreconditionError(
        "this program, started anew with GLIBC_TUNABLES, does not see it: does its file have "
        "capabilities, or another owner's rights? Copy it and run the copy");
  }
  setenv(kStartedAnew, "1", 1);
  setenv(kWithholdVariable, features.c_str(), 1);
  setenv(kTunables, Joined(before, wanted).c_str(), 1);
  execv("/proc/self/exe", argv);
  return ErrnoStatus(errno, "starting this program anew");
}

}  // namespace penstock::bench
