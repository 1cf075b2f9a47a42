// LogSink: lines on standard error, of which none is waited for.
//
// A pipe that nobody reads takes no more lines, and neither does a terminal that was stopped. The
// daemon has clients to serve: it leaves lines out meanwhile, and says how many.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_LOG_SINK_H_
#define PENSTOCK_TOOLS_PENSTOCKD_LOG_SINK_H_

#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <mutex>
#include <string>

#include <fmt/format.h>
#include <spdlog/sinks/ansicolor_sink.h>

namespace penstock {

// Thread safety: every call from any thread.
class LogSink : public spdlog::sinks::ansicolor_stderr_sink_mt {
  using Base = spdlog::sinks::ansicolor_stderr_sink_mt;

 public:
  void log(const spdlog::details::log_msg& message) override {
    const std::lock_guard lock(mutex_);
    if (!TakesALine()) {
      ++left_out_;
      return;
    }
    if (left_out_ > 0) {
      spdlog::details::log_msg gap = message;
      gap.level = spdlog::level::warn;
      const std::string text = fmt::format("{} lines were left out, for nobody read", left_out_);
      gap.payload = text;
      Base::log(gap);
      left_out_ = 0;
      if (!TakesALine()) {
        ++left_out_;
        return;
      }
    }
    spdlog::details::log_msg line = message;
    if (line.payload.size() > kMostBytes) {
      line.payload = {line.payload.data(), kMostBytes};
    }
    Base::log(line);
  }

 private:
  // What a pipe that says it takes any is sure to take at once, less the line's beginning.
  static constexpr size_t kMostBytes = 3500;

  static bool TakesALine() {
    pollfd item{STDERR_FILENO, POLLOUT, 0};
    return poll(&item, 1, 0) == 1;  // an error is a line that is lost at once
  }

  std::mutex mutex_;
  uint64_t left_out_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_LOG_SINK_H_
