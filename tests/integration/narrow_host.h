// Programs on hosts that lack something: limits, filters, /proc. All of it is set in a child, so
// that the tests themselves keep what they have.
#ifndef PENSTOCK_TESTS_INTEGRATION_NARROW_HOST_H_
#define PENSTOCK_TESTS_INTEGRATION_NARROW_HOST_H_

#include <sys/resource.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/support/test_daemon.h"

namespace penstock::testing {

// In a child: each is false where it could not be done.
bool LimitTo(decltype(RLIMIT_NOFILE) resource, rlim_t most);
// The system call fails with `error` from here on. For two of them their own rules.
bool RefuseCall(int call, int error);
// memfd_create without MFD_NOEXEC_SEAL fails, as with vm.memfd_noexec = 2.
bool RefuseExecutableMemfds();
bool UnmountProc();
// A file system that cannot be written, on `dir`.
bool MakeReadOnly(const std::string& dir);

// Whether this user may change what is mounted: only then the last two work.
bool MayMount();

// Runs a program to its end where `prepare` holds. Exit code 99: it could not be made to hold.
ProgramOutcome RunWhere(const std::function<bool()>& prepare,
                        const std::vector<std::string>& arguments);

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_INTEGRATION_NARROW_HOST_H_
