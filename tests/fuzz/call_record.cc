// Any bytes as a reply, and as the error of a call: taken apart within their bounds, or
// refused; an error becomes one of Penstock's exceptions, whatever it says.
#include <penstock/errors.h>

#include "runtime/process/records.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  using namespace penstock::internal;
  const fuzz::ExactCopy record({data, size});
  if (const auto reply = ParseReply(record.text()); reply.ok()) {
    PENSTOCK_CHECK(reply->borrowed.size() == reply->header.borrowed &&
                   reply->contained.size() == reply->header.contained);
    std::string again(reinterpret_cast<const char*>(&reply->header), sizeof(reply->header));
    for (const auto* const ids : {&reply->borrowed, &reply->contained}) {
      for (const ObjectId& id : *ids) again.append(BytesOf(id));
    }
    again.append(reply->body);
    PENSTOCK_CHECK(again == record.text());
  }
  try {
    ThrowError(record.text());
  } catch (const Error& error) {
    PENSTOCK_CHECK(error.what() != nullptr);
  }
  return 0;
}
