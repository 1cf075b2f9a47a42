// penstock: the operator's command line.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <penstock/client.h>

#include <iostream>

#include "store/base/store_directory.h"
#include "store/base/units.h"
#include "tools/penstock/doctor.h"

namespace {

using penstock::FormatBytes;

std::string Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? "-" : fmt::format("{:.1f}%", 100.0 * static_cast<double>(part) /
                                                       static_cast<double>(whole));
}

void Row(std::string_view name, const std::string& value, const std::string& remark = "") {
  std::cout << fmt::format("  {:<16}{:>14}  {}\n", name, value, remark);
}

void PrintStatus(const penstock::DaemonStatus& status, const std::string& dir) {
  const auto count = [&](std::string_view name) { return status.Counter(name); };
  const auto number = [&](std::string_view name) { return fmt::format("{}", count(name)); };
  std::cout << fmt::format("Penstock store at {} (daemon process {})\n\nMemory\n", dir,
                           count("daemon_pid"));
  const uint64_t arena = count("arena_bytes");
  Row("arena", FormatBytes(arena));
  Row("populated", FormatBytes(count("populated_bytes")),
      Percent(count("populated_bytes"), arena) +
          (count("population_done") != 0 ? "" : ", going on in the background"));
  Row("huge pages", FormatBytes(count("huge_bytes")), Percent(count("huge_bytes"), arena));
  Row("index in huge", FormatBytes(count("index_huge_bytes")),
      Percent(count("index_huge_bytes"), count("index_bytes")));
  Row("objects", FormatBytes(count("object_bytes")),
      fmt::format("{} of it evictable", FormatBytes(count("evictable_bytes"))));
  Row("leased", FormatBytes(count("leased_bytes")), "being filled, or granted ahead");
  Row("free", FormatBytes(count("free_bytes")));
  std::cout << "\nNow\n";
  Row("objects", number("objects"), fmt::format("of {} slots", count("slots")));
  Row("doomed", number("doomed"), "deleted, still pinned");
  Row("leases", number("leases"));
  Row("sessions", number("sessions"));
  Row("waiting", number("room_waiters"), "for room");
  Row("waiting", number("get_waiters"), "for a seal");
  std::cout << "\nSince the start\n";
  for (const char* name :
       {"sealed", "deleted", "evicted", "freed", "refused_full", "broken_sessions"}) {
    Row(name, number(name));
  }
  for (const std::string& note : status.notes) std::cout << "\nNote: " << note << "\n";
}

void PrintJson(const penstock::DaemonStatus& status) {
  nlohmann::ordered_json json;
  for (const auto& [name, value] : status.counters) json[name] = value;
  json["notes"] = status.notes;
  std::cout << json.dump(2) << "\n";
}

int Doctor(const std::string& dir, bool json) {
  penstock::Host host;
  host.trials = penstock::TryHost();
  host.store_dir = penstock::StoreDirectory(dir);
  if (const auto status = penstock::QueryStatus(dir); status.ok()) {
    host.daemon_pid = static_cast<int32_t>(status->Counter("daemon_pid"));
  }
  const std::vector<penstock::Finding> findings = penstock::Examine(host);
  std::cout << (json ? penstock::FormatFindingsAsJson(findings)
                     : penstock::FormatFindings(findings));
  return penstock::ExitStatus(findings);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Looks at a running Penstock store, and at the host below it."};
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  penstock status                  the store in the default directory\n"
      "  penstock status --dir /run/me    another one\n"
      "  penstock status --json           for machines\n"
      "  penstock doctor                  what this host gives Penstock, and how to give more");
  CLI::App* const status_command =
      app.add_subcommand("status", "memory, objects, sessions and counters of the store");
  std::string dir;
  bool json = false;
  status_command->add_option("--dir", dir, "directory of the store (PENSTOCK_DIR)");
  status_command->add_flag("--json", json, "one JSON object instead of tables");
  CLI::App* const doctor_command = app.add_subcommand(
      "doctor", "what this host gives Penstock, and the command that would improve it");
  doctor_command->add_option("--dir", dir, "directory of a running store (PENSTOCK_DIR)");
  doctor_command->add_flag("--json", json, "one JSON object instead of a table");
  doctor_command->footer(
      "Exit status 1 only where Penstock cannot run at all.\n"
      "Examples:\n"
      "  penstock doctor                  a table: what, found, good?, to improve\n"
      "  penstock doctor --dir /run/me    looks at the daemon that runs there too\n"
      "  penstock doctor --json           for machines");
  CLI11_PARSE(app, argc, argv);

  if (doctor_command->parsed()) return Doctor(dir, json);
  const auto status = penstock::QueryStatus(dir);
  if (!status.ok()) {
    std::cerr << "penstock: " << std::string(status.status().message()) << "\n";
    return 1;
  }
  if (json) {
    PrintJson(*status);
  } else {
    PrintStatus(*status, penstock::StoreDirectory(dir));
  }
  return 0;
}
