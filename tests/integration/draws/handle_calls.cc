// Draws of what builders and views do, sealed, aborted, moved from or never filled.
#include "tests/integration/draws/hand.h"

namespace penstock::draws {
namespace {

using absl::StatusCode;

void DrawBuilderData(Hand& hand) {
  const Builder& builder = hand.AnyBuilder();
  const auto bytes = hand.Do([&] { return builder.data(); });
  hand.Expect(bytes.size() <= hand.store.arena_bytes(), "a builder larger than the store");
  hand.Expect(reinterpret_cast<uintptr_t>(bytes.data()) % 64 == 0, "a payload that is not aligned");
}

void DrawBuilderMetadata(Hand& hand) {
  const Builder& builder = hand.AnyBuilder();
  const auto bytes = hand.Do([&] { return builder.metadata(); });
  hand.Expect(bytes.size() <= (size_t{1} << 20), "more metadata than fits");
}

void DrawBuilderId(Hand& hand) {
  const Builder& builder = hand.AnyBuilder();
  const ObjectId id = hand.Do([&] { return builder.id(); });
  hand.Expect(builder.data().empty() || !id.IsNil(), "an object that is made without an id");
}

void DrawSeal(Hand& hand) {
  Builder& builder = hand.AnyBuilder();
  const ObjectId id = builder.id();
  const auto sealed = hand.Ask(id.ToHex(), [&] { return builder.Seal(); });
  if (!sealed.ok()) return;
  hand.Expect(builder.data().empty(), "a builder that is writable after its seal");
  hand.Expect(*sealed == id, "sealed under another id");
}

void DrawSealToView(Hand& hand) {
  Builder& builder = hand.AnyBuilder();
  const ObjectId id = builder.id();
  auto view = hand.Ask(id.ToHex(), [&] { return builder.SealToView(); });
  if (!view.ok()) return;
  hand.Expect(builder.data().empty(), "a builder that is writable after its seal");
  hand.Expect(view->id() == id, "sealed under another id");
  hand.Keep(*std::move(view));
}

void DrawAbort(Hand& hand) {
  Builder& builder = hand.AnyBuilder();
  hand.Do([&] { return builder.Abort(), true; });
  hand.Expect(builder.data().empty() && builder.metadata().empty(),
              "a builder that is writable after its abort");
}

void DrawMovedBuilder(Hand& hand) {
  Builder& builder = hand.AnyBuilder();
  const size_t size = builder.data().size();
  Builder moved = hand.Do([&] { return std::move(builder); });
  hand.Expect(builder.data().empty() && moved.data().size() == size, "a move that moves nothing");
  hand.Expect(absl::IsFailedPrecondition(builder.Seal().status()), "what has moved is sealed");
  // Over another one, whose memory goes back, or over itself.
  Builder& other = hand.AnyBuilder();
  other = std::move(moved);
  Builder& itself = other;
  other = std::move(itself);
  hand.Expect(other.data().size() == size, "a move over itself that loses the object");
}

void DrawViewData(Hand& hand) {
  const ObjectView& view = hand.AnyView();
  const auto bytes = hand.Do([&] { return view.data(); });
  hand.Expect(reinterpret_cast<uintptr_t>(bytes.data()) % 64 == 0, "a payload that is not aligned");
}

void DrawViewMetadata(Hand& hand) {
  const ObjectView& view = hand.AnyView();
  const auto bytes = hand.Do([&] { return view.metadata(); });
  hand.Expect(bytes.size() <= (size_t{1} << 20), "more metadata than fits");
}

void DrawViewText(Hand& hand) {
  const ObjectView& view = hand.AnyView();
  const auto text = hand.Do([&] { return view.text(); });
  hand.Expect(text.size() == view.data().size(), "a text of another size");
}

void DrawViewId(Hand& hand) {
  const ObjectView& view = hand.AnyView();
  const ObjectId id = hand.Do([&] { return view.id(); });
  hand.Expect(id.IsNil() != view.status().ok(), "an id and a status that contradict one another");
}

void DrawViewTypeTag(Hand& hand) {
  const ObjectView& view = hand.AnyView();
  const uint32_t tag = hand.Do([&] { return view.type_tag(); });
  hand.Expect(tag == 0 || view.status().ok(), "the tag of nothing");
}

void DrawViewStatus(Hand& hand) {
  const ObjectView& view = hand.AnyView();
  (void)hand.Ask("", [&] { return view.status(); });
}

void DrawRelease(Hand& hand) {
  ObjectView& view = hand.AnyView();
  hand.Do([&] { return view.Release(), true; });
  hand.Expect(view.data().empty() && view.id().IsNil(), "a view that shows what it let go");
}

void DrawMovedView(Hand& hand) {
  ObjectView& view = hand.AnyView();
  const ObjectId id = view.id();
  ObjectView moved = hand.Do([&] { return std::move(view); });
  hand.Expect(view.id().IsNil() && moved.id() == id, "a move that moves nothing");
  ObjectView& other = hand.AnyView();
  other = std::move(moved);
  ObjectView& itself = other;
  other = std::move(itself);
  hand.Expect(other.id() == id, "a move over itself that loses the object");
}

}  // namespace

Calls HandleCalls() {
  const std::vector<StatusCode> of_nothing = {StatusCode::kFailedPrecondition};
  return {
      {"Builder::data", 1, DrawBuilderData},
      {"Builder::metadata", 1, DrawBuilderMetadata},
      {"Builder::id", 1, DrawBuilderId},
      {"Builder::Seal", 8, DrawSeal, of_nothing},
      {"Builder::SealToView", 4, DrawSealToView, of_nothing},
      {"Builder::Abort", 2, DrawAbort},
      {"Builder (moved)", 1, DrawMovedBuilder},
      {"ObjectView::data", 1, DrawViewData},
      {"ObjectView::metadata", 1, DrawViewMetadata},
      {"ObjectView::text", 1, DrawViewText},
      {"ObjectView::id", 1, DrawViewId},
      {"ObjectView::type_tag", 1, DrawViewTypeTag},
      {"ObjectView::status", 1, DrawViewStatus, of_nothing},
      {"ObjectView::Release", 4, DrawRelease},
      {"ObjectView (moved)", 1, DrawMovedView},
  };
}

}  // namespace penstock::draws
