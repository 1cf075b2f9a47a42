// Statuses from errno.
#include "store/base/errors.h"

#include <cerrno>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include "store/base/host_limits.h"

namespace penstock {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT: case ENXIO: case ENOTDIR: return absl::StatusCode::kNotFound;
    case EACCES: case EPERM: return absl::StatusCode::kPermissionDenied;
    case EEXIST: return absl::StatusCode::kAlreadyExists;
    case EINVAL: case ENAMETOOLONG: case ELOOP: return absl::StatusCode::kInvalidArgument;
    case EROFS: return absl::StatusCode::kFailedPrecondition;
    case ENOSYS: return absl::StatusCode::kUnimplemented;
    case ENOMEM: case ENOSPC: case EMFILE: case ENFILE: case EFBIG: case E2BIG: case EDQUOT:
      return absl::StatusCode::kResourceExhausted;
    case ECONNREFUSED: case ECONNRESET: case EPIPE: case ENOTCONN: case EAGAIN:
      return absl::StatusCode::kUnavailable;
    case ETIMEDOUT: return absl::StatusCode::kDeadlineExceeded;
    default: return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, std::string_view what, std::string_view next_step) {
  const std::string limit = LimitBehind(error);
  if (!limit.empty()) next_step = limit;
  return absl::Status(CodeOf(error),
                      fmt::format("{}: {}{}{}", what, std::generic_category().message(error),
                                  next_step.empty() ? "" : ". ", next_step));
}

}  // namespace penstock
