// What travels in a channel's records: calls, replies, and what becomes of lent refs. Plain
// structs, copied out of the ring and then checked (Parse*): a peer may write anything.
#ifndef PENSTOCK_RUNTIME_PROCESS_RECORDS_H_
#define PENSTOCK_RUNTIME_PROCESS_RECORDS_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/internal/arguments.h>
#include <penstock/object_id.h>

#include "absl/status/statusor.h"
#include "runtime/channel/channel_layout.h"

namespace penstock::internal {

enum CallRecord : uint32_t {
  kCallRecord = 16,     // CallHeader, arguments; numbered by the caller
  kReplyRecord = 17,    // ReplyHeader, ids, value; the call's number
  kReleaseRecord = 18,  // an id that its borrower holds no more; numbered: lent so often
};

enum CallFlags : uint32_t {
  kIsMethod = 1,   // of the actor that lives there
  kIsFactory = 2,  // makes the actor
  kIsSpilled = 4,  // what follows the header is an id: the rest is that object's payload
};

struct CallHeader {
  ObjectId result;
  uint64_t function = 0;  // Function::hash
  uint64_t actor = 0;
  uint32_t flags = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(CallHeader) == 48);

enum class ReplyStatus : uint32_t {
  kInline = 1,      // the value follows
  kStored = 2,      // the value is an object under the result's id
  kFailed = 3,      // a packed error follows
  kHandedBack = 4,  // not begun: the whole call follows, for somebody else
};

struct ReplyHeader {
  ReplyStatus status = ReplyStatus::kInline;
  uint32_t run_ns = 0;     // that the function took, at most 2^32 - 1
  uint32_t borrowed = 0;   // ids that the process goes on holding
  uint32_t contained = 0;  // ids of refs inside the value, lent to the caller
  uint32_t flags = 0;      // kIsSpilled
  uint32_t reserved = 0;
};
static_assert(sizeof(ReplyHeader) == 24);

// How an error travels, and what it becomes at Get.
enum class ErrorKind : uint8_t {
  kTask = 1, kWorker = 2, kActor = 3, kLost = 4, kInfeasible = 5, kLimit = 6, kUsage = 7,
  kUnavailable = 8,
};
struct ErrorFacts {
  ErrorKind kind = ErrorKind::kTask;
  std::string message = {};
  std::string function = {};
  std::string node = {};
  int32_t pid = 0;
  int32_t signal = 0;
  int32_t code = 0;  // kActor: whether the call may have run
};
std::string PackError(const ErrorFacts& facts);
[[noreturn]] void ThrowError(std::string_view packed);

inline constexpr uint32_t kValueTag = 0x80000010;  // packed by msgpack
inline constexpr uint32_t kErrorTag = 0x80000011;  // PackError's bytes
inline constexpr uint32_t kSpillTag = 0x80000012;  // the rest of a record

inline std::string_view BytesOf(const ObjectId& id) {
  return {reinterpret_cast<const char*>(&id), sizeof(id)};
}
template <typename T>
bool TakeFrom(std::string_view& bytes, T& value) {
  if (bytes.size() < sizeof(T)) return false;
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes.remove_prefix(sizeof(T));
  return true;
}

// A reply, taken apart. DataLoss: it says more than it holds.
struct ParsedReply {
  ReplyHeader header;
  std::vector<ObjectId> borrowed;
  std::vector<ObjectId> contained;
  std::string_view body;
};
absl::StatusOr<ParsedReply> ParseReply(std::string_view bytes);

}  // namespace penstock::internal

#endif  // PENSTOCK_RUNTIME_PROCESS_RECORDS_H_
