// Any bytes as a message of the runtime: refused, or the same facts after another round; and
// what it asks of the node is an amount that can be counted, or refused.
#include <cmath>

#include "runtime/schedule/resources.h"
#include "runtime/wire/node_message.h"
#include "tests/fuzz/input.h"

namespace penstock {
namespace {

bool Same(const Amounts& a, const Amounts& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    // A name travels as a C string: it ends at its first zero.
    const std::string_view name = std::string_view(x.first).substr(0, x.first.find('\0'));
    return (x.second == y.second || (std::isnan(x.second) && std::isnan(y.second))) &&
           y.first == name;
  });
}

}  // namespace
}  // namespace penstock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  const fuzz::ExactCopy packet({data, size});
  const auto facts = DecodeNodeMessage(packet.text());
  if (!facts.ok()) return 0;
  const std::string bytes = EncodeNodeMessage(*facts);
  const auto again = DecodeNodeMessage(bytes);
  PENSTOCK_CHECK(again.ok()) << again.status().ToString();
  PENSTOCK_CHECK(again->kind == facts->kind && again->request == facts->request &&
                 again->process == facts->process && again->actor == facts->actor &&
                 again->job == facts->job && again->dedicated == facts->dedicated &&
                 again->code == facts->code && again->signal == facts->signal &&
                 again->pid == facts->pid && again->name == facts->name &&
                 again->text == facts->text && again->session == facts->session);
  PENSTOCK_CHECK(Same(facts->resources, again->resources) && Same(facts->kept, again->kept));
  for (const Amounts* const amounts : {&facts->resources, &facts->kept}) {
    [[maybe_unused]] const auto resources = Resources::From(*amounts);
  }
  return 0;
}
