// Parsing and asking the allow list.
#include "tools/penstockd/allow_list.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <charconv>
#include <string>

#include <fmt/format.h>

#include "store/base/errors.h"

namespace penstock {
namespace {

constexpr std::string_view kBetween = " ,\t\n";

bool TakeSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// By its number, or by the name that the host knows it under. The largest number stands for
// "nobody asked" in system calls and is no user.
std::optional<uint32_t> NumberOf(std::string_view text, bool is_group) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) {
    return number == ~uint32_t{0} ? std::nullopt : std::optional(number);
  }
  const std::string name(text);
  if (is_group) {
    const group* const found = getgrnam(name.c_str());
    return found == nullptr ? std::nullopt : std::optional<uint32_t>(found->gr_gid);
  }
  const passwd* const found = getpwnam(name.c_str());
  return found == nullptr ? std::nullopt : std::optional<uint32_t>(found->pw_uid);
}

}  // namespace

absl::StatusOr<AllowList::Entry> AllowList::ParseEntry(std::string_view text) {
  std::string_view rest = text;
  Entry entry{};
  entry.role = TakeSuffix(rest, ":rw") ? SessionRole::kReadWrite : SessionRole::kReadOnly;
  entry.is_group = TakePrefix(rest, "gid:");
  if (!entry.is_group) TakePrefix(rest, "uid:");
  const std::optional<uint32_t> number =
      rest.empty() ? std::nullopt : NumberOf(rest, entry.is_group);
  if (!number) {
    return absl::InvalidArgumentError(fmt::format(
        "allow has '{}', which names no {} of this host: it takes uid:1001, uid:alice or "
        "gid:100, with :rw behind it for guests that may write", text,
        entry.is_group ? "group" : "user"));
  }
  entry.number = *number;
  return entry;
}

absl::StatusOr<AllowList> AllowList::Parse(std::string_view text) {
  AllowList list;
  for (;;) {
    const size_t begin = text.find_first_not_of(kBetween);
    if (begin == std::string_view::npos) return list;
    text.remove_prefix(begin);
    const size_t length = std::min(text.find_first_of(kBetween), text.size());
    PENSTOCK_ASSIGN_OR_RETURN(const Entry entry, ParseEntry(text.substr(0, length)));
    list.entries_.push_back(entry);
    text.remove_prefix(length);
  }
}

std::optional<SessionRole> AllowList::RoleOf(uint32_t uid,
                                             std::span<const uint32_t> gids) const {
  std::optional<SessionRole> role;
  for (const Entry& entry : entries_) {
    const bool is_meant = entry.is_group
                              ? std::find(gids.begin(), gids.end(), entry.number) != gids.end()
                              : entry.number == uid;
    if (!is_meant) continue;
    if (entry.role == SessionRole::kReadWrite) return entry.role;
    role = entry.role;
  }
  return role;
}

}  // namespace penstock
