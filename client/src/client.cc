// Client: the public calls, each a line or two around the session in use.
#include <penstock/client.h>

#include "client/src/client_state.h"
#include "store/base/errors.h"
#include "store/base/streaming_copy.h"

namespace penstock {

using internal::Session;

absl::StatusOr<Client> Client::Connect(const ClientOptions& options) {
  PENSTOCK_RETURN_IF_ERROR(CheckWithheld());
  PENSTOCK_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Open(options));
  return Client(std::make_shared<internal::ClientState>(options, std::move(session)));
}

absl::StatusOr<Session*> Client::InUse() const {
  if (state_ != nullptr) return state_->Current();
  return absl::FailedPreconditionError(
      "this client was moved from: use the one that it was moved to, or connect another");
}

absl::StatusOr<Builder> Client::Create(uint64_t size, const CreateOptions& options) {
  PENSTOCK_ASSIGN_OR_RETURN(Session* const session, InUse());
  return session->Create(size, options);
}

absl::StatusOr<std::vector<Builder>> Client::CreateMany(std::span<const uint64_t> sizes,
                                                        const CreateOptions& options) {
  if (options.id) {
    return absl::InvalidArgumentError(
        "CreateMany makes several objects, which cannot share options.id: leave it empty");
  }
  PENSTOCK_ASSIGN_OR_RETURN(Session* const session, InUse());
  return session->CreateMany(sizes, options);
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
  if (together && session != nullptr) return session->SealMany(builders);
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
  const absl::StatusOr<Session*> session = InUse();
  if (session.ok()) return (*session)->GetMany(ids, deadline);
  std::vector<absl::StatusOr<ObjectView>> outcomes;
  for (size_t i = 0; i < ids.size(); ++i) outcomes.emplace_back(session.status());
  return outcomes;
}

absl::StatusOr<bool> Client::Contains(const ObjectId& id) {
  PENSTOCK_ASSIGN_OR_RETURN(Session* const session, InUse());
  return session->Contains(id);
}

absl::Status Client::Delete(const ObjectId& id) {
  PENSTOCK_ASSIGN_OR_RETURN(Session* const session, InUse());
  return session->Delete(id);
}

absl::StatusOr<std::vector<ObjectInfo>> Client::List() {
  PENSTOCK_ASSIGN_OR_RETURN(Session* const session, InUse());
  return session->List();
}

absl::Status Client::Sync() {
  PENSTOCK_ASSIGN_OR_RETURN(Session* const session, InUse());
  if (state_->lost_work.exchange(false, std::memory_order_relaxed)) {
    return absl::UnavailableError(
        "the daemon died after the last Sync: what was sealed or deleted since then is gone "
        "with its store; make it again");
  }
  return session->Sync();
}

absl::StatusOr<ObjectId> Client::NextIds(uint32_t count) {
  if (count == 0) {
    return absl::InvalidArgumentError(
        "there is no first of 0 ids, and the one that came would be another caller's: ask for 1");
  }
  PENSTOCK_ASSIGN_OR_RETURN(Session* const session, InUse());
  return session->NextIds(count);
}

absl::StatusOr<Subscription> Client::Subscribe(const SubscribeOptions& options) {
  PENSTOCK_ASSIGN_OR_RETURN(Session* const session, InUse());
  if (!options.seals && !options.deletions) {
    return absl::InvalidArgumentError("a subscription to nothing: ask for seals or deletions");
  }
  if (state_->subscribed.exchange(true)) {
    return absl::FailedPreconditionError(
        "this client has a subscription already: share it, or connect another client");
  }
  const absl::Status status = session->Subscribe((options.seals ? kSubscribeSeals : 0u) |
                                                 (options.deletions ? kSubscribeDeletions : 0u));
  if (!status.ok()) {
    state_->subscribed.store(false);
    return status;
  }
  return Subscription(state_);
}

Subscription::Subscription(Subscription&&) noexcept = default;

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

Subscription::~Subscription() {
  if (state_ == nullptr) return;
  if (Session* const session = state_->CurrentIfUsable()) {
    [[maybe_unused]] const absl::Status ignored = session->Subscribe(0);
  }
  state_->subscribed.store(false);
}

absl::StatusOr<Event> Subscription::Next(absl::Duration deadline) {
  if (state_ == nullptr) return absl::FailedPreconditionError("this subscription has moved");
  Session* const session = state_->CurrentIfUsable();
  if (session == nullptr || !state_->subscribed.load()) {
    return absl::UnavailableError(
        "the subscription ended with its daemon, or with a fork: subscribe again, and List() "
        "what is there");
  }
  return session->NextEvent(deadline);
}

}  // namespace penstock
