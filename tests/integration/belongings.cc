// Counting in /proc.
#include "tests/integration/belongings.h"

#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "tests/integration/helpers.h"

namespace penstock::testing {

Belongings Belongings::Of(pid_t pid) {
  Belongings now;
  std::ifstream maps(fmt::format("/proc/{}/maps", pid));
  for (std::string line; std::getline(maps, line);) {
    uint64_t begin = 0;
    uint64_t end = 0;
    if (!Contains(line, "/memfd:penstock")) continue;
    if (sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64, &begin, &end) != 2) GiveUp(line);
    ++now.mappings;
    now.mapped_bytes += end - begin;
  }
  now.descriptors = OpenDescriptors(pid);
  now.threads = static_cast<size_t>(
      std::distance(std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid)),
                    std::filesystem::directory_iterator()));
  return now;
}

namespace {

// ThreadSanitizer has a thread of its own from the program's first on.
bool HasHadAThread() {
  std::string task;
  std::thread([&task] { task = fmt::format("/proc/self/task/{}", gettid()); }).join();
  return Eventually([&task] { return !std::filesystem::exists(task); });
}

}  // namespace

Belongings Belongings::Now() {
  static const bool ready = HasHadAThread();
  if (!ready) GiveUp("a joined thread stays in /proc");
  return Of(getpid());
}

std::ostream& operator<<(std::ostream& out, const Belongings& of) {
  return out << of.mappings << " mappings of " << of.mapped_bytes << " bytes, "
             << of.descriptors << " descriptors, " << of.threads << " threads";
}

size_t MappingsOf(const std::string& name) {
  std::ifstream maps("/proc/self/maps");
  size_t found = 0;
  for (std::string line; std::getline(maps, line);) found += Contains(line, name);
  return found;
}

}  // namespace penstock::testing
