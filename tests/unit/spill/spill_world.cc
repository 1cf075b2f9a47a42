// The helpers of the spill tests.
#include "tests/unit/spill/spill_world.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "store/base/check.h"

namespace penstock::testing {
namespace {

constexpr auto kDeadline = std::chrono::seconds(60);

uint64_t WordOf(uint64_t number, uint64_t index) {
  uint64_t word = (number + 1) * 0x9e3779b97f4a7c15 + index * 0xbf58476d1ce4e5b9;
  return word ^ (word >> 29);
}

}  // namespace

SharedPages::SharedPages(uint64_t bytes) : bytes_(bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  PENSTOCK_CHECK(memory != MAP_FAILED);
  data_ = static_cast<std::byte*>(memory);
}
SharedPages::~SharedPages() { munmap(data_, bytes_); }

TestDirectory::TestDirectory() {
  // Beside the test program: a disk, where /tmp is often memory.
  std::string pattern = std::filesystem::read_symlink("/proc/self/exe").parent_path().string() +
                        "/spill-test-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) {
    pattern = "/tmp/penstock-spill-test-XXXXXX";
    PENSTOCK_CHECK(mkdtemp(pattern.data()) != nullptr);
  }
  path_ = pattern;
}
TestDirectory::~TestDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::string> TestDirectory::SpillFiles() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    if (ParseSpillFileName(entry.path().filename().string())) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

uint64_t TestDirectory::DiskBytes() const {
  uint64_t bytes = 0;
  for (const std::string& name : SpillFiles()) {
    struct stat facts;
    if (stat((path_ + "/" + name).c_str(), &facts) == 0) {
      bytes += static_cast<uint64_t>(facts.st_blocks) * 512;
    }
  }
  return bytes;
}

std::vector<std::byte> BytesOf(uint64_t number, uint64_t bytes) {
  std::vector<std::byte> result(bytes);
  for (uint64_t i = 0; i < bytes; i += 8) {
    const uint64_t word = WordOf(number, i);
    std::memcpy(result.data() + i, &word, std::min<uint64_t>(8, bytes - i));
  }
  return result;
}

bool AreBytesOf(uint64_t number, std::span<const std::byte> bytes) {
  for (uint64_t i = 0; i < bytes.size(); i += 8) {
    const uint64_t word = WordOf(number, i);
    if (std::memcmp(bytes.data() + i, &word, std::min<uint64_t>(8, bytes.size() - i)) != 0) {
      return false;
    }
  }
  return true;
}

SpillWorld::SpillWorld(SpillOptions spill_options, uint32_t capacity)
    : options(std::move(spill_options)), memory(SpillTable::BytesFor(capacity)),
      table(SpillTable::Make(memory.data(), capacity, kIncarnation)),
      bell(eventfd(0, EFD_CLOEXEC)) {
  options.incarnation = kIncarnation;
  if (options.dir.empty()) options.dir = directory.path();
}
SpillWorld::~SpillWorld() = default;

bool SpillWorld::TryOpen(std::unique_ptr<DiskQueue> queue) {
  auto opened = queue != nullptr
                    ? SpillStore::OpenWith(options, table, bell.get(), std::move(queue))
                    : SpillStore::Open(options, table, bell.get());
  if (!opened.ok()) {
    refusal = opened.status().ToString();
    return false;
  }
  store = *std::move(opened);
  return true;
}

void SpillWorld::Open(std::unique_ptr<DiskQueue> queue) {
  PENSTOCK_CHECK(TryOpen(std::move(queue))) << refusal;
}

void SpillWorld::Restart() {
  store.reset();
  table = *SpillTable::Attach(memory.data(), memory.bytes());
  Open();
}

SpillDone SpillWorld::Await(uint64_t ticket) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  for (;;) {
    for (const SpillDone& done : store->TakeDone()) done_[done.ticket] = done;
    if (const auto found = done_.find(ticket); found != done_.end()) {
      const SpillDone done = found->second;
      done_.erase(found);
      return done;
    }
    PENSTOCK_CHECK(std::chrono::steady_clock::now() < deadline) << "ticket " << ticket;
    pollfd wait{bell.get(), POLLIN, 0};
    if (poll(&wait, 1, 1000) == 1) {
      eventfd_t rings;
      eventfd_read(bell.get(), &rings);
    }
  }
}

SpilledObject SpillWorld::ObjectOf(uint64_t number, uint64_t bytes) {
  SpilledObject object;
  object.id = {kIncarnation, 7, number};
  object.metadata_size = static_cast<uint32_t>(bytes / 10);
  object.size = bytes - object.metadata_size;
  object.type_tag = static_cast<uint32_t>(number * 3);
  object.flags = static_cast<uint32_t>(number % 4);
  object.maker_session = number + 5;
  object.maker_pid = static_cast<int32_t>(number + 1);
  return object;
}

SpillDone SpillWorld::Write(uint64_t number, uint64_t bytes) {
  const std::vector<std::byte> data = BytesOf(number, bytes);
  const uint64_t ticket = NextTicket();
  store->Write(ticket, ObjectOf(number, bytes), data);
  return Await(ticket);
}

SpillDone SpillWorld::Read(const KeptObject& kept, std::vector<std::byte>& into) {
  into.assign(kept.bytes, std::byte{0xee});
  const uint64_t ticket = NextTicket();
  store->Read(ticket, kept.handle, into);
  return Await(ticket);
}

void SpillWorld::Drop(const KeptObject& kept) { store->Drop(kept.handle); }

KeptObject SpillWorld::Keep(uint64_t number, uint64_t bytes) {
  const SpillDone done = Write(number, bytes);
  EXPECT_EQ(done.fault, SpillFault::kNone) << NameOf(done.fault) << " " << done.error_number;
  EXPECT_EQ(done.kind, SpillDone::Kind::kWritten);
  return {done.handle, ObjectOf(number, bytes), number, bytes};
}

void SpillWorld::ExpectWhole(const KeptObject& kept) {
  std::vector<std::byte> into;
  const SpillDone done = Read(kept, into);
  EXPECT_EQ(done.fault, SpillFault::kNone) << NameOf(done.fault) << " " << done.error_number;
  EXPECT_EQ(done.kind, SpillDone::Kind::kRead);
  EXPECT_TRUE(AreBytesOf(kept.number, into)) << "object " << kept.number;
}

void SpillWorld::ExpectFault(const KeptObject& kept, SpillFault fault) {
  std::vector<std::byte> into;
  const SpillDone done = Read(kept, into);
  EXPECT_EQ(NameOf(done.fault), NameOf(fault)) << "object " << kept.number;
}

void SpillWorld::Settle(const std::function<bool(const SpillStats&)>& wanted) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!wanted(store->Stats())) {
    PENSTOCK_CHECK(std::chrono::steady_clock::now() < deadline)
        << "live " << store->Stats().live_bytes << " of " << store->Stats().file_bytes;
    usleep(1000);
  }
}

void SpillWorld::Settle() {
  // An answer to a read asked for now comes after the turn in which earlier drops count.
  const auto quiet = [](const SpillStats& stats) {
    return stats.waiting_writes + stats.waiting_reads == 0 && !stats.moving;
  };
  Settle(quiet);
  const KeptObject probe = Keep(~uint64_t{0}, 1);
  const uint64_t objects = store->Stats().live_objects;
  Drop(probe);
  Settle([&](const SpillStats& stats) { return stats.live_objects < objects && quiet(stats); });
}

std::string SpillWorld::FilePath(const KeptObject& kept) const {
  return options.dir + "/" + SpillFileName(kIncarnation, table.Place(kept.handle).file);
}

void FlipByte(const std::string& path, uint64_t offset) {
  UniqueFd file(open(path.c_str(), O_RDWR | O_CLOEXEC));
  PENSTOCK_CHECK(file.valid()) << path;
  unsigned char byte = 0;
  PENSTOCK_CHECK(pread(file.get(), &byte, 1, static_cast<off_t>(offset)) == 1);
  byte ^= 0x40;
  PENSTOCK_CHECK(pwrite(file.get(), &byte, 1, static_cast<off_t>(offset)) == 1);
}

void Truncate(const std::string& path, uint64_t bytes) {
  PENSTOCK_CHECK(truncate(path.c_str(), static_cast<off_t>(bytes)) == 0) << path;
}

int InChild(const std::function<int()>& body) {
  const pid_t pid = fork();
  PENSTOCK_CHECK(pid >= 0);
  if (pid == 0) _exit(body());
  int status = 0;
  PENSTOCK_CHECK(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}

}  // namespace penstock::testing
