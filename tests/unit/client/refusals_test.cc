// Refusals: each says what was wrong and what to do next.
#include "client/src/refusals.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace penstock::internal {
namespace {

Completion AnswerOf(AnswerCode code) {
  Completion answer;
  answer.op = CompletionOp::kAnswer;
  answer.code = code;
  answer.detail[0] = 3 << 20;   // in objects
  answer.detail[1] = 1 << 20;   // evictable
  answer.detail[2] = 2 << 20;   // in leases
  answer.detail[3] = 64 << 20;  // of the store
  answer.detail[4] = 4242;      // the top holder
  answer.detail[5] = 5 << 19;
  answer.detail[6] = 17;        // objects
  answer.detail[4] |= uint64_t{77} << 32;
  answer.detail[6] |= uint64_t{1024} << 32;
  return answer;
}

struct Expected {
  AnswerCode code;
  absl::StatusCode status;
  const char* names;      // what was wrong
  const char* next_step;
};

TEST(Refusals, EachNamesWhatWasWrongAndANextStep) {
  const ObjectId id = ObjectId::FromName("weights");
  const std::string hex = id.ToHex();
  const Expected expected[] = {
      {AnswerCode::kNotFound, absl::StatusCode::kNotFound, hex.c_str(), "deadline"},
      {AnswerCode::kDeleted, absl::StatusCode::kNotFound, hex.c_str(), "make it again"},
      {AnswerCode::kEvicted, absl::StatusCode::kNotFound, hex.c_str(), "make it again"},
      {AnswerCode::kMakerDied, absl::StatusCode::kAborted, hex.c_str(), "make it again"},
      {AnswerCode::kAlreadyExists, absl::StatusCode::kAlreadyExists, hex.c_str(), "get it"},
      {AnswerCode::kFull, absl::StatusCode::kResourceExhausted, "4242", "--memory"},
      {AnswerCode::kNoSlots, absl::StatusCode::kResourceExhausted, "4242", "--objects"},
      {AnswerCode::kTooLarge, absl::StatusCode::kInvalidArgument, "3.00 MiB", "--memory"},
      {AnswerCode::kCancelled, absl::StatusCode::kDeadlineExceeded, hex.c_str(),
       "longer deadline"},
      {AnswerCode::kTooManyRequests, absl::StatusCode::kResourceExhausted, "too many",
       "fewer"},
      {AnswerCode::kOtherStore, absl::StatusCode::kNotFound, hex.c_str(), "make it again"},
      {AnswerCode::kSpillLost, absl::StatusCode::kDataLoss, hex.c_str(), "make it again"},
      {AnswerCode::kNoRoomToRestore, absl::StatusCode::kResourceExhausted, hex.c_str(),
       "let views go"},
      {AnswerCode::kOverQuota, absl::StatusCode::kResourceExhausted, "quota of", "--client-quota"},
      {AnswerCode::kFull, absl::StatusCode::kResourceExhausted, "process 77 pins 4.00 MiB",
       "let views go"},
  };
  for (const Expected& refusal : expected) {
    const absl::Status status = StatusOfAnswer(AnswerOf(refusal.code), id, 4096);
    const std::string text = status.ToString();
    EXPECT_EQ(status.code(), refusal.status) << text;
    EXPECT_NE(text.find(refusal.names), std::string::npos) << text;
    EXPECT_NE(text.find(refusal.next_step), std::string::npos) << text;
  }
}

TEST(Refusals, FullStoreNamesAllThatHoldsIt) {
  const std::string text =
      StatusOfAnswer(AnswerOf(AnswerCode::kFull), ObjectId{}, 8 << 20).ToString();
  for (const char* part : {"8.00 MiB", "3.00 MiB", "1.00 MiB", "2.00 MiB", "64.00 MiB",
                           "2.50 MiB", "17 objects", "process 4242"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
}

TEST(Refusals, WhyNothingGoesToDiskIsSaidWithWhatEndsIt) {
  const std::pair<SpillTrouble, std::pair<const char*, const char*>> troubles[] = {
      {SpillTrouble::kDiskFull, {"the disk is full", "make room on that disk"}},
      {SpillTrouble::kLimit, {"--spill-limit is reached", "raise it"}},
      {SpillTrouble::kTableFull, {"as many objects are on disk as it takes", "--objects"}},
      {SpillTrouble::kGone, {"the directory is gone", "mkdir -m 700"}},
      {SpillTrouble::kUnwritable, {"cannot be written to", "store's user's alone"}},
      {SpillTrouble::kIo, {"reports an error", "look at that disk"}},
  };
  for (const AnswerCode code : {AnswerCode::kFull, AnswerCode::kNoRoomToRestore}) {
    for (const auto& [trouble, parts] : troubles) {
      Completion answer = AnswerOf(code);
      answer.count = static_cast<uint8_t>(trouble);
      const std::string text = StatusOfAnswer(answer, ObjectId{}, 64).ToString();
      EXPECT_NE(text.find(parts.first), std::string::npos) << text;
      EXPECT_NE(text.find(parts.second), std::string::npos) << text;
    }
  }
}

TEST(Refusals, AQuotaThatIsJustExceededIsNotSaidToBeWhatIsHeld) {
  Completion answer = AnswerOf(AnswerCode::kOverQuota);
  answer.detail[0] = uint64_t{1} << 30;         // the quota
  answer.detail[1] = (uint64_t{1} << 30) - 64;  // held
  const std::string text = StatusOfAnswer(answer, ObjectId{}, 128).ToString();
  EXPECT_NE(text.find("holds 1.00 GiB (1073741760 B)"), std::string::npos) << text;
  EXPECT_NE(text.find("quota of 1.00 GiB (1073741824 B)"), std::string::npos) << text;
}

TEST(Refusals, ANameMayBeMadeAgainAndAnyOtherIdMayNot) {
  for (const AnswerCode code :
       {AnswerCode::kDeleted, AnswerCode::kMakerDied, AnswerCode::kSpillLost}) {
    for (const ObjectId& id : {ObjectId::FromName("weights"), ObjectId{1, 2, 3}}) {
      const std::string text = StatusOfAnswer(AnswerOf(code), id, 0).ToString();
      EXPECT_NE(text.find("make it again"), std::string::npos) << text;
      EXPECT_EQ(text.find("under a new id") == std::string::npos, id.IsFromName()) << text;
    }
  }
}

// Builders that are not sealed hold memory like objects do.
TEST(Refusals, WhereRoomIsMissingBuildersAreAmongTheAdvice) {
  for (const AnswerCode code :
       {AnswerCode::kFull, AnswerCode::kNoSlots, AnswerCode::kNoRoomToRestore}) {
    const std::string text = StatusOfAnswer(AnswerOf(code), ObjectId{}, 64).ToString();
    EXPECT_NE(text.find("seal or abort builders"), std::string::npos) << text;
  }
}

TEST(Refusals, AStoreThatIsNotFullIsNotSaidToBe) {
  const Completion answer = AnswerOf(AnswerCode::kFull);  // 64 MiB, 5 of it in use
  EXPECT_NE(StatusOfAnswer(answer, ObjectId{}, 64 << 20).ToString().find("is full"),
            std::string::npos);
  const std::string text = StatusOfAnswer(answer, ObjectId{}, 8 << 20).ToString();
  EXPECT_EQ(text.find("is full"), std::string::npos) << text;
  EXPECT_NE(text.find("59.00 MiB are free"), std::string::npos) << text;
}

TEST(Refusals, StoreFullOfLeasesNamesNoMaker) {
  Completion answer = AnswerOf(AnswerCode::kFull);
  answer.detail[4] = 0;
  answer.detail[5] = 0;
  answer.detail[6] = 17;  // and nothing is pinned
  const std::string text = StatusOfAnswer(answer, ObjectId{}, 64).ToString();
  EXPECT_EQ(text.find("process"), std::string::npos) << text;
}

TEST(Refusals, ALateGetIsToldWhichOfItsCausesItWas) {
  const ObjectId id = ObjectId::FromName("weights");
  Completion nobodys = AnswerOf(AnswerCode::kCancelled);
  nobodys.detail[0] = 0;
  Completion slow = AnswerOf(AnswerCode::kCancelled);
  slow.detail[0] = kCancelledOnDisk;
  const std::pair<absl::Status, std::string> causes[] = {
      {LateGetStatus(nobodys, id), "look at its maker"},
      {LateGetStatus(slow, id), "look at the disk"},
      {LateGetStatus(AnswerOf(AnswerCode::kNoRoomToRestore), id), "process 77 pins 4.00 MiB"},
      {OneOfTooManyStatus(id), "ask for fewer"},
  };
  for (const auto& [status, part] : causes) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
    const std::string text = status.ToString();
    EXPECT_NE(text.find(part), std::string::npos) << text;
    EXPECT_NE(text.find(id.ToHex()), std::string::npos) << text;
    EXPECT_EQ(text.find("was not sealed") != std::string::npos, part == "look at its maker")
        << text;
  }
  EXPECT_EQ(LateGetStatus(AnswerOf(AnswerCode::kDeleted), id).code(), absl::StatusCode::kNotFound);
}

TEST(Refusals, OkIsNoRefusalAndUnknownCodesAreNamed) {
  EXPECT_TRUE(StatusOfAnswer(AnswerOf(AnswerCode::kOk), ObjectId{}, 0).ok());
  for (int code = 15; code < 256; ++code) {
    const absl::Status status =
        StatusOfAnswer(AnswerOf(static_cast<AnswerCode>(code)), ObjectId{}, 0);
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_NE(status.ToString().find(std::to_string(code)), std::string::npos);
    EXPECT_NE(status.ToString().find("same release"), std::string::npos);
  }
}

}  // namespace
}  // namespace penstock::internal
