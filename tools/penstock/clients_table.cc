// Sorting sessions, and printing them.
#include "tools/penstock/clients_table.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "store/base/process_name.h"
#include "store/base/units.h"
#include "tools/penstock/table.h"

namespace penstock {
namespace {

uint64_t KeyOf(const SessionLook& session, const ClientSums& client, const std::string& sort) {
  if (sort == "pinned") return client.pinned.bytes;
  if (sort == "objects") return client.objects.count;
  if (sort == "unread") {
    return uint64_t{session.unread_submissions.value_or(0)} +
           session.unread_completions.value_or(0);
  }
  return client.objects.bytes + client.leases.bytes;
}

std::string Unread(std::optional<uint32_t> count) {
  return count ? fmt::format("{}", *count) : "?";
}

std::string Flags(const SessionLook& session) {
  std::string flags;
  const auto add = [&](bool is_set, const char* name) {
    if (!is_set) return;
    if (!flags.empty()) flags += ',';
    flags += name;
  };
  add(session.is_parked, "parked");
  add(session.is_revoked, "revoked");
  add(session.is_backlogged, "backlogged");
  add(session.said_goodbye, "closed");
  return flags;
}

nlohmann::ordered_json OrNull(std::optional<uint32_t> value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

}  // namespace

std::vector<size_t> SortedClients(const StoreView& view, const StoreSums& sums,
                                  const std::string& sort, size_t limit) {
  std::vector<size_t> places(view.sessions().size());
  std::iota(places.begin(), places.end(), size_t{0});
  if (sort != "session") {  // they came in this order
    std::ranges::stable_sort(places, std::greater<>(), [&](size_t i) {
      return KeyOf(view.sessions()[i], sums.clients[i], sort);
    });
  }
  if (limit != 0 && places.size() > limit) places.resize(limit);
  return places;
}

std::string FormatClients(const StoreView& view, const StoreSums& sums,
                          const std::vector<size_t>& places) {
  Table table({">session", ">pid", "process", ">uid", "role", ">objects", ">bytes", ">leases",
               ">leased bytes", ">pinned", ">pinned bytes", ">asked", ">answers", "flags"});
  std::string troubles;
  for (const size_t i : places) {
    const SessionLook& session = view.sessions()[i];
    const ClientSums& client = sums.clients[i];
    table.Add({fmt::format("{}", session.number), NumberOfProcess(session.pid),
               NameOf(session.process), fmt::format("{}", session.uid),
               session.is_read_only ? "read" : "write",
               fmt::format("{}", client.objects.count), FormatBytes(client.objects.bytes),
               fmt::format("{}", client.leases.count), FormatBytes(client.leases.bytes),
               fmt::format("{}", client.pinned.count), FormatBytes(client.pinned.bytes),
               Unread(session.unread_submissions), Unread(session.unread_completions),
               Flags(session)});
    if (!session.trouble.empty()) {
      troubles += fmt::format("session {} of {}: {}\n", session.number,
                              NameOfProcess(session.pid), session.trouble);
    }
  }
  return table.Format() + troubles;
}

nlohmann::ordered_json ClientsAsJson(const StoreView& view, const StoreSums& sums,
                                     const std::vector<size_t>& places) {
  auto rows = nlohmann::ordered_json::array();
  for (const size_t i : places) {
    const SessionLook& session = view.sessions()[i];
    const ClientSums& client = sums.clients[i];
    rows.push_back({{"session", session.number},
                    {"pid", session.pid},
                    {"process", NameOf(session.process)},
                    {"lives", Lives(session.process)},
                    {"uid", session.uid},
                    {"read_only", session.is_read_only},
                    {"objects", client.objects.count},
                    {"object_bytes", client.objects.bytes},
                    {"leases", client.leases.count},
                    {"leased_bytes", client.leases.bytes},
                    {"pinned", client.pinned.count},
                    {"pinned_bytes", client.pinned.bytes},
                    {"pins", client.pins},
                    {"unread_submissions", OrNull(session.unread_submissions)},
                    {"unread_completions", OrNull(session.unread_completions)},
                    {"submissions_taken", session.submissions_taken},
                    {"completions_given", session.completions_given},
                    {"parked", session.is_parked},
                    {"revoked", session.is_revoked},
                    {"backlogged", session.is_backlogged},
                    {"closed", session.said_goodbye},
                    {"trouble", session.trouble}});
  }
  return rows;
}

}  // namespace penstock
