// The texts of refusals: what was expected, what is, what to do next.
#include "client/src/refusals.h"

#include <unistd.h>

#include <fmt/format.h>

#include "store/base/process_name.h"
#include "store/base/units.h"

namespace penstock::internal {
namespace {

std::string WhoHolds(const Completion& answer) {
  const uint64_t* const detail = answer.detail;
  std::string text = fmt::format(
      "of {} the store holds {} in {} objects ({} of it evictable) and {} in leases",
      FormatBytes(detail[3]), FormatBytes(detail[0]), static_cast<uint32_t>(detail[6]),
      FormatBytes(detail[1]),
      FormatBytes(detail[2]));
  if (detail[5] > 0) {
    text += fmt::format("; most of it, {}, was made by {}", FormatBytes(detail[5]),
                        NameOfProcess(static_cast<uint32_t>(detail[4])));
  }
  if (const uint64_t pinned_bytes = (detail[6] >> 32) * kPinnedUnitBytes; pinned_bytes > 0) {
    text += fmt::format("; {} pins {} of it", NameOfProcess(detail[4] >> 32),
                        FormatBytes(pinned_bytes));
  }
  if (const auto trouble = static_cast<SpillTrouble>(answer.count);
      trouble != SpillTrouble::kNone) {
    text += fmt::format("; and nothing can be spilled: {} (penstock status names the directory)",
                        NameOf(trouble));
  }
  return text;
}

}  // namespace

absl::Status StatusOfAnswer(const Completion& answer, const ObjectId& id, uint64_t bytes) {
  switch (answer.code) {
    case AnswerCode::kOk:
      return absl::OkStatus();
    case AnswerCode::kNotFound:
      return absl::NotFoundError(
          fmt::format("object {} is not here: wait for it with a deadline", id.ToHex()));
    case AnswerCode::kDeleted:
      return absl::NotFoundError(fmt::format(
          "object {} was deleted: make it again under a new id", id.ToHex()));
    case AnswerCode::kEvicted:
      return absl::NotFoundError(fmt::format(
          "object {} was evicted to make room: it was created as evictable, make it again",
          id.ToHex()));
    case AnswerCode::kMakerDied:
      return absl::AbortedError(fmt::format(
          "object {} will not come: its maker's session ended and it is not here; make it "
          "again under a new id",
          id.ToHex()));
    case AnswerCode::kAlreadyExists:
      return AlreadyExistsStatus(id);
    case AnswerCode::kFull:
      return absl::ResourceExhaustedError(fmt::format(
          "the store is full, no room for {}: {}. Delete objects, let views go, or start the "
          "daemon with more --memory", FormatBytes(bytes), WhoHolds(answer)));
    case AnswerCode::kNoSlots:
      return absl::ResourceExhaustedError(fmt::format(
          "the store has no slot left: {}. Delete objects, or start the daemon with more "
          "--objects", WhoHolds(answer)));
    case AnswerCode::kTooLarge: {
      const auto [asked, most] = FormatBytesApart(bytes, answer.detail[0]);
      return absl::InvalidArgumentError(fmt::format(
          "an object of {} is larger than the store, which takes {}: start the daemon with "
          "more --memory, or make several objects", asked, most));
    }
    case AnswerCode::kCancelled:
      return DeadlineStatus(id);
    case AnswerCode::kTooManyRequests:
      return absl::ResourceExhaustedError(
          "this client waits for too many objects at once: wait for fewer at a time");
    case AnswerCode::kNoRoomToRestore:
      return absl::ResourceExhaustedError(fmt::format(
          "object {} is on disk, and there is no room to bring it back: {}. Delete objects, let "
          "views go, or give the disk room", id.ToHex(), WhoHolds(answer)));
    case AnswerCode::kOverQuota: {
      const auto [holds, quota] = FormatBytesApart(answer.detail[1], answer.detail[0]);
      return absl::ResourceExhaustedError(fmt::format(
          "this client holds {} in objects and leases, and {} more are beyond its quota of {}: "
          "delete objects, or have the daemon started with a higher --client-quota",
          holds, FormatBytesApart(bytes, answer.detail[0]).first, quota));
    }
    case AnswerCode::kSpillLost: {
      const auto trouble = static_cast<SpillTrouble>(answer.detail[0]);
      const std::string text = fmt::format(
          "object {} was spilled to file {} and cannot be read back: {}{}", id.ToHex(),
          answer.detail[1], NameOf(trouble),
          answer.detail[2] == 0 ? "" : fmt::format(" (errno {})", answer.detail[2]));
      if (trouble == SpillTrouble::kIo) {
        return absl::UnavailableError(text + "; try again, look at the disk");
      }
      return absl::DataLossError(text + "; make the object again under a new id");
    }
    case AnswerCode::kOtherStore:
      return absl::NotFoundError(fmt::format(
          "object {} belongs to another store, or to this one before its daemon died: "
          "connect to that store, or make it again under a new id",
          id.ToHex()));
  }
  return absl::InternalError(fmt::format("the daemon answered with the unknown code {}: use "
                                         "the same release of Penstock for both",
                                         static_cast<unsigned>(answer.code)));
}

absl::Status AlreadyExistsStatus(const ObjectId& id) {
  return absl::AlreadyExistsError(fmt::format(
      "object {} exists already, or somebody is creating it: get it, or choose another id",
      id.ToHex()));
}

absl::Status RefusedSealsStatus(uint64_t count, const ObjectId& first) {
  return absl::AlreadyExistsError(fmt::format(
      "{} of the objects sealed since the last Sync {} not published, {}{}: an object of that id "
      "existed already, and stays. An id may be given to one Create only: get the object that is "
      "there, or choose another id",
      count, count == 1 ? "was" : "were", count == 1 ? "" : "the first of them ",
      first.ToHex()));
}

absl::Status NilIdStatus() {
  return absl::InvalidArgumentError("the nil id names no object: use NextId or FromName");
}

absl::Status NotGivenStatus(const ObjectId& id) {
  return absl::InvalidArgumentError(fmt::format(
      "object {} would be one of this session's ids, which NextId and NextIds have not given yet: "
      "take one of theirs, or a name's", id.ToHex()));
}

absl::Status ReadOnlyStatus(bool asked) {
  if (asked) {
    return absl::PermissionDeniedError(
        "this client may only read, as its ClientOptions::read_only asked: connect another "
        "one without it");
  }
  return absl::PermissionDeniedError(fmt::format(
      "user {0} may only read in this store: have its owner start penstockd with --allow "
      "uid:{0}:rw", geteuid()));
}

absl::Status DeadlineStatus(const ObjectId& id) {
  return absl::DeadlineExceededError(fmt::format(
      "object {} was not sealed within the deadline: look at its maker, or give a longer "
      "deadline", id.ToHex()));
}

}  // namespace penstock::internal
