// fuzz_replay TARGET FOLDER: runs a fuzz target once on each file of the folders (or files)
// given: the corpus as an ordinary test, for any compiler. libFuzzer brings a main of its own.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

// Each target's file is compiled with names of its own for libFuzzer's two.
#define X(name)                                                           \
  extern "C" int FuzzOne_##name(const uint8_t* data, size_t size);        \
  extern "C" __attribute__((weak)) int FuzzInitialize_##name(int* argc, char*** argv);
#include "replay_targets.inc"
#undef X

namespace {

struct Target {
  std::string_view name;
  int (*initialize)(int* argc, char*** argv);  // or null
  int (*run)(const uint8_t* data, size_t size);
};
const Target kTargets[] = {
#define X(name) {#name, FuzzInitialize_##name, FuzzOne_##name},
#include "replay_targets.inc"
#undef X
};

}  // namespace

int main(int argc, char** argv) {
  const Target* const target =
      argc < 2 ? std::end(kTargets)
               : std::find_if(std::begin(kTargets), std::end(kTargets),
                              [argv](const Target& one) { return one.name == argv[1]; });
  if (target == std::end(kTargets)) {
    std::fprintf(stderr, "the first argument names the target, one of:");
    for (const Target& one : kTargets) std::fprintf(stderr, " %s", one.name.data());
    std::fprintf(stderr, "\n");
    return 2;
  }
  if (target->initialize != nullptr) target->initialize(&argc, &argv);
  std::vector<std::filesystem::path> files;
  for (int i = 2; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      files.emplace_back(argv[i]);
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::fprintf(stderr, "no input: give files, or folders of them\n");
    return 1;
  }
  for (const auto& path : files) {
    // Before it runs: if it crashes, the last line names it.
    std::printf("%s\n", path.c_str());
    std::fflush(stdout);
    std::ifstream file(path, std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "%s cannot be read\n", path.c_str());
      return 1;
    }
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    // On the heap and no longer than it is, so that a sanitizer sees the end.
    const auto exact = std::make_unique<uint8_t[]>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), exact.get());
    target->run(exact.get(), bytes.size());
  }
  std::printf("%zu inputs replayed\n", files.size());
  return 0;
}
