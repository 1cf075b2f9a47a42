// Tasks and actors, in Ray's words.
//
//   int Add(int a, int b) { return a + b; }
//   PENSTOCK_REMOTE(Add);
//
//   int main(int argc, char** argv) {
//     penstock::Init({}, argc, argv);  // first: in a worker it serves and does not return
//     std::cout << *penstock::Task(Add).Remote(1, 2).Get() << "\n";
//     penstock::Shutdown();
//   }
//
// Thread safety: every call from any thread. Errors: exceptions of penstock/errors.h.
#ifndef PENSTOCK_RUNTIME_H_
#define PENSTOCK_RUNTIME_H_

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <penstock/errors.h>
#include <penstock/internal/call.h>
#include <penstock/object_ref.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace penstock {

struct Config {
  // Directory of a running penstockd (its --dir) to join; empty: PENSTOCK_ADDRESS, and when
  // that is not set, a private cluster. Who joins leaves the next three as they are.
  std::string address = {};
  uint32_t num_cpus = 0;         // 0: as many as the machine has; may exceed them
  uint32_t max_workers = 0;      // processes, up to 512; 0: 64
  uint64_t memory = 0;           // bytes of the store; 0: a quarter of the host's, at most 8 GiB
  // Init returns when the store's memory has been made, and not at once: a second for a few
  // GiB, for who times what comes next.
  bool prefault = false;
  std::string daemon_path = {};  // of penstockd; empty: beside this program, else in PATH
};

struct ClusterInfo {
  std::string node_ip_address, object_store_address, metadata_address, webui_url;
  std::string session_dir;
};

// Starts a private one-node cluster as child processes, which Shutdown or this process's
// death ends; or joins the one at Config::address. In a worker it serves calls and does not
// return, so it stands first in main. Throws UsageError (twice; a value out of range),
// RuntimeUnavailable (says what to do).
ClusterInfo Init(const Config& config = {}, int argc = 0, char** argv = nullptr);
bool IsInitialized();
// Ends this driver's workers, actors and objects, and a private cluster's daemon and store.
// Does nothing when there is none.
void Shutdown();

template <typename T>
class ActorHandle;

namespace internal {

template <typename T>
struct IsObjectRef : std::false_type {};
template <typename T>
struct IsObjectRef<ObjectRef<T>> : std::true_type {};

// A ref given for a value is passed by its value.
template <typename P, typename A>
inline constexpr bool kIsPassedByRef =
    IsObjectRef<std::remove_cvref_t<A>>::value && !IsObjectRef<P>::value;

template <typename P, typename A>
void AppendConverted(std::string& bytes, A&& argument) {
  static_assert(std::is_convertible_v<A&&, P>,
                "an argument cannot be converted to the type of its parameter");
  static_assert(Packable<P>, "this type cannot be sent: add MSGPACK_DEFINE(its members) to it");
  AppendValue(bytes, static_cast<const P&>(argument));
}
// A parameter of type P given an argument of type A.
template <typename P, typename A>
Argument MakeArgument(A&& argument) {
  if constexpr (kIsPassedByRef<P, A>) {
    static_assert(std::is_same_v<typename std::remove_cvref_t<A>::Value, P>,
                  "this ObjectRef holds another type than the parameter it is given for");
    return {{}, argument.result()};
  } else {
    Argument made;
    AppendConverted<P>(made.bytes, std::forward<A>(argument));
    return made;
  }
}

template <typename... P, typename... A>
CallArguments MakeArguments(std::tuple<P...>*, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A),
                "a remote call takes as many arguments as its function");
  CallArguments made;
  if constexpr ((kIsPassedByRef<P, A> || ...)) {
    made.list.reserve(sizeof...(A));
    (made.list.push_back(MakeArgument<P>(std::forward<A>(arguments))), ...);
  } else {
    (AppendConverted<P>(made.bytes, std::forward<A>(arguments)), ...);
  }
  return made;
}

template <typename F>
struct Signature;
template <typename R, typename... A>
struct Signature<R (*)(A...)> {
  using Return = R;
  using Class = void;
  using Parameters = std::tuple<std::remove_cvref_t<A>...>;
};
template <typename R, typename C, typename... A>
struct Signature<R (C::*)(A...)> {
  using Return = R;
  using Class = C;
  using Parameters = std::tuple<std::remove_cvref_t<A>...>;
};
template <typename R, typename C, typename... A>
struct Signature<R (C::*)(A...) const> : Signature<R (C::*)(A...)> {};

// A function's result travels as itself; nothing as nil, and a factory's too.
template <typename R>
using Travels = std::conditional_t<std::is_void_v<R> || std::is_pointer_v<R>,
                                   msgpack::type::nil_t, std::remove_cvref_t<R>>;

template <typename Tuple, size_t... I>
Tuple ReadArguments(ArgumentReader& reader, std::index_sequence<I...>) {
  // Braces: read from left to right.
  return Tuple{Unpack<std::tuple_element_t<I, Tuple>>(reader.Next())...};
}

template <typename F>
std::string RunFunction(F function, ArgumentReader& reader, std::shared_ptr<void>& self) {
  using S = Signature<F>;
  using Parameters = typename S::Parameters;
  using R = typename S::Return;
  auto arguments = ReadArguments<Parameters>(
      reader, std::make_index_sequence<std::tuple_size_v<Parameters>>());
  const auto run = [&]() -> R {
    return std::apply(
        [&](auto&... each) -> R {
          if constexpr (std::is_void_v<typename S::Class>) {
            return function(std::move(each)...);
          } else {
            return (static_cast<typename S::Class*>(self.get())->*function)(std::move(each)...);
          }
        },
        arguments);
  };
  if constexpr (std::is_void_v<R>) {
    run();
    return Pack(msgpack::type::nil_t());
  } else if constexpr (std::is_pointer_v<R>) {
    self = std::shared_ptr<std::remove_pointer_t<R>>(run());  // a factory
    return Pack(msgpack::type::nil_t());
  } else {
    static_assert(Packable<R>, "this result cannot be sent: add MSGPACK_DEFINE(its members) to it");
    return Pack(run());
  }
}

template <typename F>
bool RegisterFunction(const char* name, F function) {
  return Register({name, HashOfName(name), KeyOf(function),
                   [function](ArgumentReader& reader, std::shared_ptr<void>& self) {
                     return RunFunction(function, reader, self);
                   }});
}

// One of several overloads: Overload<int>(&Counter::Add).
template <typename... A>
struct OverloadOf {
  template <typename R>
  constexpr auto operator()(R (*function)(A...)) const { return function; }
  template <typename R, typename C>
  constexpr auto operator()(R (C::*function)(A...)) const { return function; }
  template <typename R, typename C>
  constexpr auto operator()(R (C::*function)(A...) const) const { return function; }
};
template <typename... A>
inline constexpr OverloadOf<A...> Overload{};

// PENSTOCK_REMOTE's list: names as one text, functions in the same order.
std::vector<std::string> SplitNames(const char* names);
template <typename... F>
bool RegisterAll(const char* names, F... functions) {
  const std::vector<std::string> each = SplitNames(names);
  size_t i = 0;
  return (RegisterFunction(each[i++].c_str(), functions) && ...);
}

}  // namespace internal

// A call of a function on some worker.
template <typename F>
class TaskCaller {
 public:
  explicit TaskCaller(F function) : function_(function) {}
  // What it needs while it runs; a task takes 1 "CPU" unless it says otherwise.
  TaskCaller& SetResource(const std::string& name, double amount) {
    internal::CallOptions::Set(options_.resources, name, amount);
    return *this;
  }
  template <typename... A>
  auto Remote(A&&... arguments) {
    using S = internal::Signature<F>;
    const internal::Function& function = internal::Lookup(function_);
    internal::PackScope scope;
    auto made = internal::MakeArguments(static_cast<typename S::Parameters*>(nullptr),
                                        std::forward<A>(arguments)...);
    return ObjectRef<internal::Travels<typename S::Return>>(
        internal::CallTask(function, std::move(made), scope.Take(), options_));
  }

 private:
  const F function_;
  internal::CallOptions options_;
};
template <typename F>
TaskCaller<F> Task(F function) {
  return TaskCaller<F>(function);
}

// A call of an actor's member function.
template <typename F>
class ActorTaskCaller {
 public:
  ActorTaskCaller(internal::ActorId actor, F method) : actor_(actor), method_(method) {}
  template <typename... A>
  auto Remote(A&&... arguments) {
    using S = internal::Signature<F>;
    const internal::Function& method = internal::Lookup(method_);
    internal::PackScope scope;
    auto made = internal::MakeArguments(static_cast<typename S::Parameters*>(nullptr),
                                        std::forward<A>(arguments)...);
    return ObjectRef<internal::Travels<typename S::Return>>(
        internal::CallActor(actor_, method, std::move(made), scope.Take()));
  }

 private:
  const internal::ActorId actor_;
  const F method_;
};

// An actor, somewhere. An ordinary value. Calls of one caller run in order.
template <typename T>
class ActorHandle {
 public:
  ActorHandle() = default;
  explicit ActorHandle(internal::ActorId actor) : actor_(actor) {}

  // `method` is a member of T or of a base class of T.
  template <typename F>
  ActorTaskCaller<F> Task(F method) const {
    static_assert(std::is_base_of_v<typename internal::Signature<F>::Class, T>,
                  "this is no member function of the actor's class");
    return ActorTaskCaller<F>(actor_, method);
  }
  // Ends its process. Its calls fail with ActorDied.
  void Kill() const { internal::KillActor(actor_); }
  uint64_t ID() const { return actor_.number; }  // within its cluster
  MSGPACK_DEFINE(actor_)

 private:
  internal::ActorId actor_;
};

template <typename F>
class ActorCreator {
  using T = std::remove_pointer_t<typename internal::Signature<F>::Return>;

 public:
  explicit ActorCreator(F factory) : factory_(factory) {}
  // A name to find it by; UsageError at Remote when it is in use.
  ActorCreator& SetName(std::string name) {
    options_.name = std::move(name);
    return *this;
  }
  // What it holds while it lives. Without this, an actor takes 1 "CPU" to be placed and
  // nothing afterwards.
  ActorCreator& SetResource(const std::string& name, double amount) {
    internal::CallOptions::Set(options_.resources, name, amount);
    internal::CallOptions::Set(options_.kept, name, amount);
    return *this;
  }
  template <typename... A>
  ActorHandle<T> Remote(A&&... arguments) {
    using S = internal::Signature<F>;
    static_assert(std::is_pointer_v<typename S::Return>,
                  "an actor's factory returns a pointer to it, made with new");
    const internal::Function& factory = internal::Lookup(factory_);
    internal::PackScope scope;
    auto made = internal::MakeArguments(static_cast<typename S::Parameters*>(nullptr),
                                        std::forward<A>(arguments)...);
    return ActorHandle<T>(
        internal::CreateActor(factory, std::move(made), scope.Take(), options_));
  }

 private:
  const F factory_;
  internal::CallOptions options_;
};
template <typename F>
ActorCreator<F> Actor(F factory) {
  return ActorCreator<F>(factory);
}
// The actor of this name. UsageError when there is none.
template <typename T>
ActorHandle<T> GetActor(const std::string& name) {
  return ActorHandle<T>(internal::FindActor(name));
}

template <typename T>
ObjectRef<T> Put(const T& value) {
  static_assert(internal::Packable<T>,
                "this type cannot be put: add MSGPACK_DEFINE(its members) to it");
  internal::PackScope scope;
  std::string bytes = internal::Pack(value);
  return ObjectRef<T>(internal::PutBytes(std::move(bytes), scope.Take()));
}
template <typename T>
std::shared_ptr<const T> Get(const ObjectRef<T>& ref,
                             absl::Duration deadline = absl::InfiniteDuration()) {
  return ref.Get(deadline);
}
template <typename T>
std::vector<std::shared_ptr<const T>> Get(const std::vector<ObjectRef<T>>& refs,
                                          absl::Duration deadline = absl::InfiniteDuration()) {
  const absl::Time until = absl::Now() + deadline;
  std::vector<std::shared_ptr<const T>> values;
  values.reserve(refs.size());
  for (const ObjectRef<T>& ref : refs) values.push_back(ref.Get(until - absl::Now()));
  return values;
}

template <typename T>
struct WaitResult {
  std::vector<ObjectRef<T>> ready, unready;
};
// Until `count` of them are ready (values and failures alike), or the deadline.
template <typename T>
WaitResult<T> Wait(const std::vector<ObjectRef<T>>& refs, size_t count,
                   absl::Duration deadline = absl::InfiniteDuration()) {
  std::vector<internal::ResultPtr> results;
  for (const ObjectRef<T>& ref : refs) results.push_back(ref.result());
  std::vector<bool> is_ready(refs.size());
  for (const size_t i : internal::WaitFor(results, count, deadline)) is_ready[i] = true;
  WaitResult<T> result;
  for (size_t i = 0; i < refs.size(); ++i) {
    (is_ready[i] ? result.ready : result.unready).push_back(refs[i]);
  }
  return result;
}

}  // namespace penstock

#define PENSTOCK_JOIN2(a, b) a##b
#define PENSTOCK_JOIN(a, b) PENSTOCK_JOIN2(a, b)
// Registers functions, factories and member functions that are called from elsewhere. At
// namespace scope, in the program that drivers and workers both run.
#define PENSTOCK_REMOTE(...)                                                      \
  [[maybe_unused]] static const bool PENSTOCK_JOIN(penstock_remote_, __COUNTER__) = \
      ::penstock::internal::RegisterAll(#__VA_ARGS__, __VA_ARGS__)
// One of several overloads: PENSTOCK_REMOTE(PENSTOCK_FUNC(Add, int, int)).
#define PENSTOCK_FUNC(function, ...) ::penstock::internal::Overload<__VA_ARGS__>(function)

#endif  // PENSTOCK_RUNTIME_H_
