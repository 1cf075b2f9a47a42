// What a thread of the draws holds, and how it judges.
#include "tests/integration/draws/hand.h"

#include <algorithm>

#include "store/base/units.h"
#include "tests/integration/helpers.h"

namespace penstock::draws {
namespace {

using absl::StatusCode;
using testing::Must;

constexpr size_t kMostHeld = 6;
// A message is read by a person: whatever the caller gave does not come back in full.
constexpr size_t kLongestMessage = 600;

bool IsReadable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) >= ' ' && c != 127;
  });
}

}  // namespace

Hand::Hand(Store& of, Watch& watch, uint64_t seed, Patience patience)
    : dice(seed), store(of), watch_(watch), seat_(watch.MakeSeat()), patience_(patience) {
  callers.push_back({store.daemon().Connect(), Rights::kAll});
  callers.push_back({store.Shared(), Rights::kAll});
  callers.push_back({callers[0].client, Rights::kMovedFrom});
  callers.push_back({Must(Client::Connect({.dir = store.dir(), .read_only = true})),
                     Rights::kReadOnly});
  const Client moved = std::move(callers[2].client);
}

void Hand::Draw(const Call& call) {
  call_ = &call;
  tally_.CountDraw(call);
  writer_rights_ = Rights::kAll;
  if (patience_ == Patience::kEndless) {
    const std::lock_guard lock(mutex_);
    waits_for_.clear();
  }
  call.draw(*this);
}

void Hand::LetAllGo() {
  builders_.clear();
  views_.clear();
  array_builder.reset();
  array_view.reset();
}

void Hand::TidyUp() {
  for (const ObjectId& id : store.TakeOld()) {
    const absl::Status status = callers[0].client.Delete(id);
    if (!status.ok() && !absl::IsNotFound(status) && also_.empty()) Judge(status);
  }
}

void Hand::TakeHandlesOf(Hand& parent) {
  builders_ = std::move(parent.builders_);
  views_ = std::move(parent.views_);
  subscription = std::move(parent.subscription);
  array_builder = std::move(parent.array_builder);
  callers[0].client = parent.callers[0].client;
}

void Hand::Begin(const std::string& given, absl::Duration deadline) {
  given_ = fmt::format("{}({})", call_->name, given);
  watch_.Begin(seat_, given_, deadline);
}

void Hand::Expect(bool holds, const std::string& what) {
  if (!holds) watch_.Fault(given_, what);
}

void Hand::Judge(const absl::Status& status) {
  const StatusCode code = status.code();
  tally_.CountEnd(*call_, code);
  if (writer_rights_ == Rights::kReadOnly) {
    Expect(code == StatusCode::kPermissionDenied || code == StatusCode::kInvalidArgument ||
               (!also_.empty() && !status.ok()),
           "a reader writes: " + status.ToString());
    if (code == StatusCode::kPermissionDenied) return;
  }
  if (writer_rights_ == Rights::kMovedFrom) {
    Expect(code == StatusCode::kFailedPrecondition || code == StatusCode::kInvalidArgument,
           "a client that was moved from answers: " + status.ToString());
    if (code == StatusCode::kFailedPrecondition) return;
  }
  if (status.ok()) return;
  const auto has = [code](const std::vector<StatusCode>& codes) {
    return std::find(codes.begin(), codes.end(), code) != codes.end();
  };
  Expect(has(call_->errors) || has(also_),
         "an error that is none of its own: " + std::string(status.ToString()).substr(0, 500));
  const std::string message(status.message());
  Expect(!message.empty(), "an error without a word");
  Expect(message.size() <= kLongestMessage,
         fmt::format("an error of {} characters: {}", message.size(), message.substr(0, 200)));
  Expect(IsReadable(message), "an error with unreadable characters: " + draws::Shown(message));
}

Caller& Hand::AnyCaller() {
  const uint64_t kind = dice.Roll(100);
  Caller& caller = callers[kind < 94 ? kind % 2 : kind < 96 ? 2 : 3];
  writer_rights_ = caller.rights == Rights::kMovedFrom ? Rights::kMovedFrom : Rights::kAll;
  return caller;
}

absl::Duration Hand::Deadline() {
  return patience_ == Patience::kEndless ? dice.EndlessDeadline() : dice.Deadline();
}

ObjectId Hand::AnyId() {
  const ObjectId id = store.AnyId(dice);
  if (patience_ == Patience::kEndless) {
    const std::lock_guard lock(mutex_);
    waits_for_.push_back(id);
  }
  return id;
}

std::vector<ObjectId> Hand::WaitsFor() const {
  const std::lock_guard lock(mutex_);
  return waits_for_;
}

CreateOptions Hand::Options(bool may_choose_id) {
  CreateOptions options;
  if (may_choose_id && dice.Percent(40)) options.id = store.AnyId(dice);
  options.type_tag = dice.Percent(2) ? kArrayTypeTag : static_cast<uint32_t>(dice.Word());
  options.evictable = dice.Percent(50);
  options.priority = static_cast<Priority>(dice.Percent(98) ? dice.Roll(3) : dice.Roll(256));
  options.session_bound = dice.Percent(20);
  // Now and then the default of 10 s, which an ender cuts short.
  if (patience_ == Patience::kShort || dice.Percent(80)) options.deadline = Deadline();
  return options;
}

void Hand::FillMetadata(CreateOptions& options, uint64_t size) {
  metadata_.resize(dice.MetadataSize());
  testing::FillPattern(metadata_, SeedOf(options.type_tag, size) + 1);
  options.metadata = metadata_;
}

std::span<const std::byte> Hand::Bytes(const CreateOptions& options, size_t size) {
  if (bytes_.size() < size) bytes_.resize(size);
  const std::span bytes(bytes_.data(), size);
  testing::FillPattern(bytes, SeedOf(options.type_tag, size));
  return bytes;
}

std::string Hand::Shown(const CreateOptions& options) const {
  return fmt::format("id {}, {} of metadata, tag {:#x}, priority {}{}{}, deadline {}",
                     options.id ? options.id->ToHex() : "none", options.metadata.size(),
                     options.type_tag, static_cast<unsigned>(options.priority),
                     options.evictable ? ", evictable" : "",
                     options.session_bound ? ", bound" : "",
                     draws::Shown(options.deadline));
}

void Hand::Fill(Builder& builder, uint32_t type_tag) {
  const std::span<std::byte> bytes = builder.data();
  testing::FillPattern(bytes, SeedOf(type_tag, bytes.size()));
}

void Hand::Keep(Builder builder) {
  store.Tell(builder.id());
  // Nothing large, or nobody else would ever have room.
  if (builder.data().size() > store.arena_bytes() / 32 && dice.Percent(90)) return;
  builders_.push_back(std::move(builder));
  if (builders_.size() > kMostHeld) builders_.erase(builders_.begin() + dice.Roll(kMostHeld));
}

void Hand::Keep(ObjectView view) {
  const std::string wrong = WhatIsWrong(view);
  Expect(wrong.empty(), wrong);
  if (view.data().size() > store.arena_bytes() / 32 && dice.Percent(90)) return;
  views_.push_back(std::move(view));
  if (views_.size() <= kMostHeld) return;
  // Its bytes are what they were, whatever became of the object meanwhile.
  const size_t last = dice.Roll(kMostHeld);
  const std::string changed = WhatIsWrong(views_[last]);
  if (views_[last].status().ok()) Expect(changed.empty(), changed);
  views_.erase(views_.begin() + last);
}

Builder& Hand::AnyBuilder() {
  if (builders_.empty()) builders_.emplace_back();
  return dice.OneOf(builders_);
}

ObjectView& Hand::AnyView() {
  if (views_.empty()) views_.emplace_back();
  return dice.OneOf(views_);
}

}  // namespace penstock::draws
