// Reads the processor's name, features and caches.
#include "store/base/processor.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>

#include "store/base/units.h"

namespace penstock {
namespace {

// What a processor is taken for that does not say how large its second-level cache is.
constexpr uint64_t kUsualL2Bytes = 1 * kMiB;

// The first "name : value" of /proc/cpuinfo.
std::string FieldOfCpuInfo(std::string_view name) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line) && !line.empty();) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || !line.starts_with(name)) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

// "2048K" of the cache of one level that holds data, as the kernel lists it.
uint64_t CacheBytes(int level) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", index);
    std::string of_level, type, size;
    std::getline(std::ifstream(folder + "level") >> std::ws, of_level);
    std::getline(std::ifstream(folder + "type") >> std::ws, type);
    if (of_level != std::to_string(level) || type == "Instruction") continue;
    std::getline(std::ifstream(folder + "size") >> std::ws, size);
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), value);
    if (error != std::errc()) break;
    const std::string_view unit(end, static_cast<size_t>(size.data() + size.size() - end));
    return unit == "K" ? value * kKiB : unit == "M" ? value * kMiB : value;
  }
  const long told = sysconf(level == 2 ? _SC_LEVEL2_CACHE_SIZE : _SC_LEVEL3_CACHE_SIZE);
  return told > 0 ? static_cast<uint64_t>(told) : 0;
}

std::string_view WithheldWords() {
  const char* const words = std::getenv(kWithholdVariable);
  return words == nullptr ? "" : words;
}

Processor ReadProcessor() {
  Processor processor;
  processor.model = FieldOfCpuInfo("model name");
  if (processor.model.empty()) processor.model = "unknown";
  processor.vendor = FieldOfCpuInfo("vendor_id");
  processor.l2_bytes = CacheBytes(2);
  if (processor.l2_bytes == 0) processor.l2_bytes = kUsualL2Bytes;
  processor.l3_bytes = CacheBytes(3);
#if defined(__x86_64__)
  const Withheld withheld = ParseWithheld(WithheldWords()).value_or(Withheld{});
  processor.avx2 = __builtin_cpu_supports("avx2") && !withheld.avx2;
  processor.avx512 = processor.avx2 && __builtin_cpu_supports("avx512f") && !withheld.avx512;
#endif
  return processor;
}

}  // namespace

absl::StatusOr<Withheld> ParseWithheld(std::string_view words) {
  Withheld withheld;
  while (!words.empty()) {
    const size_t comma = words.find(',');
    const std::string_view word = words.substr(0, comma);
    if (word == "avx2") {
      withheld.avx2 = withheld.avx512 = true;
    } else if (word == "avx512") {
      withheld.avx512 = true;
    } else {
      return absl::InvalidArgumentError(
          fmt::format("'{}' is nothing that can be withheld: give avx512, avx2, or both with a "
                      "comma between", word));
    }
    words = comma == std::string_view::npos ? "" : words.substr(comma + 1);
  }
  return withheld;
}

absl::Status CheckWithheld() {
  const absl::StatusOr<Withheld> withheld = ParseWithheld(WithheldWords());
  if (withheld.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: {}", kWithholdVariable, std::string(withheld.status().message())));
}

const Processor& ThisProcessor() {
  static const Processor processor = ReadProcessor();
  return processor;
}

std::string Describe(const Processor& processor) {
  std::string text = processor.model;
  text += processor.avx512 ? ", AVX-512" : processor.avx2 ? ", AVX2" : "";
  text += fmt::format(", {} of L2 a core", FormatBytes(processor.l2_bytes));
  if (processor.l3_bytes > 0) text += fmt::format(", {} of L3", FormatBytes(processor.l3_bytes));
  return text;
}

}  // namespace penstock
