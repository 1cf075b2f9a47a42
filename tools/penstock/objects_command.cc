// penstock objects: what lies in the store, from its shared memory.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>
#include <iostream>
#include <tuple>
#include <vector>

#include "store/base/process_name.h"
#include "store/base/units.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/json_text.h"
#include "tools/penstock/store_view.h"
#include "tools/penstock/table.h"

namespace penstock {
namespace {

constexpr size_t kPinnersInTable = 3;

uint64_t PinsOf(const BlockLook& object) {
  uint64_t pins = 0;
  for (const PinLook& pin : object.pins) pins += pin.count;
  return pins;
}

// Whether `a` stands above `b`. Equal ones in the order of their ids, so that two listings of
// the same store are the same.
using Order = std::function<bool(const BlockLook&, const BlockLook&)>;
Order OrderOf(const std::string& sort) {
  if (sort == "pins") {
    return [](const BlockLook& a, const BlockLook& b) {
      return std::tuple(PinsOf(b), a.id) < std::tuple(PinsOf(a), b.id);
    };
  }
  if (sort == "id") return [](const BlockLook& a, const BlockLook& b) { return a.id < b.id; };
  if (sort == "maker") {
    return [](const BlockLook& a, const BlockLook& b) {
      return std::tuple(a.session, a.id) < std::tuple(b.session, b.id);
    };
  }
  return [](const BlockLook& a, const BlockLook& b) {
    return std::tuple(b.size, a.id) < std::tuple(a.size, b.id);
  };
}

struct Listing {
  std::vector<BlockLook> rows;  // sorted
  size_t all = 0;
  uint64_t bytes = 0;
};

// Keeps twice the rows that are wanted at most: a million objects are seen, not stored.
Listing ListObjects(const StoreView& view, const Order& order, size_t limit) {
  Listing listing;
  std::vector<BlockLook>& rows = listing.rows;
  const auto cut = [&] {
    if (limit == 0 || rows.size() <= limit) return;
    std::nth_element(rows.begin(), rows.begin() + static_cast<ptrdiff_t>(limit), rows.end(),
                     order);
    rows.resize(limit);
  };
  if (view.has_store()) {
    view.Visit([&](const BlockLook& block) {
      if (block.state == BlockState::kLeased) return;
      ++listing.all;
      listing.bytes += block.size;
      rows.push_back(block);
      if (limit != 0 && rows.size() >= 2 * limit + 1024) cut();
    });
  }
  cut();
  std::ranges::sort(rows, order);
  return listing;
}

std::string PinnersOf(const StoreView& view, const BlockLook& object) {
  std::string text;
  for (size_t i = 0; i < object.pins.size(); ++i) {
    if (i == kPinnersInTable) return text + fmt::format(" +{}", object.pins.size() - i);
    const PinLook& pin = object.pins[i];
    text += fmt::format("{}{} x{}", i == 0 ? "" : ", ",
                        NumberOfProcess(view.sessions()[pin.session].pid), pin.count);
  }
  return text;
}

std::string Maker(const BlockLook& object) {
  return object.session == kStoreSession || object.session == 0
             ? "-"
             : fmt::format("{}/{}", object.session, NumberOfProcess(object.maker_pid));
}

const char* NameOfPriority(uint32_t seal_flags) {
  constexpr const char* kNames[kPriorities] = {"low", "normal", "high"};
  return kNames[PriorityOf(seal_flags)];
}

// What stands in the column of what the daemon may do with the object.
std::string Policy(const BlockLook& object) {
  std::string text = PriorityOf(object.flags) == 1 ? "" : NameOfPriority(object.flags);
  if ((object.flags & kSealEvictable) != 0) text += text.empty() ? "evictable" : " evictable";
  return text;
}

void PrintTable(const StoreView& view, const Listing& listing) {
  if (listing.all == 0) {
    std::cout << "The store holds no object.\n";
    return;
  }
  Table table({"id", "state", ">size", ">metadata", ">type", "maker", ">pins", "pinned by",
               "policy", "disk"});
  for (const BlockLook& object : listing.rows) {
    table.Add({object.id.ToHex(),
               fmt::format("{}{}", NameOf(object.state), object.is_torn ? "?" : ""),
               FormatBytes(object.size), FormatBytes(object.metadata_size),
               fmt::format("{:#x}", object.type_tag), Maker(object),
               fmt::format("{}", PinsOf(object)), PinnersOf(view, object),
               Policy(object), object.is_on_disk ? "yes" : ""});
  }
  std::cout << table.Format()
            << fmt::format("{} objects, {} of payload\n", listing.all,
                           FormatBytes(listing.bytes))
            << LeftOut(listing.rows.size(), listing.all);
}

nlohmann::ordered_json AsJson(const StoreView& view, const BlockLook& object) {
  nlohmann::ordered_json json;
  json["id"] = object.id.ToHex();
  json["state"] = NameOf(object.state);
  json["torn"] = object.is_torn;
  json["size"] = object.size;
  json["metadata_size"] = object.metadata_size;
  json["type_tag"] = object.type_tag;
  json["evictable"] = (object.flags & kSealEvictable) != 0;
  json["priority"] = NameOfPriority(object.flags);
  json["block_bytes"] = object.block_bytes;
  json["maker_session"] = object.session;
  json["maker_pid"] = object.maker_pid;
  json["pins"] = PinsOf(object);
  json["pinned_by"] = nlohmann::ordered_json::array();
  for (const PinLook& pin : object.pins) {
    const SessionLook& session = view.sessions()[pin.session];
    json["pinned_by"].push_back(
        {{"session", session.number}, {"pid", session.pid}, {"pins", pin.count}});
  }
  json["on_disk"] = object.is_on_disk;
  return json;
}

// A row at a time: the whole listing as one value would take gigabytes at a million.
void PrintJson(const StoreView& view, const Listing& listing) {
  std::cout << fmt::format("{{\"schema\": 1, \"objects\": {}, \"bytes\": {}, \"left_out\": {},\n"
                           " \"rows\": [", listing.all, listing.bytes,
                           listing.all - listing.rows.size());
  const char* separator = "\n  ";
  for (const BlockLook& object : listing.rows) {
    std::cout << separator << JsonText(AsJson(view, object));
    separator = ",\n  ";
  }
  std::cout << "]}\n";
}

}  // namespace

int Objects(const LookOptions& options) {
  const auto view = StoreView::Open(options.dir);
  if (!view.ok()) return Fail(view.status());
  const Listing listing = ListObjects(*view, OrderOf(options.sort), options.limit);
  if (options.json) {
    PrintJson(*view, listing);
  } else {
    PrintTable(*view, listing);
  }
  return kExitGood;
}

}  // namespace penstock
