// Client: the public calls, each a line or two around the session in use.
#include <penstock/client.h>

#include "client/src/client_state.h"
#include "client/src/visit.h"
#include "store/base/errors.h"
#include "store/base/store_directory.h"
#include "store/base/streaming_copy.h"

namespace penstock {

using internal::Session;
using internal::Visit;

absl::StatusOr<Client> Client::Connect(const ClientOptions& options) {
  PENSTOCK_RETURN_IF_ERROR(CheckWithheld());
  // Once and for all: at a later opening the process may be in another directory.
  ClientOptions lasting = options;
  PENSTOCK_ASSIGN_OR_RETURN(lasting.dir, LastingStoreDirectory(options.dir));
  PENSTOCK_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Open(lasting));
  return Client(std::make_shared<internal::ClientState>(std::move(lasting), std::move(session)));
}

absl::StatusOr<Builder> Client::Create(uint64_t size, const CreateOptions& options) {
  const Visit visit(state_.get());
  if (!visit.ok()) return visit.status();
  return visit->Create(size, options);
}

absl::StatusOr<std::vector<Builder>> Client::CreateMany(std::span<const uint64_t> sizes,
                                                        const CreateOptions& options) {
  if (options.id) {
    return absl::InvalidArgumentError(
        "CreateMany makes several objects, which cannot share options.id: leave it empty");
  }
  const Visit visit(state_.get());
  if (!visit.ok()) return visit.status();
  return visit->CreateMany(sizes, options);
}

absl::StatusOr<std::vector<ObjectId>> Client::SealMany(std::span<Builder> builders) {
  std::vector<ObjectId> ids;
  Session* session = nullptr;
  bool together = true;
  for (const Builder& builder : builders) {
    Session* const of = Session::Of(builder);
    together &= of != nullptr && of->Usable() && (session == nullptr || session == of);
    session = of;
  }
  if (together && session != nullptr) {
    const Visit visit(session);
    if (session->Usable()) return session->SealMany(builders);
  }
  // Some cannot be sealed: one by one up to the first that says why.
  for (Builder& builder : builders) {
    PENSTOCK_ASSIGN_OR_RETURN(const ObjectId id, builder.Seal());
    ids.push_back(id);
  }
  return ids;
}

absl::StatusOr<ObjectId> Client::Put(std::span<const std::byte> bytes,
                                     const CreateOptions& options) {
  PENSTOCK_ASSIGN_OR_RETURN(Builder builder, Create(bytes.size(), options));
  CopyBytes(builder.data().data(), bytes.data(), bytes.size());
  return builder.Seal();
}

std::vector<absl::StatusOr<ObjectView>> Client::GetMany(std::span<const ObjectId> ids,
                                                        absl::Duration deadline) {
  const Visit visit(state_.get());
  if (visit.ok()) return visit->GetMany(ids, deadline);
  std::vector<absl::StatusOr<ObjectView>> outcomes;
  for (size_t i = 0; i < ids.size(); ++i) outcomes.emplace_back(visit.status());
  return outcomes;
}

absl::StatusOr<bool> Client::Contains(const ObjectId& id) {
  const Visit visit(state_.get());
  if (!visit.ok()) return visit.status();
  return visit->Contains(id);
}

absl::Status Client::Delete(const ObjectId& id) {
  const Visit visit(state_.get());
  if (!visit.ok()) return visit.status();
  return visit->Delete(id);
}

absl::StatusOr<std::vector<ObjectInfo>> Client::List() {
  const Visit visit(state_.get());
  if (!visit.ok()) return visit.status();
  return visit->List();
}

absl::Status Client::Sync() {
  const Visit visit(state_.get());
  if (!visit.ok()) return visit.status();
  if (state_->lost_work.exchange(false, std::memory_order_relaxed)) {
    return absl::UnavailableError(
        "the daemon died after the last Sync: what was sealed or deleted since then is gone "
        "with its store; make it again");
  }
  return visit->Sync();
}

absl::StatusOr<ObjectId> Client::NextIds(uint32_t count) {
  if (count == 0) {
    return absl::InvalidArgumentError(
        "there is no first of 0 ids, and the one that came would be another caller's: ask for 1");
  }
  const Visit visit(state_.get());
  if (!visit.ok()) return visit.status();
  return visit->NextIds(count);
}

absl::StatusOr<Subscription> Client::Subscribe(const SubscribeOptions& options) {
  const Visit visit(state_.get());
  if (!visit.ok()) return visit.status();
  if (!options.seals && !options.deletions) {
    return absl::InvalidArgumentError("a subscription to nothing: ask for seals or deletions");
  }
  static std::atomic<uint64_t> last_number{0};
  const uint64_t number = ++last_number;
  uint64_t none = 0;
  if (!state_->subscription.compare_exchange_strong(none, number)) {
    return absl::FailedPreconditionError(
        "this client has a subscription already: share it, or connect another client");
  }
  const absl::Status status = visit->Subscribe((options.seals ? kSubscribeSeals : 0u) |
                                                 (options.deletions ? kSubscribeDeletions : 0u));
  if (!status.ok()) {
    uint64_t mine = number;
    state_->subscription.compare_exchange_strong(mine, 0);
    return status;
  }
  return Subscription(state_, number);
}

Subscription::Subscription(Subscription&&) noexcept = default;

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  std::swap(state_, other.state_);
  std::swap(number_, other.number_);
  return *this;
}

Subscription::~Subscription() {
  if (state_ == nullptr) return;
  // Another one may have come, after the end of this one's daemon.
  if (state_->subscription.load() != number_) return;
  const Visit visit(state_.get(), Visit::WhenUnusable::kNothing);
  if (visit.ok()) [[maybe_unused]] const absl::Status ignored = visit->Subscribe(0);
  state_->subscription.compare_exchange_strong(number_, 0);
}

absl::StatusOr<Event> Subscription::Next(absl::Duration deadline) {
  if (state_ == nullptr) return absl::FailedPreconditionError("this subscription has moved");
  const Visit visit(state_.get(), Visit::WhenUnusable::kNothing);
  if (!visit.ok() || state_->subscription.load() != number_) {
    return absl::UnavailableError(
        "the subscription ended with its daemon, or with a fork: subscribe again, and List() "
        "what is there");
  }
  return visit->NextEvent(deadline);
}

}  // namespace penstock
