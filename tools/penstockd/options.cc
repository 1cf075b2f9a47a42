// Parsing of flags and of the TOML file.
#include "tools/penstockd/options.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <iostream>
#include <map>

#include "store/base/errors.h"
#include "store/base/host_limits.h"
#include "store/base/store_directory.h"
#include "store/base/units.h"
#include "store/shm/host_memory.h"
#include "store/shm/session_layout.h"
#include "tools/penstockd/store_memory.h"

namespace penstock {
namespace {

constexpr uint64_t kLeastMemoryBytes = 4 * kMiB;
constexpr uint32_t kLeastObjects = 64;

const std::map<std::string, HugePages> kHugePagesNames = {
    {"auto", HugePages::kAuto},
    {"collapse", HugePages::kCollapse},
    {"hugetlb", HugePages::kHugetlb},
    {"off", HugePages::kOff}};
const std::map<std::string, SpillIo> kSpillIoNames = {
    {"auto", SpillIo::kAuto}, {"uring", SpillIo::kUring}, {"threads", SpillIo::kThreads}};
const std::vector<std::string> kLogLevels = {"trace", "debug", "info", "warn", "error", "off"};

// The flags as text, before their units are looked at; one place for both sources.
struct RawOptions {
  std::map<std::string, std::string> values;  // by flag name without dashes
};

template <typename Known>
std::string Join(const Known& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

absl::Status SetNumber(const std::string& name, const std::string& text, uint64_t least,
                       uint64_t most, uint32_t& target) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least ||
      value > most) {
    return absl::InvalidArgumentError(
        fmt::format("{} is '{}', it takes a whole number from {} to {}", name, text, least, most));
  }
  target = static_cast<uint32_t>(value);
  return absl::OkStatus();
}

absl::Status SetBytes(const std::string& name, const std::string& text, uint64_t& target) {
  const auto bytes = ParseBytes(text);
  if (!bytes.ok()) {
    return absl::InvalidArgumentError(name + ": " + std::string(bytes.status().message()));
  }
  target = *bytes;
  return absl::OkStatus();
}

// An empty one is a variable of a script that is not set.
absl::Status SetPath(const std::string& name, const std::string& text, std::string& target) {
  if (text.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{0} is empty, it takes a path: name one, or leave {0} out", name));
  }
  target = text;
  return absl::OkStatus();
}

absl::Status Apply(const std::string& name, const std::string& text, DaemonOptions& options) {
  if (name == "dir") {
    return SetPath(name, text, options.dir);
  }
  if (name == "memory") {
    const auto bytes = ParseBytes(text);
    if (!bytes.ok()) {
      return absl::InvalidArgumentError("memory: " + std::string(bytes.status().message()));
    }
    if (*bytes < kLeastMemoryBytes || *bytes > kMaxArenaBytes) {
      const uint64_t bound = *bytes < kLeastMemoryBytes ? kLeastMemoryBytes : kMaxArenaBytes;
      return absl::InvalidArgumentError(fmt::format(
          "memory is {}, it takes {} to {}", FormatBytesApart(*bytes, bound).first,
          FormatBytes(kLeastMemoryBytes), FormatBytes(kMaxArenaBytes)));
    }
    options.memory_bytes = RoundUp(*bytes, kHugePageBytes);
    return absl::OkStatus();
  }
  if (name == "objects") {
    return SetNumber(name, text, kLeastObjects, kMaxSlots, options.objects);
  }
  if (name == "max-sessions") return SetNumber(name, text, 1, 65536, options.max_sessions);
  if (name == "max-sessions-per-user") {
    return SetNumber(name, text, 1, 65536, options.max_sessions_per_user);
  }
  if (name == "allow") {
    PENSTOCK_ASSIGN_OR_RETURN(options.allow, AllowList::Parse(text));
    if (options.allow.empty()) {
      return absl::InvalidArgumentError(
          "allow is empty, it takes uid:1001, uid:alice or gid:100: leave it out for nobody");
    }
    return absl::OkStatus();
  }
  if (name == "cpus") return SetNumber(name, text, 1, 10'000, options.cpus);
  if (name == "max-workers") return SetNumber(name, text, 1, 512, options.max_workers);
  if (name == "owner-pid") return SetNumber(name, text, 1, 1u << 30, options.owner_pid);
  if (name == "huge-pages") {
    const auto found = kHugePagesNames.find(text);
    if (found == kHugePagesNames.end()) {
      return absl::InvalidArgumentError(
          fmt::format("huge-pages is '{}', it takes auto, collapse, hugetlb or off", text));
    }
    options.huge_pages = found->second;
    return absl::OkStatus();
  }
  if (name == "spill-dir") {
    return SetPath(name, text, options.spill_dir);
  }
  if (name == "spill-limit") {
    PENSTOCK_RETURN_IF_ERROR(SetBytes(name, text, options.spill_limit_bytes));
    if (options.spill_limit_bytes == 0 || options.spill_limit_bytes >= kLeastSpillLimitBytes) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(fmt::format(
        "spill-limit is {}, it takes {} at least, or 0 for as far as the disk goes",
        FormatBytesApart(options.spill_limit_bytes, kLeastSpillLimitBytes).first,
        FormatBytes(kLeastSpillLimitBytes)));
  }
  if (name == "client-quota") return SetBytes(name, text, options.client_quota_bytes);
  if (name == "pin-quota") return SetBytes(name, text, options.pin_quota_bytes);
  if (name == "give-back-after") {
    return SetNumber(name, text, 1, 86'400, options.give_back_after_s);
  }
  if (name == "keep-free") return SetBytes(name, text, options.keep_free_bytes.emplace(0));
  if (name == "spill-io") {
    const auto found = kSpillIoNames.find(text);
    if (found == kSpillIoNames.end()) {
      return absl::InvalidArgumentError(
          fmt::format("spill-io is '{}', it takes auto, uring or threads", text));
    }
    options.spill_io = found->second;
    return absl::OkStatus();
  }
  if (name == "log-level") {
    if (std::find(kLogLevels.begin(), kLogLevels.end(), text) == kLogLevels.end()) {
      return absl::InvalidArgumentError(
          fmt::format("log-level is '{}', it takes {}", text, Join(kLogLevels)));
    }
    options.log_level = text;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      fmt::format("'{}' is no option: those known are dir, memory, objects, huge-pages, "
                  "log-level, max-sessions, max-sessions-per-user, client-quota, pin-quota, allow, "
                  "spill-dir, spill-limit, spill-io, give-back-after, keep-free, "
                  "cpus, max-workers, owner-pid", name));
}

absl::Status ApplyFile(const std::string& path, RawOptions& raw) {
  toml::table table;
  try {
    table = toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        fmt::format("{}, line {}: {}", path, error.source().begin.line,
                    std::string(error.description())));
  }
  for (const auto& [key, value] : table) {
    std::string text;
    if (value.is_string()) {
      text = value.as_string()->get();
    } else if (value.is_integer()) {
      text = std::to_string(value.as_integer()->get());
    } else {
      return absl::InvalidArgumentError(fmt::format(
          "{}: {} is neither a string nor a whole number", path, std::string(key.str())));
    }
    raw.values.emplace(std::string(key.str()), text);  // a flag given too stands first
  }
  return absl::OkStatus();
}

int Refuse(const absl::Status& why) {
  if (absl::IsFailedPrecondition(why)) {  // the host is in the way, not a flag
    std::cerr << "penstockd: " << std::string(why.message()) << "\n";
    return 1;
  }
  std::cerr << "penstockd: " << std::string(why.message())
            << "\nTry 'penstockd --help' for the flags, their units and their ranges.\n";
  return 2;
}

}  // namespace

ParsedOptions ParseOptions(int argc, char** argv, bool store_exists) {
  CLI::App app{"The daemon of a Penstock node: holds the shared memory and its index.\n"
               "It stays in the foreground; SIGTERM, SIGINT and SIGHUP end it in order, and\n"
               "all objects with it. Under nohup it outlives the terminal (SIGHUP)."};
  app.set_version_flag("--version", "penstockd 0.1.0");
  app.footer(
      "Examples:\n"
      "  penstockd                                   a store in the default directory\n"
      "  penstockd --dir /run/me --memory 4GiB       4 GiB of objects, socket in /run/me\n"
      "  penstockd --spill-dir /var/tmp/penstock     what does not fit goes to disk\n"
      "  penstockd --take-over --dir /run/me         goes on with the store that runs there,\n"
      "                                              in place of its penstockd (an upgrade)\n"
      "  penstockd --config /etc/penstock.toml       the same names in a TOML file:\n"
      "                                              memory = \"4GiB\"\n"
      "Clients find the directory by PENSTOCK_DIR. 'penstock status' shows a running one.");
  std::string config;
  std::map<std::string, std::string> flags;
  app.add_option("--config", config, "TOML file; a flag given as well stands above it")
      ->check(CLI::ExistingFile);
  app.add_option("--dir", flags["dir"],
                 "directory of the socket (PENSTOCK_DIR, else /run/penstock for root, and for "
                 "others $XDG_RUNTIME_DIR/penstock or /tmp/penstock-<uid>)");
  app.add_option("--memory", flags["memory"],
                 "size of the arena, 4MiB to 4TiB (a quarter of what the host or its "
                 "memory cgroup has, at most 64GiB)");
  app.add_option("--objects", flags["objects"],
                 "most objects at once, 64 to 2^28 (one for each 4 KiB of memory)");
  app.add_option("--huge-pages", flags["huge-pages"], "auto, collapse, hugetlb or off (auto)");
  app.add_option("--log-level", flags["log-level"],
                 "trace, debug, info, warn, error or off (info)");
  app.add_option("--max-sessions", flags["max-sessions"], "most clients, 1 to 65536 (4096)");
  app.add_option("--max-sessions-per-user", flags["max-sessions-per-user"],
                 "most clients of one user, 1 to 65536 (a quarter of all for a guest)");
  app.add_option("--client-quota", flags["client-quota"],
                 "most bytes of objects in memory and leases of one client (as many as fit)");
  app.add_option("--pin-quota", flags["pin-quota"],
                 "most bytes that one client may pin while others wait for room: it is named, "
                 "and ended after 2 s (as many as fit)");
  std::vector<std::string> allow;
  app.add_option("--allow", allow,
                 "another user or group that may come in: uid:1001, uid:alice (or both without "
                 "uid:) or gid:100, to read; with :rw behind it to write too (nobody). May be "
                 "given again, and takes several between commas")
      ->allow_extra_args(false)
      ->option_text("WHO");
  app.add_option("--spill-dir", flags["spill-dir"],
                 "where objects go when the memory is full (nowhere: creators wait)");
  app.add_option("--spill-limit", flags["spill-limit"],
                 "with --spill-dir: most bytes there, 1MiB at least, like 100GiB (as far as the "
                 "disk goes)");
  app.add_option("--spill-io", flags["spill-io"],
                 "with --spill-dir: auto, uring or threads (auto)");
  app.add_option("--give-back-after", flags["give-back-after"],
                 "seconds, 1 to 86400: memory that stays free so long goes back to the host, and "
                 "comes again when it is needed (never)");
  app.add_option("--keep-free", flags["keep-free"],
                 "so much free memory does not go (an eighth of the arena)");
  app.add_option("--cpus", flags["cpus"],
                 "CPUs that tasks may use, 1 to 10000 (those that affinity and cgroups leave it)");
  app.add_option("--max-workers", flags["max-workers"],
                 "most processes of tasks and actors, 1 to 512 (64)");
  app.add_option("--owner-pid", flags["owner-pid"],
                 "end with this process, and remove the directory (nobody)");
  ParsedOptions parsed;
  app.add_flag("--take-over", parsed.options.take_over,
               "go on with the store that runs in this directory: it keeps its memory, its "
               "objects and its clients, and its penstockd ends");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    std::cout.flush();
    parsed.exit_code = code != 0 ? 2 : std::cout ? 0 : 1;
    if (!std::cout) std::cerr << "penstockd: the output could not be written\n";
    return parsed;
  }
  RawOptions raw;
  for (const auto& [name, text] : flags) {
    if (app.count("--" + name) > 0) raw.values.emplace(name, text);
  }
  if (std::find(allow.begin(), allow.end(), "") != allow.end()) {
    parsed.exit_code = Refuse(absl::InvalidArgumentError(
        "allow is empty, it takes a user or a group: name one, or leave allow out"));
    return parsed;
  }
  if (!allow.empty()) raw.values.emplace("allow", fmt::format("{}", fmt::join(allow, " ")));
  if (!config.empty()) {
    if (const absl::Status status = ApplyFile(config, raw); !status.ok()) {
      parsed.exit_code = Refuse(status);
      return parsed;
    }
  }
  for (const auto& [name, text] : raw.values) {
    if (const absl::Status status = Apply(name, text, parsed.options); !status.ok()) {
      parsed.exit_code = Refuse(status);
      return parsed;
    }
  }
  // A file may say it: it serves for the start of a store as well.
  if (parsed.options.take_over && app.count("--memory") + app.count("--objects") > 0) {
    parsed.exit_code = Refuse(absl::InvalidArgumentError(
        "--take-over keeps the memory and the objects that the store has: leave out memory "
        "and objects"));
    return parsed;
  }
  if (raw.values.contains("keep-free") && !raw.values.contains("give-back-after")) {
    parsed.exit_code = Refuse(absl::InvalidArgumentError(
        "keep-free says how much of what --give-back-after gives stays: give both, or neither"));
    return parsed;
  }
  for (const char* name : {"spill-limit", "spill-io"}) {
    if (!raw.values.contains(name) || raw.values.contains("spill-dir")) continue;
    parsed.exit_code = Refuse(absl::InvalidArgumentError(fmt::format(
        "{0} says how objects go to --spill-dir, and nothing goes to disk without it: give both, "
        "or leave {0} out", name)));
    return parsed;
  }
  parsed.options.given = raw.values;
  store_exists |= parsed.options.take_over;
  if (const absl::Status status = CompleteOptions(parsed.options, store_exists); !status.ok()) {
    parsed.exit_code = Refuse(status);
  }
  return parsed;
}

absl::Status CompleteOptions(DaemonOptions& options, bool store_exists) {
  options.dir = StoreDirectory(options.dir);
  const HostMemory host = ReadHostMemory();
  if (host.limit_bytes == 0) {
    return ProcStatus(ENOENT, "how much memory there is cannot be read from /proc/meminfo");
  }
  if (options.memory_bytes == 0) {
    options.memory_bytes =
        RoundUp(std::clamp(host.limit_bytes / 4, kLeastMemoryBytes, 64 * kGiB), kHugePageBytes);
  }
  // A store that exists was once allowed its memory.
  if (options.memory_bytes > host.limit_bytes && !store_exists) {
    const auto [asked, has] = FormatBytesApart(options.memory_bytes, host.limit_bytes);
    return absl::InvalidArgumentError(
        fmt::format("memory is {}, but {} has {}: choose less, at most about {}", asked,
                    host.limited_by, has, FormatBytes(host.limit_bytes / 4 * 3)));
  }
  // Reserved pages of 2 MiB are in use, as the host counts.
  if (options.memory_bytes > host.available_bytes && !store_exists &&
      !FitsIntoReserve(options)) {
    const auto [asked, is_free] = FormatBytesApart(options.memory_bytes, host.available_bytes);
    return absl::ResourceExhaustedError(
        fmt::format("memory is {}, but only {} is free in {}: choose less, or free some", asked,
                    is_free, host.available_in));
  }
  if (options.objects == 0) {
    options.objects = static_cast<uint32_t>(std::clamp<uint64_t>(
        options.memory_bytes / (4 * kKiB), 4096, uint64_t{kMaxSlots}));
  }
  return absl::OkStatus();
}

}  // namespace penstock
