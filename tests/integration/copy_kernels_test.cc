// The choice of copy kernels, from the daemon's trial to the client's copies.
#include <signal.h>

#include <cstdlib>

#include "store/base/copy_plan.h"
#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kArenaBytes = uint64_t{64} << 20;

// Set for what is started and asked while it lives.
class Variable {
 public:
  explicit Variable(const char* value) { setenv(kWithholdVariable, value, 1); }
  ~Variable() { unsetenv(kWithholdVariable); }
};

uint32_t PlanOf(const TestDaemon& daemon) {
  return static_cast<uint32_t>(daemon.Status().Counter("copy_plan"));
}

TEST(CopyKernels, AreMeasuredByTheDaemonAndTakenByItsClients) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  const uint32_t plan = PlanOf(daemon);
  for (const uint8_t number : UnpackCopyPlan(plan)) {
    const CopyKernel* const kernel = FindCopyKernel(number);
    ASSERT_NE(kernel, nullptr) << plan;
    EXPECT_TRUE(CanRun(*kernel, ThisProcessor())) << kernel->name;
  }
  UseCopyPlan(0);
  Client client = daemon.Connect();
  const std::vector<std::byte> payload(1 << 20, std::byte{7});
  ASSERT_TRUE(client.Put(payload).ok());
  EXPECT_EQ(CopyPlanInUse(), plan);
}

TEST(CopyKernels, AllRoomIsThereAfterTheTrial) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  EXPECT_EQ(daemon.Status().Counter("free_bytes"), kArenaBytes);
  Client client = daemon.Connect();
  EXPECT_TRUE(client.Create(kArenaBytes, {.deadline = absl::Seconds(20)}).ok());
}

TEST(CopyKernels, ACreatorOfEverythingIsServedWhateverTheTrialDoes) {
  for (int i = 0; i < 5; ++i) {
    const TestDaemon daemon;
    Client client = daemon.Connect();
    const auto builder = client.Create(kArenaBytes, {.deadline = absl::Seconds(20)});
    EXPECT_TRUE(builder.ok()) << builder.status();
  }
}

TEST(CopyKernels, TheChoiceOutlivesTheDaemon) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  const uint32_t plan = PlanOf(daemon);
  ASSERT_NE(plan, 0u);
  ASSERT_EQ(kill(daemon.daemon_pid(), SIGKILL), 0);
  ASSERT_TRUE(Eventually([&] { return daemon.Status().Counter("restarts") == 1; }));
  EXPECT_EQ(PlanOf(daemon), plan);
}

TEST(CopyKernels, ADaemonThatDiesAtOnceLeavesAWholeStore) {
  const TestDaemon daemon;
  ASSERT_EQ(kill(daemon.daemon_pid(), SIGKILL), 0);
  ASSERT_TRUE(Eventually([&] { return daemon.Status().Counter("restarts") == 1; }));
  daemon.WaitPopulated();
  EXPECT_EQ(daemon.Status().Counter("free_bytes"), kArenaBytes);
}

TEST(CopyKernels, WhatIsWithheldIsNotChosen) {
  const Variable withheld("avx2");
  const TestDaemon daemon;
  daemon.WaitPopulated();
  for (const uint8_t number : UnpackCopyPlan(PlanOf(daemon))) {
    const CopyKernel* const kernel = FindCopyKernel(number);
    ASSERT_NE(kernel, nullptr);
    EXPECT_LE(kernel->vector_bytes, 16) << kernel->name;
  }
}

TEST(CopyKernels, AWordThatIsNoFeatureIsRefusedByName) {
  const TestDaemon daemon;
  const Variable withheld("avx512,sse9");
  const auto client = Client::Connect({.dir = daemon.dir()});
  EXPECT_EQ(client.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Contains(std::string(client.status().message()), "PENSTOCK_WITHHOLD: 'sse9'"))
      << client.status();
  const TempDir dir;
  const ProgramOutcome outcome =
      RunProgram({ProgramPath("penstockd"), "--dir", dir.path(), "--memory", "64MiB"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
  EXPECT_TRUE(Contains(outcome.output, "PENSTOCK_WITHHOLD: 'sse9'")) << outcome.output;
}

}  // namespace
}  // namespace penstock::testing
