// The commands that look into a running store. Each prints to standard output, faults to
// standard error, and returns the exit status.
#ifndef PENSTOCK_TOOLS_PENSTOCK_COMMANDS_H_
#define PENSTOCK_TOOLS_PENSTOCK_COMMANDS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace penstock {

enum ExitCode : int {
  kExitGood = 0,
  kExitFailed = 1,    // no store there, not allowed, or a file that makes no sense
  kExitNoAnswer = 2,  // the daemon does not answer; what is shown comes from shared memory
  kExitWrongUse = 64,  // the command line makes no sense
};

struct LookOptions {
  std::string dir;  // of the store, not empty
  bool json = false;
  size_t limit = 50;  // rows; 0: all
  std::string sort;
  double patience_s = 1;  // with the daemon
  double wait_s = 0;      // for a daemon that has not begun
  double interval_s = 1;
  uint64_t count = 0;  // of refreshes; 0: until it is interrupted
};

int Status(const LookOptions& options);
int Objects(const LookOptions& options);  // sort: size, pins, id, maker
int Memory(const LookOptions& options);
int Clients(const LookOptions& options);  // sort: bytes, pinned, objects, unread, session
int Top(const LookOptions& options);      // sort: as Clients
int Doctor(const LookOptions& options);

// Why the daemon of a store, which does not answer, does not.
class StoreView;
std::string WhyNoStatus(const StoreView& view);

// "penstock: what went wrong", and kExitFailed.
int Fail(const absl::Status& status);

// What a listing that was cut says below it; empty for one that was not.
std::string LeftOut(size_t shown, size_t all);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCK_COMMANDS_H_
