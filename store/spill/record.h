// Making and checking of headers; pure functions over bytes.
#ifndef PENSTOCK_STORE_SPILL_RECORD_H_
#define PENSTOCK_STORE_SPILL_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "store/spill/file_layout.h"
#include "store/spill/spill_table.h"

namespace penstock {

// XXH3, 64 bits, of bytes that come piece by piece.
class Checksum {
 public:
  Checksum();
  ~Checksum();
  Checksum(Checksum&&) noexcept;
  Checksum& operator=(Checksum&&) noexcept;
  void Add(std::span<const std::byte> bytes);
  uint64_t Value() const;
  static uint64_t Of(std::span<const std::byte> bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

SpillFileHeader MakeFileHeader(uint64_t incarnation, uint32_t number);
bool IsFileHeader(const SpillFileHeader& header, uint64_t incarnation, uint32_t number);

RecordHeader MakeRecordHeader(const SpillFacts& facts, uint64_t incarnation, SpillPlace place);
// Whether the header is whole and that of this very object at this very place.
bool CheckRecord(const RecordHeader& header, const SpillFacts& facts, uint64_t incarnation,
                 SpillPlace place);

// Puts the header before, and zeroes the padding behind, a packed record's stored bytes,
// which stand at record + DataOffset(...) already.
void FrameRecord(const SpillFacts& facts, uint64_t incarnation, SpillPlace place,
                 std::byte* record);

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_RECORD_H_
