// How values are packed, and how the arguments of a call lie one behind the other. Not for
// users.
#ifndef PENSTOCK_INTERNAL_ARGUMENTS_H_
#define PENSTOCK_INTERNAL_ARGUMENTS_H_

#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <msgpack.hpp>

namespace penstock {

// For a type whose msgpack adaptor is not part of the type itself: specialise to true.
template <typename T>
inline constexpr bool is_packable = false;
template <>
inline constexpr bool is_packable<msgpack::type::nil_t> = true;
template <>
inline constexpr bool is_packable<msgpack::object> = true;

namespace internal {

template <typename T>
concept HasPackMember = requires(const T& value, msgpack::packer<msgpack::sbuffer>& packer) {
  value.msgpack_pack(packer);
};
template <typename T>
concept IsTupleLike = requires { std::tuple_size<T>::value; };
template <typename T>
concept HoldsElement = requires { typename T::element_type; };
template <typename T>
concept HoldsValue = requires { typename T::value_type; };

// Whether msgpack knows T. Asked beforehand, because msgpack itself answers for a type that it
// does not know with an error that names its own insides.
template <typename T>
constexpr bool CanPack() {
  if constexpr (is_packable<T> || !(std::is_class_v<T> || std::is_union_v<T>)) {
    return !std::is_pointer_v<T>;
  } else if constexpr (HasPackMember<T> || msgpack::has_as<T>::value) {
    return true;
  } else if constexpr (IsTupleLike<T>) {
    return []<size_t... I>(std::index_sequence<I...>) {
      return (CanPack<std::remove_cv_t<std::tuple_element_t<I, T>>>() && ...);
    }(std::make_index_sequence<std::tuple_size_v<T>>());
  } else if constexpr (HoldsValue<T>) {
    return CanPack<std::remove_cv_t<typename T::value_type>>();  // containers, optional
  } else if constexpr (HoldsElement<T>) {
    return CanPack<std::remove_cv_t<typename T::element_type>>();  // pointers that own
  } else {
    return false;
  }
}
template <typename T>
concept Packable = CanPack<T>();

// Packs to the end of a string: a small value takes no memory of its own.
class StringPacker {
 public:
  explicit StringPacker(std::string& bytes) : bytes_(bytes) {}
  void write(const char* data, size_t size) { bytes_.append(data, size); }

 private:
  std::string& bytes_;
};
template <typename T>
std::string Pack(const T& value) {
  std::string bytes;
  StringPacker packer(bytes);
  msgpack::pack(packer, value);
  return bytes;
}

// Memory for what msgpack takes apart, kept by the thread for the next value. A conversion
// that unpacks something else meanwhile (user code may) gets memory of its own.
class UnpackZone {
 public:
  UnpackZone() : own_(Kept().in_use), zone_(own_ ? new msgpack::zone() : &Kept().zone) {
    if (!own_) Kept().in_use = true;
  }
  ~UnpackZone() {
    if (own_) {
      delete zone_;
    } else {
      zone_->clear();
      Kept().in_use = false;
    }
  }
  UnpackZone(const UnpackZone&) = delete;
  UnpackZone& operator=(const UnpackZone&) = delete;
  msgpack::zone& get() { return *zone_; }

 private:
  struct PerThread {
    msgpack::zone zone;
    bool in_use = false;
  };
  static PerThread& Kept() {
    thread_local PerThread kept;
    return kept;
  }

  const bool own_;
  msgpack::zone* const zone_;
};

// Reads a whole number that is all of `bytes`, without what nested values need. False: msgpack
// is to say what it is, or why it does not fit.
template <std::integral T>
bool UnpackNumber(std::string_view bytes, T& value) {
  if (bytes.empty()) return false;
  const auto kind = static_cast<uint8_t>(bytes[0]);
  if (bytes.size() == 1 && kind <= 0x7f) {
    value = static_cast<T>(kind);
    return true;
  }
  // 0xcc to 0xcf: unsigned, of 1, 2, 4 or 8 bytes, the highest first.
  if (kind < 0xcc || kind > 0xcf || bytes.size() != 1 + (size_t{1} << (kind - 0xcc))) {
    return false;
  }
  uint64_t number = 0;
  for (const char byte : bytes.substr(1)) number = number << 8 | static_cast<uint8_t>(byte);
  if (number > static_cast<uint64_t>(std::numeric_limits<T>::max())) return false;
  value = static_cast<T>(number);
  return true;
}
// A value cannot hold more elements than it has bytes, but it can say so, and memory is taken
// before they are looked for: five bytes would take 64 GiB. Nested, each level may say so.
inline msgpack::unpack_limit LimitsOf(std::string_view bytes) {
  constexpr size_t kMostNested = 128;
  return {bytes.size(), bytes.size(), bytes.size(), bytes.size(), bytes.size(), kMostNested};
}
template <typename T>
T Unpack(std::string_view bytes) {
  if constexpr (std::integral<T> && sizeof(T) > 1) {
    if (T value; UnpackNumber(bytes, value)) return value;
  }
  UnpackZone zone;
  return msgpack::unpack(zone.get(), bytes.data(), bytes.size(), nullptr, nullptr,
                         LimitsOf(bytes)).template as<T>();
}

// Arguments: for each a kind, a length of four bytes, and so many bytes.
enum class ArgumentKind : uint8_t { kValue = 1, kObject = 2 };
inline void AppendArgument(std::string& bytes, ArgumentKind kind, std::string_view body) {
  const auto size = static_cast<uint32_t>(body.size());
  bytes.push_back(static_cast<char>(kind));
  bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
  bytes.append(body);
}
// The same of a value that is packed in place.
template <typename T>
void AppendValue(std::string& bytes, const T& value) {
  AppendArgument(bytes, ArgumentKind::kValue, {});
  const size_t begin = bytes.size();
  StringPacker packer(bytes);
  msgpack::pack(packer, value);
  const auto size = static_cast<uint32_t>(bytes.size() - begin);
  std::memcpy(bytes.data() + begin - sizeof(size), &size, sizeof(size));
}

}  // namespace internal
}  // namespace penstock

#endif  // PENSTOCK_INTERNAL_ARGUMENTS_H_
