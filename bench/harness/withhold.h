// Measuring as if the processor had less.
#ifndef PENSTOCK_BENCH_HARNESS_WITHHOLD_H_
#define PENSTOCK_BENCH_HARNESS_WITHHOLD_H_

#include <string>

#include "absl/status/status.h"

namespace penstock::bench {

// Starts this program anew, with the same arguments, in an environment that withholds `features`
// ("avx512", "avx2", both with a comma between) from Penstock's own kernels and from the C
// library's memcpy alike, in this process and in those that it starts. Returns where nothing is
// to be withheld, or is already.
// Errors: InvalidArgument names a word that is no feature.
absl::Status Withhold(const std::string& features, char** argv);

}  // namespace penstock::bench

#endif  // PENSTOCK_BENCH_HARNESS_WITHHOLD_H_
