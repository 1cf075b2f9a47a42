// penstock doctor: asks the daemon and its keeper, and prints what was found.
#include <penstock/client.h>

#include <iostream>
#include <string>
#include <string_view>

#include "store/base/processor.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/doctor.h"
#include "tools/penstock/store_summary.h"

namespace penstock {
namespace {

// After the second that the daemon had.
constexpr int kKeepersPatience_ms = 500;

bool HasDisk(const DaemonStatus& status) {
  for (const auto& [name, value] : status.counters) {
    if (name == "spill_direct") return true;
  }
  return false;
}

void NoteAnswer(const DaemonStatus& status, Host& host) {
  host.daemon_pid = static_cast<int32_t>(status.Counter("daemon_pid"));
  host.copy_plan = static_cast<uint32_t>(status.Counter("copy_plan"));
  host.arena_bytes = status.Counter("arena_bytes");
  host.population_done = status.Counter("population_done") != 0;
  if (const auto page = AskKeeper(host.store_dir, ~uint64_t{0}, kKeepersPatience_ms); page.ok()) {
    host.daemon_is_elsewhere = page->is_elsewhere;
  }
  if (!HasDisk(status)) return;
  StoreDisk& disk = host.disk.emplace();
  disk.objects = status.Counter("spilled_objects");
  disk.bytes = status.Counter("spill_live_bytes");
  if (status.Counter("spill_trouble") == 0) return;
  disk.trouble = "the last write failed";
  disk.why = static_cast<SpillTrouble>(status.Counter("spill_trouble"));
  constexpr std::string_view kBeforeDir = "nothing can be spilled to ";
  for (const std::string& note : status.notes) {
    if (!note.starts_with(kBeforeDir)) continue;
    disk.trouble = note;
    disk.dir = note.substr(kBeforeDir.size(), note.find(" just now") - kBeforeDir.size());
  }
}

void NoteSilence(const absl::Status& why, Host& host) {
  const auto view = StoreView::Open(host.store_dir, kKeepersPatience_ms);
  if (absl::IsUnavailable(why) && !view.ok()) {
    host.why_no_daemon = "the daemon is dead, and its keeper too,";
    return;
  }
  host.daemon_is_silent = true;
  host.why_no_daemon = std::string(why.message());
  host.wake = "penstock status --dir " + host.store_dir;
  if (!view.ok()) {
    // A keeper that is silent too is the one to be named first.
    if (absl::IsDeadlineExceeded(view.status())) {
      host.why_no_daemon = std::string(view.status().message());
    }
    return;
  }
  host.why_no_daemon = WhyNoStatus(*view);
  if (view->daemon_state() == ProcessState::kStopped) {
    host.wake = "kill -CONT " + std::to_string(view->keeper().daemon_pid);
  }
  if (const StoreView::OnDisk disk = view->on_disk(); disk.objects > 0) {
    host.disk = {disk.objects, disk.bytes, ""};
  }
}

}  // namespace

int Doctor(const LookOptions& options) {
  if (const absl::Status withheld = CheckWithheld(); !withheld.ok()) return Fail(withheld);
  Host host;
  host.trials = TryHost();
  host.processor = ThisProcessor();
  host.store_dir = options.dir;
  const auto status = QueryStatus(options.dir, absl::Seconds(options.patience_s));
  if (status.ok()) {
    NoteAnswer(*status, host);
  } else if (absl::IsPermissionDenied(status.status())) {
    host.why_no_daemon = "the daemon of another user runs";
  } else if (!absl::IsNotFound(status.status())) {
    NoteSilence(status.status(), host);
  }
  const std::vector<Finding> findings = Examine(host);
  std::cout << (options.json ? FormatFindingsAsJson(findings) : FormatFindings(findings));
  return ExitStatus(findings);
}

}  // namespace penstock
