// The runtime's tests: in a worker this program serves, else it runs its tests. A worker
// with PENSTOCK_TEST_WORKER_EXITS in its environment ends before it has called Init.
#include <cstdlib>

#include <gtest/gtest.h>
#include <penstock/runtime.h>

int main(int argc, char** argv) {
  if (getenv("PENSTOCK_WORKER") != nullptr) {
    if (getenv("PENSTOCK_TEST_WORKER_EXITS") != nullptr) return 3;
    penstock::Init();  // does not return
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
