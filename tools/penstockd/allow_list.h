// AllowList: which users beside the store's own may come in, and what they may do.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_ALLOW_LIST_H_
#define PENSTOCK_TOOLS_PENSTOCKD_ALLOW_LIST_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "store/object/session.h"

namespace penstock {

// Thread safety: one that nobody changes, from any thread.
class AllowList {
 public:
  // Entries between spaces or commas. Each is a user (uid:1001, uid:alice, or the number or
  // name alone) or a group (gid:100, gid:staff), and may end in :rw; without it the guest
  // reads only. Errors: InvalidArgument names the entry and what it takes.
  static absl::StatusOr<AllowList> Parse(std::string_view text);

  // What a user may do who is in these groups: the most that any entry gives. Nothing: no
  // entry is about them.
  std::optional<SessionRole> RoleOf(uint32_t uid, std::span<const uint32_t> gids) const;
  bool empty() const { return entries_.empty(); }

 private:
  struct Entry {
    bool is_group;
    uint32_t number;
    SessionRole role;
  };
  static absl::StatusOr<Entry> ParseEntry(std::string_view text);

  std::vector<Entry> entries_;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_ALLOW_LIST_H_
