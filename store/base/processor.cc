// Reads the processor's name, features and caches.
#include "store/base/processor.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>

#include "store/base/units.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace penstock {
namespace {

// What a processor is taken for that does not say how large its second-level cache is.
constexpr uint64_t kUsualL2Bytes = 1 * kMiB;

#if defined(__x86_64__)
// By the instruction: /proc/cpuinfo asks every core of the host how fast it runs.
std::string VendorByCpuid() {
  unsigned leaf = 0, words[3] = {};
  if (__get_cpuid(0, &leaf, &words[0], &words[2], &words[1]) == 0) return "";
  return std::string(reinterpret_cast<const char*>(words), sizeof(words));
}

std::string ModelByCpuid() {
  unsigned words[12] = {};
  for (unsigned i = 0; i < 3; ++i) {
    unsigned* const four = words + 4 * i;
    if (__get_cpuid(0x80000002 + i, &four[0], &four[1], &four[2], &four[3]) == 0) return "";
  }
  const std::string text(reinterpret_cast<const char*>(words), sizeof(words));
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string::npos) return "";
  const std::string model(text.c_str() + begin);  // up to the first zero
  return model.substr(0, model.find_last_not_of(' ') + 1);
}
#endif

// Of the cache of one level that holds data: what the C library knows, else as the kernel lists
// it ("2048K").
uint64_t CacheBytes(int level) {
  const long told = sysconf(level == 2 ? _SC_LEVEL2_CACHE_SIZE : _SC_LEVEL3_CACHE_SIZE);
  if (told > 0) return static_cast<uint64_t>(told);
  for (int index = 0; index < 8; ++index) {
    const std::string folder = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", index);
    std::string of_level, type, size;
    std::getline(std::ifstream(folder + "level") >> std::ws, of_level);
    std::getline(std::ifstream(folder + "type") >> std::ws, type);
    if (of_level != std::to_string(level) || type == "Instruction") continue;
    std::getline(std::ifstream(folder + "size") >> std::ws, size);
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), value);
    if (error != std::errc()) return 0;
    const std::string_view unit(end, static_cast<size_t>(size.data() + size.size() - end));
    return unit == "K" ? value * kKiB : unit == "M" ? value * kMiB : value;
  }
  return 0;
}

std::string_view WithheldWords() {
  const char* const words = std::getenv(kWithholdVariable);
  return words == nullptr ? "" : words;
}

Processor ReadProcessor() {
  Processor processor;
#if defined(__x86_64__)
  processor.model = ModelByCpuid();
  processor.vendor = VendorByCpuid();
#endif
  if (processor.model.empty()) processor.model = "unknown";
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
