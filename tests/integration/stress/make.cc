// Actor: making objects in every way the client offers, and giving some up.
#include <fmt/format.h>

#include "tests/integration/stress/actor.h"

namespace penstock::stress {

// What the next object is. Sizes from 0 to a 12th of the store, most of them small.
Actor::Drawn Actor::Draw() {
  Drawn drawn;
  drawn.seed = dice_.Next();
  const uint64_t kind = dice_.Roll(1000);
  uint64_t size = 0;
  if (kind < 50) size = 0;
  else if (kind < 300) size = 1 + dice_.Roll(64);
  else if (kind < 750) size = 65 + dice_.Roll(4 * 1024);
  else if (kind < 950) size = (4 * 1024) << dice_.Roll(5);
  else if (kind < 999) size = (64 * 1024) + dice_.Roll(192 * 1024);
  else size = plan_.memory_bytes / 64 + dice_.Roll(plan_.memory_bytes / 16);
  drawn.size = static_cast<uint32_t>(size);
  const uint64_t trait = dice_.Roll(100);
  if (trait < 58) drawn.traits |= kEvictable;
  if (trait >= 55 && trait < 63) drawn.traits |= kBound;
  drawn.options.evictable = (drawn.traits & kEvictable) != 0;
  drawn.options.session_bound = (drawn.traits & kBound) != 0;
  drawn.options.type_tag = TagOf(drawn.seed);
  const uint64_t patience = dice_.Roll(10);
  drawn.options.deadline = patience < 2   ? absl::ZeroDuration()
                           : patience < 8 ? absl::Milliseconds(50) : absl::Seconds(2);
  return drawn;
}

void Actor::Make() {
  if (log_->full()) return;
  Drawn drawn = Draw();
  const uint64_t way = dice_.Roll(100);
  if (way < 8) MakeAborted(drawn);
  else if (way < 30) MakeByPut(drawn);
  else if (way < 36) MakeBatch();
  else MakeAndSeal(drawn);
}

// Counts the outcome of a create or seal. True when the object is sealed.
bool Actor::Sealed(Entry* entry, const absl::Status& outcome) {
  if (entry == nullptr || !outcome.ok()) {
    Fail("seal", entry == nullptr ? ObjectId{} : entry->id, outcome);
    return false;
  }
  entry->Advance(Stage::kSealed);
  log_->Add(Count::kSealed);
  log_->Add(Count::kMadeBytes, entry->size);
  return true;
}

// A builder, filled in place. The others know its id before it is sealed.
void Actor::MakeAndSeal(Drawn drawn) {
  drawn.options.metadata = MetadataOf(drawn.seed);
  const uint64_t kind = dice_.Roll(10);
  if (kind == 0) {
    drawn.traits |= kNamed;
    drawn.options.id = ObjectId::FromName(fmt::format("stress-{:016x}", drawn.seed));
    log_->Add(Count::kNamed);
  } else if (kind == 1) {
    const auto next = client_.NextId();
    if (!next.ok()) return Fail("NextId", ObjectId{}, next.status());
    drawn.options.id = *next;
  }
  At(Doing::kCreate);
  auto builder = client_.Create(drawn.size, drawn.options);
  if (!builder.ok()) return JudgeCreate(builder.status());
  Entry* const entry =
      log_->Append(builder->id(), drawn.seed, drawn.size, drawn.traits, Stage::kPromised);
  if (entry == nullptr) return;
  FillPattern(builder->data(), drawn.seed);
  if (dice_.Percent(3)) absl::SleepFor(absl::Microseconds(dice_.Roll(3000)));
  At(Doing::kSeal);
  entry->Advance(Stage::kSealBegun);
  if (dice_.Percent(20)) {
    log_->Add(Count::kSealToView);
    auto view = builder->SealToView();
    if (Sealed(entry, view.status())) Keep(*std::move(view), drawn.seed, drawn.size);
  } else {
    const auto id = builder->Seal();
    if (Sealed(entry, id.status()) && *id != entry->id) Fail("seal", *id, "another id");
  }
}

void Actor::MakeByPut(Drawn drawn) {
  drawn.options.metadata = MetadataOf(drawn.seed);
  const auto id = client_.NextId();
  if (!id.ok()) return Fail("NextId", ObjectId{}, id.status());
  drawn.options.id = *id;
  scratch_.resize(drawn.size);
  FillPattern(scratch_, drawn.seed);
  // May exist, or never: nobody waits for it before it is sealed.
  Entry* const entry =
      log_->Append(*id, drawn.seed, drawn.size, drawn.traits, Stage::kSealBegun);
  if (entry == nullptr) return;
  At(Doing::kCreate);
  log_->Add(Count::kPut);
  const auto put = client_.Put(scratch_, drawn.options);
  if (absl::IsResourceExhausted(put.status()) || absl::IsDeadlineExceeded(put.status())) {
    entry->Advance(Stage::kAborted);
    return JudgeCreate(put.status());
  }
  Sealed(entry, put.status());
}

// Several at once, all or none.
void Actor::MakeBatch() {
  const size_t count = 2 + dice_.Roll(15);
  std::vector<uint64_t> sizes, seeds;
  for (size_t i = 0; i < count; ++i) {
    sizes.push_back(dice_.Roll(4096));
    seeds.push_back(dice_.Next() & ~uint64_t{1});  // no metadata: they share the options
  }
  CreateOptions options;
  options.evictable = true;
  options.deadline = absl::Milliseconds(100);
  // They share the tag too; it is that of the seeds' common upper half.
  for (uint64_t& seed : seeds) seed = (seeds[0] & ~uint64_t{0xffffffff}) | (seed & 0xfffffffe);
  options.type_tag = TagOf(seeds[0]);
  At(Doing::kCreate);
  log_->Add(Count::kBatches);
  auto builders = client_.CreateMany(sizes, options);
  if (!builders.ok()) return JudgeCreate(builders.status());
  std::vector<Entry*> entries;
  for (size_t i = 0; i < count; ++i) {
    Builder& builder = (*builders)[i];
    entries.push_back(log_->Append(builder.id(), seeds[i], static_cast<uint32_t>(sizes[i]),
                                   kEvictable, Stage::kPromised));
    if (entries.back() == nullptr) return;
    FillPattern(builder.data(), seeds[i]);
  }
  for (Entry* const entry : entries) entry->Advance(Stage::kSealBegun);
  At(Doing::kSeal);
  const auto ids = client_.SealMany(*builders);
  for (Entry* const entry : entries) Sealed(entry, ids.status());
}

// Given up in one of three ways; nobody was told of it.
void Actor::MakeAborted(Drawn drawn) {
  At(Doing::kCreate);
  auto builder = client_.Create(drawn.size, drawn.options);
  if (!builder.ok()) return JudgeCreate(builder.status());
  const ObjectId id = builder->id();
  FillPattern(builder->data().first(std::min<size_t>(drawn.size, 64)), drawn.seed);
  log_->Add(Count::kAborted);
  switch (dice_.Roll(3)) {
    case 0:
      builder->Abort();
      if (const auto sealed = builder->Seal(); !absl::IsFailedPrecondition(sealed.status())) {
        Fail("seal after abort", id, sealed.status());
      }
      break;
    case 1: {
      const Builder moved = *std::move(builder);
      break;
    }
    default:
      *builder = Builder();
  }
  log_->Append(id, drawn.seed, drawn.size, drawn.traits, Stage::kAborted);
}

// A create that was refused may say "full" and nothing else. Then room is made.
void Actor::JudgeCreate(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status) && !absl::IsDeadlineExceeded(status)) {
    return Fail("create", ObjectId{}, status);
  }
  log_->Add(Count::kFull);
  while (!held_.empty()) LetGo(held_.size() - 1);
  for (int i = 0; i < 4; ++i) DeleteNext();
}

}  // namespace penstock::stress
