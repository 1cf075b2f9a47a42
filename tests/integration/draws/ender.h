// Draws with an infinite deadline, and with the default one: each waits, and after a second it
// gets what it waits for. The id is sealed, room is made, something is told to subscribers.
#ifndef PENSTOCK_TESTS_INTEGRATION_DRAWS_ENDER_H_
#define PENSTOCK_TESTS_INTEGRATION_DRAWS_ENDER_H_

#include <cstdint>

#include "tests/integration/draws/hand.h"

namespace penstock::draws {

// Of all functions those that take a deadline.
Calls WaitingCalls(const Calls& calls);
// In each round one call of `waiting` in each of several threads. Only those that had not ended
// when the ender came are counted.
Tally DrawWithEnder(Store& store, Watch& watch, const Calls& waiting, uint64_t seed,
                    uint64_t rounds);

}  // namespace penstock::draws

#endif  // PENSTOCK_TESTS_INTEGRATION_DRAWS_ENDER_H_
