// CopyArea: shared memory like the store's, mapped and touched beforehand.
#ifndef PENSTOCK_BENCH_HARNESS_COPY_AREA_H_
#define PENSTOCK_BENCH_HARNESS_COPY_AREA_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "store/shm/mapping.h"
#include "store/shm/memory_file.h"

namespace penstock::bench {

class CopyArea {
 public:
  // A memfd of at least `bytes`, populated, collapsed into huge pages where the kernel
  // can, and with every page touched by this process.
  static absl::StatusOr<CopyArea> Create(std::string_view name, uint64_t bytes,
                                         bool huge_pages = true);

  std::byte* data() const { return mapping_.data(); }
  uint64_t bytes() const { return mapping_.bytes(); }
  bool is_huge() const { return is_huge_; }  // at least 95% of it

 private:
  MemoryFile file_;
  Mapping mapping_;
  bool is_huge_ = false;
};

// "2 MiB (collapsed memfd)" or "4 KiB (memfd)", for Host::pages.
std::string PagesName(bool huge);

// Fills with bytes that differ from one 8-byte word to the next and from seed to seed.
void FillPattern(std::byte* data, uint64_t bytes, uint64_t seed);
// Whether the bytes are FillPattern's.
bool HasPattern(const std::byte* data, uint64_t bytes, uint64_t seed);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_COPY_AREA_H_
