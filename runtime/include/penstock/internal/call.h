// What the templates of the task API hand to the library: bytes and refs. Not for users.
#ifndef PENSTOCK_INTERNAL_CALL_H_
#define PENSTOCK_INTERNAL_CALL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <penstock/internal/arguments.h>
#include <penstock/internal/result.h>
#include <penstock/object_ref.h>

#include "absl/time/time.h"

namespace penstock::internal {

// One argument on its way out: packed bytes, or a ref whose value is to be passed.
struct Argument {
  std::string bytes;
  ResultPtr ref;  // not null: its value
};
// All of a call's: encoded already (arguments.h), or one by one when there are refs.
struct CallArguments {
  std::string bytes;
  std::vector<Argument> list;
};

// Which actor: of the cluster that made it, and of no other.
struct ActorId {
  uint64_t cluster = 0;
  uint64_t number = 0;
  MSGPACK_DEFINE(cluster, number)
};

using Amounts = std::vector<std::pair<std::string, double>>;

struct CallOptions {
  Amounts resources = {{"CPU", 1}};
  Amounts kept;      // an actor's, of those above, while it lives
  std::string name;  // an actor's

  static void Set(Amounts& amounts, const std::string& name, double amount) {
    for (auto& [known, value] : amounts) {
      if (known == name) {
        value = amount;
        return;
      }
    }
    amounts.emplace_back(name, amount);
  }
};

// Collects the refs that are packed while it lives; they are kept until the call is over.
class PackScope {
 public:
  PackScope();
  ~PackScope();
  PackScope(const PackScope&) = delete;
  PackScope& operator=(const PackScope&) = delete;
  std::vector<ResultPtr> Take() { return std::exchange(refs_, {}); }
  static PackScope* Current();
  void Add(const ResultPtr& ref) { refs_.push_back(ref); }

 private:
  PackScope* const outer_;
  std::vector<ResultPtr> refs_;
};

// The arguments of a call that runs here.
class ArgumentReader {
 public:
  explicit ArgumentReader(std::string_view bytes) : bytes_(bytes) {}
  // The packed bytes of the next argument; of one passed by its ref, the value's.
  std::string_view Next();

 private:
  std::string_view bytes_;
  std::vector<std::shared_ptr<const void>> held_;
};

// A function that can be called from elsewhere. It reads its arguments and gives its packed
// result back; `self` is the actor, of which a factory makes the first.
struct Function {
  std::string name;
  uint64_t hash = 0;
  std::string key;  // the pointer's bytes and its type: how the caller finds it
  std::function<std::string(ArgumentReader&, std::shared_ptr<void>& self)> run;
};
// Registers at start-up, before main. Two of one name or hash abort with both.
bool Register(Function function);
const Function* FindByKey(const std::string& key);   // UsageError names those registered
const Function* FindByHash(uint64_t hash);           // null when there is none
uint64_t HashOfName(std::string_view name);

template <typename F>
std::string KeyOf(F function) {
  std::string key(typeid(F).name());
  key.append(reinterpret_cast<const char*>(&function), sizeof(function));
  return key;
}

// The same, quickly when the last lookup of this type was the same.
template <typename F>
const Function& Lookup(F function) {
  thread_local F known{};
  thread_local const Function* found = nullptr;
  if (found == nullptr || known != function) {
    found = FindByKey(KeyOf(function));
    known = function;
  }
  return *found;
}

// Calls. All of them return at once; what fails later surfaces at Get.
ResultPtr CallTask(const Function& function, CallArguments arguments,
                   std::vector<ResultPtr> kept, const CallOptions& options);
ActorId CreateActor(const Function& factory, CallArguments arguments,
                     std::vector<ResultPtr> kept, const CallOptions& options);
ResultPtr CallActor(const ActorId& actor, const Function& method,
                    CallArguments arguments, std::vector<ResultPtr> kept);
ActorId FindActor(const std::string& name);
void KillActor(const ActorId& actor);

// Values.
ResultPtr PutBytes(std::string bytes, std::vector<ResultPtr> contained);
// The packed value; `hold` keeps it in place. Throws what the call threw.
std::string_view GetBytes(const ResultPtr& result, absl::Duration deadline,
                          std::shared_ptr<const void>& hold);
// Indices of those ready, at least `count` unless the deadline came first.
std::vector<size_t> WaitFor(std::span<const ResultPtr> results, size_t count,
                            absl::Duration deadline);

template <typename T>
std::shared_ptr<const T> GetValue(const ResultPtr& result, absl::Duration deadline) {
  std::shared_ptr<const void> hold;
  const std::string_view bytes = GetBytes(result, deadline, hold);
  return std::make_shared<const T>(Unpack<T>(bytes));
}

}  // namespace penstock::internal

#endif  // PENSTOCK_INTERNAL_CALL_H_
