// FileMark: a number that another file has got is not taken for the one that was marked.
#include "client/src/file_mark.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>

#include <gtest/gtest.h>

#include "store/base/unique_fd.h"

namespace penstock::internal {
namespace {

TEST(FileMark, TellsFilesOfAKindApartUnderOneNumber) {
  const std::function<UniqueFd()> kinds[] = {
      [] { return UniqueFd(eventfd(0, EFD_CLOEXEC)); },
      [] { return UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)); },
      [] {
        int ends[2];
        EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
        close(ends[0]);
        return UniqueFd(ends[1]);
      }};
  for (const auto& make : kinds) {
    const UniqueFd first = make();
    const UniqueFd second = make();
    const FileMark mark = FileMark::Of(first.get());
    EXPECT_TRUE(mark.IsStill(first.get()));
    EXPECT_FALSE(mark.IsStill(second.get()));
    const UniqueFd other_number(dup(first.get()));
    EXPECT_TRUE(mark.IsStill(other_number.get()));
    ASSERT_EQ(dup2(second.get(), first.get()), first.get());
    EXPECT_FALSE(mark.IsStill(first.get()));
    EXPECT_TRUE(mark.IsStill(other_number.get()));
  }
}

TEST(FileMark, OfNoFileOrOfOneThatNothingTellsIsNobodys) {
  const UniqueFd none(open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(FileMark().IsStill(none.get()));
  EXPECT_FALSE(FileMark::Of(none.get()).IsStill(none.get()));
  EXPECT_FALSE(FileMark::Of(-1).IsStill(-1));
}

}  // namespace
}  // namespace penstock::internal
