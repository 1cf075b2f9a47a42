// What a core alone knows, as bytes for the next one: written by Core::Retire and read by
// Core::Resume, of the same version of this program or of one that has not changed them.
//
// The bytes come from a daemon of the same store through its keeper, so they are trusted like
// the lease table; what is checked is that they are whole and of this layout.
#ifndef PENSTOCK_STORE_OBJECT_CORE_STATE_H_
#define PENSTOCK_STORE_OBJECT_CORE_STATE_H_

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "store/object/core_stats.h"
#include "store/object/intrusive_slots.h"

namespace penstock {

inline constexpr uint64_t kCoreStateMagic = 0x31455441545350;  // "PSTATE1"
// Any change of what Core::Retire writes, of SlotInfo, CoreStats or EvictionEntry.
inline constexpr uint32_t kCoreStateVersion = 4;

struct CoreStateHeader {
  uint64_t magic = kCoreStateMagic;
  uint32_t version = kCoreStateVersion;
  uint32_t slot_info_bytes = sizeof(SlotInfo);
  uint64_t incarnation = 0;
  uint32_t restarts = 0;  // of the core that retired
  uint32_t capacity = 0;
  uint32_t fresh_slot = 0;
  uint32_t reserved = 0;
  uint64_t total_bytes = 0;  // of the whole state
  uint64_t epoch = 0;        // Core::Epoch
  CoreStats stats;
};

// Of one session.
struct SessionState {
  uint64_t number = 0;
  uint64_t leased_bytes = 0;
  uint32_t maker = 0;
  uint32_t leases = kNoSlot;         // first of the list
  uint32_t bound_objects = kNoSlot;  // likewise
  uint32_t reserved = 0;
};

class StateWriter {
 public:
  template <typename T>
  void Add(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  template <typename T>
  void AddAll(const std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    Add<uint64_t>(values.size());
    if (values.empty()) return;
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

class StateReader {
 public:
  explicit StateReader(std::string_view bytes) : left_(bytes) {}

  template <typename T>
  std::optional<T> Take() {
    if (left_.size() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(static_cast<void*>(&value), left_.data(), sizeof(T));
    left_.remove_prefix(sizeof(T));
    return value;
  }
  // False when there are not as many as there should be.
  template <typename T>
  bool TakeAll(std::vector<T>& values) {
    const std::optional<uint64_t> count = Take<uint64_t>();
    if (!count || *count > left_.size() / sizeof(T)) return false;
    values.resize(*count);
    if (*count == 0) return true;  // and no memory to copy into
    std::memcpy(static_cast<void*>(values.data()), left_.data(), *count * sizeof(T));
    left_.remove_prefix(*count * sizeof(T));
    return true;
  }
  bool empty() const { return left_.empty(); }

 private:
  std::string_view left_;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_CORE_STATE_H_
