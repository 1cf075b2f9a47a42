// Draws of the client's calls that open a session, and make, seal and delete objects.
#include <algorithm>

#include "tests/integration/draws/hand.h"

namespace penstock::draws {
namespace {

using absl::StatusCode;

const std::vector<StatusCode> kOfMaking = {
    StatusCode::kResourceExhausted, StatusCode::kInvalidArgument, StatusCode::kAlreadyExists};

std::string ShownSizes(const std::vector<uint64_t>& sizes) {
  return sizes.empty() ? "no sizes" : fmt::format("{} sizes, the first {}", sizes.size(), sizes[0]);
}

// A bad value is refused by name, never taken for another.
void ExpectTaken(Hand& hand, const CreateOptions& options) {
  hand.Expect(options.priority <= Priority::kHigh, "a priority that is none is taken");
  hand.Expect(options.metadata.size() <= (size_t{1} << 20), "more metadata than fits is taken");
  hand.Expect(!options.id || !options.id->IsNil(), "the nil id is taken");
}

void DrawConnect(Hand& hand) {
  ClientOptions options;
  options.dir = hand.dice.Dir(hand.store.dir());
  options.read_only = hand.dice.Percent(20);
  auto client = hand.Ask(absl::Seconds(10), Shown(options.dir),
                         [&] { return Client::Connect(options); });
  if (!client.ok() || options.dir.empty()) return;
  hand.Expect(options.dir == hand.store.dir(), "another directory than the store's answers");
  // The one before it goes while its views and builders are still about.
  if (options.read_only) hand.callers[3].client = *std::move(client);
  else hand.callers[0].client = *std::move(client);
}

void DrawHandle(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  Client copy = caller.client;
  Client moved = hand.Do([&] { return std::move(copy); });
  copy = moved;
  moved = std::move(copy);
  hand.Judge(moved.NextId().status());
}

void DrawCreate(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  hand.Writes(caller);
  const uint64_t size = hand.dice.Size(hand.store.arena_bytes());
  CreateOptions options = hand.Options();
  hand.FillMetadata(options, size);
  auto builder = hand.Ask(options.deadline, fmt::format("{}, {}", size, hand.Shown(options)),
                          [&] { return caller.client.Create(size, options); });
  if (!builder.ok()) return;
  ExpectTaken(hand, options);
  hand.Expect(builder->data().size() == size &&
                  builder->metadata().size() == options.metadata.size(),
              "a builder of another size than was asked for");
  hand.Fill(*builder, options.type_tag);
  hand.Keep(*std::move(builder));
}

void DrawCreateMany(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  hand.Writes(caller);
  std::vector<uint64_t> sizes(hand.dice.Count());
  // Of many, each is small: together they are as large as the store now and then.
  for (uint64_t& size : sizes) {
    size = sizes.size() <= 10 ? hand.dice.Size(hand.store.arena_bytes()) : hand.dice.Roll(64);
  }
  CreateOptions options = hand.Options(hand.dice.Percent(3));
  if (sizes.size() == 1) hand.FillMetadata(options, sizes[0]);
  auto builders = hand.Ask(options.deadline,
                           fmt::format("{}, {}", ShownSizes(sizes), hand.Shown(options)),
                           [&] { return caller.client.CreateMany(sizes, options); });
  if (!builders.ok()) return;
  if (!sizes.empty()) ExpectTaken(hand, options);
  hand.Expect(builders->size() == sizes.size(), "not as many builders as sizes");
  for (size_t i = 0; i < builders->size(); ++i) {
    // What has metadata that was made for another size is not sealed.
    if (i >= 10) break;
    hand.Fill((*builders)[i], options.type_tag);
    hand.Keep(std::move((*builders)[i]));
  }
}

void DrawSealMany(Hand& hand) {
  Caller& caller = hand.callers[hand.dice.Roll(2)];
  hand.AnyBuilder();
  const std::span all(hand.builders());
  const std::span some = all.first(hand.dice.Roll(all.size() + 1));
  const auto ids = hand.Ask(fmt::format("{} builders", some.size()),
                            [&] { return caller.client.SealMany(some); });
  if (ids.ok()) hand.Expect(ids->size() == some.size(), "not as many ids as builders");
}

template <bool kAsText>
void DrawPut(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  hand.Writes(caller);
  const uint64_t most = hand.store.arena_bytes();
  const size_t size = std::min<uint64_t>(hand.dice.Size(most), most + 1);
  CreateOptions options = hand.Options();
  hand.FillMetadata(options, size);
  const std::span<const std::byte> bytes = hand.Bytes(options, size);
  const auto id =
      hand.Ask(options.deadline, fmt::format("{} bytes, {}", size, hand.Shown(options)), [&] {
        if constexpr (kAsText) {
          const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
          return caller.client.Put(text, options);
        } else {
          return caller.client.Put(bytes, options);
        }
      });
  if (!id.ok()) return;
  ExpectTaken(hand, options);
  hand.Expect(!options.id || *id == *options.id, "another id than the chosen one");
  hand.store.Tell(*id);
}

void DrawDelete(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  hand.Writes(caller);
  const ObjectId id = hand.AnyId();
  (void)hand.Ask(id.ToHex(), [&] { return caller.client.Delete(id); });
}

void DrawNextId(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  const auto id = hand.Ask("", [&] { return caller.client.NextId(); });
  if (id.ok()) hand.store.Tell(*id);
}

void DrawNextIds(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  const auto count = static_cast<uint32_t>(hand.dice.Word());
  const auto id = hand.Ask(fmt::format("{}", count), [&] { return caller.client.NextIds(count); });
  if (!id.ok()) return;
  hand.Expect(count != 0, "the first of no ids");
  hand.store.Tell({id->home, id->session, id->sequence + hand.dice.Roll(count)});
}

}  // namespace

Calls MakingCalls() {
  return {
      {"Client::Connect", 1, DrawConnect,
       {StatusCode::kNotFound, StatusCode::kInvalidArgument, StatusCode::kPermissionDenied}},
      {"Client (copied, moved)", 2, DrawHandle},
      {"Client::Create", 8, DrawCreate, kOfMaking},
      {"Client::CreateMany", 2, DrawCreateMany, kOfMaking},
      {"Client::SealMany", 3, DrawSealMany, {StatusCode::kFailedPrecondition}},
      {"Client::Put(bytes)", 6, DrawPut<false>, kOfMaking},
      {"Client::Put(text)", 4, DrawPut<true>, kOfMaking},
      {"Client::Delete", 12, DrawDelete, {StatusCode::kNotFound}},
      {"Client::NextId", 2, DrawNextId},
      {"Client::NextIds", 2, DrawNextIds, {StatusCode::kInvalidArgument}},
  };
}

}  // namespace penstock::draws
