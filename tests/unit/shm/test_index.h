// An index segment in zeroed memory of the test's own.
#ifndef PENSTOCK_TESTS_UNIT_SHM_TEST_INDEX_H_
#define PENSTOCK_TESTS_UNIT_SHM_TEST_INDEX_H_

#include <cstdint>

#include "store/shm/index_segment.h"
#include "tests/support/fake_client.h"

namespace penstock::testing {

struct TestIndex {
  explicit TestIndex(uint32_t capacity)
      : geometry(IndexGeometry::For(capacity)), memory(geometry.total_bytes),
        index(IndexSegment::Format(memory.data(), geometry, 1 * kMiB, 42)) {}
  IndexGeometry geometry;
  ZeroedMemory memory;
  IndexSegment index;
};

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_UNIT_SHM_TEST_INDEX_H_
