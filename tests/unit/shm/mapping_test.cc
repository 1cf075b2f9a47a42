// Mappings: alignment, protection, and what a forked child has of them.
#include "store/shm/mapping.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include <gtest/gtest.h>

#include "store/base/units.h"
#include "store/shm/memory_file.h"

namespace penstock {
namespace {

// Whether this process has a page at `address`.
bool IsMapped(const std::byte* address) {
  unsigned char resident;
  return mincore(const_cast<std::byte*>(address), 1, &resident) == 0;
}

// Runs `body` in a forked child; its exit code.
template <typename Body>
int InChild(Body&& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Mapping, EverySizeStartsAtAMultipleOfTwoMebibytes) {
  for (const uint64_t bytes : {4 * kKiB, 12 * kKiB, 2 * kMiB, 2 * kMiB + 4 * kKiB, 7 * kMiB}) {
    const auto file = MemoryFile::Create("test", bytes);
    ASSERT_TRUE(file.ok());
    for (int i = 0; i < 4; ++i) {
      const auto mapping =
          Mapping::Map(file->fd(), bytes, Access::kReadWrite, OnFork::kInherit);
      ASSERT_TRUE(mapping.ok()) << mapping.status();
      EXPECT_EQ(reinterpret_cast<uintptr_t>(mapping->data()) % kHugePageBytes, 0u);
      EXPECT_EQ(mapping->bytes(), bytes);
      mapping->data()[bytes - 1] = std::byte{1};
      EXPECT_FALSE(IsMapped(mapping->data() + RoundUp(bytes, 4 * kKiB)));
    }
  }
}

TEST(Mapping, TwoMappingsOfAFileShowTheSameBytes) {
  const auto file = MemoryFile::Create("test", 64 * kKiB);
  ASSERT_TRUE(file.ok());
  const auto writer =
      Mapping::Map(file->fd(), 64 * kKiB, Access::kReadWrite, OnFork::kDrop);
  const auto reader =
      Mapping::Map(file->fd(), 64 * kKiB, Access::kReadOnly, OnFork::kInherit);
  ASSERT_TRUE(writer.ok() && reader.ok());
  *writer->At<uint64_t>(4096) = 77;
  EXPECT_EQ(*reader->At<uint64_t>(4096), 77u);
}

TEST(Mapping, MovedFromMappingIsEmptyAndTheMemoryLivesOn) {
  const auto file = MemoryFile::Create("test", 64 * kKiB);
  ASSERT_TRUE(file.ok());
  Mapping first =
      *Mapping::Map(file->fd(), 64 * kKiB, Access::kReadWrite, OnFork::kInherit);
  std::byte* const address = first.data();
  Mapping second = std::move(first);
  EXPECT_FALSE(first.valid());  // NOLINT: what a moved-from mapping is, is the point
  EXPECT_EQ(second.data(), address);
  Mapping third;
  EXPECT_FALSE(third.valid());
  third = std::move(second);
  address[0] = std::byte{1};
  third = Mapping();
  EXPECT_FALSE(IsMapped(address));
}

TEST(Mapping, DroppedOnForkIsAbsentInAChildAndWholeInTheParent) {
  const auto file = MemoryFile::Create("test", 64 * kKiB);
  ASSERT_TRUE(file.ok());
  const auto dropped =
      Mapping::Map(file->fd(), 64 * kKiB, Access::kReadWrite, OnFork::kDrop);
  const auto inherited =
      Mapping::Map(file->fd(), 64 * kKiB, Access::kReadOnly, OnFork::kInherit);
  ASSERT_TRUE(dropped.ok() && inherited.ok());
  dropped->data()[0] = std::byte{5};
  const int code = InChild([&] {
    if (IsMapped(dropped->data())) return 1;
    return inherited->data()[0] == std::byte{5} ? 0 : 2;
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(dropped->data()[0], std::byte{5});
}

TEST(Mapping, WrongDescriptorIsAnErrorAndLeavesNothing) {
  EXPECT_FALSE(Mapping::Map(-1, 64 * kKiB, Access::kReadOnly, OnFork::kInherit).ok());
  const auto file = MemoryFile::Create("test", 64 * kKiB);
  ASSERT_TRUE(file.ok());
  const auto read_only = file->ReopenReadOnly();
  ASSERT_TRUE(read_only.ok());
  EXPECT_FALSE(
      Mapping::Map(read_only->get(), 64 * kKiB, Access::kReadWrite, OnFork::kInherit).ok());
}

}  // namespace
}  // namespace penstock
