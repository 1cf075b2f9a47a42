// What an operator can set: flags, and a TOML file with the same names.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_OPTIONS_H_
#define PENSTOCK_TOOLS_PENSTOCKD_OPTIONS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "store/spill/spill_types.h"
#include "tools/penstockd/allow_list.h"

namespace penstock {

enum class HugePages {
  kAuto,      // reserved hugetlb pages if there are enough, else collapse
  kCollapse,  // 4 KiB pages collapsed in the background, no privilege needed
  kHugetlb,   // pages that the operator reserved, or an error
  kOff,       // 4 KiB pages
};

struct DaemonOptions {
  std::string dir;                  // of the socket; made with mode 0711
  uint64_t memory_bytes = 0;        // arena; 0: a quarter of the host's, at most 64 GiB
  uint32_t objects = 0;             // slots; 0: one for each 4 KiB of arena
  HugePages huge_pages = HugePages::kAuto;
  std::string log_level = "info";   // trace, debug, info, warn, error, off
  uint32_t max_sessions = 4096;
  uint32_t max_sessions_per_user = 0;  // 0: a quarter of them for a guest, all for the owner
  uint64_t client_quota_bytes = 0;     // of objects and leases of one client; 0: none
  uint64_t pin_quota_bytes = 0;        // of what one client pins while others wait; 0: none
  AllowList allow;                  // users beside the store's own
  std::string spill_dir;            // where objects go when memory is full; empty: nowhere
  uint64_t spill_limit_bytes = 0;   // most bytes there; 0: as far as the disk goes
  uint32_t give_back_after_s = 0;   // free memory goes to the host after so long; 0: never
  std::optional<uint64_t> keep_free_bytes;  // not this much; none: an eighth of the arena
  SpillIo spill_io = SpillIo::kAuto;
  uint32_t cpus = 0;                // that tasks may use; 0: as many as the machine has
  uint32_t max_workers = 64;        // processes of tasks and actors
  bool take_over = false;           // the store that runs in `dir`, instead of a new one
  uint32_t owner_pid = 0;           // ends with this process, and takes its directory along
  // What the operator chose, as it was written, by the flag's name. A take-over compares it.
  std::map<std::string, std::string> given;
};

// Outcome of parsing: options to run with, or an exit code because everything has been
// said already (--help, --version, a wrong flag).
struct ParsedOptions {
  DaemonOptions options;
  std::optional<int> exit_code;
};

// Prints help and errors itself. Every refusal names the flag, what it takes and the
// next step.
ParsedOptions ParseOptions(int argc, char** argv, bool store_exists = false);

// Fills the defaults that depend on the host, and refuses what it does not have.
// `store_exists`: its memory is in use already, by the store that is to go on.
absl::Status CompleteOptions(DaemonOptions& options, bool store_exists);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_OPTIONS_H_
