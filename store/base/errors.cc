// Statuses from errno.
#include "store/base/errors.h"

#include <cerrno>
#include <system_error>

#include <fmt/format.h>

namespace penstock {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT: case ENXIO: case ENOTDIR: return absl::StatusCode::kNotFound;
    case EACCES: case EPERM: return absl::StatusCode::kPermissionDenied;
    case EEXIST: return absl::StatusCode::kAlreadyExists;
    case EINVAL: case ENAMETOOLONG: case ELOOP: return absl::StatusCode::kInvalidArgument;
    case ENOMEM: case ENOSPC: case EMFILE: case ENFILE:
      return absl::StatusCode::kResourceExhausted;
    case ECONNREFUSED: case ECONNRESET: case EPIPE: case ENOTCONN: case EAGAIN:
      return absl::StatusCode::kUnavailable;
    case ETIMEDOUT: return absl::StatusCode::kDeadlineExceeded;
    default: return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, std::string_view what, std::string_view next_step) {
  return absl::Status(CodeOf(error),
                      fmt::format("{}: {}{}{}", what, std::generic_category().message(error),
                                  next_step.empty() ? "" : ". ", next_step));
}

}  // namespace penstock
