// What a process is called where people read it. The kernel gives 0 for the number of one that
// lives in a process namespace (a container) which this one cannot see.
#ifndef PENSTOCK_STORE_BASE_PROCESS_NAME_H_
#define PENSTOCK_STORE_BASE_PROCESS_NAME_H_

#include <cstdint>
#include <string>

namespace penstock {

inline std::string NumberOfProcess(int64_t pid) {
  return pid == 0 ? "unknown" : std::to_string(pid);
}
inline std::string NameOfProcess(int64_t pid) {
  return pid == 0 ? "a process of another pid namespace" : "process " + std::to_string(pid);
}

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_PROCESS_NAME_H_
