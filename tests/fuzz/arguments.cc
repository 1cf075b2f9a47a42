// Any bytes as the arguments of a call: each is unpacked as a type that the input chooses,
// into a value or an exception. The first byte is how many, then a byte for each type.
#include <penstock/array_value.h>
#include <penstock/internal/arguments.h>
#include <penstock/internal/call.h>
#include <penstock/object_ref.h>

#include <map>
#include <optional>
#include <unordered_map>

#include "tests/fuzz/input.h"

namespace penstock::internal {
namespace {

struct Settings {
  std::string name;
  std::vector<double> rates;
  std::map<std::string, int32_t> counts;
  MSGPACK_DEFINE(name, rates, counts)
};

// What a value says of itself: the same after another round.
template <typename T>
void ReadAs(std::string_view bytes) {
  const std::string packed = Pack(Unpack<T>(bytes));
  const std::string again = Pack(Unpack<T>(packed));
  PENSTOCK_CHECK(packed == again);
}

// The short way to a number and msgpack's own agree.
template <typename T>
void ReadNumber(std::string_view bytes) {
  if (T value = 0; UnpackNumber(bytes, value)) {
    const auto object = msgpack::unpack(bytes.data(), bytes.size());
    PENSTOCK_CHECK(object.get().as<T>() == value) << +value;
  }
  ReadAs<T>(bytes);
}

using Read = void (*)(std::string_view);
constexpr Read kReads[] = {
    ReadNumber<int64_t>, ReadNumber<uint64_t>, ReadNumber<int32_t>, ReadNumber<uint16_t>,
    ReadAs<int8_t>, ReadAs<bool>, ReadAs<double>, ReadAs<float>, ReadAs<std::string>,
    ReadAs<std::vector<int64_t>>, ReadAs<std::vector<std::vector<std::string>>>,
    ReadAs<std::vector<char>>, ReadAs<std::map<std::string, std::vector<int32_t>>>,
    ReadAs<std::tuple<int32_t, std::string, std::optional<double>>>, ReadAs<Settings>,
    ReadAs<ActorId>, ReadAs<std::vector<bool>>, ReadAs<std::array<uint32_t, 4>>,
    ReadAs<std::pair<std::string, Settings>>,
    // Without a runtime these come as far as their own bytes.
    [](std::string_view bytes) { Unpack<ObjectRef<int>>(bytes); },
    [](std::string_view bytes) { Unpack<std::vector<Array<double>>>(bytes); },
    [](std::string_view bytes) { Unpack<std::unordered_map<uint64_t, std::string>>(bytes); },
};

}  // namespace
}  // namespace penstock::internal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  using namespace penstock::internal;
  fuzz::Input input(data, size);
  const auto kinds = input.TakeBytes(input.Pick(8) + 1);
  const fuzz::ExactCopy call(input.TakeRest());
  ArgumentReader reader(call.text());
  for (const uint8_t kind : kinds) {
    const Read read = kReads[kind % std::size(kReads)];
    try {
      read(reader.Next());
    } catch (const std::exception&) {
      // Refused, as it should be. (Another argument may follow.)
    }
  }
  // The same types on the bytes as they are, without the frame around each argument.
  for (const uint8_t kind : kinds) {
    try {
      kReads[kind % std::size(kReads)](call.text());
    } catch (const std::exception&) {
    }
  }
  return 0;
}
