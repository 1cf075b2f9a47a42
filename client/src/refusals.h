// What a refusing answer of the daemon means for the caller.
#ifndef PENSTOCK_CLIENT_SRC_REFUSALS_H_
#define PENSTOCK_CLIENT_SRC_REFUSALS_H_

#include <penstock/object_id.h>

#include "absl/status/status.h"
#include "store/shm/session_layout.h"

namespace penstock::internal {

// `bytes`: what was asked for, 0 where that has no meaning.
absl::Status StatusOfAnswer(const Completion& answer, const ObjectId& id, uint64_t bytes);

absl::Status AlreadyExistsStatus(const ObjectId& id);
// `count` seals were not published, that of `first` and others later.
absl::Status RefusedSealsStatus(uint64_t count, const ObjectId& first);
absl::Status NilIdStatus();
absl::Status NotGivenStatus(const ObjectId& id);
// A write in a session that may only read; `asked`: by its client's own wish.
absl::Status ReadOnlyStatus(bool asked);
// A get whose deadline has passed: why, as the daemon's last word of it says.
absl::Status LateGetStatus(const Completion& last_word, const ObjectId& id);
// One of so many of a call that the daemon was not asked why, or not asked at all.
absl::Status OneOfTooManyStatus(const ObjectId& id);
// The daemon said nothing, not even a last word.
absl::Status SilentDaemonStatus();

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_REFUSALS_H_
