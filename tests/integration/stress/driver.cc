// Starting, killing, watching and ending the client processes.
#include "tests/integration/stress/driver.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include <fmt/format.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace penstock::stress {
namespace {

constexpr int64_t kReportEvery_ms = 5'000;
// Without a finished operation for so long, something hangs.
constexpr int64_t kPatience_ms = 45'000;
constexpr int64_t kMostLifetime_ms = 4'000;

int64_t NowMs() { return absl::ToUnixMillis(absl::Now()); }

// The body of a client process.
int RunWorker(const StressPlan& plan, SharedLog* log, uint32_t index, uint64_t seed) {
  const uint32_t first_thread = index * plan.threads;
  log->Set(first_thread, Doing::kConnect);
  auto client = Client::Connect({.dir = plan.dir});
  if (!client.ok()) {
    log->Fail("connect: " + client.status().ToString());
    return 1;
  }
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < plan.threads; ++i) {
    threads.emplace_back([&plan, log, &client, i, first_thread, seed] {
      Actor(plan, log, *client, first_thread + i, Mix(seed + i)).Run();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}

}  // namespace

Driver::Driver(StressPlan plan, SharedLog* log)
    : plan_(std::move(plan)), log_(log), dice_(plan_.seed), workers_(plan_.processes) {
  // Children of killed processes become ours, so that their end can be waited for.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void Driver::Start(uint32_t index, int64_t now_ms) {
  const uint64_t seed = Mix(plan_.seed ^ ++starts_ << 20);
  const pid_t pid = fork();
  if (pid < 0) {
    perror("penstock-stress: fork");
    exit(1);
  }
  if (pid == 0) {
    // Should the driver be killed, its daemon's other clients need not live on.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(RunWorker(plan_, log_, index, seed));
  }
  const int64_t lifetime_ms = 100 + static_cast<int64_t>(dice_.Roll(kMostLifetime_ms));
  workers_[index] = {pid, index % 3 == 0, now_ms + lifetime_ms};
}

// Takes note of every process that has ended. False when none is left.
bool Driver::Reap() {
  int status = 0;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    const auto worker = std::find_if(workers_.begin(), workers_.end(),
                                     [pid](const Worker& w) { return w.pid == pid; });
    if (worker != workers_.end()) worker->pid = -1;
    const bool killed_by_us = std::erase(killed_, pid) > 0;
    // A forked child whose parent was killed may have been killed by that parent before.
    const bool orphan = worker == workers_.end() && !killed_by_us;
    const bool by_sigkill = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (status == 0 || (by_sigkill && (killed_by_us || orphan))) continue;
    log_->Fail(fmt::format("process {} ended by {} {}", pid,
                           WIFSIGNALED(status) ? "signal" : "exit code",
                           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)));
  }
  return pid == 0;
}

void Driver::Report(double seconds) {
  const auto status = QueryStatus(plan_.dir);
  const auto counter = [&](std::string_view name) {
    return status.ok() ? status->Counter(name) : 0;
  };
  fmt::print(
      "  {:5.1f} s {:>9} operations {:>7} MiB made | {:>6} objects {:>4} MiB ({} evictable) "
      "{:>4} leases {:>4} wait for room {:>4} for a seal | {:>4} kills {:>3} failures\n",
      seconds, log_->Get(Count::kOps), log_->Get(Count::kMadeBytes) >> 20, counter("objects"),
      counter("object_bytes") >> 20, counter("evictable_bytes") >> 20, counter("leases"),
      counter("room_waiters"), counter("get_waiters"), kills_, log_->failures());
  fflush(stdout);
}

bool Driver::Progresses(int64_t now_ms) {
  const uint64_t ops = log_->Get(Count::kOps);
  if (ops != last_ops_) {
    last_ops_ = ops;
    last_progress_ms_ = now_ms;
  }
  return now_ms - last_progress_ms_ < kPatience_ms;
}

// The planned time has passed and ten stores' worth was made; on a slow machine, a sanitizer
// or a loaded host, the second takes longer.
bool Driver::Enough(int64_t elapsed_ms) const {
  const int64_t planned_ms = plan_.seconds * 1000;
  const bool made = log_->Get(Count::kMadeBytes) >= 10 * plan_.memory_bytes;
  return elapsed_ms >= (made ? planned_ms : 8 * planned_ms);
}

bool Driver::RunProcesses() {
  const int64_t begin_ms = NowMs();
  last_progress_ms_ = begin_ms;
  int64_t report_ms = begin_ms + kReportEvery_ms;
  for (int64_t now_ms = begin_ms; !Enough(now_ms - begin_ms); now_ms = NowMs()) {
    for (uint32_t i = 0; i < workers_.size(); ++i) {
      Worker& worker = workers_[i];
      if (worker.pid < 0) Start(i, now_ms);
      if (!worker.killable || now_ms < worker.kill_at_ms) continue;
      kill(worker.pid, SIGKILL);
      killed_.push_back(worker.pid);
      worker.killable = false;
      ++kills_;
    }
    Reap();
    if (now_ms >= report_ms) {
      Report(static_cast<double>(now_ms - begin_ms) / 1000);
      report_ms += kReportEvery_ms;
    }
    if (!Progresses(now_ms)) break;
    absl::SleepFor(absl::Milliseconds(5));
  }
  Report(static_cast<double>(NowMs() - begin_ms) / 1000);
  log_->Stop();
  return WaitForAll();
}

// Waits for our children, and for those of the killed ones.
bool Driver::WaitForAll() {
  const int64_t until_ms = NowMs() + kPatience_ms;
  while (NowMs() < until_ms) {
    if (!Reap()) return true;
    absl::SleepFor(absl::Milliseconds(5));
  }
  log_->Fail("some processes do not end; their threads are at\n" +
             log_->WhatThreadsDo(plan_.processes * plan_.threads));
  for (const Worker& worker : workers_) {
    if (worker.pid > 0) kill(worker.pid, SIGKILL);
  }
  return false;
}

}  // namespace penstock::stress
