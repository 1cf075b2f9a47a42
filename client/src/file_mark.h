// FileMark: which open file a descriptor stood for, so that its number is not taken for it later.
#ifndef PENSTOCK_CLIENT_SRC_FILE_MARK_H_
#define PENSTOCK_CLIENT_SRC_FILE_MARK_H_

#include <sys/types.h>

#include <cstdint>

namespace penstock::internal {

// Of a socket or a pipe (its inode is its own) or an eventfd (all have one inode: by the number
// that the kernel shows in /proc, since Linux 5.2).
class FileMark {
 public:
  FileMark() = default;  // of no file
  // Costs two system calls, of an eventfd three more.
  static FileMark Of(int fd);

  // Whether `fd` surely stands for the marked file. No, where nothing tells.
  bool IsStill(int fd) const;

 private:
  static constexpr int64_t kNone = -1;

  bool is_known_ = false;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  int64_t eventfd_number_ = kNone;
};

}  // namespace penstock::internal

#endif  // PENSTOCK_CLIENT_SRC_FILE_MARK_H_
