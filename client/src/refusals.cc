// The texts of refusals: what was expected, what is, what to do next.
#include "client/src/refusals.h"

#include <unistd.h>

#include <algorithm>

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
    text += fmt::format("; most of it, {}, is of {}, made or leased", FormatBytes(detail[5]),
                        NameOfProcess(static_cast<uint32_t>(detail[4])));
  }
  if (const uint64_t pinned_bytes = (detail[6] >> 32) * kPinnedUnitBytes; pinned_bytes > 0) {
    text += fmt::format("; {} pins {} of it", NameOfProcess(detail[4] >> 32),
                        FormatBytes(pinned_bytes));
  }
  if (const auto trouble = static_cast<SpillTrouble>(answer.count);
      trouble != SpillTrouble::kNone) {
    text += fmt::format("; and nothing can be spilled: {} (penstock status names the directory): "
                        "{}", NameOf(trouble), NextStepOf(trouble));
  }
  return text;
}

std::string NoRoomFor(const Completion& answer, uint64_t bytes) {
  const uint64_t used = answer.detail[0] + answer.detail[2];
  const uint64_t free = answer.detail[3] - std::min(answer.detail[3], used);
  if (free < bytes) return fmt::format("the store is full, no room for {}", FormatBytes(bytes));
  return fmt::format("no room for {}: {} are free, but not in one piece (what is pinned does not "
                     "move), or a client that asked before waits for them",
                     FormatBytes(bytes), FormatBytes(free));
}

// A name stands for whatever is made under it; any other id for one object only.
std::string_view MakeItAgain(const ObjectId& id) {
  return id.IsFromName() ? "make it again" : "make it again under a new id";
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
          "object {} was deleted: {}", id.ToHex(), MakeItAgain(id)));
    case AnswerCode::kEvicted:
      return absl::NotFoundError(fmt::format(
          "object {} was evicted to make room: it was created as evictable, make it again",
          id.ToHex()));
    case AnswerCode::kMakerDied:
      return absl::AbortedError(fmt::format(
          "object {} will not come: its maker's session ended and it is not here; {}",
          id.ToHex(), MakeItAgain(id)));
    case AnswerCode::kAlreadyExists:
      return AlreadyExistsStatus(id);
    case AnswerCode::kFull:
      return absl::ResourceExhaustedError(fmt::format(
          "{}: {}. Delete objects, let views go, seal or abort builders, or start the daemon with "
          "more --memory", NoRoomFor(answer, bytes), WhoHolds(answer)));
    case AnswerCode::kNoSlots:
      return absl::ResourceExhaustedError(fmt::format(
          "the store has no slot left: {}. Delete objects, seal or abort builders, or start the "
          "daemon with more --objects", WhoHolds(answer)));
    case AnswerCode::kTooLarge: {
      const auto [asked, most] = FormatBytesApart(bytes, answer.detail[0]);
      return absl::InvalidArgumentError(fmt::format(
          "an object of {} is larger than the store, which takes {}: start the daemon with "
          "more --memory, or make several objects", asked, most));
    }
    case AnswerCode::kCancelled:
      return LateGetStatus(answer, id);
    case AnswerCode::kTooManyRequests:
      return absl::ResourceExhaustedError(
          "this client waits for too many objects at once: wait for fewer at a time");
    case AnswerCode::kNoRoomToRestore:
      return absl::ResourceExhaustedError(fmt::format(
          "object {} is on disk, and there is no room to bring it back: {}. Delete objects, let "
          "views go, or seal or abort builders", id.ToHex(), WhoHolds(answer)));
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
      return absl::DataLossError(fmt::format("{}; {}", text, MakeItAgain(id)));
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

absl::Status LateGetStatus(const Completion& last_word, const ObjectId& id) {
  const bool is_cancelled = last_word.code == AnswerCode::kCancelled;
  if (last_word.code == AnswerCode::kNoRoomToRestore) {
    return absl::DeadlineExceededError(fmt::format(
        "object {} is on disk, and no room to bring it back came within the deadline: {}. Delete "
        "objects, let views go, seal or abort builders, or give a longer deadline",
        id.ToHex(), WhoHolds(last_word)));
  }
  if (is_cancelled && last_word.detail[0] == kCancelledOnDisk) {
    return absl::DeadlineExceededError(fmt::format(
        "object {} is on disk, and was not read back within the deadline: look at the disk of the "
        "daemon's --spill-dir, or give a longer deadline", id.ToHex()));
  }
  if (!is_cancelled && last_word.code != AnswerCode::kNotFound) {
    return StatusOfAnswer(last_word, id, 0);
  }
  return absl::DeadlineExceededError(fmt::format(
      "object {} was not sealed within the deadline: look at its maker, or give a longer "
      "deadline", id.ToHex()));
}

absl::Status OneOfTooManyStatus(const ObjectId& id) {
  return absl::DeadlineExceededError(fmt::format(
      "object {} did not come within the deadline, and too many others of this call did not "
      "either to be told of each why: ask for fewer at a time, or give a longer deadline",
      id.ToHex()));
}

absl::Status SilentDaemonStatus() {
  return absl::DeadlineExceededError(
      "the daemon did not answer in time: is it stopped, or the host overloaded?");
}

}  // namespace penstock::internal
