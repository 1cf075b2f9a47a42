// Arrays as values: storage in the store, made here or borrowed from another process.
#include <cstring>

#include <fmt/format.h>
#include <penstock/array_value.h>

#include "runtime/process/process.h"

namespace penstock::internal {

struct ArrayStorage {
  std::mutex mutex;          // guards the step from builder to view
  bool shared = false;
  Builder builder;           // until it is shared
  ObjectView view;           // afterwards; pins the elements for as long as this lives
  const std::byte* data = nullptr;
  ResultPtr owner;           // deletes the object with the last handle; or a borrowed ref
};

namespace {

// What travels: the object and the range of bytes.
struct PackedArray {
  ObjectId id;
  uint64_t begin = 0;
  uint64_t bytes = 0;
};

}  // namespace

ArrayStoragePtr MakeArrayStorage(DType dtype, uint64_t count) {
  const auto shape = ArrayShape::Contiguous(dtype, {static_cast<int64_t>(count)});
  if (!shape.ok()) throw UsageError(std::string(shape.status().message()));
  const std::vector<std::byte> metadata = shape->Encode();
  Process& process = Process::Must();
  auto storage = std::make_shared<ArrayStorage>();
  storage->owner = std::make_shared<Result>(process.NextId());
  CreateOptions options;
  options.id = storage->owner->id;
  options.metadata = metadata;
  options.type_tag = kArrayTypeTag;
  auto builder = process.client().Create(count * BytesOf(dtype), options);
  if (!builder.ok()) throw ObjectLost(std::string(builder.status().message()));
  storage->builder = *std::move(builder);
  storage->data = storage->builder.data().data();
  return storage;
}

const std::byte* ArrayData(const ArrayStoragePtr& storage) { return storage->data; }

std::byte* MutableArrayData(const ArrayStoragePtr& storage) {
  const std::lock_guard guard(storage->mutex);
  if (storage->shared) {
    throw UsageError("this array has been shared, so its elements stand still: make another");
  }
  return storage->builder.data().data();
}

void ShareArray(const ArrayStoragePtr& storage) {
  const std::lock_guard guard(storage->mutex);
  if (storage->shared) return;
  auto view = storage->builder.SealToView();
  if (!view.ok()) throw ObjectLost(std::string(view.status().message()));
  storage->view = *std::move(view);
  storage->data = storage->view.data().data();
  storage->owner->state = Result::State::kStored;
  storage->owner->in_store = true;
  storage->shared = true;
}

std::string PackArray(const ArrayStoragePtr& storage, DType dtype, ArrayRange range) {
  PackScope* const scope = PackScope::Current();
  if (scope == nullptr) {
    throw UsageError("an Array is packed by a remote call, a result or Put only: elsewhere "
                     "nobody would keep its object");
  }
  PackedArray packed;
  if (storage != nullptr) {
    ShareArray(storage);
    scope->Add(storage->owner);
    Process::Must().RememberOwn(storage->owner);
    packed = {storage->owner->id, range.begin, range.bytes};
  }
  std::string bytes(1, static_cast<char>(dtype));
  bytes.append(reinterpret_cast<const char*>(&packed), sizeof(packed));
  return bytes;
}

std::pair<ArrayStoragePtr, ArrayRange> UnpackArray(const char* bytes, size_t size,
                                                   DType dtype) {
  std::string_view rest(bytes, size);
  DType sent;
  PackedArray packed;
  if (!TakeFrom(rest, sent) || !TakeFrom(rest, packed) || !rest.empty()) {
    throw UsageError("these bytes are no Array");
  }
  if (sent != dtype) {
    throw UsageError(fmt::format("an Array of {} was given for one of {}", NameOf(sent),
                                 NameOf(dtype)));
  }
  if (packed.id.IsNil()) return {nullptr, {}};
  Process& process = Process::Must();
  auto storage = std::make_shared<ArrayStorage>();
  storage->owner = process.UnpackRef(BytesOf(packed.id));
  auto view = process.client().Get(packed.id, absl::Seconds(60));
  if (!view.ok()) throw ObjectLost("an Array: " + std::string(view.status().message()));
  const uint64_t there = view->data().size();
  if (packed.begin > there || packed.bytes > there - packed.begin ||
      packed.begin % BytesOf(dtype) != 0 || packed.bytes % BytesOf(dtype) != 0) {
    throw UsageError(fmt::format("an Array's range, {} bytes from {}, reaches beyond its {} "
                                 "bytes", packed.bytes, packed.begin, there));
  }
  storage->view = *std::move(view);
  storage->data = storage->view.data().data();
  storage->shared = true;
  return {std::move(storage), {packed.begin, packed.bytes}};
}

}  // namespace penstock::internal
