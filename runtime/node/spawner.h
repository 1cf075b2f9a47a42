// Spawning: a worker is the driver's own executable, started anew with the driver's
// arguments, environment and directory.
#ifndef PENSTOCK_RUNTIME_NODE_SPAWNER_H_
#define PENSTOCK_RUNTIME_NODE_SPAWNER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"

namespace penstock {

// What a worker finds in its environment: "number,directory of the node".
inline constexpr const char* kWorkerVariable = "PENSTOCK_WORKER";
inline constexpr uint64_t kMostLaunchBytes = 4 * 1024 * 1024;

// Two lists of texts: a count, then so many, each with a zero at its end. `arguments` as
// /proc/self/cmdline has them.
std::string EncodeLaunch(std::string_view arguments, char* const* environment);

struct Launch {
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
};
// InvalidArgument: a list without its end, or no argument at all.
absl::StatusOr<Launch> DecodeLaunch(std::string_view bytes);

struct Spawned {
  int32_t pid = 0;
  UniqueFd pidfd;
  UniqueFd output;  // the read end of its standard output and error
};
// Starts `executable` (a descriptor) in `directory` (a descriptor). Standard input is
// /dev/null. Errors: what the system said. Cost: a vfork and an exec, about 1 ms.
absl::StatusOr<Spawned> Spawn(const Launch& launch, int executable, int directory,
                              uint64_t number, const std::string& node_dir);

}  // namespace penstock

#endif  // PENSTOCK_RUNTIME_NODE_SPAWNER_H_
