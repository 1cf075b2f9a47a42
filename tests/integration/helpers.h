// What the integration tests share: objects that can be checked, statuses that can be
// asserted, and a pipe between a test and its child.
#ifndef PENSTOCK_TESTS_INTEGRATION_HELPERS_H_
#define PENSTOCK_TESTS_INTEGRATION_HELPERS_H_

#include <gtest/gtest.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <penstock/client.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"
#include "tests/support/pattern.h"
#include "tests/support/test_daemon.h"

namespace penstock::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// The value, or the end of this process (a test's child too) with the status' words.
[[noreturn]] void GiveUp(const std::string& why);
template <typename T>
T Must(absl::StatusOr<T> outcome) {
  if (!outcome.ok()) GiveUp(outcome.status().ToString());
  return *std::move(outcome);
}
void Must(const absl::Status& status);

// Whether `status` has this code and its message has `part` in it.
::testing::AssertionResult Says(const absl::Status& status, absl::StatusCode code,
                                const std::string& part);
template <typename T>
::testing::AssertionResult Says(const absl::StatusOr<T>& outcome, absl::StatusCode code,
                                const std::string& part) {
  return Says(outcome.status(), code, part);
}
bool Contains(const std::string& text, const std::string& part);

// An object of Pattern(). Waits longer for room than the default.
ObjectId PutPattern(Client& client, uint64_t seed, size_t size,
                    const CreateOptions& options = {});

// One way between processes that fork from one another, made before the fork.
class Channel {
 public:
  Channel();
  template <typename T>
  void Send(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    SendBytes(&value, sizeof(value));
  }
  // Ends the process if nothing comes within a minute.
  template <typename T>
  T Receive() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    ReceiveBytes(&value, sizeof(value));
    return value;
  }
  void Signal() { Send('!'); }
  void Wait() { Receive<char>(); }

 private:
  void SendBytes(const void* bytes, size_t count);
  void ReceiveBytes(void* bytes, size_t count);

  UniqueFd read_;
  UniqueFd write_;
};

// All sessions but `clients` are closed, and neither lease nor doomed object is left.
::testing::AssertionResult NothingIsLeft(const TestDaemon& daemon, uint64_t clients = 0);

// Waits until the keeper has started another daemon than `before`: its pid.
pid_t NextDaemon(const TestDaemon& daemon, pid_t before);

size_t OpenDescriptors(pid_t pid);
// For thousands of connections. False where the hard limit is below 4096.
bool RaiseDescriptorLimit();
// How many of `sockets` the other side has closed.
size_t CountClosed(const std::vector<UniqueFd>& sockets);
// A zombie, which whoever reaps it has not met yet, does not run.
bool Runs(pid_t pid);

// Tests of guests need root to become somebody else.
inline constexpr uid_t kNobody = 65534;
bool BecomeNobody();
// A penstockd of that user, whose directory is below `place`, which becomes that user's. Only root
// may.
pid_t StartDaemonOfNobody(const std::string& place, const std::string& store,
                          const std::vector<std::string>& more = {});

}  // namespace penstock::testing

// In a child: says what does not hold and gives the child's exit code.
#define PENSTOCK_CHILD_EXPECT(condition)                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      fprintf(stderr, "%s:%d: in a child: %s\n", __FILE__, __LINE__, #condition);  \
      return 1;                                                                    \
    }                                                                              \
  } while (false)

#endif  // PENSTOCK_TESTS_INTEGRATION_HELPERS_H_
