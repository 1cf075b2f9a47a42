// Pin rows: bits before pins, what the daemon reads, and both halves under threads.
#include "store/shm/pin_row.h"

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "store/base/units.h"
#include "store/shm/huge_pages.h"
#include "store/shm/mapping.h"
#include "store/shm/memory_file.h"

namespace penstock {
namespace {

constexpr uint32_t kCapacity = 130 * kPinsPerPage;  // three words of bitmap

struct Row {
  std::vector<std::atomic<uint64_t>> bitmap = std::vector<std::atomic<uint64_t>>(3);
  std::unique_ptr<Pin[]> pins = std::make_unique<Pin[]>(kCapacity);
  PinRow client{bitmap.data(), pins.get()};
  PinRowReader daemon{bitmap.data(), pins.get()};
};

TEST(PinRow, DaemonSeesAPinUntilTheLastOfItIsGone) {
  Row row;
  EXPECT_FALSE(row.daemon.IsPinned(5));
  row.client.Pin(5, 1);
  row.client.Pin(5, 2);
  EXPECT_TRUE(row.daemon.IsPinned(5));
  EXPECT_EQ(row.client.Count(5), 2u);
  row.client.Unpin(5);
  EXPECT_TRUE(row.daemon.IsPinned(5));
  row.client.Unpin(5);
  EXPECT_FALSE(row.daemon.IsPinned(5));
  EXPECT_FALSE(row.daemon.IsPinned(4));
  EXPECT_FALSE(row.daemon.IsPinned(6));
}

TEST(PinRow, EveryPageHasItsOwnBit) {
  Row row;
  for (const uint32_t page : {0u, 1u, 63u, 64u, 127u, 128u, 129u}) {
    const uint32_t slot = page * kPinsPerPage + 17;
    row.client.Pin(slot, 1);
    EXPECT_TRUE(row.daemon.IsPinned(slot));
    EXPECT_EQ((row.bitmap[page / 64].load() >> (page % 64)) & 1, 1u);
  }
  EXPECT_EQ(row.bitmap[0].load(), (uint64_t{1} << 63) | 3);
  EXPECT_EQ(row.bitmap[1].load(), (uint64_t{1} << 63) | 1);
  EXPECT_EQ(row.bitmap[2].load(), 3u);
}

TEST(PinRow, PinAgainWantsAnEarlierPinOfTheSameEpoch) {
  Row row;
  EXPECT_FALSE(row.client.PinAgain(9, 1));  // its page's bit does not stand yet
  EXPECT_EQ(row.client.Count(9), 0u);
  EXPECT_EQ(row.bitmap[0].load(), 0u);
  row.client.Pin(9, 1);
  row.client.Unpin(9);
  EXPECT_TRUE(row.client.PinAgain(9, 1));
  EXPECT_TRUE(row.daemon.IsPinned(9));
  EXPECT_FALSE(row.client.PinAgain(9, 2));  // the daemon must hear of the later use
  EXPECT_EQ(row.client.Count(9), 1u);
  EXPECT_FALSE(row.client.PinAgain(10, 1));
}

TEST(PinRow, DaemonReadsNoPageWhoseBitIsNotSet) {
  Row row;
  row.pins[7].count.store(1);  // written without its bit: such a page is not read
  row.pins[7].epoch.store(9);
  EXPECT_FALSE(row.daemon.IsPinned(7));
  EXPECT_EQ(row.daemon.LastUse(7), 0u);
  // A client killed after the bit and before the pin leaves a page of zeros to read.
  row.bitmap[0].store(2);
  EXPECT_FALSE(row.daemon.IsPinned(kPinsPerPage + 7));
}

// In memory as a session has it: a file, mapped at a multiple of 2 MiB.
TEST(PinRow, ARowInDenseUseBecomesAHugePageAndASparseOneStaysSmall) {
  const auto file = MemoryFile::Create("test-pins", 2 * kHugePageBytes);
  ASSERT_TRUE(file.ok());
  const auto memory = Mapping::Map(file->fd(), 2 * kHugePageBytes, Access::kReadWrite,
                                   OnFork::kDrop);
  ASSERT_TRUE(memory.ok());
  std::vector<std::atomic<uint64_t>> bitmap(16);
  PinRow row(bitmap.data(), reinterpret_cast<Pin*>(memory->data()));
  const auto touch = [&row](uint32_t first_page, uint32_t pages) {
    for (uint32_t i = 0; i < pages; ++i) row.Pin((first_page + i) * kPinsPerPage + i, 1);
  };
  touch(0, 63);
  touch(512, 20);
  EXPECT_EQ(*HugeMappedBytes(memory->data()), 0u);
  touch(300, 1);
  for (uint32_t i = 0; i < 63; ++i) EXPECT_EQ(row.Count(i * kPinsPerPage + i), 1u) << i;
  EXPECT_EQ(row.Count(300 * kPinsPerPage), 1u);
  EXPECT_EQ(row.Count(301 * kPinsPerPage), 0u);
  if (*HugeMappedBytes(memory->data()) == 0) {
    GTEST_SKIP() << "this kernel collapses no shared memory, or has no huge page free: "
                    "Linux 6.1 and later do";
  }
  EXPECT_EQ(*HugeMappedBytes(memory->data()), kHugePageBytes);
}

TEST(PinRow, BitsAreNeverTakenBack) {
  Row row;
  row.client.Pin(70 * kPinsPerPage, 1);
  row.client.Unpin(70 * kPinsPerPage);
  EXPECT_NE(row.bitmap[1].load(), 0u);
}

// A count that the daemon could see without its page's bit would be a pin overlooked.
TEST(PinRow, BitStandsBeforeThePinAlsoForAnotherThread) {
  for (int round = 0; round < 50; ++round) {
    Row row;
    std::atomic<bool> overlooked{false};
    std::thread daemon([&row, &overlooked] {
      for (uint32_t page = 0; page < 130; ++page) {
        const uint32_t slot = page * kPinsPerPage;
        while (row.pins[slot].count.load(std::memory_order_seq_cst) == 0) {
          std::this_thread::yield();
        }
        if (!row.daemon.IsPinned(slot)) overlooked.store(true);
      }
    });
    for (uint32_t page = 0; page < 130; ++page) row.client.Pin(page * kPinsPerPage, 1);
    daemon.join();
    ASSERT_FALSE(overlooked.load());
  }
}

TEST(PinRow, LastUseStaysAfterTheReleaseAndIsZeroForUntouchedSlots) {
  Row row;
  row.client.Pin(5, 33);
  row.client.Unpin(5);
  EXPECT_EQ(row.daemon.LastUse(5), 33u);
  EXPECT_EQ(row.daemon.LastUse(6), 0u);
  EXPECT_EQ(row.daemon.LastUse(100 * kPinsPerPage), 0u);
}

TEST(PinRow, CountThatAClientForgedOnlyCountsAsAPin) {
  Row row;
  row.client.Unpin(5);  // below zero
  row.bitmap[0].store(1);
  EXPECT_TRUE(row.daemon.IsPinned(5));
}

// SYNC S2 with real threads: of pin and mark at least one sees the other.
TEST(PinRow, OfPinAndMarkOneSeesTheOther) {
  constexpr uint64_t kRounds = 20'000;
  Row row;
  std::atomic<uint64_t> mark{0};   // the slot's state word
  std::atomic<uint64_t> round{0};  // starts both sides
  std::atomic<uint64_t> client_done{0};
  bool client_saw = false;
  std::thread client([&] {
    for (uint64_t i = 1; i <= kRounds; ++i) {
      while (round.load(std::memory_order_acquire) != i) std::this_thread::yield();
      row.client.Pin(1, 1);
      client_saw = mark.load(std::memory_order_seq_cst) == i;
      client_done.store(i, std::memory_order_release);
    }
  });
  uint64_t both_missed = 0;
  for (uint64_t i = 1; i <= kRounds; ++i) {
    round.store(i, std::memory_order_release);
    mark.exchange(i, std::memory_order_seq_cst);
    const bool daemon_saw = row.daemon.IsPinned(1);
    while (client_done.load(std::memory_order_acquire) != i) std::this_thread::yield();
    both_missed += !daemon_saw && !client_saw;
    row.client.Unpin(1);
  }
  client.join();
  EXPECT_EQ(both_missed, 0u);
}

TEST(PinRow, WhoOnlyLooksFindsEveryPinInTouchedPages) {
  Row row;
  row.client.Pin(3, 1);
  row.client.Pin(3, 1);
  row.client.Pin(60 * kPinsPerPage, 1);
  row.client.Pin(60 * kPinsPerPage + 1, 1);
  row.client.Unpin(60 * kPinsPerPage + 1);
  using Found = std::vector<std::pair<uint32_t, uint32_t>>;
  const auto look = [&](uint32_t begin, uint32_t end) {
    Found found;
    row.daemon.ForEachPinned(begin, end, [&](uint32_t slot, uint32_t count) {
      found.emplace_back(slot, count);
    });
    return found;
  };
  EXPECT_EQ(look(0, 61 * kPinsPerPage), (Found{{3, 2}, {60 * kPinsPerPage, 1}}));
  EXPECT_EQ(look(4, 60 * kPinsPerPage), Found());
}

TEST(PinRow, ThreadsOfOneProcessCountTogether) {
  Row row;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&row] {
      for (uint32_t i = 0; i < 20'000; ++i) {
        const uint32_t slot = i % 3 * 60 * kPinsPerPage;
        row.client.Pin(slot, i);
        row.client.Unpin(slot);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint32_t slot = 0; slot < 3; ++slot) {
    EXPECT_FALSE(row.daemon.IsPinned(slot * 60 * kPinsPerPage));
  }
  EXPECT_EQ(row.bitmap[0].load(), (uint64_t{1} << 60) | 1);
}

}  // namespace
}  // namespace penstock
