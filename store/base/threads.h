// Starting a thread where the host may refuse one.
#ifndef PENSTOCK_STORE_BASE_THREADS_H_
#define PENSTOCK_STORE_BASE_THREADS_H_

#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "store/base/host_limits.h"

namespace penstock {

// std::thread throws there. ResourceExhausted names the limits.
template <typename Body>
absl::StatusOr<std::thread> StartThread(std::string_view what, Body body) {
  try {
    return std::thread(std::move(body));
  } catch (const std::system_error& refused) {
    return StartStatus(refused.code().value(), what);
  }
}

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_THREADS_H_
