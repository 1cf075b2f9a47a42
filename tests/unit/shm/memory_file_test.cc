// Memory files: the seals really hold, and foreign descriptors are refused.
#include "store/shm/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <gtest/gtest.h>

#include "store/base/units.h"

namespace penstock {
namespace {

constexpr uint64_t kBytes = 64 * kKiB;

TEST(MemoryFile, CanNeitherShrinkNorGrowNorBeSealedFurther) {
  const auto file = MemoryFile::Create("test", kBytes);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->bytes(), kBytes);
  for (const off_t size : {off_t{0}, off_t{4096}, off_t{kBytes - 1}, off_t{kBytes + 1}}) {
    errno = 0;
    EXPECT_EQ(ftruncate(file->fd(), size), -1) << size;
    EXPECT_EQ(errno, EPERM);
  }
  EXPECT_EQ(fcntl(file->fd(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  struct stat facts;
  ASSERT_EQ(fstat(file->fd(), &facts), 0);
  EXPECT_EQ(facts.st_size, static_cast<off_t>(kBytes));
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  EXPECT_EQ(facts.st_blocks, 0) << "nothing is allocated yet";
  EXPECT_EQ(fcntl(file->fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(MemoryFile, AdoptedFileHasItsTrueSize) {
  const auto file = MemoryFile::Create("test", kBytes);
  ASSERT_TRUE(file.ok());
  const auto adopted = MemoryFile::Adopt(UniqueFd(dup(file->fd())), 4096);
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  EXPECT_EQ(adopted->bytes(), kBytes);
}

TEST(MemoryFile, AdoptRefusesFilesWithoutTheSeals) {
  for (const int seals : {0, F_SEAL_SHRINK, F_SEAL_SHRINK | F_SEAL_GROW,
                          F_SEAL_GROW | F_SEAL_SEAL, F_SEAL_SHRINK | F_SEAL_SEAL}) {
    UniqueFd fd(memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(ftruncate(fd.get(), kBytes), 0);
    if (seals != 0) {
      ASSERT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
    }
    EXPECT_EQ(MemoryFile::Adopt(std::move(fd), 4096).status().code(),
              absl::StatusCode::kInvalidArgument) << seals;
  }
}

TEST(MemoryFile, AdoptRefusesWhatIsNoMemoryFile) {
  EXPECT_FALSE(MemoryFile::Adopt(UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)), 0).ok());
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd writer(ends[1]);
  EXPECT_FALSE(MemoryFile::Adopt(UniqueFd(ends[0]), 0).ok());
  EXPECT_FALSE(MemoryFile::Adopt(UniqueFd(), 0).ok());
}

TEST(MemoryFile, AdoptRefusesAShorterFileThanWasPromised) {
  const auto file = MemoryFile::Create("test", kBytes);
  ASSERT_TRUE(file.ok());
  const absl::Status status =
      MemoryFile::Adopt(UniqueFd(dup(file->fd())), kBytes + 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("same version"), absl::string_view::npos);
  EXPECT_TRUE(MemoryFile::Adopt(UniqueFd(dup(file->fd())), kBytes).ok());
}

TEST(MemoryFile, ReadOnlyDescriptorCannotBeMappedWritable) {
  const auto file = MemoryFile::Create("test", kBytes);
  ASSERT_TRUE(file.ok());
  const auto read_only = file->ReopenReadOnly();
  ASSERT_TRUE(read_only.ok()) << read_only.status();
  errno = 0;
  EXPECT_EQ(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, read_only->get(), 0),
            MAP_FAILED);
  EXPECT_EQ(errno, EACCES);
  void* const view = mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, read_only->get(), 0);
  ASSERT_NE(view, MAP_FAILED);
  errno = 0;
  EXPECT_EQ(mprotect(view, kBytes, PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(errno, EACCES);
  munmap(view, kBytes);
  EXPECT_EQ(write(read_only->get(), "x", 1), -1);
  // Adopting it needs no right to write.
  EXPECT_TRUE(MemoryFile::Adopt(UniqueFd(dup(read_only->get())), kBytes).ok());
}

TEST(MemoryFile, ItsFilledRangesAreFoundWithoutFillingIt) {
  const auto file = MemoryFile::Create("test", kBytes);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(FilledRanges(file->fd(), 0, kBytes).empty());
  for (const off_t page : {1, 2, 9}) ASSERT_EQ(pwrite(file->fd(), "x", 1, page * 4096), 1);
  const std::vector<FilledRange> ranges = FilledRanges(file->fd(), 0, kBytes);
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].begin, 4096u);
  EXPECT_EQ(ranges[0].end, 3 * 4096u);
  EXPECT_EQ(ranges[1].begin, 9 * 4096u);
  EXPECT_EQ(ranges[1].end, 10 * 4096u);
  // A part of it.
  const std::vector<FilledRange> part = FilledRanges(file->fd(), 2 * 4096, 3 * 4096 - 100);
  ASSERT_EQ(part.size(), 1u);
  EXPECT_EQ(part[0].begin, 2 * 4096u);
  EXPECT_EQ(part[0].end, 3 * 4096u - 100);
  EXPECT_TRUE(FilledRanges(file->fd(), 3 * 4096, 9 * 4096).empty());
  struct stat facts;
  ASSERT_EQ(fstat(file->fd(), &facts), 0);
  EXPECT_EQ(facts.st_blocks, 3 * 4096 / 512);
}

}  // namespace
}  // namespace penstock
