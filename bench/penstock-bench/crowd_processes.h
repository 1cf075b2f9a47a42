// What the processes of a cluster take: read from /proc, by who descends from whom.
#ifndef PENSTOCK_BENCH_CROWD_PROCESSES_H_
#define PENSTOCK_BENCH_CROWD_PROCESSES_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace penstock::bench {

// `root` and everything that descends from it.
std::vector<pid_t> FamilyOf(pid_t root);
// The one with this name among them (/proc/pid/comm); 0 when there is none.
pid_t NamedAmong(const std::vector<pid_t>& family, const std::string& name);

// A field of /proc/pid/status that is given in kB, in bytes: "RssAnon". 0: it is gone.
uint64_t StatusBytes(pid_t pid, const std::string& field);
// Proportional set size of all its mappings but those of the store's arena, in bytes.
uint64_t PssWithoutArena(pid_t pid);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_CROWD_PROCESSES_H_
