// Any text as an object id, and as a byte count: refused, or the same after another round.
#include <penstock/object_id.h>

#include <cctype>
#include <string>

#include "store/base/units.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  const fuzz::ExactCopy text({data, size});
  if (const auto id = ObjectId::FromHex(text.text()); id.ok()) {
    std::string lower(text.text());
    for (char& digit : lower) digit = static_cast<char>(std::tolower(digit));
    PENSTOCK_CHECK(id->ToHex() == lower) << lower;
  }
  const ObjectId named = ObjectId::FromName(text.text());
  PENSTOCK_CHECK(!named.IsNil() && named.IsFromName());
  const auto again = ObjectId::FromHex(named.ToHex());
  PENSTOCK_CHECK(again.ok() && *again == named) << named.ToHex();
  if (const auto bytes = ParseBytes(text.text()); bytes.ok()) {
    PENSTOCK_CHECK(*bytes < uint64_t{1} << 63) << *bytes;
    const auto same = ParseBytes(FormatBytes(*bytes));
    PENSTOCK_CHECK(same.ok()) << FormatBytes(*bytes);
  }
  return 0;
}
