// penstock doctor: the probes. Each reads files below host.root and judges them.
#include "tools/penstock/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "store/base/units.h"
#include "store/shm/host_memory.h"

namespace penstock {
namespace {

// What penstockd takes unless it is told otherwise (tools/penstockd/options.h).
constexpr uint64_t kMostSessions = 4096;
constexpr uint64_t kDescriptorsPerSession = 7;
constexpr uint64_t kMappingsPerSession = 2;
constexpr uint64_t kMostDefaultArenaBytes = 64 * kGiB;
constexpr uint64_t kUnlimited = ~uint64_t{0};

std::optional<std::string> ReadLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<uint64_t> ReadNumber(const std::string& path) {
  const auto line = ReadLine(path);
  uint64_t value = 0;
  if (!line) return std::nullopt;
  const auto [end, error] = std::from_chars(line->data(), line->data() + line->size(), value);
  if (error != std::errc() || end != line->data() + line->size()) return std::nullopt;
  return value;
}

// "name: value" and "name value" files: /proc/meminfo, /proc/self/status.
std::optional<std::string> ReadField(const std::string& path, std::string_view name) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string key, value;
    words >> key >> value;
    if (key == std::string(name) + ":") return value;
  }
  return std::nullopt;
}

// The word in brackets: "always [madvise] never".
std::string Chosen(const std::string& line) {
  const size_t begin = line.find('[');
  const size_t end = line.find(']');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return line;
  return line.substr(begin + 1, end - begin - 1);
}

bool IsThere(const Host& host, const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(host.root + path, ignored);
}

std::string Count(uint64_t value) {
  return value == kUnlimited ? "unlimited" : fmt::format("{}", value);
}
std::string Size(uint64_t bytes) {
  return bytes == kUnlimited ? "unlimited" : FormatBytes(bytes);
}

Finding Good(std::string what, std::string found) {
  return {std::move(what), std::move(found), Verdict::kGood, ""};
}
Finding Improvable(std::string what, std::string found, std::string improve) {
  return {std::move(what), std::move(found), Verdict::kImprovable, std::move(improve)};
}
Finding CannotRun(std::string what, std::string found, std::string improve) {
  return {std::move(what), std::move(found), Verdict::kCannotRun, std::move(improve)};
}

std::pair<int, int> KernelVersion(const std::string& release) {
  std::pair<int, int> version{0, 0};
  const char* const end = release.data() + release.size();
  const auto major = std::from_chars(release.data(), end, version.first);
  if (major.ptr != end && *major.ptr == '.') {
    std::from_chars(major.ptr + 1, end, version.second);
  }
  return version;
}

constexpr const char* kNewerKernel = "apt-get install linux-image-amd64";
constexpr const char* kTooFewDescriptors = "no descriptor was left to try it with";
constexpr const char* kMoreDescriptors = "prlimit --pid $$ --nofile=1024";
constexpr const char* kLargerFiles = "prlimit --pid $$ --fsize=unlimited";
constexpr const char* kMountProc = "mount -t proc proc /proc";
constexpr const char* kNoSeccomp = "docker run --security-opt seccomp=unconfined IMAGE";

// The arena of a penstockd that is told nothing.
uint64_t DefaultArena(const HostMemory& memory) {
  return RoundUp(std::min(memory.limit_bytes / 4, kMostDefaultArenaBytes), kHugePageBytes);
}

}  // namespace

Finding ProbeProc(const Host& host) {
  if (ReadLine(host.root + "/proc/self/status")) return Good("/proc", "mounted");
  return CannotRun("/proc", "not mounted", kMountProc);
}

Finding ProbeKernel(const Host& host) {
  const auto version = KernelVersion(host.trials.kernel_release);
  const std::string found = "Linux " + host.trials.kernel_release;
  if (version >= std::pair(6, 1)) return Good("kernel", found);
  return Improvable("kernel", found + ", no MADV_COLLAPSE before 6.1", kNewerKernel);
}

Finding ProbeMemoryFile(const Host& host) {
  const int error = host.trials.memfd_errno;
  if (error == 0) return Good("memory files", "memfd with seals works");
  if (error == EMFILE) return CannotRun("memory files", kTooFewDescriptors, kMoreDescriptors);
  if (error == EFBIG) {
    return CannotRun("memory files", "memfd: the size of files is limited", kLargerFiles);
  }
  return CannotRun("memory files", std::string("memfd: ") + std::strerror(error), kNoSeccomp);
}

Finding ProbePidfd(const Host& host) {
  const int error = host.trials.pidfd_errno;
  if (error == 0) return Good("news of deaths", "pidfd_open works");
  if (error == EMFILE) return CannotRun("news of deaths", kTooFewDescriptors, kMoreDescriptors);
  return CannotRun("news of deaths", std::string("pidfd_open: ") + std::strerror(error),
                   error == ENOSYS && KernelVersion(host.trials.kernel_release) < std::pair(5, 3)
                       ? kNewerKernel
                       : kNoSeccomp);
}

Finding ProbePeerPidfd(const Host& host) {
  if (host.trials.peer_pidfd_errno == 0) return Good("pidfd of a peer", "SO_PEERPIDFD works");
  if (host.trials.peer_pidfd_errno == EMFILE) {
    return Improvable("pidfd of a peer", kTooFewDescriptors, kMoreDescriptors);
  }
  if (KernelVersion(host.trials.kernel_release) >= std::pair(6, 5)) {
    return Improvable("pidfd of a peer",
                      std::string("SO_PEERPIDFD: ") + std::strerror(host.trials.peer_pidfd_errno) +
                          ": a peer's pid is looked up instead", kNoSeccomp);
  }
  return Improvable("pidfd of a peer",
                    "no SO_PEERPIDFD before 6.5: a peer's pid is looked up instead",
                    "apt-get install -t bookworm-backports linux-image-amd64");
}

Finding ProbeCollapse(const Host& host) {
  const int error = host.trials.collapse_errno;
  if (error == 0) return Good("huge pages", "MADV_COLLAPSE works, without privilege");
  if (error == EMFILE) return Improvable("huge pages", kTooFewDescriptors, kMoreDescriptors);
  if (error == EFBIG) {
    return Improvable("huge pages", "no file large enough was allowed to try it with",
                      kLargerFiles);
  }
  const std::string found = std::string("MADV_COLLAPSE: ") + std::strerror(error);
  if (KernelVersion(host.trials.kernel_release) < std::pair(6, 1)) {
    return Improvable("huge pages", found, kNewerKernel);
  }
  if (error == ENOMEM || error == EAGAIN || error == EBUSY) {
    return Improvable("huge pages", found + ": memory is in pieces",
                      "sysctl vm.compact_memory=1");
  }
  const uint64_t pages = DefaultArena(ReadHostMemory(host.root)) / kHugePageBytes;
  return Improvable("huge pages", found, fmt::format("sysctl vm.nr_hugepages={}", pages));
}

Finding ProbeHugetlb(const Host& host) {
  const std::string folder = host.root + "/sys/kernel/mm/hugepages/hugepages-2048kB";
  const uint64_t free = ReadNumber(folder + "/free_hugepages").value_or(0);
  const uint64_t wanted = DefaultArena(ReadHostMemory(host.root)) / kHugePageBytes;
  const std::string found = fmt::format("{} free of 2 MiB", free);
  if (free >= wanted && wanted > 0) return Good("reserved pages", found);
  if (host.trials.collapse_errno == 0) {
    return Good("reserved pages", found + ", not needed: pages collapse");
  }
  return Improvable("reserved pages", found + fmt::format(", an arena takes {}", wanted),
                    fmt::format("sysctl vm.nr_hugepages={}", wanted));
}

Finding ProbeShmemPages(const Host& host) {
  const std::string path = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
  const auto line = ReadLine(host.root + path);
  if (!line) {
    return host.trials.collapse_errno == 0
               ? Good("shmem_enabled", "no such file")
               : Improvable("shmem_enabled", "this kernel has no huge shared memory",
                            kNewerKernel);
  }
  const std::string chosen = Chosen(*line);
  const bool by_itself = chosen == "always" || chosen == "advise" || chosen == "within_size" ||
                         chosen == "force";
  if (by_itself) return Good("shmem_enabled", chosen);
  if (host.trials.collapse_errno == 0 && chosen != "deny") {
    return Good("shmem_enabled", chosen + ", not needed: pages collapse");
  }
  return Improvable("shmem_enabled", chosen, "echo advise > " + path);
}

Finding ProbeTransparentPages(const Host& host) {
  const std::string path = "/sys/kernel/mm/transparent_hugepage/enabled";
  const auto line = ReadLine(host.root + path);
  if (!line && !IsThere(host, "/sys/kernel")) {
    return Improvable("transparent pages", "unknown: /sys is not mounted",
                      "mount -t sysfs sysfs /sys");
  }
  if (!line) return Improvable("transparent pages", "not in this kernel", kNewerKernel);
  const std::string chosen = Chosen(*line);
  if (chosen != "never") return Good("transparent pages", chosen);
  return Improvable("transparent pages", chosen, "echo madvise > " + path);
}

Finding ProbeIoUring(const Host& host) {
  const int error = host.trials.io_uring_errno;
  if (error == 0) return Good("io_uring", "works");
  if (error == EMFILE) return Improvable("io_uring", kTooFewDescriptors, kMoreDescriptors);
  const uint64_t disabled =
      ReadNumber(host.root + "/proc/sys/kernel/io_uring_disabled").value_or(0);
  if (disabled != 0) {
    return Improvable("io_uring",
                      fmt::format("refused by kernel.io_uring_disabled = {}", disabled),
                      "sysctl kernel.io_uring_disabled=0");
  }
  if (error == ENOSYS && KernelVersion(host.trials.kernel_release) < std::pair(5, 1)) {
    return Improvable("io_uring", "not in this kernel", kNewerKernel);
  }
  if (error == ENOMEM) {
    return Improvable("io_uring", "refused: too little locked memory", "ulimit -l unlimited");
  }
  return Improvable("io_uring", std::string("refused (seccomp?): ") + std::strerror(error),
                    kNoSeccomp);
}

Finding ProbeSeccomp(const Host& host) {
  const std::string mode =
      ReadField(host.root + "/proc/self/status", "Seccomp").value_or("unknown");
  if (mode == "0") return Good("seccomp", "off");
  if (mode == "unknown") {
    return Good("seccomp", IsThere(host, "/proc/self/status") ? "not in this kernel" : "unknown");
  }
  const HostTrials& trials = host.trials;
  const std::string found = mode == "1" ? "strict" : "a filter is on";
  if (trials.pidfd_errno == 0 && trials.memfd_errno == 0 && trials.io_uring_errno == 0) {
    return Good("seccomp", found + ", all that is needed passes");
  }
  return Improvable("seccomp", found, kNoSeccomp);
}

Finding ProbeMemory(const Host& host) {
  const HostMemory memory = ReadHostMemory(host.root);
  if (memory.limit_bytes == 0) {
    return CannotRun("memory", "unknown: /proc/meminfo cannot be read", kMountProc);
  }
  const uint64_t arena = DefaultArena(memory);
  const std::string found =
      fmt::format("{} of {} free ({}), default arena {}",
                  FormatBytesApart(memory.available_bytes, arena).first,
                  FormatBytes(memory.limit_bytes), memory.available_in,
                  FormatBytesApart(memory.available_bytes, arena).second);
  if (arena <= memory.available_bytes && arena >= 4 * kMiB) return Good("memory", found);
  const uint64_t fits_mib = memory.available_bytes / 4 * 3 / kMiB;
  if (fits_mib < 4) {
    return CannotRun("memory", found, "systemctl set-property UNIT MemoryMax=1G");
  }
  return Improvable("memory", found, fmt::format("penstockd --memory {}MiB", fits_mib));
}

Finding ProbeDescriptors(const Host& host) {
  constexpr uint64_t kWanted = kMostSessions * kDescriptorsPerSession + 256;
  const std::string found =
      fmt::format("{} soft, {} hard; {} sessions take {}", Count(host.trials.files_soft),
                  Count(host.trials.files_hard), kMostSessions, kWanted);
  // The daemon raises the soft limit to the hard one by itself.
  if (host.trials.files_hard >= kWanted) return Good("descriptors", found);
  return Improvable("descriptors", found,
                    fmt::format("prlimit --pid $$ --nofile={}:{}", kWanted, kWanted));
}

Finding ProbeFileMax(const Host& host) {
  constexpr uint64_t kWanted = 2 * kMostSessions * kDescriptorsPerSession;
  const auto most = ReadNumber(host.root + "/proc/sys/fs/file-max");
  if (!most) return Good("files of the host", "unknown");
  if (*most >= kWanted) return Good("files of the host", Count(*most));
  return Improvable("files of the host", Count(*most),
                    fmt::format("sysctl fs.file-max={}", 4 * kWanted));
}

Finding ProbeMemlock(const Host& host) {
  std::error_code ignored;
  const std::filesystem::path cards = host.root + "/sys/class/infiniband";
  const bool has_card = std::filesystem::is_directory(cards, ignored) &&
                        !std::filesystem::is_empty(cards, ignored);
  const std::string found = Size(host.trials.memlock);
  const uint64_t arena = DefaultArena(ReadHostMemory(host.root));
  if (!has_card) return Good("locked memory", found + ", no RDMA card that needs it");
  if (host.trials.memlock >= arena) return Good("locked memory", found);
  return Improvable("locked memory",
                    fmt::format("{}, a card registers {}", found, FormatBytes(arena)),
                    "prlimit --pid $$ --memlock=unlimited:unlimited");
}

Finding ProbeFileSize(const Host& host) {
  const uint64_t most = host.trials.file_bytes;
  const uint64_t arena = DefaultArena(ReadHostMemory(host.root));
  if (most == kUnlimited) return Good("size of files", "unlimited");
  if (most >= arena) return Good("size of files", Size(most));
  const auto [allowed, taken] = FormatBytesApart(most, arena);
  return Improvable("size of files",
                    fmt::format("{} at most, memory files too; the default arena takes {}",
                                allowed, taken), kLargerFiles);
}

Finding ProbeMaps(const Host& host) {
  constexpr uint64_t kWanted = kMostSessions * kMappingsPerSession * 2;
  const auto most = ReadNumber(host.root + "/proc/sys/vm/max_map_count");
  if (!most) return Good("mappings", "unknown");
  if (*most >= kWanted) return Good("mappings", Count(*most));
  return Improvable("mappings", Count(*most), "sysctl vm.max_map_count=65530");
}

Finding ProbeCpus(const Host& host) {
  const std::string smt =
      ReadLine(host.root + "/sys/devices/system/cpu/smt/active").value_or("0");
  const std::string found = fmt::format("{}, {}", host.trials.cpus,
                                        smt == "1" ? "two threads a core (SMT)" : "no SMT");
  if (host.trials.cpus >= 2) return Good("CPUs", found);
  return Improvable("CPUs", found + ": who calls and who answers take turns",
                    "taskset -c 0-1 penstockd");
}

Finding ProbeProcessor(const Host& host) {
  return Good("processor", Describe(host.processor));
}

Finding ProbeNuma(const Host& host) {
  std::error_code ignored;
  uint64_t nodes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           host.root + "/sys/devices/system/node", ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("node") && name.find_first_not_of("0123456789", 4) == name.npos) {
      ++nodes;
    }
  }
  if (nodes <= 1) return Good("NUMA nodes", "1");
  return Improvable("NUMA nodes", fmt::format("{}: the arena would lie on any of them", nodes),
                    "numactl --membind 0 --cpunodebind 0 penstockd");
}

std::vector<Finding> Examine(const Host& host) {
  std::vector<Finding> findings;
  for (const auto probe :
       {ProbeProc, ProbeKernel, ProbeMemoryFile, ProbePidfd, ProbePeerPidfd, ProbeCollapse,
        ProbeHugetlb, ProbeShmemPages, ProbeTransparentPages, ProbeIoUring, ProbeSeccomp,
        ProbeMemory, ProbeDescriptors, ProbeFileMax, ProbeFileSize, ProbeMemlock, ProbeMaps,
        ProbeCpus, ProbeProcessor, ProbeCopies, ProbeNuma, ProbeOomScore, ProbeDaemon,
        ProbeDisk}) {
    findings.push_back(probe(host));
  }
  return findings;
}

}  // namespace penstock
