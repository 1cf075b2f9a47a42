// Segments with any header, as a client, a daemon's successor and a peer take them over:
// refused, or every table that the header speaks of lies inside the memory. The first byte
// chooses which kind of segment, the next four how large it is.
#include <sys/mman.h>

#include "store/shm/index_segment.h"
#include "store/shm/lease_segment.h"
#include "store/spill/spill_table.h"
#include "tests/fuzz/input.h"

namespace penstock::fuzz {
namespace {

constexpr uint64_t kMostBytes = 16 * kMiB;

// Zeroed pages; what lies behind `bytes`, rounded up to a page, ends whoever touches it.
class Segment {
 public:
  Segment(uint64_t bytes, std::span<const uint8_t> head) {
    bytes_ = (bytes + 4095) / 4096 * 4096;
    void* const memory = mmap(nullptr, bytes_ + 4096, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    PENSTOCK_CHECK(memory != MAP_FAILED);
    data_ = static_cast<std::byte*>(memory);
    if (bytes_ == 0) return;
    PENSTOCK_CHECK(mprotect(data_, bytes_, PROT_READ | PROT_WRITE) == 0);
    std::memcpy(data_, head.data(), std::min<uint64_t>(head.size(), bytes));
  }
  ~Segment() { munmap(data_, bytes_ + 4096); }
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  std::byte* data() const { return data_; }

 private:
  std::byte* data_;
  uint64_t bytes_;
};

// Reads that a sanitizer or the guard page would see.
template <typename T>
uint64_t FirstByte(const T& object) {
  return static_cast<uint64_t>(*reinterpret_cast<const volatile std::byte*>(&object));
}

void TakeIndex(const Segment& segment, uint64_t bytes) {
  const auto index = IndexSegment::Attach(segment.data(), bytes);
  if (!index.ok()) return;
  if (index->capacity() == 0) return;  // nobody finds anything in it, which harms nobody
  for (const uint32_t slot : {0u, index->capacity() - 1}) FirstByte(index->slot(slot));
  for (const uint32_t bucket : {0u, index->bucket_mask()}) FirstByte(index->bucket(bucket));
}

void TakeLeases(const Segment& segment, uint64_t bytes) {
  const auto leases = LeaseSegment::Attach(segment.data(), bytes);
  if (!leases.ok()) return;
  FirstByte((*leases)[0]);
  FirstByte((*leases)[leases->header().capacity - 1]);
  if (!leases->extents().empty()) FirstByte(leases->extents().back());
  FirstByte(leases->graves().back());
}

void TakeSpillTable(const Segment& segment, uint64_t bytes) {
  const auto table = SpillTable::Attach(segment.data(), bytes);
  if (!table.ok()) return;
  table->IsLive(table->capacity() - 1);
  table->Visit([&](SpillHandle handle, const SpillFacts&) {
    PENSTOCK_CHECK(handle < table->capacity());
  });
}

}  // namespace
}  // namespace penstock::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::fuzz;
  Input input(data, size);
  const size_t kind = input.Pick(3);
  const uint64_t bytes = input.Take<uint32_t>() % (kMostBytes + 1);
  const Segment segment(bytes, input.TakeRest());
  switch (kind) {
    case 0: TakeIndex(segment, bytes); break;
    case 1: TakeLeases(segment, bytes); break;
    default: TakeSpillTable(segment, bytes); break;
  }
  return 0;
}
