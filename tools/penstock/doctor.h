// penstock doctor: what this host gives Penstock, and for each thing that it lacks the one
// command that would improve it.
//
// A probe is a function of a Host: of files below a root directory and of trials that were
// made beforehand, so that tests can make a host up.
#ifndef PENSTOCK_TOOLS_PENSTOCK_DOCTOR_H_
#define PENSTOCK_TOOLS_PENSTOCK_DOCTOR_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/base/processor.h"
#include "store/shm/session_layout.h"

namespace penstock {

// What was tried or asked of the kernel: each `_errno` is 0 when it worked.
struct HostTrials {
  std::string kernel_release;  // "6.1.0-18-amd64"
  int memfd_errno = 0;         // a sealed memory file
  int collapse_errno = 0;      // MADV_COLLAPSE on one
  int pidfd_errno = 0;         // pidfd_open
  int peer_pidfd_errno = 0;    // SO_PEERPIDFD
  int io_uring_errno = 0;      // io_uring_setup
  uint64_t files_soft = 0;     // RLIMIT_NOFILE
  uint64_t files_hard = 0;
  uint64_t memlock = 0;        // RLIMIT_MEMLOCK, soft
  uint64_t file_bytes = ~uint64_t{0};  // RLIMIT_FSIZE, soft
  uint32_t cpus = 1;           // that this process may use
};

// What the store has on disk, and what keeps it from writing more.
struct StoreDisk {
  uint64_t objects = 0;  // not in memory
  uint64_t bytes = 0;
  std::string trouble = {};
  SpillTrouble why = SpillTrouble::kNone;
  std::string dir = {};  // "": unknown
};

struct Host {
  std::string root;            // "" or where made-up /proc and /sys lie
  HostTrials trials;
  std::string store_dir;
  std::optional<int32_t> daemon_pid;  // of the daemon running at store_dir
  uint64_t arena_bytes = 0;           // its
  bool population_done = true;        // its
  std::string why_no_daemon = "no daemon runs";  // at store_dir
  bool daemon_is_elsewhere = false;   // its number is of another process namespace
  bool daemon_is_silent = false;      // why_no_daemon says why, `wake` what may help
  std::string wake;
  std::optional<StoreDisk> disk;      // of a store that writes to one
  Processor processor;
  uint32_t copy_plan = 0;  // what that daemon measured
};

enum class Verdict {
  kGood,
  kImprovable,  // Penstock runs, slower or with less
  kCannotRun,
};

struct Finding {
  std::string what;
  std::string found;
  Verdict verdict = Verdict::kGood;
  std::string improve;  // one command; empty when good
};

Finding ProbeProc(const Host& host);
Finding ProbeKernel(const Host& host);
Finding ProbeMemoryFile(const Host& host);
Finding ProbePidfd(const Host& host);
Finding ProbePeerPidfd(const Host& host);
Finding ProbeCollapse(const Host& host);
Finding ProbeHugetlb(const Host& host);
Finding ProbeShmemPages(const Host& host);
Finding ProbeTransparentPages(const Host& host);
Finding ProbeIoUring(const Host& host);
Finding ProbeSeccomp(const Host& host);
Finding ProbeMemory(const Host& host);
Finding ProbeDescriptors(const Host& host);
Finding ProbeFileMax(const Host& host);
Finding ProbeFileSize(const Host& host);
Finding ProbeMemlock(const Host& host);
Finding ProbeMaps(const Host& host);
Finding ProbeCpus(const Host& host);
Finding ProbeProcessor(const Host& host);
Finding ProbeCopies(const Host& host);
Finding ProbeNuma(const Host& host);
Finding ProbeOomScore(const Host& host);
Finding ProbeDaemon(const Host& host);
Finding ProbeDisk(const Host& host);

// All of them, in the order in which they are printed.
std::vector<Finding> Examine(const Host& host);

// Makes the trials. Cost: a few milliseconds and 4 MiB of memory.
HostTrials TryHost();

// The table, and the same as one JSON object.
std::string FormatFindings(const std::vector<Finding>& findings);
std::string FormatFindingsAsJson(const std::vector<Finding>& findings);
// 1 when Penstock cannot run here at all, else 0.
int ExitStatus(const std::vector<Finding>& findings);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCK_DOCTOR_H_
