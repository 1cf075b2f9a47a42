// PENSTOCK_CHECK(condition) << facts; aborts with the facts when our own code is
// wrong. Never for bytes that another process can write: those get a Status.
#ifndef PENSTOCK_STORE_BASE_CHECK_H_
#define PENSTOCK_STORE_BASE_CHECK_H_

#include <sstream>

namespace penstock::internal {

// Collects the facts and aborts in its destructor.
class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition);
  [[noreturn]] ~CheckFailure();
  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

// Turns the stream expression into void, so that both arms of ?: agree.
struct CheckVoidify {
  void operator&(std::ostream&) {}
};

}  // namespace penstock::internal

#define PENSTOCK_CHECK(condition)                                             \
  __builtin_expect(static_cast<bool>(condition), 1)                           \
      ? static_cast<void>(0)                                                  \
      : ::penstock::internal::CheckVoidify() &                                \
            ::penstock::internal::CheckFailure(__FILE__, __LINE__, #condition).stream()

#endif  // PENSTOCK_STORE_BASE_CHECK_H_
