// ObjectView and Builder: what they do through their session.
#include <penstock/builder.h>
#include <penstock/object_view.h>

#include "client/src/session.h"
#include "client/src/visit.h"

namespace penstock {

absl::Status ObjectView::status() const {
  if (session_ == nullptr) {
    return absl::FailedPreconditionError(
        "this view holds no object: it was released, moved from, or never filled by a get");
  }
  // The bytes stay readable when the daemon dies; only a fork takes them away.
  if (Usable()) return absl::OkStatus();
  return static_cast<internal::Session*>(session_)->WhyUnusable();
}

Builder& Builder::operator=(Builder&& other) noexcept {
  if (this != &other) {
    Abort();
    session_ = std::exchange(other.session_, nullptr);
    lease_ = other.lease_;
    id_ = other.id_;
    size_ = other.size_;
    metadata_size_ = other.metadata_size_;
    type_tag_ = other.type_tag_;
    flags_ = other.flags_;
  }
  return *this;
}

std::span<std::byte> Builder::data() const {
  if (session_ == nullptr || !session_->FromThisProcess()) return {};
  return session_->BuilderBytes(*this, 0, size_);
}

std::span<std::byte> Builder::metadata() const {
  if (session_ == nullptr || !session_->FromThisProcess()) return {};
  return session_->BuilderBytes(*this, MetadataOffset(size_), metadata_size_);
}

namespace {

absl::Status NothingToSeal() {
  return absl::FailedPreconditionError(
      "this builder has nothing to seal: it was sealed, aborted or moved from");
}

}  // namespace

absl::StatusOr<ObjectId> Builder::Seal() {
  if (session_ == nullptr) return NothingToSeal();
  const internal::Visit visit(session_);
  if (!session_->Usable()) return session_->WhyUnusable();
  return session_->Seal(*this);
}

absl::StatusOr<ObjectView> Builder::SealToView() {
  if (session_ == nullptr) return NothingToSeal();
  const internal::Visit visit(session_);
  if (!session_->Usable()) return session_->WhyUnusable();
  return session_->SealToView(*this);
}

void Builder::Abort() {
  internal::Session* const session = std::exchange(session_, nullptr);
  if (session == nullptr || !session->FromThisProcess()) return;
  const internal::Visit visit(session);
  visit->ReturnLease(*this);
}

}  // namespace penstock
