// Draws of arrays: shapes of any extent, and what is no array.
#include <algorithm>

#include "tests/integration/draws/hand.h"
#include "tests/support/pattern.h"

namespace penstock::draws {
namespace {

using absl::StatusCode;

// Nothing in it needs to agree with anything else in it.
ArrayShape AnyShape(Dice& dice) {
  if (dice.Percent(40)) {
    auto shape = ArrayShape::Contiguous(DType::kFloat64, dice.Extents(3));
    if (shape.ok()) return *std::move(shape);
  }
  return {.dtype = dice.AnyDType(), .shape = dice.Extents(300), .strides = dice.Extents(300)};
}

std::string ShownShape(const ArrayShape& shape) {
  return fmt::format("dtype {}, shape {}, strides {}", static_cast<unsigned>(shape.dtype),
                     Shown(shape.shape), Shown(shape.strides));
}

void DrawArrayCreate(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  hand.Writes(caller);
  const std::vector<int64_t> extents = hand.dice.Extents(20);
  const CreateOptions options = hand.Options();
  auto made = hand.Ask(
      options.deadline, fmt::format("{}, {}", Shown(extents), hand.Shown(options)),
      [&] { return ArrayBuilder<double>::Create(caller.client, extents, options); });
  if (!made.ok()) return;
  const std::span<std::byte> bytes = std::as_writable_bytes(made->values());
  testing::FillPattern(bytes, SeedOf(kArrayTypeTag, bytes.size()));
  hand.store.Tell(made->id());
  hand.array_builder = *std::move(made);
}

ArrayBuilder<double>* AnyArrayBuilder(Hand& hand) {
  for (int i = 0; i < 20 && !hand.array_builder; ++i) DrawArrayCreate(hand);
  return hand.array_builder ? &*hand.array_builder : nullptr;
}

void DrawBuilderValues(Hand& hand) {
  const auto* const builder = AnyArrayBuilder(hand);
  if (builder == nullptr) return hand.Skip();
  const auto values = hand.Do([&] { return builder->values(); });
  hand.Expect(values.size_bytes() <= hand.store.arena_bytes(), "an array larger than the store");
}

void DrawBuilderShape(Hand& hand) {
  const auto* const builder = AnyArrayBuilder(hand);
  if (builder == nullptr) return hand.Skip();
  const auto shape = hand.Do([&] { return builder->shape(); });
  hand.Expect(shape.size() <= kMostDimensions, "more dimensions than there may be");
}

void DrawBuilderId(Hand& hand) {
  const auto* const builder = AnyArrayBuilder(hand);
  if (builder == nullptr) return hand.Skip();
  hand.Expect(!hand.Do([&] { return builder->id(); }).IsNil(), "an array without an id");
}

void DrawArraySeal(Hand& hand) {
  auto* const builder = AnyArrayBuilder(hand);
  if (builder == nullptr) return hand.Skip();
  (void)hand.Ask("", [&] { return builder->Seal(); });
  if (hand.dice.Percent(70)) hand.array_builder.reset();
}

void KeepArray(Hand& hand, absl::StatusOr<ArrayView<double>> view) {
  if (!view.ok()) return;
  const std::string wrong = WhatIsWrong(view->object());
  hand.Expect(wrong.empty(), wrong);
  hand.array_view = *std::move(view);
}

void DrawArrayGet(Hand& hand) {
  Caller& caller = hand.AnyCaller();
  ObjectId id = hand.AnyId();
  if (hand.dice.Percent(30) && hand.array_builder) {
    id = hand.array_builder->id();
    (void)hand.array_builder->Seal();
    hand.array_builder.reset();
  }
  const absl::Duration deadline = hand.Deadline();
  KeepArray(hand, hand.Ask(deadline, fmt::format("{}, {}", id.ToHex(), Shown(deadline)), [&] {
    return ArrayView<double>::Get(caller.client, id, deadline);
  }));
}

// Metadata and payload that have nothing to do with one another, made and taken as an array.
void DrawArrayFrom(Hand& hand) {
  const ArrayShape shape = AnyShape(hand.dice);
  const std::vector<std::byte> metadata = shape.Encode();
  CreateOptions options;
  options.metadata = metadata;
  options.type_tag = hand.dice.Percent(90) ? kArrayTypeTag : kOddMetadataTag;
  options.evictable = true;
  options.deadline = absl::ZeroDuration();
  ObjectView view;
  if (auto builder = hand.callers[0].client.Create(hand.dice.Roll(2000), options); builder.ok()) {
    hand.Fill(*builder, options.type_tag);
    hand.store.Tell(builder->id());
    if (auto sealed = builder->SealToView(); sealed.ok()) view = *std::move(sealed);
  }
  auto array = hand.Ask(ShownShape(shape),
                        [&] { return ArrayView<double>::From(std::move(view)); });
  if (!array.ok()) return;
  hand.Expect(options.type_tag == kArrayTypeTag, "what is no array is taken for one");
  KeepArray(hand, std::move(array));
}

ArrayView<double>* AnyArrayView(Hand& hand) {
  for (int i = 0; i < 50 && !hand.array_view; ++i) {
    DrawArrayCreate(hand);
    if (hand.array_builder) DrawArrayGet(hand);
  }
  return hand.array_view ? &*hand.array_view : nullptr;
}

void DrawViewValues(Hand& hand) {
  const auto* const view = AnyArrayView(hand);
  if (view == nullptr) return hand.Skip();
  const auto values = hand.Do([&] { return view->values(); });
  int64_t count = 1;
  for (const int64_t extent : view->shape()) count *= extent;
  hand.Expect(values.empty() || values.size() == static_cast<size_t>(count),
              fmt::format("{} values of the shape {}", values.size(), Shown(view->shape())));
  if (hand.dice.Percent(20)) hand.array_view.reset();
}

void DrawViewAt(Hand& hand) {
  const auto* const view = AnyArrayView(hand);
  if (view == nullptr) return hand.Skip();
  const std::vector<int64_t>& shape = view->shape();
  const bool is_empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  if (is_empty || shape.size() > 3) return hand.Skip();
  const auto index = [&](size_t i) { return static_cast<int64_t>(hand.dice.Roll(shape[i])); };
  const auto at = [&](std::initializer_list<int64_t> indices) {
    return hand.Do([&] { return &view->at(indices); });
  };
  const double* value = nullptr;
  if (shape.empty()) value = at({});
  if (shape.size() == 1) value = at({index(0)});
  if (shape.size() == 2) value = at({index(0), index(1)});
  if (shape.size() == 3) value = at({index(0), index(1), index(2)});
  const auto* const byte = reinterpret_cast<const std::byte*>(value);
  const auto bytes = view->object().data();
  hand.Expect(byte == nullptr || (byte >= bytes.data() &&
                                  byte + sizeof(double) <= bytes.data() + bytes.size()),
              "an element outside the payload");
}

void DrawViewShape(Hand& hand) {
  const auto* const view = AnyArrayView(hand);
  if (view == nullptr) return hand.Skip();
  hand.Expect(hand.Do([&] { return view->shape(); }).size() <= kMostDimensions,
              "more dimensions than there may be");
}

void DrawViewStrides(Hand& hand) {
  const auto* const view = AnyArrayView(hand);
  if (view == nullptr) return hand.Skip();
  hand.Expect(hand.Do([&] { return view->strides(); }).size() == view->shape().size(),
              "not a stride for each dimension");
}

void DrawViewObject(Hand& hand) {
  const auto* const view = AnyArrayView(hand);
  if (view == nullptr) return hand.Skip();
  const ObjectView* const object = hand.Do([&] { return &view->object(); });
  hand.Expect(object->status().ok(), "an array without an object");
}

void DrawContiguous(Hand& hand) {
  const DType dtype = hand.dice.AnyDType();
  const std::vector<int64_t> extents = hand.dice.Extents(2000);
  auto shape = hand.Ask(
      fmt::format("dtype {}, {}", static_cast<unsigned>(dtype), Shown(extents)),
      [&] { return ArrayShape::Contiguous(dtype, extents); });
  if (!shape.ok()) return;
  hand.Expect(BytesOf(dtype) != 0, "an array of an unknown type");
  hand.Expect(shape->contiguous(), "a contiguous shape that is not");
  hand.Expect(ArrayShape::Decode(shape->Encode(), ~uint64_t{0}).ok(), "a shape nobody can read");
}

void DrawCount(Hand& hand) {
  const ArrayShape shape = AnyShape(hand.dice);
  const int64_t count = hand.Do([&] { return shape.count(); });
  hand.Expect(count >= 0, fmt::format("{} elements: {}", count, ShownShape(shape)));
}

void DrawIsContiguous(Hand& hand) {
  const ArrayShape shape = AnyShape(hand.dice);
  const bool is_contiguous = hand.Do([&] { return shape.contiguous(); });
  hand.Expect(!is_contiguous || shape.strides.size() == shape.shape.size(),
              "contiguous without strides: " + ShownShape(shape));
}

void DrawEncode(Hand& hand) {
  const ArrayShape shape = AnyShape(hand.dice);
  const auto bytes = hand.Do([&] { return shape.Encode(); });
  const auto decoded = ArrayShape::Decode(bytes, ~uint64_t{0});
  if (!decoded.ok()) return;
  hand.Expect(decoded->shape == shape.shape && decoded->strides == shape.strides &&
                  decoded->dtype == shape.dtype,
              "another shape comes back: " + ShownShape(shape));
}

void DrawDecode(Hand& hand) {
  std::vector<std::byte> bytes = AnyShape(hand.dice).Encode();
  if (hand.dice.Percent(30)) bytes.resize(hand.dice.MetadataSize());
  for (uint64_t i = hand.dice.Roll(4); i > 0 && !bytes.empty(); --i) {
    bytes[hand.dice.Roll(std::min<size_t>(bytes.size(), 40))] =
        static_cast<std::byte>(hand.dice.Word());
  }
  const uint64_t payload = hand.dice.Word();
  const auto shape = hand.Ask(fmt::format("{} bytes, {}", bytes.size(), payload),
                              [&] { return ArrayShape::Decode(bytes, payload); });
  if (shape.ok()) hand.Expect(shape->count() >= 0, "fewer than no elements");
}

void DrawNameOf(Hand& hand) {
  const DType dtype = hand.dice.AnyDType();
  const std::string name = hand.Do([&] { return NameOf(dtype); });
  hand.Expect((name == "unknown") == (BytesOf(dtype) == 0), "a name without a size");
}

void DrawBytesOf(Hand& hand) {
  const DType dtype = hand.dice.AnyDType();
  hand.Expect(hand.Do([&] { return BytesOf(dtype); }) <= 16, "an element of many bytes");
}

}  // namespace

Calls ArrayCalls() {
  const std::vector<StatusCode> of_values = {StatusCode::kInvalidArgument};
  const std::vector<StatusCode> of_making = {
      StatusCode::kResourceExhausted, StatusCode::kInvalidArgument, StatusCode::kAlreadyExists};
  std::vector<StatusCode> of_reading = {
      StatusCode::kNotFound, StatusCode::kAborted, StatusCode::kDeadlineExceeded,
      StatusCode::kInvalidArgument, StatusCode::kResourceExhausted};
  std::vector<StatusCode> of_both = of_reading;
  of_both.push_back(StatusCode::kAlreadyExists);
  return {
      {"ArrayBuilder::Create", 3, DrawArrayCreate, of_making},
      {"ArrayBuilder::values", 1, DrawBuilderValues, of_making},
      {"ArrayBuilder::shape", 1, DrawBuilderShape, of_making},
      {"ArrayBuilder::id", 1, DrawBuilderId, of_making},
      {"ArrayBuilder::Seal", 2, DrawArraySeal,
       {StatusCode::kFailedPrecondition, StatusCode::kResourceExhausted,
        StatusCode::kInvalidArgument, StatusCode::kAlreadyExists}},
      {"ArrayView::Get", 3, DrawArrayGet, of_reading},
      {"ArrayView::From", 2, DrawArrayFrom, of_values},
      {"ArrayView::values", 1, DrawViewValues, of_both},
      {"ArrayView::at", 2, DrawViewAt, of_both},
      {"ArrayView::shape", 1, DrawViewShape, of_both},
      {"ArrayView::strides", 1, DrawViewStrides, of_both},
      {"ArrayView::object", 1, DrawViewObject, of_both},
      {"ArrayShape::Contiguous", 3, DrawContiguous, of_values},
      {"ArrayShape::count", 2, DrawCount},
      {"ArrayShape::contiguous", 2, DrawIsContiguous},
      {"ArrayShape::Encode", 2, DrawEncode},
      {"ArrayShape::Decode", 3, DrawDecode, of_values},
      {"NameOf", 1, DrawNameOf},
      {"BytesOf", 1, DrawBytesOf},
  };
}

}  // namespace penstock::draws
