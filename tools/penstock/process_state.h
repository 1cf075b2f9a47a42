// What /proc says of a process, for an operator to whom it does not answer.
#ifndef PENSTOCK_TOOLS_PENSTOCK_PROCESS_STATE_H_
#define PENSTOCK_TOOLS_PENSTOCK_PROCESS_STATE_H_

#include <cstdint>
#include <string>

namespace penstock {

enum class ProcessState : uint8_t {
  kGone,
  kUnknown,  // it lives, and /proc does not show it here
  kDead,     // ended, and not waited for yet
  kStopped,  // by a signal or a debugger
  kRunning,
  kWaiting,  // asleep, or waiting for a device
};

// `pid` 0 or less is nobody.
ProcessState StateOfProcess(int32_t pid);
// "running", "stopped" and so on, for tables and machines.
const char* NameOf(ProcessState state);
inline bool Lives(ProcessState state) {
  return state != ProcessState::kGone && state != ProcessState::kDead;
}

// Why a daemon or keeper ("who") in this state does not answer, and what to do about it.
std::string WhyNoAnswer(const std::string& who, int32_t pid, ProcessState state);
// The same of one whose number is that of another process namespace.
std::string WhyNoAnswerElsewhere(const std::string& who, int32_t pid);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCK_PROCESS_STATE_H_
