// Huge pages without any privilege: an ordinary user's daemon and reader, on a host that
// grants none by its settings.
#include <sys/prctl.h>
#include <unistd.h>

#include <fstream>

#include <nlohmann/json.hpp>

#include "store/shm/huge_pages.h"
#include "tests/integration/helpers.h"
#include "tests/integration/raw_session.h"

namespace penstock::testing {
namespace {

constexpr uint64_t kArenaBytes = uint64_t{128} << 20;
// Exit code of the child where the kernel lacks what is needed.
constexpr int kNotHere = 77;

std::string FirstLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Reads a byte of every page.
void Touch(const Mapping& mapping) {
  const volatile std::byte* const bytes = mapping.data();
  for (uint64_t at = 0; at < mapping.bytes(); at += 4096) static_cast<void>(bytes[at]);
}

// Runs in the child, as the ordinary user.
int ReadThroughHugePages() {
  const TestDaemon daemon({"--memory", "128MiB", "--huge-pages", "collapse"});
  daemon.WaitPopulated();
  for (const std::string& note : daemon.Status().notes) {
    printf("the daemon notes: %s\n", note.c_str());
    if (Contains(note, "MADV_COLLAPSE")) return kNotHere;
  }
  Client client = daemon.Connect();
  const ObjectId id = PutPattern(client, 1, 50 << 20);
  PENSTOCK_CHILD_EXPECT(HasPattern(Must(client.Get(id)).data(), 1));
  RawSession reader(daemon.dir());
  // Ranges that failed at first are tried again in the background.
  uint64_t huge = 0;
  const bool enough = Eventually([&] {
    Touch(reader.arena);
    huge = Must(HugeMappedBytes(reader.arena.data()));
    return huge >= kArenaBytes / 100 * 95;
  });
  printf("%.1f%% of the reader's mapping of the arena is in huge pages\n",
         100.0 * static_cast<double>(huge) / static_cast<double>(kArenaBytes));
  PENSTOCK_CHILD_EXPECT(enough);
  const ProgramOutcome outcome =
      RunProgram({ProgramPath("penstock"), "status", "--dir", daemon.dir(), "--json"});
  PENSTOCK_CHILD_EXPECT(outcome.exit_code == 0);
  const auto status = nlohmann::json::parse(outcome.output);
  PENSTOCK_CHILD_EXPECT(status.at("huge_bytes").get<uint64_t>() >= kArenaBytes / 100 * 95);
  PENSTOCK_CHILD_EXPECT(status.at("index_huge_bytes").get<uint64_t>() > 0);
  return 0;
}

TEST(HugePages, AnOrdinaryUsersReaderSeesTheArenaThroughThem) {
  const std::string enabled =
      FirstLine("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
  if (!Contains(enabled, "[never]")) {
    GTEST_SKIP() << "shmem_enabled is '" << enabled << "': the test is about 'never'";
  }
  if (geteuid() == 0 && access(ProgramPath("penstockd").c_str(), X_OK) != 0) {
    GTEST_SKIP() << "penstockd cannot be executed from here";
  }
  const int code = RunInChild([] {
    if (geteuid() == 0) PENSTOCK_CHILD_EXPECT(BecomeNobody());
    if (access(ProgramPath("penstockd").c_str(), X_OK) != 0) {
      printf("an ordinary user may not enter the build folder\n");
      return kNotHere;
    }
    return ReadThroughHugePages();
  });
  if (code == kNotHere) GTEST_SKIP() << "see above";
  EXPECT_EQ(code, 0);
}

TEST(HugePages, SwitchedOffLeaveSmallOnes) {
  const TestDaemon daemon({"--memory", "16MiB", "--huge-pages", "off"});
  daemon.WaitPopulated();
  RawSession reader(daemon.dir());
  Touch(reader.arena);
  const DaemonStatus status = daemon.Status();
  EXPECT_EQ(status.Counter("populated_bytes"), 16u << 20);
  EXPECT_EQ(status.Counter("huge_bytes"), 0u);
  EXPECT_EQ(status.Counter("index_huge_bytes"), 0u);
  if (Contains(FirstLine("/sys/kernel/mm/transparent_hugepage/shmem_enabled"), "[never]")) {
    EXPECT_EQ(Must(HugeMappedBytes(reader.arena.data())), 0u);
  }
}

}  // namespace
}  // namespace penstock::testing
