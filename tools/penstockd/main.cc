// penstockd: the daemon of a Penstock node.
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>

#include <cerrno>
#include <iostream>
#include <memory>
#include <utility>

#include "store/base/host_limits.h"
#include "store/base/processor.h"
#include "store/base/unique_fd.h"
#include "tools/penstockd/keeper.h"
#include "tools/penstockd/log_sink.h"
#include "tools/penstockd/options.h"
#include "tools/penstockd/process.h"
#include "tools/penstockd/take_over.h"

int main(int argc, char** argv) {
  penstock::FillStandardStreams();
  penstock::FailWritesBeyondFileLimit();
  penstock::ParsedOptions parsed =
      penstock::ParseOptions(argc, argv, penstock::IsSuccessorKeeper());
  if (parsed.exit_code) return *parsed.exit_code;
  const penstock::DaemonOptions& options = parsed.options;
  if (const absl::Status withheld = penstock::CheckWithheld(); !withheld.ok()) {
    std::cerr << "penstockd: " << std::string(withheld.message()) << "\n";
    return 2;
  }
  if (const absl::Status enough = penstock::CheckDescriptorLimit(); !enough.ok()) {
    std::cerr << "penstockd: " << std::string(enough.message()) << "\n";
    return 1;
  }
  const bool is_owned = options.owner_pid != 0 && !penstock::IsSuccessorKeeper();
  if (is_owned && kill(static_cast<pid_t>(options.owner_pid), 0) != 0 && errno == ESRCH) {
    std::cerr << "penstockd: --owner-pid: there is no process " << options.owner_pid << "\n";
    return 2;
  }
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("penstockd", std::make_shared<penstock::LogSink>()));
  spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %n[%P] %l: %v");
  spdlog::set_level(spdlog::level::from_str(
      options.log_level == "error" ? "err" : options.log_level));
  prctl(PR_SET_NAME, "penstock-keeper");
  if (penstock::IsSuccessorKeeper()) return penstock::RunSuccessorKeeper(options, argv);
  if (options.take_over) {
    auto all = penstock::TakeOverStore(options);
    if (all.ok()) {
      return penstock::RunHeirKeeper(options, std::move(all->kept),
                                     std::move(all->daemon_pidfd), argv);
    }
    std::cerr << "penstockd: " << std::string(all.status().message()) << "\n";
    return 1;
  }
  auto kept = penstock::TakeDirectory(options);
  if (!kept.ok()) {
    std::cerr << "penstockd: " << std::string(kept.status().message()) << "\n";
    return 1;
  }
  return penstock::RunKeeper(options, *std::move(kept), argv);
}
