// The runtime's tests: in a worker this program serves, else it runs its tests.
#include <cstdlib>

#include <gtest/gtest.h>
#include <penstock/runtime.h>

int main(int argc, char** argv) {
  if (getenv("PENSTOCK_WORKER") != nullptr) penstock::Init();  // does not return
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
