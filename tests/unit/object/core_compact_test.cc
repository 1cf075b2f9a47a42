// Compaction: who moves, who does not, and what a reader sees of it.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/fake_client.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kPiece = 128 * kKiB;  // no small block: free pieces are merged at once
constexpr uint64_t kPieces = 16;

Submission CancelRecord(uint32_t request) {
  Submission record{};
  record.op = SubmissionOp::kCancel;
  record.request = request;
  return record;
}

// A store full of pieces, of which every other one was deleted.
class CoreCompact : public ::testing::Test {
 protected:
  CoreCompact() : store_({.arena_bytes = kPieces * kPiece}) {
    for (uint64_t i = 0; i < kPieces; ++i) {
      pieces_.push_back(store_.Put(maker_, kPiece));
      auto bytes = store_.Bytes(pieces_.back().lease.offset, kPiece);
      for (uint64_t at = 0; at < kPiece; ++at) bytes[at] = ByteOf(i, at);
    }
    for (uint64_t i = 0; i < kPieces; i += 2) store_.Delete(maker_, pieces_[i]);
  }
  static std::byte ByteOf(uint64_t piece, uint64_t at) {
    return static_cast<std::byte>(piece * 31 + at * 7 + at / 251);
  }
  uint64_t OffsetOf(uint64_t piece) {
    return store_.index().slot(pieces_[piece].lease.slot).offset;
  }
  void ExpectWhole(uint64_t piece, uint64_t offset) {
    const auto bytes = store_.Bytes(offset, kPiece);
    for (uint64_t at = 0; at < kPiece; ++at) {
      ASSERT_EQ(bytes[at], ByteOf(piece, at)) << "piece " << piece << " byte " << at;
    }
  }
  void ExpectAllWhole() {
    for (uint64_t i = 1; i < kPieces; i += 2) ExpectWhole(i, OffsetOf(i));
  }
  void TurnUntilIdle() {
    do store_.Turn(); while (store_.core().IsCompacting());
    store_.Turn();
  }

  FakeStore store_;
  FakeClient& maker_ = store_.Open();
  FakeClient& reader_ = store_.Open();
  std::vector<FakeObject> pieces_;
};

TEST_F(CoreCompact, ObjectsMoveAsideForABlockThatFitsInTheFreeBytesOnly) {
  const FakeLease lease = store_.Lease(maker_, 3 * kPiece);
  // Nobody has written into the block: what was there went elsewhere, whole.
  std::memset(store_.Bytes(lease.offset, lease.block_bytes).data(), 0, lease.block_bytes);
  ExpectAllWhole();
  const CoreStats stats = store_.core().Stats();
  EXPECT_EQ(stats.compactions, 1u);
  EXPECT_EQ(stats.moved_objects, 1u) << "the cheapest window of three pieces covers one";
  EXPECT_EQ(stats.moved_bytes, kPiece);
  EXPECT_EQ(stats.given_up, 0u);
}

// However many freed blocks have to become one with their neighbours before.
TEST(CoreCompactBehindStacks, NoNumberOfFreedBlocksKeepsACreatorWaitingForNothing) {
  for (const int freed : {100, 500, 513, 700, 1000, 1024, 1500, 2500}) {
    FakeStore store{{.slots = 4096, .arena_bytes = 64 * kMiB}};
    FakeClient& client = store.Open();
    const FakeObject large = store.Put(client, 24 * kMiB);
    store.Put(client, 192 * kKiB);  // stays, and neither side of it is large enough
    std::vector<FakeObject> small;
    for (int i = 0; i < freed; ++i) small.push_back(store.Put(client, 64));
    for (const FakeObject& object : small) store.Delete(client, object);
    store.Delete(client, large);
    const uint32_t request = client.Ask(LeaseRecord(40 * kMiB));
    std::optional<Completion> answer;
    for (int turns = 0; turns < 200 && !answer; ++turns) {
      // No turn is taken but for what the core says that is left to do.
      if (!store.Turn() && store.core().PreparePark()) {
        answer = client.Answer(request);
        break;
      }
      answer = client.Answer(request);
    }
    ASSERT_TRUE(answer.has_value()) << freed;
    EXPECT_EQ(answer->op, CompletionOp::kGrant) << freed;
  }
}

TEST_F(CoreCompact, GenerationStaysAndLooksGoOnByIt) {
  store_.Lease(maker_, 6 * kPiece);
  for (uint64_t i = 1; i < kPieces; i += 2) {
    EXPECT_EQ(store_.GenerationOfSlot(pieces_[i].lease.slot), pieces_[i].lease.generation);
    EXPECT_EQ(store_.StateOfSlot(pieces_[i].lease.slot), SlotState::kSealed);
    EXPECT_EQ(store_.lease_entry(pieces_[i].lease.slot).offset, OffsetOf(i));
    EXPECT_EQ(store_.GetNow(reader_, pieces_[i].id), AnswerCode::kOk);
    store_.Delete(reader_, pieces_[i]);
  }
  EXPECT_EQ(store_.core().Stats().objects, 0u);
}

TEST_F(CoreCompact, APinnedObjectStaysWhereItIs) {
  for (uint64_t i = 1; i < kPieces; i += 2) {
    if (i != 7) reader_.TryPin(pieces_[i].id);
  }
  store_.Lease(maker_, 3 * kPiece);
  for (uint64_t i = 1; i < kPieces; i += 2) {
    EXPECT_EQ(OffsetOf(i) == pieces_[i].lease.offset, i != 7) << i;
  }
  ExpectAllWhole();
}

TEST_F(CoreCompact, AHeldObjectStaysTooUntilItsAskerHasItsOwnPin) {
  std::vector<Completion> answers;
  for (uint64_t i = 1; i < kPieces; i += 2) {
    const uint32_t get = reader_.Ask(IdRecord(SubmissionOp::kGet, pieces_[i].id));
    store_.Turn();
    answers.push_back(*reader_.Answer(get));
  }
  const uint32_t request = maker_.Ask(LeaseRecord(3 * kPiece));
  TurnUntilIdle();
  EXPECT_EQ(maker_.Code(request), kNoAnswer);
  for (const Completion& answer : answers) {
    reader_.Confirm(answer);
    EXPECT_EQ(answer.object.offset, store_.index().slot(answer.object.slot).offset);
  }
  TurnUntilIdle();
  EXPECT_EQ(maker_.Code(request), kNoAnswer);
  EXPECT_TRUE(reader_.Unpin(answers[3].object.slot)) << "its release tells nobody";
  TurnUntilIdle();
  EXPECT_EQ(maker_.Code(request), AnswerCode::kOk);
}

TEST_F(CoreCompact, APinThatComesDuringTheCopyDropsTheCopy) {
  uint32_t pinned = 0;
  store_.host().when_copied = [&] {
    // Whatever moves is pinned before it has moved.
    for (uint64_t i = 1; i < kPieces; i += 2) {
      if (reader_.TryPin(pieces_[i].id)) ++pinned;
    }
    store_.host().when_copied = nullptr;
  };
  const uint32_t request = maker_.Ask(LeaseRecord(3 * kPiece));
  TurnUntilIdle();
  EXPECT_EQ(pinned, 8u);
  EXPECT_EQ(maker_.Code(request), kNoAnswer);
  for (uint64_t i = 1; i < kPieces; i += 2) {
    EXPECT_EQ(OffsetOf(i), pieces_[i].lease.offset) << "moved under a reader";
  }
  const CoreStats stats = store_.core().Stats();
  EXPECT_EQ(stats.moved_objects, 0u);
  EXPECT_GE(stats.given_up, 1u);
  EXPECT_EQ(stats.free_bytes, 8 * kPiece) << "a copy was left behind";
}

TEST_F(CoreCompact, ADeleteDuringTheCopyFreesBothPlaces) {
  const FakeLease filler = store_.Lease(maker_, kPiece);  // the copy takes several turns now
  maker_.Push(SlotRecord(SubmissionOp::kReturnLease, filler.slot, filler.generation));
  store_.Turn();
  store_.host().when_copied = [&] {
    for (uint64_t i = 1; i < kPieces; i += 2) {
      maker_.Push(SlotRecord(SubmissionOp::kDelete, pieces_[i].lease.slot,
                             pieces_[i].lease.generation));
    }
    store_.host().when_copied = nullptr;
  };
  const uint32_t request = maker_.Ask(LeaseRecord(6 * kPiece));
  TurnUntilIdle();
  EXPECT_EQ(maker_.Code(request), AnswerCode::kOk);
  EXPECT_EQ(store_.core().Stats().free_bytes, (kPieces - 6) * kPiece);
}

// A window of more objects than one turn moves, seen in its middle.
class CoreCompactHalfWay : public ::testing::Test {
 protected:
  static constexpr uint64_t kMany = 64;
  CoreCompactHalfWay() : store_({.slots = 256, .arena_bytes = kMany * kPiece}) {
    std::vector<FakeObject> pieces;
    for (uint64_t i = 0; i < kMany; ++i) pieces.push_back(store_.Put(maker_, kPiece));
    for (uint64_t i = 0; i < kMany; i += 2) store_.Delete(maker_, pieces[i]);
    request_ = asker_.Ask(LeaseRecord(25 * kPiece));
    store_.Turn();
    EXPECT_TRUE(store_.core().IsCompacting());
    EXPECT_GT(store_.core().Stats().moved_objects, 0u);
  }
  // Nothing is reserved, copied or asked for any more.
  void ExpectGivenUp() {
    EXPECT_FALSE(store_.core().IsCompacting());
    EXPECT_EQ(store_.core().Stats().given_up, 1u);
    EXPECT_EQ(store_.core().Stats().compactions, 0u);
    for (uint64_t i = 0; i < kMany / 2; ++i) store_.Lease(maker_, kPiece);
    EXPECT_EQ(store_.core().Stats().free_bytes, 0u);
  }
  FakeStore store_;
  FakeClient& maker_ = store_.Open();
  FakeClient& asker_ = store_.Open();
  uint32_t request_ = 0;
};

TEST_F(CoreCompactHalfWay, NobodysLeaseLandsInTheWindowAndOthersAreServedBesideIt) {
  const FakeLease small = store_.Lease(maker_, kPiece);
  do store_.Turn(); while (store_.core().IsCompacting());
  const auto answer = asker_.Answer(request_);
  ASSERT_TRUE(answer && answer->op == CompletionOp::kGrant);
  const FakeLease large = LeaseIn(*answer);
  EXPECT_TRUE(small.offset >= large.offset + large.block_bytes ||
              small.offset + kPiece <= large.offset);
  EXPECT_EQ(store_.core().Stats().given_up, 0u);
}

TEST_F(CoreCompactHalfWay, TheWindowIsGivenUpWhenTheRequestIsCancelled) {
  asker_.Push(CancelRecord(request_));
  store_.Turn();
  EXPECT_EQ(asker_.Code(request_), AnswerCode::kFull);
  ExpectGivenUp();
}

TEST_F(CoreCompactHalfWay, TheWindowIsGivenUpWhenItsOwnerDies) {
  store_.Close(asker_);
  store_.Turn();
  ExpectGivenUp();
}

TEST_F(CoreCompact, TheDaemonsDeathInTheMiddleOfACopyLosesNothing) {
  int copies = 0;
  store_.host().when_copied = [&] { ++copies; };
  maker_.Ask(LeaseRecord(8 * kPiece));  // seven or eight objects must move, one a turn
  store_.core().Turn();
  EXPECT_GT(copies, 0);
  store_.Restart();
  ExpectAllWhole();
  EXPECT_EQ(store_.core().Stats().objects, kPieces / 2);
}

TEST_F(CoreCompact, TheDaemonsDeathBetweenTheStoresOfAMoveLeavesTheObjectWhereTheSlotSays) {
  const FakeLease target = pieces_[0].lease;  // free by now
  const uint32_t slot = pieces_[1].lease.slot;
  const auto from = store_.Bytes(pieces_[1].lease.offset, kPiece);
  std::memcpy(store_.Bytes(target.offset, kPiece).data(), from.data(), kPiece);
  Slot& object = store_.index().slot(slot);
  object.state.store(SlotWord(SlotState::kEvicting, pieces_[1].lease.generation));
  object.offset = target.offset;
  store_.Restart();
  EXPECT_EQ(store_.StateOfSlot(slot), SlotState::kSealed);
  EXPECT_EQ(store_.lease_entry(slot).offset, target.offset);
  store_.core().CheckInvariants();
  ExpectAllWhole();
}

TEST_F(CoreCompact, EvictableObjectsAreMovedAndNotDropped) {
  FakeStore store({.arena_bytes = kPieces * kPiece});
  FakeClient& client = store.Open();
  std::vector<FakeObject> objects;
  for (uint64_t i = 0; i < kPieces; ++i) {
    objects.push_back(store.Put(client, kPiece, kSealEvictable));
  }
  for (uint64_t i = 0; i < kPieces; i += 2) store.Delete(client, objects[i]);
  store.Lease(client, 3 * kPiece);
  EXPECT_EQ(store.core().Stats().evicted, 0u);
  for (uint64_t i = 1; i < kPieces; i += 2) EXPECT_TRUE(store.Contains(client, objects[i].id));
}

TEST_F(CoreCompact, WhatNoMoveCanMakeIsMadeByEviction) {
  FakeStore store({.arena_bytes = kPieces * kPiece});
  FakeClient& client = store.Open();
  FakeClient& reader = store.Open();
  std::vector<FakeObject> objects;
  for (uint64_t i = 0; i < kPieces; ++i) {
    objects.push_back(store.Put(client, kPiece, i == 5 ? kSealEvictable : 0u));
  }
  for (uint64_t i = 0; i < kPieces; i += 2) store.Delete(client, objects[i]);
  for (uint64_t i = 1; i < kPieces; i += 2) {
    if (i != 5) reader.TryPin(objects[i].id);
  }
  // Moving piece 5 makes three in a row, but no more.
  const uint32_t request = client.Ask(LeaseRecord(4 * kPiece));
  do store.Turn(); while (store.core().IsCompacting());
  store.Turn();
  EXPECT_EQ(client.Code(request), kNoAnswer);
  EXPECT_EQ(store.core().Stats().evicted, 1u);
}

}  // namespace
}  // namespace penstock::testing
