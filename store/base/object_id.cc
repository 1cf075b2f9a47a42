// ObjectId: conversions to and from names, hexadecimal and random bits.
#include <penstock/object_id.h>

#include <sys/random.h>

#include <cerrno>

#include <fmt/format.h>
#include "store/base/check.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace penstock {
namespace {

constexpr size_t kHexDigits = 48;

int HexValue(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

std::string Shown(char character) {
  const bool is_readable = character >= ' ' && character <= '~';
  return is_readable ? fmt::format("'{}'", character)
                     : fmt::format("byte {:#04x}", static_cast<unsigned char>(character));
}

}  // namespace

ObjectId ObjectId::FromName(std::string_view name) {
  const XXH128_hash_t hash = XXH3_128bits(name.data(), name.size());
  return ObjectId{0, hash.high64, hash.low64 | 1};  // never nil
}

ObjectId ObjectId::Random() {
  ObjectId id;
  uint64_t bits[2];
  size_t have = 0;
  while (have < sizeof(bits)) {
    const ssize_t got =
        getrandom(reinterpret_cast<char*>(bits) + have, sizeof(bits) - have, 0);
    PENSTOCK_CHECK(got > 0 || errno == EINTR) << "getrandom: errno " << errno;
    if (got > 0) have += static_cast<size_t>(got);
  }
  id.session = bits[0];
  id.sequence = bits[1] | 1;
  return id;
}

absl::StatusOr<ObjectId> ObjectId::FromHex(std::string_view hex) {
  if (hex.size() != kHexDigits) {
    return absl::InvalidArgumentError(
        fmt::format("an object id has {} hexadecimal digits, this has {}: copy the whole id "
                    "as ToHex() printed it", kHexDigits, hex.size()));
  }
  uint64_t words[3] = {0, 0, 0};
  for (size_t i = 0; i < kHexDigits; ++i) {
    const int value = HexValue(hex[i]);
    if (value < 0) {
      return absl::InvalidArgumentError(
          fmt::format("an object id has only the digits 0-9 and a-f; character {} is {}", i + 1,
                      Shown(hex[i])));
    }
    words[i / 16] = (words[i / 16] << 4) | static_cast<uint64_t>(value);
  }
  return ObjectId{words[0], words[1], words[2]};
}

std::string ObjectId::ToHex() const {
  return fmt::format("{:016x}{:016x}{:016x}", home, session, sequence);
}

}  // namespace penstock
