// penstock clients: who is there and what they hold, from the store's shared memory.
#include <fmt/format.h>

#include <iostream>

#include "store/base/units.h"
#include "tools/penstock/clients_table.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/json_text.h"

namespace penstock {

int Clients(const LookOptions& options) {
  const auto view = StoreView::Open(options.dir);
  if (!view.ok()) return Fail(view.status());
  const StoreSums sums = SumUp(*view);
  const size_t all = view->sessions().size();
  const std::vector<size_t> places = SortedClients(*view, sums, options.sort, options.limit);
  if (options.json) {
    nlohmann::ordered_json json;
    json["schema"] = 1;
    json["sessions"] = all;
    json["left_out"] = all - places.size();
    json["ended_objects"] = sums.of_ended_sessions.count;
    json["ended_bytes"] = sums.of_ended_sessions.bytes;
    json["rows"] = ClientsAsJson(*view, sums, places);
    std::cout << JsonText(json, 2) << "\n";
    return kExitGood;
  }
  if (all == 0) {
    std::cout << "Nobody has a session with this store.\n";
  } else {
    std::cout << FormatClients(*view, sums, places) << LeftOut(places.size(), all);
  }
  if (sums.of_ended_sessions.count > 0) {
    std::cout << fmt::format("of sessions that have ended: {} objects, {}\n",
                             sums.of_ended_sessions.count,
                             FormatBytes(sums.of_ended_sessions.bytes));
  }
  return kExitGood;
}

}  // namespace penstock
