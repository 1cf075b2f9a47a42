// UniqueFd: owns one file descriptor and closes it.
//
// It never keeps the number of a standard stream. A program may be started without those, and
// the next socket would get such a number: what the program prints would go to the daemon.
#ifndef PENSTOCK_STORE_BASE_UNIQUE_FD_H_
#define PENSTOCK_STORE_BASE_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace penstock {

// The same file under a number above theirs; closes `fd`.
int AboveStandardStreams(int fd);
// First of all in main(): of the standard streams that are closed, reads and writes fail from now
// on, and their numbers are taken.
void FillStandardStreams();

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(Placed(fd)) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = Placed(fd);
  }

 private:
  static int Placed(int fd) {
    return fd < 0 || fd > STDERR_FILENO ? fd : AboveStandardStreams(fd);
  }

  int fd_ = -1;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_BASE_UNIQUE_FD_H_
