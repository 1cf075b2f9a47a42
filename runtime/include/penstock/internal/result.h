// Result: what an ObjectRef stands for, within one process. Not for users.
#ifndef PENSTOCK_INTERNAL_RESULT_H_
#define PENSTOCK_INTERNAL_RESULT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <penstock/object_id.h>

namespace penstock::internal {

// The fields but the id are guarded by the process's lock until the state is not kPending;
// then they stand still, but for `in_store`.
struct Result {
  enum class State : uint8_t {
    kPending,   // of a call that has not answered
    kInline,    // `bytes` is the value
    kStored,    // the value is an object of the store
    kFailed,    // `bytes` is the error
    kBorrowed,  // another process's; its value is, or will be, an object of the store
  };
  explicit Result(const ObjectId& object_id) : id(object_id) {}
  ~Result();
  Result(const Result&) = delete;
  Result& operator=(const Result&) = delete;

  const ObjectId id;
  State state = State::kPending;
  bool in_store = false;  // under its id; ours to delete, unless borrowed
  bool wanted_in_store = false;  // it has left the process before its value was there
  uint64_t lender = 0;    // the process that a borrowed one came from
  uint32_t times_lent = 0;  // what it is told when we let go: it counts the same
  std::string bytes;
  std::vector<std::shared_ptr<Result>> contained;  // refs inside the value live as long
};
using ResultPtr = std::shared_ptr<Result>;

}  // namespace penstock::internal

#endif  // PENSTOCK_INTERNAL_RESULT_H_
