// What the processor is and has, as far as Penstock's copies and kernels depend on it.
//
// Thread safety: any number of threads at once.
#ifndef PENSTOCK_STORE_BASE_PROCESSOR_H_
#define PENSTOCK_STORE_BASE_PROCESSOR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace penstock {

// What a program is told not to use, though the processor has it: for measuring what a
// processor without it would do, or where it is known to slow down other work.
struct Withheld {
  bool avx2 = false;    // and with it AVX-512
  bool avx512 = false;
};
inline constexpr char kWithholdVariable[] = "PENSTOCK_WITHHOLD";
// "avx512", "avx512,avx2", "avx2", "". Errors: InvalidArgument names the word that is none.
absl::StatusOr<Withheld> ParseWithheld(std::string_view words);

struct Processor {
  std::string model;   // "Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", or "unknown"
  std::string vendor;  // "GenuineIntel", "AuthenticAMD", or ""
  // May be used: the processor and the kernel have it, and it is not withheld.
  bool avx2 = false;
  bool avx512 = false;
  uint64_t l2_bytes = 0;     // of one core
  uint64_t l3_bytes = 0;     // that a core can reach; 0: none, or unknown
};

// Whether code for registers of so many bytes may run: 32 take AVX2, 64 AVX-512.
constexpr bool HasVectors(const Processor& processor, size_t vector_bytes) {
  return vector_bytes < 32 || (vector_bytes == 32 ? processor.avx2 : processor.avx512);
}

// Read once in a process; what kWithholdVariable says is taken from its environment then, and
// counts for nothing where it is wrong (CheckWithheld says so).
// Cost: no system call where the processor says all that is asked.
const Processor& ThisProcessor();
// Errors: as ParseWithheld, of the environment.
absl::Status CheckWithheld();

// "Intel(R) Xeon(R) ..., AVX-512, 2 MiB of L2 a core, 48 MiB of L3", for people.
std::string Describe(const Processor& processor);

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_PROCESSOR_H_
