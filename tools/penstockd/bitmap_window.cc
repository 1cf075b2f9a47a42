// Mapping bitmaps into their places.
#include "tools/penstockd/bitmap_window.h"

#include <sys/mman.h>

#include <cerrno>

#include "store/base/check.h"
#include "store/base/errors.h"
#include "store/shm/session_segment.h"

namespace penstock {

BitmapWindow::~BitmapWindow() {
  if (base_ != nullptr) munmap(base_, places_ * pane_bytes_);
}

absl::Status BitmapWindow::Reserve(size_t sessions, uint32_t slots) {
  const SessionGeometry geometry = SessionGeometry::For(slots);
  offset_ = geometry.bitmap_offset;
  pane_bytes_ = geometry.bitmap_bytes;
  void* const base = mmap(nullptr, sessions * pane_bytes_, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return ErrnoStatus(errno, "reserving addresses for sessions");
  base_ = static_cast<std::byte*>(base);
  places_ = sessions;
  return absl::OkStatus();
}

absl::StatusOr<BitmapWindow::Pane> BitmapWindow::Open(int client_segment) {
  if (free_.empty() && fresh_ == places_) return Pane();
  size_t place = fresh_;
  if (!free_.empty()) place = free_.back();
  // Populated: the first look at thousands of rows would fault on each.
  if (mmap(At(place), pane_bytes_, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
           client_segment, static_cast<off_t>(offset_)) == MAP_FAILED) {
    return ErrnoStatus(errno, "mapping a session's bitmap");
  }
  if (free_.empty()) {
    ++fresh_;
  } else {
    free_.pop_back();
  }
  return Pane(this, place);
}

void BitmapWindow::Close(size_t place) {
  // In one step: nobody else's mapping comes between.
  PENSTOCK_CHECK(mmap(At(place), pane_bytes_, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                      0) != MAP_FAILED) << errno;
  free_.push_back(place);
}

}  // namespace penstock
