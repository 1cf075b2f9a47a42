// How values are packed, and how the arguments of a call lie one behind the other. Not for
// users.
#ifndef PENSTOCK_INTERNAL_ARGUMENTS_H_
#define PENSTOCK_INTERNAL_ARGUMENTS_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <msgpack.hpp>

namespace penstock::internal {

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
template <typename T>
T Unpack(std::string_view bytes) {
  UnpackZone zone;
  return msgpack::unpack(zone.get(), bytes.data(), bytes.size()).template as<T>();
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

}  // namespace penstock::internal

#endif  // PENSTOCK_INTERNAL_ARGUMENTS_H_
