// Spill files that anybody may have damaged: a program of writes, reads, drops and restarts
// of the spill engine, and of damage done to its directory in between. A read brings the
// bytes that were written or says what is wrong; an object whose file nobody touched is
// whole; nothing in the directory stops the daemon.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "store/spill/spill_engine.h"
#include "tests/fuzz/input.h"

namespace penstock::fuzz {
namespace {

constexpr uint32_t kEntries = 16;
constexpr uint64_t kIncarnation = 0x1122334455667788;
constexpr uint64_t kFileBytes = 64 * kKiB;  // less than a store may ask for: files end soon
constexpr int kMostSteps = 64;

// Each request is done when it is submitted: no thread, and the same for the same input.
class InstantQueue final : public DiskQueue {
 public:
  void Submit(DiskRequest* request) override {
    for (;;) {
      const auto offset = static_cast<off_t>(request->offset);
      const ssize_t result =
          request->is_write
              ? pwritev(request->fd, request->parts.data(), request->part_count, offset)
              : preadv(request->fd, request->parts.data(), request->part_count, offset);
      if (request->Advance(result < 0 ? -int64_t{errno} : int64_t{result})) break;
    }
    finished_.push_back(request);
  }
  void Wait(std::vector<DiskRequest*>& finished) override {
    finished.insert(finished.end(), finished_.begin(), finished_.end());
    finished_.clear();
  }
  void Wake() override {}
  std::string_view name() const override { return "instant"; }

 private:
  std::vector<DiskRequest*> finished_;
};

// One for the process: making a directory costs more than a whole input.
const std::filesystem::path& Directory() {
  static const struct Made {
    Made() {
      // In memory, if there is such a place: a disk is a hundred times slower.
      std::string pattern = "/dev/shm/penstock-fuzz-XXXXXX";
      if (mkdtemp(pattern.data()) == nullptr) {
        pattern = "/tmp/penstock-fuzz-XXXXXX";
        PENSTOCK_CHECK(mkdtemp(pattern.data()) != nullptr) << pattern;
      }
      path = pattern;
    }
    ~Made() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
    std::filesystem::path path;
  } made;
  return made.path;
}

// No two blocks of any two objects are alike.
std::vector<std::byte> BytesOf(uint64_t number, uint64_t bytes) {
  std::vector<std::byte> result(bytes, static_cast<std::byte>(number * 37 + 1));
  for (uint64_t at = 0; at < bytes; at += 1024) {
    const uint64_t word = number << 32 | at;
    std::memcpy(result.data() + at, &word, std::min<uint64_t>(sizeof(word), bytes - at));
  }
  return result;
}

struct Kept {
  SpillHandle handle;
  uint64_t number;
  uint64_t bytes;
};

class Program {
 public:
  explicit Program(Input input)
      : input_(input),
        memory_(static_cast<std::byte*>(
            std::aligned_alloc(64, SpillTable::BytesFor(kEntries)))) {
    std::memset(memory_.get(), 0, SpillTable::BytesFor(kEntries));
    for (const auto& entry : std::filesystem::directory_iterator(Directory())) {
      std::filesystem::remove_all(entry.path());
    }
    SpillTable::Make(memory_.get(), kEntries, kIncarnation);
    Start();
  }

  void Run() {
    for (int i = 0; i < kMostSteps && !input_.empty(); ++i) {
      switch (input_.Pick(10)) {
        case 0: case 1: case 2: Write(); break;
        case 3: case 4: if (!kept_.empty()) Read(kept_[input_.Pick(kept_.size())]); break;
        case 5: Drop(); break;
        case 6: Restart(); break;
        case 7: DamageFile(); break;
        case 8: ReplaceFile(); break;
        default: AddStranger(); break;
      }
    }
    Restart();
    for (const Kept& kept : kept_) Read(kept);
    while (!kept_.empty()) Drop();
    engine_->Cancel();
  }

 private:
  struct Freer {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  void Start() {
    const auto table = SpillTable::Attach(memory_.get(), SpillTable::BytesFor(kEntries));
    PENSTOCK_CHECK(table.ok()) << table.status().ToString();
    auto directory = SpillDirectory::Open(Directory().string(), kIncarnation);
    PENSTOCK_CHECK(directory.ok()) << directory.status().ToString();
    table_ = *table;
    engine_ = std::make_unique<SpillEngine>(
        table_, SpillFiles(*std::move(directory), options_, table_), queue_);
    engine_->Recover();
  }

  // Until there is nothing left to do; the disk is never busy.
  void Settle() {
    std::vector<DiskRequest*> finished;
    do {
      finished.clear();
      engine_->Advance();
      queue_.Wait(finished);
      for (DiskRequest* const request : finished) engine_->Finished(*request);
    } while (!finished.empty());
    PENSTOCK_CHECK(engine_->idle());
  }

  SpillDone Ask(const SpillCommand& command) {
    engine_->Accept(command);
    Settle();
    PENSTOCK_CHECK(engine_->done().size() == 1) << engine_->done().size() << " answers";
    const SpillDone done = engine_->done().front();
    engine_->done().clear();
    PENSTOCK_CHECK(done.ticket == command.ticket);
    return done;
  }

  void Write() {
    const uint64_t number = next_number_++;
    // Packed ones, larger ones, and such as take several requests.
    const uint8_t how = input_.Byte();
    const uint64_t bytes =
        how % 16 == 15 ? kMiB + input_.Take<uint16_t>()
        : how % 4 == 3 ? 128 * kKiB + input_.Take<uint16_t>()
                       : input_.Take<uint16_t>() % 10'000u;
    const std::vector<std::byte> data = BytesOf(number, bytes);
    SpillCommand command;
    command.kind = SpillCommand::Kind::kWrite;
    command.ticket = next_ticket_++;
    command.object = {.id = {kIncarnation, 7, number}, .size = bytes};
    command.bytes = data;
    const SpillDone done = Ask(command);
    if (done.fault == SpillFault::kNone) {
      kept_.push_back({done.handle, number, bytes});
      return;
    }
    PENSTOCK_CHECK(done.handle == kNoSpillHandle);
    PENSTOCK_CHECK(kept_.size() == kEntries || !touched_.empty())
        << "a write failed with " << NameOf(done.fault) << " " << done.error_number;
  }

  void Read(const Kept& kept) {
    PENSTOCK_CHECK(table_.IsLive(kept.handle)) << "object " << kept.number << " is gone";
    const uint32_t file = table_.Place(kept.handle).file;
    std::vector<std::byte> into(kept.bytes);
    SpillCommand command;
    command.kind = SpillCommand::Kind::kRead;
    command.ticket = next_ticket_++;
    command.handle = kept.handle;
    command.into = into;
    const SpillDone done = Ask(command);
    if (done.fault == SpillFault::kNone) {
      PENSTOCK_CHECK(into == BytesOf(kept.number, kept.bytes)) << "other bytes came back";
    } else {
      PENSTOCK_CHECK(touched_.contains(file))
          << "object " << kept.number << ": " << NameOf(done.fault);
    }
  }

  void Drop() {
    if (kept_.empty()) return;
    const size_t which = input_.Pick(kept_.size());
    SpillCommand command;
    command.kind = SpillCommand::Kind::kDrop;
    command.handle = kept_[which].handle;
    kept_.erase(kept_.begin() + static_cast<ptrdiff_t>(which));
    table_.End(command.handle);
    engine_->Accept(command);
    Settle();
    PENSTOCK_CHECK(engine_->done().empty());
  }

  void Restart() {
    engine_->Cancel();
    engine_.reset();
    Start();
    size_t live = 0;
    table_.Visit([&](SpillHandle, const SpillFacts&) { ++live; });
    PENSTOCK_CHECK(live == kept_.size()) << live << " of " << kept_.size() << " objects";
  }

  // A file of the store's, if there is one.
  std::filesystem::path SomeFile() {
    std::set<uint32_t> numbers;
    for (const Kept& kept : kept_) numbers.insert(table_.Place(kept.handle).file);
    const size_t which = input_.Pick(4);
    if (numbers.empty()) return {};
    auto number = numbers.begin();
    std::advance(number, which % numbers.size());
    touched_.insert(*number);
    return Directory() / SpillFileName(kIncarnation, *number);
  }

  void DamageFile() {
    const std::filesystem::path path = SomeFile();
    const uint64_t at = input_.Take<uint32_t>() % (256 * kKiB);
    const auto bytes = input_.TakeBytes(input_.Byte());
    const bool cuts = input_.Pick(4) == 0;
    if (path.empty()) return;
    const UniqueFd file(open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat facts;
    if (!file.valid() || fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return;
    if (cuts) {
      PENSTOCK_CHECK(ftruncate(file.get(), static_cast<off_t>(at)) == 0);
    } else {
      (void)!pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    }
  }

  void ReplaceFile() {
    const std::filesystem::path path = SomeFile();
    const size_t by = input_.Pick(6);
    if (path.empty()) return;
    std::filesystem::remove_all(path);
    Make(path, by);
  }

  // Another file with a name like ours, of this store or another, or of any name.
  void AddStranger() {
    std::string name;
    if (const size_t kind = input_.Pick(4); kind < 2) {
      const uint64_t incarnation = kind == 0 ? kIncarnation : input_.Take<uint64_t>();
      const bool is_last = input_.Pick(2) == 0;
      name = SpillFileName(incarnation, is_last ? ~uint32_t{input_.Byte()}
                                                : input_.Take<uint32_t>());
    } else {
      name = AsText(input_.TakeBytes(input_.Pick(40)));
      std::erase_if(name, [](char c) { return c == '/' || c == '\0'; });
    }
    const size_t as = 1 + input_.Pick(5);
    const std::filesystem::path path = Directory() / name;
    std::error_code ignored;
    if (name.empty() || name == "." || name == ".." || name == kSpillLockName ||
        std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) {
      return;
    }
    if (const auto id = ParseSpillFileName(name); id && id->incarnation == kIncarnation) {
      touched_.insert(id->number);  // it may stand where a file of ours is to be made
    }
    Make(path, as);
  }

  static void Make(const std::filesystem::path& path, size_t as) {
    switch (as) {
      case 0: return;
      case 1: (void)!mkdir(path.c_str(), 0700); return;
      case 2: (void)!symlink("/dev/null", path.c_str()); return;
      case 3: (void)!mkfifo(path.c_str(), 0600); return;
      default: UniqueFd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)).reset();
    }
  }

  Input input_;
  const SpillOptions options_{.dir = Directory().string(), .limit_bytes = 0,
                              .file_bytes = kFileBytes, .incarnation = kIncarnation};
  std::unique_ptr<std::byte[], Freer> memory_;
  InstantQueue queue_;
  SpillTable table_;
  std::unique_ptr<SpillEngine> engine_;
  std::vector<Kept> kept_;
  std::set<uint32_t> touched_;  // numbers of files that somebody meddled with
  uint64_t next_number_ = 1;
  uint64_t next_ticket_ = 1;
};

}  // namespace
}  // namespace penstock::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  penstock::fuzz::Program(penstock::fuzz::Input(data, size)).Run();
  return 0;
}
