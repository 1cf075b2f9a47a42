// What the task API throws. A task's failure has to surface at Get, as with std::future.
#ifndef PENSTOCK_ERRORS_H_
#define PENSTOCK_ERRORS_H_

#include <cstdint>
#include <stdexcept>
#include <string>

namespace penstock {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Misuse: Init twice, an unregistered function, a ref packed outside of a call, ...
class UsageError : public Error {
 public:
  using Error::Error;
};

// The runtime could not start, or has lost its node.
class RuntimeUnavailable : public Error {
 public:
  using Error::Error;
};

// The function threw. what() says all of it.
class TaskFailed : public Error {
 public:
  TaskFailed(std::string message, std::string function, std::string node, int32_t pid)
      : Error(function + " failed on " + node + " in process " + std::to_string(pid) + ": " +
              message),
        message_(std::move(message)), function_(std::move(function)), node_(std::move(node)),
        pid_(pid) {}
  const std::string& message() const { return message_; }    // what the remote what() said
  const std::string& function() const { return function_; }  // its registered name
  const std::string& node() const { return node_; }
  int32_t pid() const { return pid_; }

 private:
  std::string message_, function_, node_;
  int32_t pid_;
};

// The process that ran the task ended before it answered.
class WorkerDied : public Error {
 public:
  WorkerDied(const std::string& what, int32_t pid, int32_t signal, int32_t exit_code)
      : Error(what), pid_(pid), signal_(signal), exit_code_(exit_code) {}
  int32_t pid() const { return pid_; }
  int32_t signal() const { return signal_; }        // 0: it exited by itself
  int32_t exit_code() const { return exit_code_; }

 private:
  int32_t pid_, signal_, exit_code_;
};

// The actor's process ended. Calls that it had taken may have run.
class ActorDied : public Error {
 public:
  ActorDied(const std::string& what, bool may_have_run)
      : Error(what), may_have_run_(may_have_run) {}
  bool may_have_run() const { return may_have_run_; }

 private:
  bool may_have_run_;
};

// The value was not there within the time given.
class GetTimeout : public Error {
 public:
  using Error::Error;
};

// All workers of the node wait for each other.
class WorkerLimit : public Error {
 public:
  using Error::Error;
};

// The value was there and is no more, or never will be.
class ObjectLost : public Error {
 public:
  using Error::Error;
};

// The node never has what the call asks for.
class ResourcesInfeasible : public Error {
 public:
  using Error::Error;
};

}  // namespace penstock

#endif  // PENSTOCK_ERRORS_H_
