// Counting passes, and the one that is the last.
#include "store/base/crash_point.h"

#ifdef PENSTOCK_CRASH_POINTS

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

namespace penstock {
namespace {

CrashFile* MapCrashFile() {
  const char* const path = std::getenv("PENSTOCK_CRASH_FILE");
  if (path == nullptr) return nullptr;
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return nullptr;
  void* const memory =
      mmap(nullptr, sizeof(CrashFile), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  return memory == MAP_FAILED ? nullptr : static_cast<CrashFile*>(memory);
}

}  // namespace

void (*g_crash_hook)(CrashPoint) = nullptr;

std::string_view NameOf(CrashPoint point) {
  switch (point) {
#define PENSTOCK_CRASH_POINT_NAME(name, who) \
  case CrashPoint::name: return #name;
    PENSTOCK_CRASH_POINTS_LIST(PENSTOCK_CRASH_POINT_NAME)
#undef PENSTOCK_CRASH_POINT_NAME
    default: return "none";
  }
}

char PasserOf(CrashPoint point) {
  switch (point) {
#define PENSTOCK_CRASH_POINT_WHO(name, who) \
  case CrashPoint::name: return who;
    PENSTOCK_CRASH_POINTS_LIST(PENSTOCK_CRASH_POINT_WHO)
#undef PENSTOCK_CRASH_POINT_WHO
    default: return '?';
  }
}

void PassCrashPoint(CrashPoint point) {
  if (g_crash_hook != nullptr) return g_crash_hook(point);
  static CrashFile* const file = MapCrashFile();
  if (file == nullptr) return;
  const auto number = static_cast<uint32_t>(point);
  file->passes[number].fetch_add(1);
  if (file->armed.load() != number + 1 || file->passes_left.fetch_sub(1) != 1) return;
  file->armed.store(0);
  file->fired.fetch_add(1);
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

}  // namespace penstock

#endif  // PENSTOCK_CRASH_POINTS
