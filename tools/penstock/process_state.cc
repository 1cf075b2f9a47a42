// /proc/<pid>/stat in words.
#include "tools/penstock/process_state.h"

#include <fstream>

#include <fmt/format.h>

namespace penstock {

ProcessState StateOfProcess(int32_t pid) {
  if (pid <= 0) return ProcessState::kGone;
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(file, text);
  // pid (name) state ...; a name may hold anything, a parenthesis too.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= text.size()) return ProcessState::kGone;
  switch (text[name_end + 2]) {
    case 'T': case 't': return ProcessState::kStopped;
    case 'Z': case 'X': case 'x': return ProcessState::kDead;
    case 'R': return ProcessState::kRunning;
    default: return ProcessState::kWaiting;
  }
}

const char* NameOf(ProcessState state) {
  switch (state) {
    case ProcessState::kGone: return "gone";
    case ProcessState::kDead: return "dead";
    case ProcessState::kStopped: return "stopped";
    case ProcessState::kRunning: return "running";
    case ProcessState::kWaiting: return "waiting";
  }
  return "unknown";
}

std::string WhyNoAnswer(const std::string& who, int32_t pid, ProcessState state) {
  switch (state) {
    case ProcessState::kGone:
      return fmt::format("the {} is dead", who);
    case ProcessState::kDead:
      return fmt::format("the {}, process {}, is dead", who, pid);
    case ProcessState::kStopped:
      return fmt::format("the {}, process {}, is stopped: kill -CONT {} lets it go on", who, pid,
                         pid);
    case ProcessState::kRunning:
      return fmt::format("the {}, process {}, is running but does not answer: gdb -p {} or "
                         "perf top -p {} shows what it does", who, pid, pid, pid);
    case ProcessState::kWaiting:
      return fmt::format("the {}, process {}, waits for something and does not answer: "
                         "cat /proc/{}/wchan and gdb -p {} show for what", who, pid, pid, pid);
  }
  return "";
}

}  // namespace penstock
