// /proc/<pid>/stat in words.
#include "tools/penstock/process_state.h"

#include <signal.h>

#include <cerrno>
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
  if (name_end == std::string::npos || name_end + 2 >= text.size()) {
    // /proc may be missing, or show each user its own processes only (hidepid).
    const bool lives = kill(pid, 0) == 0 || errno != ESRCH;
    return lives ? ProcessState::kUnknown : ProcessState::kGone;
  }
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
    case ProcessState::kUnknown: return "unknown";
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
    case ProcessState::kUnknown:
      return fmt::format("the {}, process {}, does not answer, and /proc does not show what it "
                         "does: is it mounted, and for this user (hidepid)?", who, pid);
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

std::string WhyNoAnswerElsewhere(const std::string& who, int32_t pid) {
  return fmt::format("the {} does not answer; it is process {} of another process namespace (a "
                     "container), where penstock status says more", who, pid);
}

}  // namespace penstock
