// Reading what tells two open files apart.
#include "client/src/file_mark.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "store/base/unique_fd.h"

namespace penstock::internal {
namespace {

// Of an eventfd; -1: it is none, or this kernel does not say.
int64_t EventfdNumber(int fd) {
  const std::string path = "/proc/self/fdinfo/" + std::to_string(fd);
  const UniqueFd info(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!info.valid()) return -1;
  char text[1024];
  const ssize_t count = read(info.get(), text, sizeof(text) - 1);
  if (count <= 0) return -1;
  text[count] = '\0';
  constexpr std::string_view kKey = "eventfd-id:";
  const size_t at = std::string_view(text).find(kKey);
  return at == std::string_view::npos ? -1 : strtoll(text + at + kKey.size(), nullptr, 10);
}

}  // namespace

FileMark FileMark::Of(int fd) {
  FileMark mark;
  struct stat facts;
  if (fstat(fd, &facts) != 0) return mark;
  mark.device_ = facts.st_dev;
  mark.inode_ = facts.st_ino;
  const bool has_own_inode = S_ISSOCK(facts.st_mode) || S_ISFIFO(facts.st_mode);
  if (!has_own_inode) mark.eventfd_number_ = EventfdNumber(fd);
  mark.is_known_ = has_own_inode || mark.eventfd_number_ != kNone;
  return mark;
}

bool FileMark::IsStill(int fd) const {
  if (!is_known_) return false;
  const FileMark now = Of(fd);
  return now.is_known_ && now.device_ == device_ && now.inode_ == inode_ &&
         now.eventfd_number_ == eventfd_number_;
}

}  // namespace penstock::internal
