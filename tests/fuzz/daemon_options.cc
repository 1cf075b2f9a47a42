// Any text as penstockd's configuration file and as its flags: refused with an exit code of
// 2 (0 for --help), or options within their ranges. The flags stand one a line up to the
// first zero, behind it the file.
#include <sys/mman.h>
#include <unistd.h>

#include <iostream>
#include <streambuf>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "store/base/units.h"
#include "store/shm/session_layout.h"
#include "tests/fuzz/input.h"
#include "tools/penstockd/options.h"

namespace {

// What the parser prints is not of interest here.
class Silence : public std::streambuf {
 public:
  Silence() : out_(std::cout.rdbuf(this)), err_(std::cerr.rdbuf(this)) {}
  ~Silence() override {
    std::cout.rdbuf(out_);
    std::cerr.rdbuf(err_);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  int overflow(int character) override { return character; }
  std::streamsize xsputn(const char*, std::streamsize count) override { return count; }
  std::streambuf* const out_;
  std::streambuf* const err_;
};

int ConfigFile() {
  static const int file = memfd_create("penstock-fuzz-config", MFD_CLOEXEC);
  PENSTOCK_CHECK(file >= 0) << "no memory file";
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  const std::string_view text = fuzz::AsText({data, size});
  const size_t flags_end = std::min(text.find('\0'), text.size());
  const std::string_view config = text.substr(std::min(flags_end + 1, text.size()));
  std::vector<std::string> words = {"penstockd"};
  std::string_view flags = text.substr(0, flags_end);
  while (!flags.empty()) {
    const size_t end = std::min(flags.find('\n'), flags.size());
    words.emplace_back(flags.substr(0, end));
    flags.remove_prefix(std::min(end + 1, flags.size()));
  }
  const int file = ConfigFile();
  if (!config.empty()) {
    PENSTOCK_CHECK(ftruncate(file, 0) == 0 &&
                   pwrite(file, config.data(), config.size(), 0) ==
                       static_cast<ssize_t>(config.size()));
    words.emplace_back("--config");
    words.push_back(fmt::format("/proc/self/fd/{}", file));
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  ParsedOptions parsed;
  {
    const Silence silence;
    parsed = ParseOptions(static_cast<int>(words.size()), argv.data());
  }
  if (parsed.exit_code.has_value()) {
    PENSTOCK_CHECK(*parsed.exit_code == 0 || *parsed.exit_code == 2) << *parsed.exit_code;
    return 0;
  }
  const DaemonOptions& options = parsed.options;
  PENSTOCK_CHECK(!options.dir.empty());
  PENSTOCK_CHECK(options.memory_bytes >= 4 * kMiB && options.memory_bytes <= kMaxArenaBytes &&
                 options.memory_bytes % kHugePageBytes == 0) << options.memory_bytes;
  PENSTOCK_CHECK(options.objects >= 64 && options.objects <= kMaxSlots) << options.objects;
  PENSTOCK_CHECK(options.max_sessions >= 1 && options.max_sessions <= 65536);
  PENSTOCK_CHECK(options.cpus <= 10'000 && options.max_workers <= 512);
  PENSTOCK_CHECK(options.owner_pid <= 1u << 30);
  return 0;
}
