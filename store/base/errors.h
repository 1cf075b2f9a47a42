// Statuses from errno, and the two macros that pass a Status up.
#ifndef PENSTOCK_STORE_BASE_ERRORS_H_
#define PENSTOCK_STORE_BASE_ERRORS_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace penstock {

// "what: No space left on device. next_step" with the code that fits `error`. Where `error`
// tells of a limit of this process (host_limits.h), that is the next step.
absl::Status ErrnoStatus(int error, std::string_view what, std::string_view next_step = "");

}  // namespace penstock

#define PENSTOCK_RETURN_IF_ERROR(expression)            \
  do {                                                  \
    if (absl::Status penstock_status_ = (expression);   \
        !penstock_status_.ok()) {                       \
      return penstock_status_;                          \
    }                                                   \
  } while (false)

#define PENSTOCK_CONCAT_INNER_(a, b) a##b
#define PENSTOCK_CONCAT_(a, b) PENSTOCK_CONCAT_INNER_(a, b)
#define PENSTOCK_ASSIGN_OR_RETURN(left, expression) \
  PENSTOCK_ASSIGN_OR_RETURN_(PENSTOCK_CONCAT_(penstock_or_, __LINE__), left, expression)
#define PENSTOCK_ASSIGN_OR_RETURN_(temporary, left, expression) \
  auto temporary = (expression);                                \
  if (!temporary.ok()) return std::move(temporary).status();    \
  left = *std::move(temporary)

#endif  // PENSTOCK_STORE_BASE_ERRORS_H_
