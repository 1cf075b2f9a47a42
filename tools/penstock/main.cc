// penstock: the operator's command line.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <functional>
#include <iostream>
#include <string>

#include "store/base/host_limits.h"
#include "store/base/store_directory.h"
#include "store/base/unique_fd.h"
#include "tools/penstock/commands.h"

namespace {

// Of a word that somebody meant for something else, as much as tells which it was.
std::string Shown(const std::string& text) {
  constexpr size_t kMost = 60;
  return text.size() <= kMost ? "'" + text + "'" : "'" + text.substr(0, kMost) + "...'";
}

// What is wrong with an argument, or nothing.
std::string IsCount(const std::string& text) {
  uint32_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error == std::errc() && end == text.data() + text.size()) return {};
  return Shown(text) + " is no number from 0 to 4294967295";
}
std::string IsSeconds(const std::string& text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  if (is_number && seconds >= 0.01 && seconds <= 3600) return {};
  return Shown(text) + " is no number of seconds from 0.01 to 3600";
}

// A command and what it runs.
struct Command {
  CLI::App* app;
  std::function<int(const penstock::LookOptions&)> run;
};

class CommandLine {
 public:
  explicit CommandLine(CLI::App& app) : app_(app) {
    AddStatus();
    AddObjects();
    AddMemory();
    AddClients();
    AddTop();
    AddDoctor();
  }

  bool Has(const std::string& name) const {
    return std::any_of(commands_.begin(), commands_.end(), [&name](const Command& command) {
      return command.app->get_name() == name;
    });
  }
  std::string Names() const {
    std::string names;
    for (const Command& command : commands_) names += " " + command.app->get_name();
    return names;
  }

  int Run() {
    options_.dir = penstock::StoreDirectory(options_.dir);
    for (const Command& command : commands_) {
      if (command.app->parsed()) return command.run(options_);
    }
    return penstock::kExitFailed;
  }

 private:
  CLI::App* Add(const char* name, const char* what, int (*run)(const penstock::LookOptions&),
                const char* footer) {
    CLI::App* const command = app_.add_subcommand(name, what);
    command->add_option("--dir", options_.dir, "directory of the store (PENSTOCK_DIR)")
        ->check([](const std::string& dir) {  // a variable of a script that is not set
          return std::string(dir.empty() ? "it is empty, it takes a path" : "");
        });
    command->add_flag("--json", options_.json, "for machines, instead of tables");
    command->footer(footer);
    commands_.push_back({command, run});
    return command;
  }
  void AddLimit(CLI::App* command) {
    command->add_option("--limit", options_.limit, "most rows, 0: all")
        ->check(IsCount)
        ->capture_default_str();
  }
  void AddSort(CLI::App* command, const std::vector<std::string>& orders) {
    command->add_option("--sort", options_.sort, "order of the rows (" + orders.front() + ")")
        ->check(CLI::IsMember(orders));
  }

  void AddStatus() {
    CLI::App* const command = Add(
        "status", "memory, objects, sessions and counters of the store", penstock::Status,
        "Exit status: 0 the daemon answered; 1 there is no store, or it is not yours; 2 the\n"
        "daemon does not answer (stopped, busy, dead): why, and what its store shows.\n"
        "Examples:\n"
        "  penstock status                  the store in the default directory\n"
        "  penstock status --patience 0.2   for a watchdog\n"
        "  penstock status --wait 10        after `penstockd &`: until it serves");
    command->add_option("--patience", options_.patience_s,
                        "seconds that the daemon gets to answer, 0.01 to 3600")
        ->check(IsSeconds)
        ->capture_default_str();
    command->add_option("--wait", options_.wait_s,
                        "seconds for a daemon to begin, 0.01 to 3600; else it is there or not")
        ->check(IsSeconds);
  }
  void AddObjects() {
    CLI::App* const command = Add(
        "objects", "what lies in the store: sizes, makers, who pins it", penstock::Objects,
        "Does not ask the daemon: works while it is stopped, looping or dead, for the store's\n"
        "user and root. A state with ? changed while it was read. `pinned by` has processes.\n"
        "Examples:\n"
        "  penstock objects                       the 50 largest\n"
        "  penstock objects --sort pins           the most pinned first\n"
        "  penstock objects --limit 0 --json      all of them, for machines");
    AddLimit(command);
    AddSort(command, {"size", "pins", "id", "maker"});
  }
  void AddMemory() {
    Add("memory", "where the bytes of the store are: by state, by size, on disk",
        penstock::Memory,
        "Does not ask the daemon: works while it is stopped, looping or dead, for the store's\n"
        "user and root.\n"
        "Examples:\n"
        "  penstock memory\n"
        "  penstock memory --json");
  }
  void AddClients() {
    CLI::App* const command = Add(
        "clients", "who has a session, what it made, holds and pins", penstock::Clients,
        "Does not ask the daemon: works while it is stopped, looping or dead, for the store's\n"
        "user and root. `asked` and `answers` are records that the other side has not taken.\n"
        "Examples:\n"
        "  penstock clients                   who holds most bytes first\n"
        "  penstock clients --sort unread     whose ring is fullest");
    AddLimit(command);
    AddSort(command, kClientOrders);
  }
  void AddTop() {
    CLI::App* const command = Add(
        "top", "counts, rates and the largest clients, again every second", penstock::Top,
        "Does not ask the daemon: works while it is stopped, looping or dead, for the store's\n"
        "user and root. Nobody counts gets: they touch memory of the getting process only.\n"
        "Examples:\n"
        "  penstock top\n"
        "  penstock top --interval 0.5 --count 10 --json   ten lines for a script");
    command->add_option("--interval", options_.interval_s,
                        "seconds between two looks, 0.01 to 3600")
        ->check(IsSeconds)
        ->capture_default_str();
    command->add_option("--count", options_.count, "looks, 0: until interrupted")
        ->check(IsCount)
        ->capture_default_str();
    AddLimit(command);
    AddSort(command, kClientOrders);
  }
  void AddDoctor() {
    Add("doctor", "what this host gives Penstock, and the command that would improve it",
        penstock::Doctor,
        "Exit status 1 only where Penstock cannot run at all.\n"
        "Examples:\n"
        "  penstock doctor                  a table: what, found, good?, to improve\n"
        "  penstock doctor --dir /run/me    looks at the daemon that runs there too\n"
        "  penstock doctor --json           for machines");
  }

  const std::vector<std::string> kClientOrders = {"bytes", "pinned", "objects", "unread",
                                                  "session"};
  CLI::App& app_;
  penstock::LookOptions options_;
  std::vector<Command> commands_;
};

}  // namespace

int main(int argc, char** argv) {
  penstock::FillStandardStreams();
  penstock::FailWritesBeyondFileLimit();
  CLI::App app{"Looks at a running Penstock store, and at the host below it."};
  app.set_version_flag("--version", "penstock 0.1.0");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  penstock status                  the store in the default directory\n"
      "  penstock status --dir /run/me    another one\n"
      "  penstock status --json           for machines\n"
      "  penstock objects --sort pins     what is pinned most, and by whom\n"
      "  penstock clients                 who holds the memory\n"
      "  penstock top                     the same, again every second\n"
      "  penstock doctor                  what this host gives Penstock, and how to give more\n"
      "penstock COMMAND --help says more. Exit status 64: the command line makes no sense.");
  CommandLine line(app);
  if (argc > 1 && argv[1][0] != '-' && !line.Has(argv[1])) {
    std::cerr << "penstock: there is no command " << Shown(argv[1]) << "; there are"
              << line.Names() << ". penstock --help says more\n";
    return penstock::kExitWrongUse;
  }
  int status = penstock::kExitGood;
  try {
    app.parse(argc, argv);
    status = line.Run();
  } catch (const CLI::ParseError& error) {
    if (app.exit(error) != 0) status = penstock::kExitWrongUse;
  }
  std::cout.flush();
  if (std::cout) return status;
  std::cerr << "penstock: the output could not be written: is the disk full, the reader gone, or "
               "the size of a file limited (ulimit -f)?\n";
  return status != 0 ? status : penstock::kExitFailed;
}
