// Mapping: one shared mapping of a memory file, aligned so that huge pages can be used.
#ifndef PENSTOCK_STORE_SHM_MAPPING_H_
#define PENSTOCK_STORE_SHM_MAPPING_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

namespace penstock {

enum class Access { kReadOnly, kReadWrite };
enum class OnFork { kInherit, kDrop };

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // Maps bytes [0, bytes) of `fd` at an address that is a multiple of 2 MiB (a huge
  // page of the file can only be mapped as one where file offset and address agree in
  // their low 21 bits). Never part of a core dump. kDrop: a forked child does not have
  // it. Errors: ResourceExhausted. Cost: system calls; touches nothing.
  static absl::StatusOr<Mapping> Map(int fd, uint64_t bytes, Access access,
                                     OnFork on_fork);

  std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  bool valid() const { return data_ != nullptr; }

  template <typename T>
  T* At(uint64_t offset) const {
    return reinterpret_cast<T*>(data_ + offset);
  }

 private:
  void Unmap();

  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SHM_MAPPING_H_
