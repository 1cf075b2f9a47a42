// Typed access to a session's two segments, for each of the two sides.
#ifndef PENSTOCK_STORE_SHM_SESSION_SEGMENT_H_
#define PENSTOCK_STORE_SHM_SESSION_SEGMENT_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "store/base/units.h"
#include "store/shm/pin_row.h"
#include "store/shm/ring.h"
#include "store/shm/session_layout.h"

namespace penstock {

struct SessionGeometry {
  uint64_t bitmap_offset = 0;
  uint64_t bitmap_bytes = 0;  // whole pages, with the room for its colour
  uint64_t pins_offset = 0;
  uint64_t client_bytes = 0;
  uint64_t daemon_bytes = 0;

  // The bitmaps of all sessions are read one after the other: where they began at the same place
  // in their pages, thousands of them would share a few sets of the caches.
  static uint64_t BitmapColour(uint64_t session) {
    return session % kBitmapColours * kColourBytes;
  }

  static SessionGeometry For(uint32_t capacity) {
    SessionGeometry geometry;
    geometry.bitmap_offset = kSegmentHeaderBytes + kSubmissionEntries * sizeof(Submission);
    const uint64_t pages = RoundUp(capacity, kPinsPerPage) / kPinsPerPage;
    geometry.bitmap_bytes = RoundUp(
        RoundUp(pages, 64) / 8 + (kBitmapColours - 1) * kColourBytes, 4 * kKiB);
    geometry.pins_offset =
        RoundUp(geometry.bitmap_offset + geometry.bitmap_bytes, kHugePageBytes);
    geometry.client_bytes =
        geometry.pins_offset + RoundUp(uint64_t{capacity} * sizeof(Pin), kHugePageBytes);
    geometry.daemon_bytes =
        kSegmentHeaderBytes + kCompletionEntries * sizeof(Completion);
    return geometry;
  }
};

using SubmissionProducer = RingProducer<Submission, kSubmissionEntries>;
using SubmissionConsumer = RingConsumer<Submission, kSubmissionEntries>;
using CompletionProducer = RingProducer<Completion, kCompletionEntries>;
using CompletionConsumer = RingConsumer<Completion, kCompletionEntries>;

// Views of two mapped segments; they own nothing.
struct SessionSegments {
  ClientHeader* client = nullptr;
  DaemonHeader* daemon = nullptr;
  Submission* submissions = nullptr;
  Completion* completions = nullptr;
  std::atomic<uint64_t>* bitmap = nullptr;
  Pin* pins = nullptr;

  static SessionSegments At(std::byte* client_base, std::byte* daemon_base, uint32_t capacity,
                            uint64_t session) {
    const SessionGeometry geometry = SessionGeometry::For(capacity);
    SessionSegments view;
    view.client = reinterpret_cast<ClientHeader*>(client_base);
    view.daemon = reinterpret_cast<DaemonHeader*>(daemon_base);
    view.submissions = reinterpret_cast<Submission*>(client_base + kSegmentHeaderBytes);
    view.completions = reinterpret_cast<Completion*>(daemon_base + kSegmentHeaderBytes);
    view.bitmap = reinterpret_cast<std::atomic<uint64_t>*>(
        client_base + geometry.bitmap_offset + SessionGeometry::BitmapColour(session));
    view.pins = reinterpret_cast<Pin*>(client_base + geometry.pins_offset);
    return view;
  }

  // Daemon: its bitmap is mapped once more, the region of it at `region`.
  void ReadBitmapFrom(std::byte* region, uint64_t session) {
    bitmap = reinterpret_cast<std::atomic<uint64_t>*>(region +
                                                      SessionGeometry::BitmapColour(session));
  }

  // Daemon: writes both headers into fresh, zeroed segments.
  void Format(uint32_t capacity, uint64_t session) const;
  // Client: checks both headers. FailedPrecondition names the versions.
  absl::Status Check(uint32_t capacity) const;

  SubmissionProducer MakeSubmissionProducer() const {
    return {submissions, &client->submission_tail, &daemon->submission_head};
  }
  SubmissionConsumer MakeSubmissionConsumer() const {
    return {submissions, &client->submission_tail, &daemon->submission_head};
  }
  CompletionProducer MakeCompletionProducer() const {
    return {completions, &daemon->completion_tail, &client->completion_head};
  }
  CompletionConsumer MakeCompletionConsumer() const {
    return {completions, &daemon->completion_tail, &client->completion_head};
  }
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_SESSION_SEGMENT_H_
