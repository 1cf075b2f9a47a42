// A core, its memory, and a host of which nothing is asked.
#include "bench/penstock-bench/empty_turn.h"

#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <utility>

#include "bench/harness/clock.h"
#include "store/base/errors.h"
#include "store/base/units.h"
#include "store/object/core.h"

namespace penstock::bench {
namespace {

constexpr uint32_t kSlots = 1024;
constexpr uint64_t kArenaBytes = 4 * kMiB;
constexpr uint64_t kIncarnation = 0x1234567;
constexpr int kTurns = 200;
constexpr int kWarmTurns = 20'000;

struct IdleHost : CoreHost {
  void Wake(SessionRow) override {}
  void AskForLeases(SessionRow) override {}
  void CopyBlock(uint64_t, uint64_t, uint64_t) override {}
  void SessionBroken(SessionRow, const std::string&) override {}
};

// Zeroed, in small pages as a session's: what is not touched costs nothing.
class Memory {
 public:
  static absl::StatusOr<Memory> Make(uint64_t bytes) {
    void* const data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return ErrnoStatus(errno, "mmap");
    madvise(data, bytes, MADV_NOHUGEPAGE);
    return Memory(static_cast<std::byte*>(data), bytes);
  }
  Memory(Memory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  Memory& operator=(Memory&&) = delete;
  ~Memory() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }
  std::byte* data() const { return data_; }

 private:
  Memory(std::byte* data, uint64_t bytes) : data_(data), bytes_(bytes) {}
  std::byte* data_;
  uint64_t bytes_;
};

class Turns : public EmptyTurns {
 public:
  Turns(Memory index, Memory leases, Memory infos, Memory rings)
      : index_(std::move(index)), leases_(std::move(leases)), infos_(std::move(infos)),
        rings_(std::move(rings)) {}

  absl::Status Begin(uint32_t sessions) {
    const IndexSegment index = IndexSegment::Format(index_.data(), IndexGeometry::For(kSlots),
                                                    kArenaBytes, kIncarnation);
    CoreLimits limits;
    limits.max_sessions = sessions;
    core_ = std::make_unique<Core>(
        index, LeaseSegment::Format(leases_.data(), kSlots, kArenaBytes, kIncarnation), limits,
        &host_, SlotInfoTable(reinterpret_cast<SlotInfo*>(infos_.data())));
    core_->AddExtent(0, kArenaBytes);
    core_->FinishPopulation();
    const SessionGeometry geometry = SessionGeometry::For(kSlots);
    std::byte* next = rings_.data();
    for (uint64_t number = 1; number <= sessions; ++number) {
      const SessionSegments segments =
          SessionSegments::At(next, next + geometry.client_bytes, kSlots, number);
      next += geometry.client_bytes + geometry.daemon_bytes;
      segments.Format(kSlots, number);
      PENSTOCK_RETURN_IF_ERROR(core_->OpenSession(segments, number, 1).status());
    }
    // Until those that say nothing are let out of sight.
    for (int i = 0; i < kWarmTurns; ++i) core_->Turn();
    return absl::OkStatus();
  }

  double Take() override {
    const int64_t start_ns = NowNs();
    for (int i = 0; i < kTurns; ++i) core_->Turn();
    return static_cast<double>(NowNs() - start_ns) * 1e-3 / kTurns;
  }

 private:
  Memory index_;
  Memory leases_;
  Memory infos_;
  Memory rings_;
  IdleHost host_;
  std::unique_ptr<Core> core_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EmptyTurns>> EmptyTurns::Make(uint32_t sessions) {
  const SessionGeometry geometry = SessionGeometry::For(kSlots);
  PENSTOCK_ASSIGN_OR_RETURN(Memory index, Memory::Make(IndexGeometry::For(kSlots).total_bytes));
  PENSTOCK_ASSIGN_OR_RETURN(Memory leases, Memory::Make(LeaseGeometry::TotalBytes(kSlots)));
  PENSTOCK_ASSIGN_OR_RETURN(Memory infos, Memory::Make(kSlots * sizeof(SlotInfo)));
  PENSTOCK_ASSIGN_OR_RETURN(
      Memory rings,
      Memory::Make(uint64_t{sessions} * (geometry.client_bytes + geometry.daemon_bytes)));
  auto turns = std::make_unique<Turns>(std::move(index), std::move(leases), std::move(infos),
                                       std::move(rings));
  PENSTOCK_RETURN_IF_ERROR(turns->Begin(sessions));
  return turns;
}

}  // namespace penstock::bench
