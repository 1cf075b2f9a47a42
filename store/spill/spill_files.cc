// Places for records, and the ends of files.
#include "store/spill/spill_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "store/base/check.h"
#include "store/spill/record.h"

namespace penstock {
namespace {

// A daemon has sessions to keep descriptors for.
constexpr size_t kMostOpenFiles = 64;
// More files than a store makes in its life. Only a stranger's file has a number above, and
// going on behind it would use up the numbers.
constexpr uint32_t kMostFileNumber = uint32_t{1} << 31;

// So many bytes may go to a file that somebody deleted before it is noticed.
constexpr uint64_t kBetweenLooksForName_bytes = kMiB;

// What has none is gone when it is closed.
bool HasName(int fd) {
  struct stat facts;
  return fstat(fd, &facts) != 0 || facts.st_nlink > 0;
}

struct alignas(kSpillBlockBytes) Block {
  std::array<std::byte, kSpillBlockBytes> bytes{};
};

int WriteFileHeader(int fd, uint64_t incarnation, uint32_t number) {
  Block block;
  const SpillFileHeader header = MakeFileHeader(incarnation, number);
  std::memcpy(block.bytes.data(), &header, sizeof(header));
  ssize_t written;
  do {
    written = pwrite(fd, block.bytes.data(), block.bytes.size(), 0);
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(block.bytes.size())) return 0;
  return written < 0 ? errno : ENOSPC;
}

bool HasFileHeader(int fd, uint64_t incarnation, uint32_t number) {
  Block block;
  if (pread(fd, block.bytes.data(), block.bytes.size(), 0) < ssize_t{sizeof(SpillFileHeader)}) {
    return false;
  }
  SpillFileHeader header;
  std::memcpy(&header, block.bytes.data(), sizeof(header));
  return IsFileHeader(header, incarnation, number);
}

}  // namespace

SpillFault WriteFaultOf(int error) {
  switch (error) {
    case 0: return SpillFault::kNone;
    case ENOSPC: case EDQUOT: case EFBIG: return SpillFault::kDiskFull;
    case EROFS: case EACCES: case EPERM: case ENOENT: case ENOTDIR: case ESTALE: case EBUSY:
      return SpillFault::kUnwritable;
    default: return SpillFault::kIo;
  }
}

SpillFault ReadFaultOf(int error) {
  switch (error) {
    case 0: return SpillFault::kNone;
    case ENOENT: return SpillFault::kMissing;
    default: return SpillFault::kIo;
  }
}

SpillFiles::SpillFiles(SpillDirectory directory, const SpillOptions& options, SpillTable table)
    : directory_(std::move(directory)), options_(options), table_(table) {}

void SpillFiles::Recover(EntryBook& book, SpillStats& stats) {
  book.Resume(table_.used());
  // From the last on, so that the first are handed out first.
  for (SpillHandle handle = table_.used(); handle-- > 0;) {
    if (!table_.IsLive(handle)) {
      table_.Free(handle);
      book.AddFree(handle);
      continue;
    }
    const SpillPlace place = table_.Place(handle);
    const uint64_t record_bytes = RecordBytes(table_.Facts(handle).stored_bytes);
    std::unique_ptr<SpillFile>& file = files_[place.file];
    if (file == nullptr) {
      file = std::make_unique<SpillFile>();
      file->number = place.file;
      file->closed = file->had_live = true;
    }
    file->head_bytes = std::max(file->head_bytes, place.offset() + record_bytes);
    file->live_bytes += record_bytes;
    live_bytes_ += record_bytes;
    book.Insert(file->entries, handle);
    ++stats.live_objects;
  }
  const uint32_t highest = directory_.RemoveFiles([this](SpillFileId id) {
    return id.incarnation == directory_.incarnation() && files_.contains(id.number);
  });
  if (highest < kMostFileNumber) {
    table_.set_next_file(std::max(table_.next_file(), highest + 1));
  }
  for (auto& [number, file] : files_) {
    total_bytes_ += file->head_bytes;
    file->reserved_bytes = file->head_bytes;
    if (Open(*file) != 0) continue;  // each read of its objects will say so
    if (!HasFileHeader(file->opened.fd.get(), directory_.incarnation(), number)) {
      ++stats.damaged_files;
    }
    // What was reserved or half written behind the last record; never grows a file that is
    // shorter than it should be.
    struct stat facts;
    if (fstat(file->opened.fd.get(), &facts) == 0 &&
        static_cast<uint64_t>(facts.st_size) > file->head_bytes) {
      (void)!ftruncate(file->opened.fd.get(), static_cast<off_t>(file->head_bytes));
    }
  }
}

int SpillFiles::Reserve(SpillFile& file, uint64_t end_bytes) {
  if (end_bytes <= file.reserved_bytes) return 0;
  int error;
  do {
    error = fallocate(file.opened.fd.get(), 0, static_cast<off_t>(file.reserved_bytes),
                      static_cast<off_t>(end_bytes - file.reserved_bytes)) == 0
                ? 0
                : errno;
  } while (error == EINTR);
  // A file system that cannot reserve finds out when it writes.
  if (error == EOPNOTSUPP || error == ENOSYS) error = 0;
  if (error == 0) file.reserved_bytes = end_bytes;
  return error;
}

int SpillFiles::CreateCurrent(uint64_t first_record_bytes) {
  const uint32_t number = table_.next_file();
  PENSTOCK_CHECK(number < ~uint32_t{0});
  table_.set_next_file(number + 1);
  CloseIdleDescriptors();
  auto file = std::make_unique<SpillFile>();
  file->number = number;
  int error = 0;
  file->opened = directory_.CreateFile(number, error);
  if (error == ENOENT || error == ESTALE) {  // the directory that was opened is gone
    error = directory_.Reopen();
    if (error == 0) file->opened = directory_.CreateFile(number, error);
  }
  if (error != 0) return error;
  const uint64_t least_bytes = kSpillBlockBytes + first_record_bytes;
  uint64_t wanted_bytes = std::max(options_.file_bytes, least_bytes);
  if (options_.limit_bytes != 0) {
    const uint64_t left_bytes = options_.limit_bytes - std::min(options_.limit_bytes, total_bytes_);
    wanted_bytes = std::max(least_bytes, std::min(wanted_bytes, left_bytes));
  }
  // In one piece, so that later writes change nothing about the file but its bytes; on a
  // disk that is nearly full, what the record needs.
  if (Reserve(*file, wanted_bytes) != 0) {
    (void)!ftruncate(file->opened.fd.get(), 0);
    error = Reserve(*file, least_bytes);
  }
  if (error == 0) {
    error = WriteFileHeader(file->opened.fd.get(), directory_.incarnation(), number);
  }
  if (error != 0) {
    directory_.RemoveFile(number);
    return error;
  }
  direct_ = file->opened.direct;
  ++open_count_;
  file->head_bytes = kSpillBlockBytes;
  total_bytes_ += file->head_bytes;
  current_ = file.get();
  files_[number] = std::move(file);
  return 0;
}

// A file without a name would take its objects along when the daemon dies.
void SpillFiles::CloseIfDeleted(SpillFile& file) {
  if (file.head_bytes - file.looked_at_bytes < kBetweenLooksForName_bytes) return;
  file.looked_at_bytes = file.head_bytes;
  if (!HasName(file.opened.fd.get())) Close(file);
}

Placement SpillFiles::Place(uint64_t record_bytes, bool exceed_limit) {
  if (current_ != nullptr && current_->head_bytes > kSpillBlockBytes &&
      current_->head_bytes + record_bytes > std::max(options_.file_bytes, kSpillBlockBytes)) {
    Close(*current_);
  }
  if (current_ != nullptr) CloseIfDeleted(*current_);
  Placement result;
  const uint64_t new_bytes = record_bytes + (current_ == nullptr ? kSpillBlockBytes : 0);
  if (!exceed_limit && options_.limit_bytes != 0 &&
      total_bytes_ + new_bytes > options_.limit_bytes) {
    result.fault = SpillFault::kLimit;
    return result;
  }
  result.error_number = current_ != nullptr
                            ? Reserve(*current_, current_->head_bytes + record_bytes)
                            : CreateCurrent(record_bytes);
  result.fault = WriteFaultOf(result.error_number);
  if (result.fault != SpillFault::kNone) return result;
  SpillFile& file = *current_;
  ++file.users;
  result.file = &file;
  result.place = {file.number, static_cast<uint32_t>(file.head_bytes / kSpillBlockBytes)};
  file.head_bytes += record_bytes;
  total_bytes_ += record_bytes;
  return result;
}

bool SpillFiles::MayFit(SpillFault fault, uint64_t record_bytes) const {
  return fault == SpillFault::kDiskFull ||
         (fault == SpillFault::kLimit &&
          live_bytes_ + record_bytes + kSpillBlockBytes <= options_.limit_bytes);
}

void SpillFiles::Close(SpillFile& file) {
  if (current_ == &file) current_ = nullptr;
  file.closed = true;
  compaction_due_ = true;
  Settle(&file);
}

SpillFile* SpillFiles::Use(uint32_t number) {
  const auto found = files_.find(number);
  PENSTOCK_CHECK(found != files_.end()) << "spill file " << number;
  ++found->second->users;
  return found->second.get();
}

int SpillFiles::Open(SpillFile& file) {
  if (file.opened.fd.valid()) return 0;
  CloseIdleDescriptors();
  int error = 0;
  file.opened = directory_.OpenFile(file.number, error);
  if (error == 0) ++open_count_;
  return error;
}

void SpillFiles::CloseIdleDescriptors() {
  if (open_count_ < kMostOpenFiles) return;
  for (auto& [number, file] : files_) {
    if (file->users == 0 && file->closed && file->opened.fd.valid() &&
        HasName(file->opened.fd.get())) {
      file->opened.fd.reset();
      --open_count_;
    }
  }
}

void SpillFiles::Unuse(SpillFile* file) {
  PENSTOCK_CHECK(file->users > 0);
  --file->users;
  Settle(file);
}

void SpillFiles::AddLive(SpillFile& file, uint64_t record_bytes) {
  file.live_bytes += record_bytes;
  file.had_live = true;
  live_bytes_ += record_bytes;
}

void SpillFiles::RemoveLive(SpillFile* file, uint64_t record_bytes) {
  PENSTOCK_CHECK(file->live_bytes >= record_bytes);
  file->live_bytes -= record_bytes;
  live_bytes_ -= record_bytes;
  file->stuck = false;
  compaction_due_ = true;
  Settle(file);
}

void SpillFiles::MarkDamaged(SpillFile& file, uint64_t record_bytes) {
  file.damaged_bytes += record_bytes;
}

void SpillFiles::Settle(SpillFile* file) {
  if (file->users > 0) return;
  if (file->live_bytes > 0) {
    // Gives back what was reserved and is not needed any more.
    if (file->closed && file->reserved_bytes > file->head_bytes && file->opened.fd.valid() &&
        ftruncate(file->opened.fd.get(), static_cast<off_t>(file->head_bytes)) == 0) {
      file->reserved_bytes = file->head_bytes;
    }
    return;
  }
  if (current_ == file) current_ = nullptr;
  directory_.RemoveFile(file->number);
  if (file->opened.fd.valid()) --open_count_;
  total_bytes_ -= file->head_bytes;
  const bool made_room = file->had_live;
  files_.erase(file->number);
  if (!made_room) return;  // the place of a write that failed, say, for want of room
  for (auto& [number, other] : files_) other->stuck = false;
  compaction_due_ = true;
}

void SpillFiles::RemoveAll() {
  for (const auto& [number, file] : files_) directory_.RemoveFile(number);
  files_.clear();
  current_ = nullptr;
}

SpillFile* SpillFiles::PickForCompaction(bool pressure) {
  if (!pressure && !compaction_due_) return nullptr;
  SpillFile* best = nullptr;
  double best_live = 1.0;
  for (auto& [number, file] : files_) {
    const uint64_t movable_bytes = file->live_bytes - file->damaged_bytes;
    const uint64_t filled_bytes = file->head_bytes - kSpillBlockBytes;
    if (file->stuck || movable_bytes == 0 || filled_bytes == 0) continue;
    bool wanted = 2 * file->live_bytes < filled_bytes;
    // The current file still fills up; it ends early only when it is mostly dead.
    if (!file->closed) wanted = wanted && file->dead_bytes() > options_.file_bytes / 2;
    if (pressure) wanted = wanted || 4 * file->dead_bytes() >= filled_bytes;
    const double live = static_cast<double>(file->live_bytes) / static_cast<double>(filled_bytes);
    if (wanted && live < best_live) {
      best = file.get();
      best_live = live;
    }
  }
  if (best == nullptr) compaction_due_ = false;
  return best;
}

}  // namespace penstock
