// Lets ThreadSanitizer follow tests that fork a process with threads.
//
// In the child glibc hands the stacks of the parent's threads to new threads, and so their
// pthread_t; the sanitizer of GCC 12 still holds those for alive and gives up with "dup
// thread with used id". A stack size that the old stacks do not fill is the way round it.
#ifdef __SANITIZE_THREAD__
#include <pthread.h>

#include <cstddef>

namespace {

void AskForLargerStacks() {
  pthread_attr_t attributes;
  size_t stack_bytes = 0;
  pthread_getattr_default_np(&attributes);
  pthread_attr_getstacksize(&attributes, &stack_bytes);
  pthread_attr_setstacksize(&attributes, stack_bytes + 64 * 1024);
  pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, &AskForLargerStacks);

}  // namespace
#endif
