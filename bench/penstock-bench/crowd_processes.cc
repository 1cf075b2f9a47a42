// Reading /proc.
#include "bench/penstock-bench/crowd_processes.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>

#include <fmt/format.h>

namespace penstock::bench {
namespace {

// Process and parent, of all there are.
std::map<pid_t, pid_t> Parents() {
  std::map<pid_t, pid_t> parents;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "stat");
    std::string line;
    std::getline(file, line);
    // The name in brackets may hold anything.
    const size_t bracket = line.rfind(')');
    int parent = 0;
    if (bracket != std::string::npos &&
        sscanf(line.c_str() + bracket, ") %*c %d", &parent) == 1) {
      parents[std::stoi(name)] = parent;
    }
  }
  return parents;
}

}  // namespace

std::vector<pid_t> FamilyOf(pid_t root) {
  const std::map<pid_t, pid_t> parents = Parents();
  std::vector<pid_t> family = {root};
  for (size_t i = 0; i < family.size(); ++i) {
    for (const auto& [pid, parent] : parents) {
      if (parent == family[i]) family.push_back(pid);
    }
  }
  return family;
}

pid_t NamedAmong(const std::vector<pid_t>& family, const std::string& name) {
  const auto is_it = [&](pid_t pid) {
    std::ifstream file(fmt::format("/proc/{}/comm", pid));
    std::string line;
    std::getline(file, line);
    return line == name;
  };
  const auto found = std::find_if(family.begin(), family.end(), is_it);
  return found == family.end() ? 0 : *found;
}

uint64_t StatusBytes(pid_t pid, const std::string& field) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    unsigned long long kib = 0;
    if (line.starts_with(field + ":") &&
        sscanf(line.c_str() + field.size() + 1, "%llu", &kib) == 1) {
      return kib * 1024;
    }
  }
  return 0;
}

uint64_t PssWithoutArena(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/smaps", pid));
  uint64_t bytes = 0;
  bool counts = true;
  for (std::string line; std::getline(file, line);) {
    // A mapping's first line begins with its addresses, in lower-case hexadecimal digits.
    if (!line.empty() && (line[0] < 'A' || line[0] > 'Z')) {
      counts = line.find("penstock-arena") == std::string::npos;
    }
    unsigned long long kib = 0;
    if (counts && sscanf(line.c_str(), "Pss: %llu kB", &kib) == 1) bytes += kib * 1024;
  }
  return bytes;
}

}  // namespace penstock::bench
