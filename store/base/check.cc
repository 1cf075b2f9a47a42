// The failing half of PENSTOCK_CHECK.
#include "store/base/check.h"

#include <unistd.h>

#include <cstdlib>
#include <string>

namespace penstock::internal {

CheckFailure::CheckFailure(const char* file, int line, const char* condition) {
  stream_ << file << ":" << line << ": check failed: " << condition << " ";
}

CheckFailure::~CheckFailure() {
  stream_ << "\n";
  const std::string text = stream_.str();
  // write(2) and not a stream: the process is in an unknown state.
  [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, text.data(), text.size());
  abort();
}

}  // namespace penstock::internal
