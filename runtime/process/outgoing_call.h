// OutgoingCall: a call that has not been sent, or not been answered.
#ifndef PENSTOCK_RUNTIME_PROCESS_OUTGOING_CALL_H_
#define PENSTOCK_RUNTIME_PROCESS_OUTGOING_CALL_H_

#include <string>
#include <vector>

#include <penstock/internal/call.h>

#include "runtime/process/records.h"

namespace penstock::internal {

struct OutgoingCall {
  CallHeader header;
  CallArguments arguments;       // until it is sent
  ResultPtr result;
  std::vector<ResultPtr> kept;   // until the answer
  const Function* function = nullptr;
};

}  // namespace penstock::internal

#endif  // PENSTOCK_RUNTIME_PROCESS_OUTGOING_CALL_H_
