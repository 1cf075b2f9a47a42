// Headers and checksums of spill files.
#include "store/spill/record.h"

#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace penstock {

struct Checksum::State {
  XXH3_state_t xxh;
};

Checksum::Checksum() : state_(new State) { XXH3_64bits_reset(&state_->xxh); }
Checksum::~Checksum() = default;
Checksum::Checksum(Checksum&&) noexcept = default;
Checksum& Checksum::operator=(Checksum&&) noexcept = default;
void Checksum::Add(std::span<const std::byte> bytes) {
  XXH3_64bits_update(&state_->xxh, bytes.data(), bytes.size());
}
uint64_t Checksum::Value() const { return XXH3_64bits_digest(&state_->xxh); }
uint64_t Checksum::Of(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

SpillFileHeader MakeFileHeader(uint64_t incarnation, uint32_t number) {
  SpillFileHeader header{kSpillFileMagic, kSpillFileVersion, number, incarnation, 0};
  header.checksum = XXH3_64bits(&header, offsetof(SpillFileHeader, checksum));
  return header;
}

bool IsFileHeader(const SpillFileHeader& header, uint64_t incarnation, uint32_t number) {
  const SpillFileHeader expected = MakeFileHeader(incarnation, number);
  return std::memcmp(&header, &expected, sizeof(header)) == 0;
}

RecordHeader MakeRecordHeader(const SpillFacts& facts, uint64_t incarnation,
                              SpillPlace place) {
  const SpilledObject& object = facts.object;
  RecordHeader header{};
  header.magic = kRecordMagic;
  header.version = kSpillFileVersion;
  header.data_offset = static_cast<uint32_t>(DataOffset(facts.stored_bytes));
  header.incarnation = incarnation;
  header.location = LocationWord(place);
  header.id = object.id;
  header.size = object.size;
  header.stored_bytes = facts.stored_bytes;
  header.data_checksum = facts.checksum;
  header.maker_session = object.maker_session;
  header.maker_pid = object.maker_pid;
  header.metadata_size = object.metadata_size;
  header.type_tag = object.type_tag;
  header.flags = object.flags;
  header.checksum = XXH3_64bits(&header, offsetof(RecordHeader, checksum));
  return header;
}

bool CheckRecord(const RecordHeader& header, const SpillFacts& facts, uint64_t incarnation,
                 SpillPlace place) {
  // Everything in the header follows from the entry, so there is one right header.
  const RecordHeader expected = MakeRecordHeader(facts, incarnation, place);
  return std::memcmp(&header, &expected, sizeof(header)) == 0;
}

void FrameRecord(const SpillFacts& facts, uint64_t incarnation, SpillPlace place,
                 std::byte* record) {
  const RecordHeader header = MakeRecordHeader(facts, incarnation, place);
  std::memcpy(record, &header, sizeof(header));
  const uint64_t used_bytes = sizeof(header) + facts.stored_bytes;
  std::memset(record + used_bytes, 0, RecordBytes(facts.stored_bytes) - used_bytes);
}

}  // namespace penstock
