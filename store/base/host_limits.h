// What an errno says of this process and its host: which limit was met and how high it is, or
// what refuses a call or a place. The one place where these are put into words.
#ifndef PENSTOCK_STORE_BASE_HOST_LIMITS_H_
#define PENSTOCK_STORE_BASE_HOST_LIMITS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace penstock {

// The limit that `error` is about, its value now, and what raises it. It names the process, for
// a client is told what its daemon met. Empty: `error` alone tells of no limit. ErrnoStatus puts
// it in place of the caller's next step.
std::string LimitBehind(int error);

// Of a call that any process may make, like memfd_create. Refused as such, it is too new for
// this kernel, or a filter of the container is in the way.
absl::Status CallStatus(int error, std::string_view call, std::string_view next_step = "");

// Of a process or a thread that could not be started.
absl::Status StartStatus(int error, std::string_view what);

// Of address space that could not be had.
absl::Status AddressSpaceStatus(int error, std::string_view what);

// Of something to be opened below /proc/self.
absl::Status ProcStatus(int error, std::string_view what);
bool IsProcMounted();

// Of a file or directory that `choice` may put elsewhere, like "--dir or PENSTOCK_DIR".
absl::Status PlaceStatus(int error, std::string_view what, std::string_view choice);

// RLIMIT_FSIZE: a memory file is bound by it too, and beyond it comes a signal that ends the
// process. ~0: no limit.
uint64_t LargestFileBytes();
// In a program's main(): beyond that limit a write fails, like any other, and says why.
void FailWritesBeyondFileLimit();

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_HOST_LIMITS_H_
