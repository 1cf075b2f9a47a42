// Workers: where they come from, what they see of the world, what becomes of what they say.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <penstock/client.h>
#include <penstock/runtime.h>

#include "absl/time/time.h"
#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

int PidOfWorker() { return getpid(); }
std::string Environment(std::string name) {
  const char* const value = getenv(name.c_str());
  return value == nullptr ? "(unset)" : value;
}
std::string Directory() { return std::filesystem::current_path(); }
// What read() of the standard input gives: 0, the end.
int ReadsFromInput() {
  char byte;
  return static_cast<int>(read(0, &byte, 1));
}
int Says(std::string text) {
  printf("%s\n", text.c_str());
  fflush(stdout);
  fprintf(stderr, "%s, aside\n", text.c_str());
  return getpid();
}
int CallsInit() {
  Init();
  return 1;
}
PENSTOCK_REMOTE(PidOfWorker, Environment, Directory, ReadsFromInput, Says, CallsInit);

const Config kSmall = {.num_cpus = 2, .memory = 64 << 20};

TEST(Workers, AreStartedAheadOfTheFirstCallAndUsedAgain) {
  const ClusterInfo info = Init(kSmall);
  EXPECT_TRUE(Eventually([&] {
    return Must(QueryStatus(info.session_dir)).Counter("runtime_workers") == 2;
  }, absl::Seconds(20))) << "one for each CPU, though nothing was called";
  std::set<int> pids;
  for (int i = 0; i < 50; ++i) pids.insert(*Task(PidOfWorker).Remote().Get());
  EXPECT_LE(pids.size(), 2u);
  EXPECT_FALSE(pids.contains(getpid()));
  Shutdown();
}

TEST(Workers, HaveTheDriversEnvironmentAndDirectoryAndNoInput) {
  setenv("PENSTOCK_TEST_WORD", "as the driver has it", 1);
  Init(kSmall);
  EXPECT_EQ(*Task(Environment).Remote("PENSTOCK_TEST_WORD").Get(), "as the driver has it");
  EXPECT_EQ(*Task(Environment).Remote("PENSTOCK_WORKER").Get(), "(unset)")
      << "what a worker starts is no worker";
  EXPECT_EQ(*Task(Directory).Remote().Get(), std::filesystem::current_path());
  EXPECT_EQ(*Task(ReadsFromInput).Remote().Get(), 0);
  Shutdown();
  unsetenv("PENSTOCK_TEST_WORD");
}

TEST(Workers, WhatTheyPrintAppearsAtTheDriverWithTheirProcessInFront) {
  fflush(stdout);
  const TempDir dir;
  const std::string path = dir.path() + "/said";
  const UniqueFd kept(dup(1));
  const UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_GE(dup2(file.get(), 1), 0);
  Init(kSmall);
  const int pid = *Task(Says).Remote("good day").Get();
  const std::string line = "(pid=" + std::to_string(pid) + ") good day\n";
  const std::string aside = "(pid=" + std::to_string(pid) + ") good day, aside\n";
  std::string said;
  const bool both = Eventually([&] {
    said.assign(static_cast<size_t>(std::filesystem::file_size(path)), '\0');
    const ssize_t got = pread(file.get(), said.data(), said.size(), 0);
    said.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return Contains(said, line) && Contains(said, aside);
  }, absl::Seconds(20));
  Shutdown();
  fflush(stdout);
  dup2(kept.get(), 1);
  EXPECT_TRUE(both) << said;
}

TEST(Workers, InitWithinATaskIsRefused) {
  Init(kSmall);
  try {
    Task(CallsInit).Remote().Get();
    FAIL();
  } catch (const TaskFailed& failure) {
    EXPECT_TRUE(Contains(failure.message(), "Init was called before")) << failure.what();
  }
  Shutdown();
}

TEST(Workers, AProgramWhoseWorkersEndBeforeInitSaysThatItMustStandFirst) {
  setenv("PENSTOCK_TEST_WORKER_EXITS", "1", 1);
  Init(kSmall);
  try {
    Task(PidOfWorker).Remote().Get(absl::Seconds(100));
    FAIL();
  } catch (const RuntimeUnavailable& error) {
    EXPECT_TRUE(Contains(error.what(), "first in main")) << error.what();
  }
  Shutdown();
  unsetenv("PENSTOCK_TEST_WORKER_EXITS");
}

TEST(Workers, InitSaysWhereTheNodeIs) {
  const ClusterInfo info = Init(kSmall);
  EXPECT_EQ(info.node_ip_address, "127.0.0.1");
  EXPECT_TRUE(std::filesystem::is_socket(info.object_store_address));
  EXPECT_TRUE(std::filesystem::is_directory(info.session_dir));
  EXPECT_EQ(info.metadata_address, "") << "there is none yet";
  EXPECT_EQ(info.webui_url, "") << "there is none yet";
  Must(Must(Client::Connect({.dir = info.session_dir})).Put("by its address").status());
  Shutdown();
}

}  // namespace
}  // namespace penstock::testing
