// Files damaged behind the store's back: exactly the objects concerned get their fault, and
// nobody ever gets other bytes.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/unit/spill/spill_world.h"

namespace penstock::testing {
namespace {

// Three packed and three large objects in one file.
class SpillDamage : public ::testing::Test {
 protected:
  SpillDamage() {
    world_.Open();
    for (uint64_t i = 0; i < 3; ++i) kept_.push_back(world_.Keep(i, 1000 + i));
    for (uint64_t i = 3; i < 6; ++i) kept_.push_back(world_.Keep(i, 2 * kMiB + 100 * i));
    path_ = world_.FilePath(kept_[0]);
  }
  uint64_t OffsetOf(const KeptObject& kept) { return world_.table.Place(kept.handle).offset(); }
  void ExpectOnly(size_t damaged, SpillFault fault) {
    for (size_t i = 0; i < kept_.size(); ++i) {
      if (i == damaged) {
        world_.ExpectFault(kept_[i], fault);
      } else {
        world_.ExpectWhole(kept_[i]);
      }
    }
  }

  SpillWorld world_;
  std::vector<KeptObject> kept_;
  std::string path_;
};

TEST_F(SpillDamage, AByteOfTheRecordHeaderAltersThatObjectAlone) {
  for (const size_t i : {size_t{1}, size_t{4}}) {
    for (uint64_t at = 0; at < sizeof(RecordHeader); ++at) {
      FlipByte(path_, OffsetOf(kept_[i]) + at);
      world_.ExpectFault(kept_[i], SpillFault::kAltered);
      FlipByte(path_, OffsetOf(kept_[i]) + at);
    }
    FlipByte(path_, OffsetOf(kept_[i]) + 50);
    ExpectOnly(i, SpillFault::kAltered);
    FlipByte(path_, OffsetOf(kept_[i]) + 50);
  }
  ExpectOnly(kept_.size(), SpillFault::kNone);
}

TEST_F(SpillDamage, AByteOfThePayloadAltersThatObjectAlone) {
  for (const size_t i : {size_t{0}, size_t{2}, size_t{3}, size_t{5}}) {
    const uint64_t data = OffsetOf(kept_[i]) + DataOffset(kept_[i].bytes);
    for (const uint64_t at : {uint64_t{0}, kept_[i].bytes / 2, kept_[i].bytes - 1}) {
      FlipByte(path_, data + at);
      ExpectOnly(i, SpillFault::kAltered);
      FlipByte(path_, data + at);
    }
  }
  ExpectOnly(kept_.size(), SpillFault::kNone);
}

TEST_F(SpillDamage, PaddingAndTheFileHeaderConcernNoObject) {
  FlipByte(path_, OffsetOf(kept_[0]) + sizeof(RecordHeader) + kept_[0].bytes);
  FlipByte(path_, OffsetOf(kept_[3]) + RecordBytes(kept_[3].bytes) - 1);
  FlipByte(path_, OffsetOf(kept_[3]) + 200);  // between header and payload
  FlipByte(path_, 20);
  ExpectOnly(kept_.size(), SpillFault::kNone);
  world_.Restart();
  ExpectOnly(kept_.size(), SpillFault::kNone);
  EXPECT_EQ(world_.store->Stats().damaged_files, 1u);
}

TEST_F(SpillDamage, ATruncatedFileLosesWhatLayBehind) {
  // Right inside the last block of data, and at every kind of place before it.
  Truncate(path_, OffsetOf(kept_[5]) + DataOffset(kept_[5].bytes) + kept_[5].bytes - 1);
  ExpectOnly(5, SpillFault::kTruncated);
  Truncate(path_, OffsetOf(kept_[5]) + kMiB);
  ExpectOnly(5, SpillFault::kTruncated);
  Truncate(path_, OffsetOf(kept_[5]) + 10);
  ExpectOnly(5, SpillFault::kTruncated);
  Truncate(path_, OffsetOf(kept_[2]) + 600);
  for (size_t i = 0; i < 6; ++i) {
    if (i < 2) {
      world_.ExpectWhole(kept_[i]);
    } else {
      world_.ExpectFault(kept_[i], SpillFault::kTruncated);
    }
  }
  // Neither does a restart make the file longer.
  world_.Restart();
  world_.ExpectWhole(kept_[1]);
  world_.ExpectFault(kept_[3], SpillFault::kTruncated);
}

TEST_F(SpillDamage, AFileThatWasDeletedIsMissingAfterARestart) {
  const KeptObject other = [&] {
    world_.Stop();
    world_.Open();
    return world_.Keep(50, 10'000);  // in a file of its own
  }();
  unlink(path_.c_str());
  world_.Restart();
  for (const KeptObject& kept : kept_) world_.ExpectFault(kept, SpillFault::kMissing);
  world_.ExpectWhole(other);
  for (const KeptObject& kept : kept_) world_.Drop(kept);
  world_.Settle([](const SpillStats& stats) { return stats.live_objects == 1; });
  EXPECT_EQ(world_.store->Stats().files, 1u);
}

TEST_F(SpillDamage, ARecordInAnothersPlaceIsNotTakenForIt) {
  // Two whole records of one size, exchanged.
  const KeptObject one = world_.Keep(60, 9000);
  const KeptObject two = world_.Keep(61, 9000);
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  std::vector<char> first(RecordBytes(9000)), second(RecordBytes(9000));
  const auto move = [&](const KeptObject& at, std::vector<char>& bytes, bool write) {
    const auto offset = static_cast<std::streamoff>(OffsetOf(at));
    const auto count = static_cast<std::streamsize>(bytes.size());
    file.seekg(offset);
    if (!write) file.read(bytes.data(), count);
    file.seekp(offset);
    if (write) file.write(bytes.data(), count);
  };
  move(one, first, false);
  move(two, second, false);
  move(one, second, true);
  move(two, first, true);
  file.close();
  world_.ExpectFault(one, SpillFault::kAltered);
  world_.ExpectFault(two, SpillFault::kAltered);
}

// A file says what is in it without the table, for whoever wants to know.
TEST_F(SpillDamage, AFileCanBeVerifiedAlone) {
  std::vector<char> bytes(std::filesystem::file_size(path_));
  std::ifstream(path_, std::ios::binary)
      .read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  SpillFileHeader head;
  std::memcpy(&head, bytes.data(), sizeof(head));
  EXPECT_TRUE(IsFileHeader(head, kIncarnation, head.number));
  size_t whole = 0;
  for (uint64_t at = kSpillBlockBytes; at + sizeof(RecordHeader) <= bytes.size();) {
    RecordHeader record;
    std::memcpy(&record, bytes.data() + at, sizeof(record));
    if (record.magic != kRecordMagic) {
      at += kSpillBlockBytes;
      continue;
    }
    const auto* data = reinterpret_cast<const std::byte*>(bytes.data() + at);
    EXPECT_EQ(Checksum::Of({data, offsetof(RecordHeader, checksum)}), record.checksum);
    EXPECT_EQ(Checksum::Of({data + record.data_offset, record.stored_bytes}),
              record.data_checksum);
    EXPECT_EQ(PlaceOf(record.location).offset(), at);
    ++whole;
    at += RecordBytes(record.stored_bytes);
  }
  EXPECT_EQ(whole, kept_.size());
}

}  // namespace
}  // namespace penstock::testing
