// Mapping a session's segments and reading them once.
#include "tools/penstock/session_look.h"

#include <fcntl.h>

#include "store/base/errors.h"
#include "store/shm/mapping.h"
#include "store/shm/memory_file.h"
#include "store/shm/session_segment.h"

namespace penstock {
namespace {

// Both sides go on while we look: a distance that cannot be is looked at again.
constexpr int kMostLooks = 4;

absl::StatusOr<Mapping> MapForReading(int fd, uint64_t bytes) {
  // The same checks as of a file that is taken over: sealed, so that reading cannot fault.
  PENSTOCK_ASSIGN_OR_RETURN(const MemoryFile file,
                            MemoryFile::Adopt(UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)), bytes));
  return Mapping::Map(file.fd(), bytes, Access::kReadOnly, OnFork::kInherit);
}

// Entries between a head and a tail; the head is read first, so that a moving ring shows too
// many and never a negative number.
template <typename Head, typename Tail>
std::optional<uint32_t> Unread(const Head& head, const Tail& tail, uint32_t entries) {
  for (int i = 0; i < kMostLooks; ++i) {
    const uint64_t from = head.load(std::memory_order_acquire);
    const uint64_t distance = tail.load(std::memory_order_acquire) - from;
    if (distance <= entries) return static_cast<uint32_t>(distance);
  }
  return std::nullopt;
}

void ReadPins(int fd, const SessionSegments& segments, uint32_t capacity, uint32_t place,
              std::vector<PinLook>& pins) {
  const PinRowReader row(segments.bitmap, segments.pins);
  const uint64_t begin = SessionGeometry::For(capacity).pins_offset;
  const uint64_t end = begin + uint64_t{capacity} * sizeof(Pin);
  for (const FilledRange& range : FilledRanges(fd, begin, end)) {
    row.ForEachPinned(static_cast<uint32_t>((range.begin - begin) / sizeof(Pin)),
                      static_cast<uint32_t>((range.end - begin) / sizeof(Pin)),
                      [&](uint32_t slot, uint32_t count) {
                        pins.push_back({slot, place, count});
                      });
  }
}

absl::Status ReadSegments(const WindowPage::Session& page, uint32_t capacity, uint32_t place,
                          SessionLook& look, std::vector<PinLook>& pins) {
  const SessionGeometry geometry = SessionGeometry::For(capacity);
  if (!page.daemon_segment.valid() || !page.client_segment.valid()) {
    return absl::UnavailableError("the keeper could not open its segments");
  }
  PENSTOCK_ASSIGN_OR_RETURN(const Mapping daemon, MapForReading(page.daemon_segment.get(),
                                                                geometry.daemon_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(const Mapping client, MapForReading(page.client_segment.get(),
                                                                geometry.client_bytes));
  const SessionSegments segments = SessionSegments::At(
      client.data(), daemon.data(), capacity,
      reinterpret_cast<const DaemonHeader*>(daemon.data())->session);
  const DaemonHeader& ours = *segments.daemon;
  const ClientHeader& theirs = *segments.client;
  look.submissions_taken = ours.submission_head.load(std::memory_order_acquire);
  look.completions_given = ours.completion_tail.load(std::memory_order_acquire);
  look.is_revoked = ours.revoked.load(std::memory_order_relaxed) != 0;
  look.is_backlogged = ours.backlogged.load(std::memory_order_relaxed) != 0;
  look.is_parked = theirs.parked.load(std::memory_order_relaxed) != 0;
  look.said_goodbye = theirs.use.load(std::memory_order_acquire) == kClosed;
  look.unread_submissions =
      Unread(ours.submission_head, theirs.submission_tail, kSubmissionEntries);
  look.unread_completions =
      Unread(theirs.completion_head, ours.completion_tail, kCompletionEntries);
  ReadPins(page.client_segment.get(), segments, capacity, place, pins);
  if (!look.unread_submissions || !look.unread_completions) {
    return absl::FailedPreconditionError("its ring's positions cannot be");
  }
  return segments.Check(capacity);
}

}  // namespace

SessionLook LookAt(const WindowPage::Session& page, uint32_t capacity, uint32_t place,
                   std::vector<PinLook>& pins) {
  SessionLook look;
  look.number = page.facts.number;
  look.pid = page.facts.pid;
  look.uid = page.facts.uid;
  look.is_read_only = page.facts.is_read_only != 0;
  look.process = StateOfProcess(look.pid);
  const absl::Status read = ReadSegments(page, capacity, place, look, pins);
  look.trouble = std::string(read.message());
  return look;
}

}  // namespace penstock
