// Draws of object ids, which name objects and ask nobody.
#include "tests/integration/draws/hand.h"

namespace penstock::draws {
namespace {

using absl::StatusCode;

void DrawFromName(Hand& hand) {
  const std::string name = hand.dice.Name();
  const ObjectId id = hand.Do([&] { return ObjectId::FromName(name); });
  hand.Expect(!id.IsNil() && id.IsFromName() && id == ObjectId::FromName(name),
              "a name without an id of its own");
}

void DrawRandom(Hand& hand) {
  hand.Expect(!hand.Do([] { return ObjectId::Random(); }).IsNil(), "a random id that is nil");
}

void DrawFromHex(Hand& hand) {
  const std::string text = hand.dice.Percent(30) ? hand.AnyId().ToHex() : hand.dice.Name();
  const auto id = hand.Ask(Shown(text), [&] { return ObjectId::FromHex(text); });
  if (id.ok()) hand.Expect(id->ToHex().size() == text.size(), "another id than was read");
}

void DrawToHex(Hand& hand) {
  const ObjectId id = hand.AnyId();
  const std::string text = hand.Do([&] { return id.ToHex(); });
  const auto back = ObjectId::FromHex(text);
  hand.Expect(back.ok() && *back == id, "an id that does not come back from its digits");
}

void DrawIsNil(Hand& hand) {
  const ObjectId id = hand.AnyId();
  hand.Expect(hand.Do([&] { return id.IsNil(); }) == (id == ObjectId{}), "another nil");
}

void DrawIsFromName(Hand& hand) {
  const ObjectId id = hand.AnyId();
  hand.Expect(hand.Do([&] { return id.IsFromName(); }) == (id.home == 0), "another kind of id");
}

void DrawHash(Hand& hand) {
  const ObjectId id = hand.AnyId();
  hand.Expect(hand.Do([&] { return id.Hash(); }) == std::hash<ObjectId>()(id), "two hashes");
}

}  // namespace

Calls ValueCalls() {
  return {
      {"ObjectId::FromName", 1, DrawFromName},
      {"ObjectId::Random", 1, DrawRandom},
      {"ObjectId::FromHex", 2, DrawFromHex, {StatusCode::kInvalidArgument}},
      {"ObjectId::ToHex", 1, DrawToHex},
      {"ObjectId::IsNil", 1, DrawIsNil},
      {"ObjectId::IsFromName", 1, DrawIsFromName},
      {"ObjectId::Hash", 1, DrawHash},
  };
}

}  // namespace penstock::draws
