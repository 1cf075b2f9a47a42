// Process: a worker's main loop, and one call's run.
#include <unistd.h>

#include <algorithm>
#include <exception>

#include <fmt/format.h>

#include "absl/time/clock.h"
#include "runtime/process/clock.h"
#include "runtime/process/process.h"

namespace penstock::internal {
namespace {

constexpr const char* kNode = "this node";

}  // namespace

thread_local bool Process::runs_task = false;
thread_local uint64_t Process::lending = 0;
thread_local std::vector<std::weak_ptr<Result>> Process::unpacked;

void Process::Serve() {
  Lock lock(mutex_);
  for (;;) {
    WaitUntil(lock, absl::InfiniteFuture(), [this] { return !inbox_.empty() || stopping_; });
    if (stopping_) return;
    IncomingCall call = std::move(inbox_.front());
    inbox_.pop_front();
    lock.unlock();
    Run(std::move(call));
    lock.lock();
    if (inbox_.empty()) {
      for (const auto& [amounts, shape] : shapes_) {
        // Leases of its own that it needs no more.
        const std::vector<Peer*> leases = shape->leases;
        for (Peer* const peer : leases) {
          if (shape->queue.empty() && peer->sent.open() == 0) ReturnLease(*peer);
        }
      }
    }
  }
}

// Whoever knows the actor's handle may call it before its maker's first word has come.
void Process::OnCall(Peer& caller, uint64_t number, std::string_view bytes) {
  IncomingCall call{&caller, number, std::string(bytes)};
  CallHeader header;
  const bool is_method = TakeFrom(bytes, header) && (header.flags & kIsMethod) != 0;
  if (is_method && !factory_ran_) {
    early_.push_back(std::move(call));
  } else {
    inbox_.push_back(std::move(call));
  }
}

void Process::Run(IncomingCall&& call) {
  ReplyHeader reply;
  std::string body;
  std::vector<ObjectId> ids;
  std::string_view bytes = call.bytes;
  CallHeader header;
  ErrorFacts error;
  const Function* function = nullptr;
  std::vector<ResultPtr> still_held;  // dropped after the lock
  std::vector<ResultPtr> contained;
  int64_t start_ns = 0;
  try {
    if (!TakeFrom(bytes, header)) throw UsageError("a call without its header");
    // How long tasks take says how many a worker is sent ahead; of methods nobody asks.
    if ((header.flags & kIsMethod) == 0) start_ns = SteadyNs();
    function = FindByHash(header.function);
    if (function == nullptr) {
      throw UsageError("this program has no such function registered: do driver and worker run "
                       "the same executable?");
    }
    std::shared_ptr<const void> hold;
    if ((header.flags & kIsSpilled) != 0) {
      ObjectId id;
      if (!TakeFrom(bytes, id)) throw UsageError("a spilled call without its id");
      auto view = client_->Get(id, absl::Seconds(60));
      if (!view.ok()) throw ObjectLost("the arguments: " + std::string(view.status().message()));
      const auto held = std::make_shared<ObjectView>(*std::move(view));
      bytes = held->text();
      hold = held;
    }
    if ((header.flags & kIsMethod) != 0 && self_ == nullptr) {
      throw UsageError("the actor's factory failed, so it has no member functions: " +
                       factory_error_);
    }
    ArgumentReader reader(bytes);
    PackScope packed;  // what the result refers to
    runs_task = true;
    lending = call.caller->number;
    body = function->run(reader, self_);
    contained = packed.Take();
  } catch (const Error& failure) {
    error.message = failure.what();
    reply.status = ReplyStatus::kFailed;
  } catch (const std::exception& failure) {
    error.message = failure.what();
    reply.status = ReplyStatus::kFailed;
  } catch (...) {
    error.message = "an exception that is no std::exception";
    reply.status = ReplyStatus::kFailed;
  }
  runs_task = false;
  lending = 0;
  if (start_ns != 0) {
    reply.run_ns = static_cast<uint32_t>(
        std::min<int64_t>(SteadyNs() - start_ns, UINT32_MAX));
  }
  if (reply.status == ReplyStatus::kFailed) {
    error.function = function == nullptr ? "an unknown function" : function->name;
    error.node = kNode;
    error.pid = getpid();
    if ((header.flags & kIsFactory) != 0) factory_error_ = error.message;
    body = PackError(error);
  } else if (body.size() > kMostRecordBytes / 2) {
    const absl::Status stored = Store(header.result, kValueTag, body);
    if (stored.ok()) {
      reply.status = ReplyStatus::kStored;
      body.clear();
    } else {
      error.function = function->name;
      error.node = kNode;
      error.pid = getpid();
      error.kind = ErrorKind::kLost;
      error.message = "the result of " + function->name + " could not be stored: " +
                      std::string(stored.message());
      reply.status = ReplyStatus::kFailed;
      body = PackError(error);
    }
  }
  Lock lock(mutex_);
  if ((header.flags & kIsFactory) != 0 && !factory_ran_) {
    factory_ran_ = true;
    for (IncomingCall& each : early_) inbox_.push_back(std::move(each));
    early_.clear();
  }
  // What the caller lent with this call and this process goes on holding.
  for (const auto& each : std::exchange(unpacked, {})) {
    if (ResultPtr result = each.lock()) still_held.push_back(std::move(result));
  }
  for (const ResultPtr& result : still_held) {
    const std::lock_guard guard(borrowed_mutex_);
    if (result->lender != call.caller->number ||
        std::find(ids.begin(), ids.end(), result->id) != ids.end()) {
      continue;
    }
    ids.push_back(result->id);
    ++result->times_lent;
  }
  reply.borrowed = static_cast<uint32_t>(ids.size());
  reply.contained = static_cast<uint32_t>(contained.size());
  for (const ResultPtr& result : contained) {
    ids.push_back(result->id);
    call.caller->Lend(result);
  }
  Reply(*call.caller, call.number, reply, ids, body);
}

void Process::Reply(Peer& caller, uint64_t number, ReplyHeader header,
                    const std::vector<ObjectId>& ids, std::string_view body) {
  const std::string_view bare(reinterpret_cast<const char*>(&header), sizeof(header));
  if (ids.empty() && bare.size() + body.size() <= kMostRecordBytes) {
    return Send(caller, kReplyRecord, number, bare, body);
  }
  std::string head(bare);
  for (const ObjectId& id : ids) head.append(BytesOf(id));
  if (head.size() + body.size() <= kMostRecordBytes) {
    return Send(caller, kReplyRecord, number, head, body);
  }
  // Too many ids for a record: the whole of it goes by the store.
  std::string whole = std::move(head);
  whole.append(body);
  CreateOptions options;
  options.type_tag = kSpillTag;
  const auto id = client_->Put(whole, options);
  ReplyHeader spilled;
  spilled.flags = kIsSpilled;
  std::string bytes(reinterpret_cast<const char*>(&spilled), sizeof(spilled));
  if (id.ok()) bytes.append(BytesOf(*id));
  Send(caller, kReplyRecord, number, bytes, {});
}

}  // namespace penstock::internal
