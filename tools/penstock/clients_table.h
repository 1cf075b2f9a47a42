// The table of sessions, of `penstock clients` and `penstock top`.
#ifndef PENSTOCK_TOOLS_PENSTOCK_CLIENTS_TABLE_H_
#define PENSTOCK_TOOLS_PENSTOCK_CLIENTS_TABLE_H_

#include <cstddef>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tools/penstock/store_summary.h"

namespace penstock {

// The first `limit` (0: all) places in StoreView::sessions(), in the order of `sort`: bytes
// (made and leased), pinned, objects, unread, or session.
std::vector<size_t> SortedClients(const StoreView& view, const StoreSums& sums,
                                  const std::string& sort, size_t limit);

// With what is wrong with some of them below.
std::string FormatClients(const StoreView& view, const StoreSums& sums,
                          const std::vector<size_t>& places);

nlohmann::ordered_json ClientsAsJson(const StoreView& view, const StoreSums& sums,
                                     const std::vector<size_t>& places);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCK_CLIENTS_TABLE_H_
