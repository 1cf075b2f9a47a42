// Channels: what goes in comes out, growth, padding, backpressure, torn and hostile rings.
#include "runtime/channel/channel.h"

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr uint32_t kKind = 20;

struct AlignedFree {
  void operator()(std::byte* memory) const { std::free(memory); }
};
std::unique_ptr<std::byte, AlignedFree> Segment() {
  auto* const memory = static_cast<std::byte*>(std::aligned_alloc(4096, kChannelBytes));
  std::memset(memory, 0, kChannelBytes);
  FormatChannel(memory);
  return std::unique_ptr<std::byte, AlignedFree>(memory);
}

struct Pair {
  std::unique_ptr<std::byte, AlignedFree> a = Segment(), b = Segment();
  ChannelHeader* header_a = reinterpret_cast<ChannelHeader*>(a.get());
  ChannelHeader* header_b = reinterpret_cast<ChannelHeader*>(b.get());
  ChannelProducer producer{a.get(), header_b};
  std::unique_ptr<ChannelConsumer> consumer =
      std::make_unique<ChannelConsumer>(header_b, a.get());

  bool Send(uint64_t number, const std::string& text) {
    const bool sent = producer.Write(kKind, number, std::as_bytes(std::span(text)));
    producer.Publish();
    return sent;
  }
  // The number and text of the next record; "-" when there is none, else what was wrong.
  std::pair<uint64_t, std::string> Take() {
    const auto record = consumer->Next();
    if (!record.ok()) return {0, std::string(record.status().message())};
    if (!record->has_value()) return {0, "-"};
    const auto& payload = (*record)->payload;
    return {(*record)->header.number,
            std::string(reinterpret_cast<const char*>(payload.data()), payload.size())};
  }
};

std::string TextOf(uint64_t number) {
  std::mt19937_64 random(number);
  std::string text(random() % (number % 7 == 0 ? kMostRecordBytes : 200), ' ');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

TEST(Channel, RecordsComeOutAsTheyWentIn) {
  Pair pair;
  EXPECT_EQ(pair.Take().second, "-");
  EXPECT_TRUE(pair.Send(7, "hello"));
  EXPECT_TRUE(pair.Send(8, ""));
  EXPECT_EQ(pair.Take(), (std::pair<uint64_t, std::string>(7, "hello")));
  EXPECT_EQ(pair.Take(), (std::pair<uint64_t, std::string>(8, "")));
  EXPECT_EQ(pair.Take().second, "-");
}

TEST(Channel, UnpublishedRecordsAreNotSeen) {
  Pair pair;
  const std::string text = "half done";
  EXPECT_TRUE(pair.producer.Write(kKind, 1, std::as_bytes(std::span(text))));
  EXPECT_FALSE(pair.consumer->HasRecords());
  EXPECT_EQ(pair.Take().second, "-");
  EXPECT_TRUE(pair.producer.Publish());
  EXPECT_FALSE(pair.producer.Publish());
  EXPECT_TRUE(pair.consumer->HasRecords());
  EXPECT_EQ(pair.Take().second, text);
}

TEST(Channel, ManySizesSurviveWrappingAndGrowth) {
  Pair pair;
  std::mt19937_64 random(1);
  uint64_t sent = 0, taken = 0;
  while (taken < 30'000) {
    for (uint64_t burst = random() % 400; burst > 0 && sent < 30'000; --burst) {
      if (!pair.Send(sent, TextOf(sent))) break;
      ++sent;
    }
    for (uint64_t burst = random() % 400; burst > 0 && taken < sent; --burst, ++taken) {
      ASSERT_EQ(pair.Take(), (std::pair<uint64_t, std::string>(taken, TextOf(taken))));
    }
    pair.consumer->PublishHead();
  }
}

TEST(Channel, AnIdleRingStaysSmallAndAFullOneGrowsOnce) {
  Pair pair;
  const std::string text(1000, 'x');
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(pair.Send(1, text));
    ASSERT_EQ(pair.Take().second, text);
    pair.consumer->PublishHead();
  }
  // Nothing lies behind the small ring.
  const std::byte* const behind = pair.a.get() + kChannelHeaderBytes + kSmallRingBytes;
  EXPECT_TRUE(std::all_of(behind, behind + 4096, [](std::byte b) { return b == std::byte{0}; }));
  uint64_t sent = 0;
  while (pair.Send(sent, text)) ++sent;
  EXPECT_GT(sent * text.size(), kLargeRingBytes * 8 / 10);
  for (uint64_t i = 0; i < sent; ++i) ASSERT_EQ(pair.Take().first, i);
  EXPECT_EQ(pair.Take().second, "-");
  EXPECT_FALSE(pair.Send(0, text)) << "the head is not given back yet";
  pair.consumer->PublishHead();
  EXPECT_TRUE(pair.Send(0, text));
}

TEST(Channel, TwoThreadsPassAMillionBytesInOrder) {
  Pair pair;
  constexpr uint64_t kCount = 50'000;
  std::thread sender([&pair] {
    for (uint64_t i = 0; i < kCount; ++i) {
      while (!pair.Send(i, TextOf(i % 1000))) std::this_thread::yield();
    }
  });
  for (uint64_t i = 0; i < kCount;) {
    const auto [number, text] = pair.Take();
    if (text == "-" && number == 0 && TextOf(i % 1000) != "-") {
      pair.consumer->PublishHead();
      std::this_thread::yield();
      continue;
    }
    ASSERT_EQ(number, i);
    ASSERT_EQ(text, TextOf(i % 1000));
    ++i;
  }
  sender.join();
}

TEST(Channel, ATailThatClaimsMoreThanTheRingEndsIt) {
  Pair pair;
  pair.header_a->tail.store(kLargeRingBytes + 16);
  EXPECT_NE(pair.Take().second.find("a tail of"), std::string::npos);
}

TEST(Channel, ATailThatWentBackEndsIt) {
  Pair pair;
  ASSERT_TRUE(pair.Send(1, "a"));
  ASSERT_EQ(pair.Take().second, "a");
  pair.header_a->tail.store(0);
  EXPECT_NE(pair.Take().second.find("a tail of"), std::string::npos);
}

TEST(Channel, ARecordLongerThanWhatIsPublishedEndsIt) {
  for (const uint32_t bytes : {100u, kMostRecordBytes + 1, 0xfffffff0u}) {
    Pair pair;
    ASSERT_TRUE(pair.Send(1, "a"));
    std::memcpy(pair.a.get() + kChannelHeaderBytes, &bytes, sizeof(bytes));
    EXPECT_NE(pair.Take().second.find("a record of"), std::string::npos) << bytes;
  }
}

TEST(Channel, ARecordOfAnUnknownKindEndsIt) {
  for (const uint32_t kind : {0u, 3u, 15u, 256u, ~0u}) {
    Pair pair;
    ASSERT_TRUE(pair.Send(1, "a"));
    std::memcpy(pair.a.get() + kChannelHeaderBytes + 4, &kind, sizeof(kind));
    EXPECT_NE(pair.Take().second.find("of kind"), std::string::npos) << kind;
  }
}

TEST(Channel, NoiseInAPeersSegmentNeverLeavesIt) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 300; ++round) {
    Pair pair;
    auto* const words = reinterpret_cast<uint32_t*>(pair.a.get() + kChannelHeaderBytes);
    for (int i = 0; i < 64; ++i) {
      // Small lengths and kinds that exist, so that some are believed.
      words[i] = random() % 3 != 0 ? static_cast<uint32_t>(random() % 40)
                                   : static_cast<uint32_t>(random());
    }
    pair.header_a->tail.store(random() % 3 == 0 ? random() : random() % 512 / 16 * 16);
    for (int i = 0; i < 100; ++i) {
      const auto record = pair.consumer->Next();
      if (!record.ok() || !record->has_value()) break;
      ASSERT_LE((*record)->payload.size(), kMostRecordBytes);
    }
  }
}

TEST(Channel, AHeadThatLiesIsNoRoom) {
  Pair pair;
  const std::string text(4000, 'x');
  pair.header_b->head.store(uint64_t{1} << 40);
  uint64_t sent = 0;
  while (sent < 10'000 && pair.Send(sent, text)) ++sent;
  EXPECT_LT(sent * text.size(), kLargeRingBytes + kSmallRingBytes);
}

TEST(Channel, ASegmentOfAnotherVersionIsRefused) {
  const auto segment = Segment();
  EXPECT_TRUE(CheckChannel(segment.get()).ok());
  reinterpret_cast<ChannelHeader*>(segment.get())->layout_version = 9;
  EXPECT_NE(CheckChannel(segment.get()).message().find("version 9"), std::string::npos);
  reinterpret_cast<ChannelHeader*>(segment.get())->magic = 1;
  EXPECT_FALSE(CheckChannel(segment.get()).ok());
}

}  // namespace
}  // namespace penstock
