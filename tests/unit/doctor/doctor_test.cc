// penstock doctor on hosts that were made up: a folder with /proc and /sys in it, and trials
// with any outcome.
#include "tools/penstock/doctor.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "store/base/copy_plan.h"
#include "store/base/units.h"
#include "store/shm/host_memory.h"

namespace penstock {
namespace {

class MadeUpHost : public ::testing::Test {
 protected:
  MadeUpHost() {
    std::string name = (std::filesystem::temp_directory_path() / "doctor-XXXXXX").string();
    host.root = mkdtemp(name.data());
    host.store_dir = "/run/penstock";
    host.trials = {.kernel_release = "6.8.0-1-amd64", .files_soft = 1024,
                   .files_hard = 1 << 20, .memlock = 8 << 20, .cpus = 8};
    Write("/proc/self/status", "Name:\tpenstock\nSeccomp:\t0\n");
    Write("/proc/meminfo", "MemTotal:  16777216 kB\nMemFree: 1 kB\nMemAvailable: 12582912 kB\n");
    Write("/proc/sys/fs/file-max", "1000000");
    Write("/proc/sys/vm/max_map_count", "65530");
    Write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
    Write("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
          "always within_size advise [never] deny force");
    Write("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0");
    Write("/sys/devices/system/cpu/smt/active", "1");
    Write("/sys/devices/system/node/node0/cpulist", "0-7");
  }
  ~MadeUpHost() override { std::filesystem::remove_all(host.root); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(host.root + path).parent_path());
    std::ofstream(host.root + path) << text << "\n";
  }
  static void ExpectImprovable(const Finding& finding, const std::string& command) {
    EXPECT_EQ(finding.verdict, Verdict::kImprovable) << finding.what << ": " << finding.found;
    EXPECT_EQ(finding.improve, command);
  }

  Host host;
};

TEST_F(MadeUpHost, GoodInEverythingHasNothingToImprove) {
  for (const Finding& finding : Examine(host)) {
    EXPECT_EQ(finding.verdict, Verdict::kGood) << finding.what << ": " << finding.found;
    EXPECT_TRUE(finding.improve.empty()) << finding.improve;
    EXPECT_FALSE(finding.found.empty()) << finding.what;
  }
  EXPECT_EQ(ExitStatus(Examine(host)), 0);
}

TEST_F(MadeUpHost, EveryImprovementIsOneCommand) {
  host.trials = {.kernel_release = "5.10.0", .memfd_errno = EPERM, .collapse_errno = EINVAL,
                 .pidfd_errno = EPERM, .peer_pidfd_errno = ENOPROTOOPT,
                 .io_uring_errno = EPERM, .files_soft = 100, .files_hard = 100, .cpus = 1};
  for (const Finding& finding : Examine(host)) {
    EXPECT_EQ(finding.verdict == Verdict::kGood, finding.improve.empty()) << finding.what;
    EXPECT_EQ(finding.improve.find('\n'), std::string::npos) << finding.improve;
    EXPECT_EQ(finding.improve.find(';'), std::string::npos) << finding.improve;
  }
}

TEST_F(MadeUpHost, OldKernelIsToBeReplaced) {
  host.trials.kernel_release = "5.10.0-28-amd64";
  ExpectImprovable(ProbeKernel(host), "apt-get install linux-image-amd64");
  host.trials.kernel_release = "6.0";
  EXPECT_EQ(ProbeKernel(host).verdict, Verdict::kImprovable);
  for (const char* release : {"6.1.0", "6.12.3", "7.0"}) {
    host.trials.kernel_release = release;
    EXPECT_EQ(ProbeKernel(host).verdict, Verdict::kGood) << release;
  }
  host.trials.kernel_release = "";
  EXPECT_EQ(ProbeKernel(host).verdict, Verdict::kImprovable);
}

TEST_F(MadeUpHost, WithoutProcMemfdOrPidfdPenstockCannotRun) {
  const Host good = host;
  host.trials.memfd_errno = EPERM;
  EXPECT_EQ(ExitStatus(Examine(host)), 1);
  host = good;
  host.trials.pidfd_errno = EPERM;
  EXPECT_EQ(ProbePidfd(host).verdict, Verdict::kCannotRun);
  EXPECT_NE(ProbePidfd(host).improve.find("seccomp"), std::string::npos);
  host.trials.pidfd_errno = ENOSYS;
  host.trials.kernel_release = "4.19.0";
  EXPECT_EQ(ProbePidfd(host).improve, "apt-get install linux-image-amd64");
  host = good;
  std::filesystem::remove(host.root + "/proc/self/status");
  EXPECT_EQ(ProbeProc(host).improve, "mount -t proc proc /proc");
  EXPECT_EQ(ExitStatus(Examine(host)), 1);
}

TEST_F(MadeUpHost, WhatCouldNotBeTriedForWantOfDescriptorsIsNotSaidToBeMissing) {
  host.trials.memfd_errno = host.trials.collapse_errno = host.trials.pidfd_errno =
      host.trials.peer_pidfd_errno = host.trials.io_uring_errno = EMFILE;
  for (const auto probe : {ProbeMemoryFile, ProbePidfd, ProbePeerPidfd, ProbeCollapse,
                           ProbeIoUring}) {
    EXPECT_EQ(probe(host).improve, "prlimit --pid $$ --nofile=1024") << probe(host).what;
  }
}

TEST_F(MadeUpHost, WithoutProcAndSysWhatTheyTellIsUnknownAndNotBad) {
  std::filesystem::remove_all(host.root + "/proc");
  std::filesystem::remove_all(host.root + "/sys");
  EXPECT_EQ(ProbeMemory(host).found, "unknown: /proc/meminfo cannot be read");
  EXPECT_EQ(ProbeMemory(host).improve, "mount -t proc proc /proc");
  EXPECT_EQ(ProbeSeccomp(host).found, "unknown");
  ExpectImprovable(ProbeTransparentPages(host), "mount -t sysfs sysfs /sys");
}

TEST_F(MadeUpHost, ALimitOnTheSizeOfFilesIsComparedWithTheArena) {
  host.trials.file_bytes = 64 << 20;
  ExpectImprovable(ProbeFileSize(host), "prlimit --pid $$ --fsize=unlimited");
  host.trials.file_bytes = uint64_t{4} << 30;
  EXPECT_EQ(ProbeFileSize(host).verdict, Verdict::kGood);
  host.trials.file_bytes -= 1;  // of which both would be said to be 4.00 GiB
  EXPECT_EQ(ProbeFileSize(host).found,
            "4.00 GiB (4294967295 B) at most, memory files too; the default arena takes 4.00 GiB "
            "(4294967296 B)");
}

TEST_F(MadeUpHost, ADaemonThatIsSilentIsSomethingToImprove) {
  EXPECT_EQ(ProbeDaemon(host).found, "no daemon runs at /run/penstock");
  host.daemon_pid = 4711;
  EXPECT_EQ(ProbeDaemon(host).found, "process 4711 answers at /run/penstock");
  host.daemon_pid.reset();
  host.daemon_is_silent = true;
  host.why_no_daemon = "the daemon, process 4711, is stopped";
  host.wake = "kill -CONT 4711";
  ExpectImprovable(ProbeDaemon(host), "kill -CONT 4711");
  EXPECT_EQ(ProbeOomScore(host).found, "unknown: the daemon does not answer");
}

TEST_F(MadeUpHost, TheDiskOfTheStoreIsShownWithWhatKeepsItFromTakingMore) {
  host.daemon_pid = 4711;
  EXPECT_EQ(ProbeDisk(host).found, "none: the daemon has no --spill-dir");
  host.disk = StoreDisk{3, 10 << 20, ""};
  EXPECT_EQ(ProbeDisk(host).found, "3 objects, 10.00 MiB on disk");
  EXPECT_EQ(ProbeDisk(host).verdict, Verdict::kGood);
  host.disk->trouble = "nothing can be spilled to /disk just now: the disk is full";
  host.disk->why = SpillTrouble::kDiskFull;
  host.disk->dir = "/disk";
  ExpectImprovable(ProbeDisk(host), "df -h /disk");
  EXPECT_NE(ProbeDisk(host).found.find("the disk is full"), std::string::npos);
  host.disk->why = SpillTrouble::kGone;
  ExpectImprovable(ProbeDisk(host), "mkdir -m 700 /disk");
  host.disk->why = SpillTrouble::kLimit;
  ExpectImprovable(ProbeDisk(host),
                   "penstockd --take-over --spill-limit MORE, and its other flags");
}

TEST_F(MadeUpHost, ADaemonElsewhereIsNotLookedUpByItsNumber) {
  host.daemon_pid = 2;
  host.daemon_is_elsewhere = true;
  Write("/proc/2/oom_score_adj", "0");
  EXPECT_EQ(ProbeOomScore(host).verdict, Verdict::kGood);
  EXPECT_NE(ProbeOomScore(host).found.find("another process namespace"), std::string::npos);
}

TEST_F(MadeUpHost, PagesThatDoNotCollapseAreToBeReservedOrAllowed) {
  host.trials.collapse_errno = EINVAL;
  // A quarter of 16 GiB.
  ExpectImprovable(ProbeCollapse(host), "sysctl vm.nr_hugepages=2048");
  ExpectImprovable(ProbeHugetlb(host), "sysctl vm.nr_hugepages=2048");
  ExpectImprovable(ProbeShmemPages(host),
                   "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled");
  Write("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "2048");
  EXPECT_EQ(ProbeHugetlb(host).verdict, Verdict::kGood);
  Write("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
        "always within_size [advise] never deny force");
  EXPECT_EQ(ProbeShmemPages(host).found, "advise");
  EXPECT_EQ(ProbeShmemPages(host).verdict, Verdict::kGood);
  host.trials.collapse_errno = EAGAIN;
  ExpectImprovable(ProbeCollapse(host), "sysctl vm.compact_memory=1");
  host.trials.kernel_release = "5.15.0";
  ExpectImprovable(ProbeCollapse(host), "apt-get install linux-image-amd64");
  Write("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]");
  ExpectImprovable(ProbeTransparentPages(host),
                   "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

TEST_F(MadeUpHost, DeniedSharedHugePagesAreNamedEvenWhenThisTrialCollapsed) {
  Write("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
        "always within_size advise never [deny] force");
  EXPECT_EQ(ProbeShmemPages(host).verdict, Verdict::kImprovable);
}

TEST_F(MadeUpHost, IoUringThatIsRefusedNamesWhoRefuses) {
  host.trials.io_uring_errno = EPERM;
  ExpectImprovable(ProbeIoUring(host), "docker run --security-opt seccomp=unconfined IMAGE");
  Write("/proc/sys/kernel/io_uring_disabled", "2");
  ExpectImprovable(ProbeIoUring(host), "sysctl kernel.io_uring_disabled=0");
  EXPECT_NE(ProbeIoUring(host).found.find("io_uring_disabled = 2"), std::string::npos);
  Write("/proc/sys/kernel/io_uring_disabled", "0");
  host.trials.io_uring_errno = ENOMEM;
  ExpectImprovable(ProbeIoUring(host), "ulimit -l unlimited");
}

TEST_F(MadeUpHost, SeccompFilterMattersWhenItRefuses) {
  Write("/proc/self/status", "Seccomp:\t2\nSeccomp_filters:\t1\n");
  EXPECT_EQ(ProbeSeccomp(host).verdict, Verdict::kGood);
  host.trials.io_uring_errno = EPERM;
  EXPECT_EQ(ProbeSeccomp(host).verdict, Verdict::kImprovable);
}

TEST_F(MadeUpHost, MemoryCgroupsOfBothVersionsCount) {
  Write("/proc/self/cgroup", "0::/a/b");
  Write("/sys/fs/cgroup/a/memory.max", "1073741824");
  Write("/sys/fs/cgroup/a/memory.current", "966367641");
  Write("/sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 104857600\nactive_file 0\n");
  Write("/sys/fs/cgroup/a/b/memory.max", "max");
  // 1 GiB, of which 900 MiB less 100 MiB of cache are in use: 202 MiB are free.
  const Finding finding = ProbeMemory(host);
  ExpectImprovable(finding, "penstockd --memory 151MiB");
  EXPECT_NE(finding.found.find("cgroup /a"), std::string::npos) << finding.found;
  // In a container: the cgroup that the host calls something else.
  Write("/proc/self/cgroup", "0::/");
  Write("/sys/fs/cgroup/memory.max", "536870912");
  Write("/sys/fs/cgroup/memory.current", "0");
  EXPECT_NE(ProbeMemory(host).found.find("512.00 MiB of 512.00 MiB free (the memory cgroup /)"),
            std::string::npos)
      << ProbeMemory(host).found;
  Write("/sys/fs/cgroup/memory.max", "max");
  // One above has a higher limit and less left.
  Write("/proc/self/cgroup", "0::/a/b");
  Write("/sys/fs/cgroup/a/b/memory.max", "536870912");
  Write("/sys/fs/cgroup/a/b/memory.current", "0");
  EXPECT_EQ(ReadHostMemory(host.root).limit_bytes, 536870912u);
  EXPECT_EQ(ReadHostMemory(host.root).available_bytes, 1073741824u - 966367641 + 104857600);
  EXPECT_EQ(ReadHostMemory(host.root).available_in, "the memory cgroup /a");
  Write("/proc/self/cgroup", "4:memory:/a\n0::/");
  Write("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "2147483648");
  Write("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "0");
  EXPECT_EQ(ProbeMemory(host).verdict, Verdict::kGood);
  EXPECT_NE(ProbeMemory(host).found.find("default arena 512.00 MiB"), std::string::npos)
      << ProbeMemory(host).found;
  Write("/proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 1024 kB\n");
  EXPECT_EQ(ProbeMemory(host).verdict, Verdict::kCannotRun);
}

TEST_F(MadeUpHost, LimitsAreComparedWithWhatTheDaemonMayNeed) {
  host.trials.files_hard = 4096;
  ExpectImprovable(ProbeDescriptors(host), "prlimit --pid $$ --nofile=28928:28928");
  Write("/proc/sys/fs/file-max", "8192");
  ExpectImprovable(ProbeFileMax(host), "sysctl fs.file-max=229376");
  Write("/proc/sys/vm/max_map_count", "4096");
  ExpectImprovable(ProbeMaps(host), "sysctl vm.max_map_count=65530");
  EXPECT_EQ(ProbeMemlock(host).verdict, Verdict::kGood);
  Write("/sys/class/infiniband/mlx5_0/node_type", "1");
  ExpectImprovable(ProbeMemlock(host), "prlimit --pid $$ --memlock=unlimited:unlimited");
  host.trials.memlock = ~uint64_t{0};
  EXPECT_EQ(ProbeMemlock(host).verdict, Verdict::kGood);
}

TEST_F(MadeUpHost, CpusAndNodesAreCounted) {
  EXPECT_EQ(ProbeCpus(host).found, "8, two threads a core (SMT)");
  host.trials.cpus = 1;
  EXPECT_EQ(ProbeCpus(host).verdict, Verdict::kImprovable);
  EXPECT_EQ(ProbeNuma(host).verdict, Verdict::kGood);
  Write("/sys/devices/system/node/node1/cpulist", "8-15");
  Write("/sys/devices/system/node/nodes", "no node");
  ExpectImprovable(ProbeNuma(host), "numactl --membind 0 --cpunodebind 0 penstockd");
}

TEST_F(MadeUpHost, DaemonThatTheOomKillerWouldTakeFirstIsNamed) {
  EXPECT_NE(ProbeOomScore(host).found.find("no daemon runs at /run/penstock"),
            std::string::npos);
  host.daemon_pid = 4711;
  Write("/proc/4711/oom_score_adj", "0");
  ExpectImprovable(ProbeOomScore(host), "choom -n -900 -p 4711");
  Write("/proc/4711/oom_score_adj", "-900");
  EXPECT_EQ(ProbeOomScore(host).verdict, Verdict::kGood);
}

TEST_F(MadeUpHost, ProcessorAndItsCopyKernelsAreNamed) {
  host.processor = {.model = "EPYC of the tests", .vendor = "AuthenticAMD", .avx2 = true,
                    .avx512 = false, .l2_bytes = 512 * kKiB, .l3_bytes = 0};
  EXPECT_EQ(ProbeProcessor(host).found, "EPYC of the tests, AVX2, 512.00 KiB of L2 a core");
  EXPECT_NE(ProbeCopies(host).found.find("2 to 8 MiB avx2, "), std::string::npos);
  EXPECT_NE(ProbeCopies(host).found.find("unmeasured, no daemon runs"), std::string::npos);
  host.daemon_pid = 4711;
  host.copy_plan = PackCopyPlan({kCopyMemcpy, kCopyMovsb, kCopyAvx2Places, kCopySse2});
  const std::string measured = ProbeCopies(host).found;
  for (const char* part : {"up to 2 MiB memcpy", "2 to 8 MiB movsb", "8 to 32 MiB avx2-places",
                           "32 MiB and more sse2", "memcpy below 100.00 KiB",
                           "measured by the daemon"}) {
    EXPECT_NE(measured.find(part), std::string::npos) << measured;
  }
}

TEST_F(MadeUpHost, FilesOfNonsenseAreNoReasonToStop) {
  for (const char* path :
       {"/proc/self/status", "/proc/meminfo", "/proc/self/cgroup", "/proc/sys/fs/file-max",
        "/proc/sys/vm/max_map_count", "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
        "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"}) {
    for (const char* text : {"", "]::[", ":::", "-1", "99999999999999999999999", "0::"}) {
      Write(path, text);
      EXPECT_EQ(Examine(host).size(), 24u);
    }
  }
}

TEST_F(MadeUpHost, TableAndJsonSayTheSame) {
  host.trials.io_uring_errno = EPERM;
  const std::vector<Finding> findings = Examine(host);
  const std::string table = FormatFindings(findings);
  const auto json = nlohmann::json::parse(FormatFindingsAsJson(findings));
  EXPECT_EQ(json.at("can_run"), true);
  ASSERT_EQ(json.at("findings").size(), findings.size());
  const size_t first_bar = table.find('|');
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) EXPECT_EQ(line.find('|'), first_bar);
  for (size_t i = 0; i < findings.size(); ++i) {
    const auto& item = json.at("findings")[i];
    EXPECT_EQ(item.at("what"), findings[i].what);
    EXPECT_EQ(item.at("found"), findings[i].found);
    EXPECT_EQ(item.at("good"), findings[i].verdict == Verdict::kGood);
    EXPECT_EQ(item.at("improve").is_null(), findings[i].improve.empty());
    EXPECT_NE(table.find(findings[i].what), std::string::npos);
    EXPECT_NE(table.find(findings[i].improve), std::string::npos);
  }
}

TEST(ThisHost, IsTriedInAFewMilliseconds) {
  const HostTrials trials = TryHost();
  EXPECT_FALSE(trials.kernel_release.empty());
  EXPECT_EQ(trials.memfd_errno, 0);
  EXPECT_EQ(trials.pidfd_errno, 0);
  EXPECT_GE(trials.cpus, 1u);
  EXPECT_GT(trials.files_hard, 0u);
}

// Each word about the copies is true, and its advice helps.
TEST_F(MadeUpHost, CopiesSayWhatWasMeasuredAndWhyTheRestWasNot) {
  const auto copies = [this] {
    for (const Finding& finding : Examine(host)) {
      if (finding.what == "copies") return finding.found;
    }
    return std::string();
  };
  const auto says = [&](const std::string& part) {
    return copies().find(part) != std::string::npos ? ::testing::AssertionSuccess()
                                                    : ::testing::AssertionFailure() << copies();
  };
  host.processor.vendor = "AuthenticAMD";
  host.processor.avx2 = true;
  EXPECT_TRUE(says("unmeasured, no daemon runs at /run/penstock"));
  host.daemon_pid = 4711;
  host.arena_bytes = 64 * kMiB;
  host.population_done = false;
  EXPECT_TRUE(says("not measured yet"));
  host.population_done = true;
  EXPECT_TRUE(says("0 of 4 sizes measured by the daemon"));
  host.arena_bytes = 16 * kMiB;
  EXPECT_TRUE(says("an arena below 32.00 MiB is too small"));
  host.copy_plan = PackCopyPlan({kCopyAvx2, kCopyAvx2, kCopySse2, kCopyAvx512Places});
  EXPECT_TRUE(says("3 of 4 sizes measured by the daemon, the rest needs"));
  host.copy_plan = PackCopyPlan({kCopyAvx2, kCopyAvx2, kCopySse2, kCopySse2});
  EXPECT_TRUE(says("; measured by the daemon"));
}

}  // namespace
}  // namespace penstock
