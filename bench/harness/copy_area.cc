// Populate, collapse, touch.
#include "bench/harness/copy_area.h"

#include <algorithm>
#include <cstring>

#include "store/base/errors.h"
#include "store/base/units.h"
#include "store/shm/huge_pages.h"

namespace penstock::bench {
namespace {

constexpr int kCollapseTries = 3;

void CollapseAll(const Mapping& mapping) {
  for (uint64_t offset = 0; offset + kHugePageBytes <= mapping.bytes(); offset += kHugePageBytes) {
    for (int i = 0; i < kCollapseTries; ++i) {
      const absl::Status status = CollapsePages(mapping.data() + offset, kHugePageBytes);
      if (status.ok()) break;
      if (absl::IsUnimplemented(status)) return;
    }
  }
}

uint64_t PatternWord(uint64_t index, uint64_t seed) {
  uint64_t word = (index + 1) * 0x9e3779b97f4a7c15ULL + seed * 0xd1342543de82ef95ULL;
  word ^= word >> 29;
  return word * 0xbf58476d1ce4e5b9ULL;
}

}  // namespace

absl::StatusOr<CopyArea> CopyArea::Create(std::string_view name, uint64_t bytes,
                                          bool huge_pages) {
  CopyArea area;
  const uint64_t rounded = RoundUp(bytes, kHugePageBytes);
  PENSTOCK_ASSIGN_OR_RETURN(area.file_, MemoryFile::Create(name, rounded));
  PENSTOCK_RETURN_IF_ERROR(PopulatePages(area.file_.fd(), 0, rounded));
  PENSTOCK_ASSIGN_OR_RETURN(area.mapping_,
                            Mapping::Map(area.file_.fd(), rounded, Access::kReadWrite,
                                         OnFork::kDrop));
  if (huge_pages) CollapseAll(area.mapping_);
  std::memset(area.data(), 1, rounded);
  const auto huge_bytes = HugeMappedBytes(area.data());
  area.is_huge_ = huge_bytes.ok() && *huge_bytes >= rounded / 100 * 95;
  return area;
}

std::string PagesName(bool huge) { return huge ? "2 MiB (collapsed memfd)" : "4 KiB (memfd)"; }

void FillPattern(std::byte* data, uint64_t bytes, uint64_t seed) {
  for (uint64_t at = 0; at < bytes; at += sizeof(uint64_t)) {
    const uint64_t word = PatternWord(at / sizeof(uint64_t), seed);
    std::memcpy(data + at, &word, std::min(sizeof(word), bytes - at));
  }
}

bool HasPattern(const std::byte* data, uint64_t bytes, uint64_t seed) {
  for (uint64_t at = 0; at < bytes; at += sizeof(uint64_t)) {
    const uint64_t word = PatternWord(at / sizeof(uint64_t), seed);
    if (std::memcmp(data + at, &word, std::min(sizeof(word), bytes - at)) != 0) return false;
  }
  return true;
}

}  // namespace penstock::bench
