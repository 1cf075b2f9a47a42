// SmallDisk: a file system of a few MiB that no path of the machine leads to, so that nothing
// has to be mounted or taken away, wherever the test's root lies.
#ifndef PENSTOCK_TESTS_SUPPORT_SMALL_DISK_H_
#define PENSTOCK_TESTS_SUPPORT_SMALL_DISK_H_

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>

#include "store/base/unique_fd.h"

namespace penstock::testing {

// Takes root; without it, and where the kernel refuses, ok() is false.
class SmallDisk {
 public:
  // `size` as tmpfs takes it: "8m".
  explicit SmallDisk(const char* size) {
    const UniqueFd made(fsopen("tmpfs", FSOPEN_CLOEXEC));
    if (!made.valid() ||
        fsconfig(made.get(), FSCONFIG_SET_STRING, "size", size, 0) != 0 ||
        fsconfig(made.get(), FSCONFIG_SET_STRING, "mode", "0700", 0) != 0 ||
        fsconfig(made.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
      return;
    }
    root_ = UniqueFd(fsmount(made.get(), FSMOUNT_CLOEXEC, 0));
  }
  bool ok() const { return root_.valid(); }
  // Also for other processes of this user, as long as this one lives.
  std::string path() const {
    return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(root_.get());
  }
  // Whether it worked: not while files are open for writing.
  bool SetReadOnly(bool read_only) {
    mount_attr change = {};
    (read_only ? change.attr_set : change.attr_clr) = MOUNT_ATTR_RDONLY;
    return mount_setattr(root_.get(), "", AT_EMPTY_PATH, &change, sizeof(change)) == 0;
  }

 private:
  UniqueFd root_;
};

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_SUPPORT_SMALL_DISK_H_
