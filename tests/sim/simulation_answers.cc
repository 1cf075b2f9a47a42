// What clients of the simulation are told, and what it is compared with.
#include "tests/sim/simulation.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace penstock::testing {

void Simulation::TakeAnswers(Actor& actor) {
  for (const FakeLease& lease : actor.client->TakeSpareLeases()) {
    Note("{} has slot {} generation {}", actor.client->number(), lease.slot, lease.generation);
    actor.leases.push_back(lease);
  }
  std::vector<std::pair<Submission, Completion>> answered;
  for (const auto& [request, record] : actor.asked) {
    if (const auto answer = actor.client->FirstAnswer(request)) {
      answered.emplace_back(record, *answer);
    }
  }
  for (const auto& [record, answer] : answered) {
    actor.asked.erase(record.request);
    TakeAnswer(actor, record, answer);
  }
  // Answered twice, after a restart: what comes with the second is given back.
  for (const Completion& second : actor.client->TakeSecondAnswers()) {
    if (second.op == CompletionOp::kObject) {
      actor.client->Push(ConfirmRecord(second));
    } else if (second.op == CompletionOp::kGrant) {
      const FakeLease lease = LeaseIn(second);
      Note("{} gives back slot {} generation {}", actor.client->number(), lease.slot,
           lease.generation);
      actor.client->Push(SlotRecord(SubmissionOp::kReturnLease, lease.slot, lease.generation));
    }
  }
  for (const Completion& refused : actor.client->TakeRefusedSeals()) {
    Note("{} is refused the seal of {}", actor.client->number(), refused.object.id.ToHex());
  }
}

void Simulation::TakeAnswer(Actor& actor, const Submission& record, const Completion& answer) {
  Note("{} is answered {}: {} code {}", actor.client->number(), record.request,
       static_cast<int>(answer.op), static_cast<int>(answer.code));
  switch (record.op) {
    case SubmissionOp::kLease:
      if (answer.op != CompletionOp::kGrant) return;
      actor.leases.push_back(LeaseIn(answer));
      Note("{} got slot {} generation {}", actor.client->number(), actor.leases.back().slot,
           actor.leases.back().generation);
      return;
    case SubmissionOp::kReserve:
      if (answer.op == CompletionOp::kGrant) {
        actor.reserved.emplace_back(record.id, LeaseIn(answer));
      }
      return;
    case SubmissionOp::kGet:
      if (answer.op == CompletionOp::kObject) {
        actor.unconfirmed.push_back(answer);
      } else {
        Refused(actor, record, answer.code);
      }
      return;
    default:
      return;
  }
}

void Simulation::Refused(const Actor& actor, const Submission& record, AnswerCode code) {
  const ObjectId& id = record.id;
  const uint64_t asked_at = actor.asked_at.at(record.request);
  if (code == AnswerCode::kCancelled || code == AnswerCode::kTooManyRequests) return;
  if (code == AnswerCode::kSpillLost) {
    // A read may fail once and work later; only the altered are lost.
    return;
  }
  if (code == AnswerCode::kNoRoomToRestore) {
    if (disk_was_full_ || actor.cancelled.contains(record.request)) return;
    Fail("no room to restore, with a disk that was never full");
    return;
  }
  const auto found = live_.find(id);
  if (found == live_.end() || (found->second.flags & kSealEvictable) != 0) return;
  // A core that takes over answers what waits in the rings, and its answers are read one step
  // later: this one was right when it was given.
  if (asked_at <= taken_over_at_ && taken_over_at_ < found->second.sealed_at) return;
  Fail(fmt::format("object {} must be there, and was refused with code {}", id.ToHex(),
                   static_cast<int>(code)));
}

void Simulation::TakeOver(Actor& actor, const Completion& answer) {
  const uint32_t slot = answer.object.slot;
  FakeClient& client = *actor.client;
  client.pins().Pin(slot, store_.index().header().epoch.load());
  // SYNC S4 hold, as the library does it.
  if (answer.count == static_cast<uint8_t>(store_.index().header().restarts.load())) {
    client.Push(ConfirmRecord(answer));
  } else if (store_.GenerationOfSlot(slot) != answer.object.generation ||
             store_.StateOfSlot(slot) != SlotState::kSealed) {
    client.Unpin(slot);
    return;
  }
  CheckBytes(answer.object.id, slot, "answered");
  actor.pins.push_back({slot, store_.GenerationOfSlot(slot), answer.object.id, MarkAt(slot)});
  ++counts_.objects_got;
}

void Simulation::CheckBytes(const ObjectId& id, uint32_t slot, const char* where) {
  const Slot& object = store_.index().slot(slot);
  if (object.id != id) {
    Fail(fmt::format("{}: slot {} holds another id", where, slot));
    return;
  }
  const uint64_t mark = MarkAt(slot);
  uint64_t last = 0;
  std::memcpy(&last, store_.Bytes(object.offset + object.size - 8, 8).data(), 8);
  const auto live = live_.find(id);
  const bool is_known = marks_[id].contains(mark);
  if (!is_known || mark != last) {
    Fail(fmt::format("{}: object {} has other bytes", where, id.ToHex()));
  } else if (live != live_.end() && live->second.size != object.size &&
             live->second.mark == mark) {
    Fail(fmt::format("{}: object {} has another size", where, id.ToHex()));
  }
}

uint64_t Simulation::MarkAt(uint32_t slot) {
  uint64_t mark = 0;
  std::memcpy(&mark, store_.Bytes(store_.index().slot(slot).offset, 8).data(), 8);
  return mark;
}

void Simulation::CheckPins() {
  for (const Actor& actor : actors_) {
    for (const Pin& pin : actor.pins) {
      if (store_.GenerationOfSlot(pin.slot) != pin.generation) {
        Fail(fmt::format("slot {} was freed under its reader", pin.slot));
      } else if (MarkAt(pin.slot) != pin.mark) {
        Fail(fmt::format("slot {} was written over under its reader", pin.slot));
      }
    }
  }
}

}  // namespace penstock::testing
