// Any metadata beside a payload of any size: refused, or every element that it describes
// lies inside the payload. The first 8 bytes of an input are the payload's size.
#include <penstock/array.h>

#include "tests/fuzz/input.h"

__extension__ typedef __int128 Int128;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  fuzz::Input input(data, size);
  const auto payload_bytes = input.Take<uint64_t>();
  const fuzz::ExactCopy metadata(input.TakeRest());
  const auto shape = ArrayShape::Decode(metadata.bytes(), payload_bytes);
  if (!shape.ok()) return 0;
  const auto element = static_cast<Int128>(BytesOf(shape->dtype));
  PENSTOCK_CHECK(element > 0 && NameOf(shape->dtype) != std::string_view("unknown"));
  PENSTOCK_CHECK(shape->shape.size() == shape->strides.size() &&
                 shape->shape.size() <= kMostDimensions);
  // In 128 bits nothing overflows that the decoder should have refused.
  Int128 end = element;
  Int128 count = 1;
  for (size_t i = 0; i < shape->shape.size(); ++i) {
    PENSTOCK_CHECK(shape->shape[i] >= 0 && shape->strides[i] >= 0);
    count *= shape->shape[i];
    if (shape->shape[i] > 0) end += Int128{shape->shape[i] - 1} * shape->strides[i];
  }
  PENSTOCK_CHECK(count == shape->count());
  if (count > 0) PENSTOCK_CHECK(end <= static_cast<Int128>(payload_bytes));
  if (shape->contiguous() && count > 0) PENSTOCK_CHECK(end == count * element);
  const std::vector<std::byte> again = shape->Encode();
  PENSTOCK_CHECK(std::ranges::equal(again, metadata.bytes())) << "another encoding";
  return 0;
}
