// penstock memory: where the bytes of the store are, from its shared memory.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <iostream>

#include "store/base/units.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/json_text.h"
#include "tools/penstock/store_summary.h"
#include "tools/penstock/table.h"

namespace penstock {
namespace {

std::string Count(uint64_t count) { return fmt::format("{}", count); }

void AddRow(Table& table, const char* name, const Tally& tally, const char* remark = "") {
  table.Add({name, Count(tally.count), FormatBytes(tally.bytes), remark});
}

void PrintTables(const StoreSums& sums) {
  Table where({"memory", ">blocks", ">bytes", ""});
  where.Add({"arena", "", FormatBytes(sums.arena_bytes), ""});
  where.Add({"populated", "", FormatBytes(sums.populated_bytes),
             fmt::format("in {}", sums.extents == 1 ? "one extent"
                                                : fmt::format("{} extents", sums.extents))});
  AddRow(where, "sealed", sums.sealed);
  AddRow(where, "evicting", sums.evicting, "the daemon looks whether anybody pins them");
  AddRow(where, "deleted", sums.deleted, "still pinned");
  AddRow(where, "leased", sums.leased, "being filled, or granted ahead");
  where.Add({"free", Count(sums.free_ranges), FormatBytes(sums.free_bytes),
             fmt::format("the largest range has {}", FormatBytes(sums.largest_free_bytes))});
  std::cout << where.Format() << "\n";

  Table of_these({"of these", ">blocks", ">bytes", ""});
  AddRow(of_these, "pinned", sums.pinned, "neither moved nor dropped");
  AddRow(of_these, "evictable", sums.evictable, "dropped when room is needed");
  AddRow(of_these, "on disk too", sums.on_disk_too);
  std::cout << of_these.Format();
  std::cout << fmt::format("\ndisk: {} objects, {}\n", sums.on_disk.objects,
                           FormatBytes(sums.on_disk.bytes));
  if (!sums.by_size.empty()) {
    Table sizes({">block up to", ">objects", ">bytes", ">filled", ">leases", ">leased"});
    for (const auto& [ceiling, size] : sums.by_size) {
      sizes.Add({FormatBytes(ceiling), Count(size.objects.count),
                 FormatBytes(size.objects.bytes),
                 size.objects.bytes == 0
                     ? "-"
                     : fmt::format("{:.1f}%", 100.0 * static_cast<double>(size.wanted_bytes) /
                                                  static_cast<double>(size.objects.bytes)),
                 Count(size.leases.count), FormatBytes(size.leases.bytes)});
    }
    std::cout << "\n" << sizes.Format();
  }
  if (sums.torn > 0) {
    std::cout << fmt::format("\n{} blocks changed while they were read: their numbers may be "
                             "those of before\n", sums.torn);
  }
}

nlohmann::ordered_json AsJson(const Tally& tally) {
  return {{"blocks", tally.count}, {"bytes", tally.bytes}};
}

void PrintJson(const StoreSums& sums) {
  nlohmann::ordered_json json;
  json["schema"] = 1;
  json["arena_bytes"] = sums.arena_bytes;
  json["populated_bytes"] = sums.populated_bytes;
  json["extents"] = sums.extents;
  json["sealed"] = AsJson(sums.sealed);
  json["evicting"] = AsJson(sums.evicting);
  json["deleted"] = AsJson(sums.deleted);
  json["leased"] = AsJson(sums.leased);
  json["free_bytes"] = sums.free_bytes;
  json["free_ranges"] = sums.free_ranges;
  json["largest_free_bytes"] = sums.largest_free_bytes;
  json["pinned"] = AsJson(sums.pinned);
  json["evictable"] = AsJson(sums.evictable);
  json["on_disk_too"] = AsJson(sums.on_disk_too);
  json["disk_objects"] = sums.on_disk.objects;
  json["disk_bytes"] = sums.on_disk.bytes;
  json["torn"] = sums.torn;
  json["by_size"] = nlohmann::ordered_json::array();
  for (const auto& [ceiling, size] : sums.by_size) {
    json["by_size"].push_back({{"up_to_bytes", ceiling},
                               {"objects", size.objects.count},
                               {"object_bytes", size.objects.bytes},
                               {"filled_bytes", size.wanted_bytes},
                               {"leases", size.leases.count},
                               {"leased_bytes", size.leases.bytes}});
  }
  std::cout << JsonText(json, 2) << "\n";
}

}  // namespace

int Memory(const LookOptions& options) {
  const auto view = StoreView::Open(options.dir);
  if (!view.ok()) return Fail(view.status());
  const StoreSums sums = SumUp(*view);
  if (options.json) {
    PrintJson(sums);
  } else if (!view->has_store()) {
    std::cout << "The daemon has made no store yet.\n";
  } else {
    PrintTables(sums);
  }
  return kExitGood;
}

}  // namespace penstock
