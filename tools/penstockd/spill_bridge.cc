// The core's words for spilling, and the spill module's.
#include "tools/penstockd/spill_bridge.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "store/base/errors.h"
#include "store/base/units.h"
#include "store/shm/parking.h"
#include "tools/penstockd/coarse_clock.h"

namespace penstock {
namespace {

// Entries for each slot: a store on disk may be larger than the one in memory. The table's
// pages cost memory only where they are used.
constexpr uint64_t kCopiesPerSlot = 16;
constexpr uint64_t kMostCopies = uint64_t{1} << 28;
// Of what the disk has done, at once: some 2 us each.
constexpr size_t kMostDelivered = 128;
// Of the same trouble, in the log.
constexpr int64_t kBetweenReminders_ns = 60'000'000'000;
constexpr uint32_t kLinesPerSecond = 10;
// Objects that were named in the log; beyond them it begins again.
constexpr size_t kMostReported = 65536;

SpillTrouble TroubleOf(const SpillDone& done) {
  switch (done.fault) {
    case SpillFault::kNone: return SpillTrouble::kNone;
    case SpillFault::kDiskFull: return SpillTrouble::kDiskFull;
    case SpillFault::kLimit: return SpillTrouble::kLimit;
    case SpillFault::kTableFull: return SpillTrouble::kTableFull;
    case SpillFault::kUnwritable:
      return done.error_number == ENOENT ? SpillTrouble::kGone : SpillTrouble::kUnwritable;
    case SpillFault::kMissing: return SpillTrouble::kMissing;
    case SpillFault::kTruncated: return SpillTrouble::kTruncated;
    case SpillFault::kAltered: return SpillTrouble::kAltered;
    default: return SpillTrouble::kIo;
  }
}

std::string ErrnoText(int error) {
  return error == 0 ? "" : fmt::format(" (errno {}, {})", error, std::strerror(error));
}

}  // namespace

std::string DescribeSpillTrouble(SpillTrouble trouble, const DaemonOptions& options) {
  return fmt::format("{}{}: {}", NameOf(trouble),
                     trouble == SpillTrouble::kLimit
                         ? fmt::format(" ({})", FormatBytes(options.spill_limit_bytes))
                         : "",
                     NextStepOf(trouble));
}

absl::StatusOr<SpillTableMemory> SpillTableMemory::Make(uint32_t slots, uint64_t incarnation) {
  SpillTableMemory memory;
  const auto capacity =
      static_cast<uint32_t>(std::min(kCopiesPerSlot * slots, kMostCopies));
  const uint64_t bytes = RoundUp(SpillTable::BytesFor(capacity), kHugePageBytes);
  PENSTOCK_ASSIGN_OR_RETURN(memory.file, MemoryFile::Create("spill", bytes));
  PENSTOCK_ASSIGN_OR_RETURN(memory.mapping, Mapping::Map(memory.file.fd(), bytes,
                                                         Access::kReadWrite, OnFork::kDrop));
  memory.table = SpillTable::Make(memory.mapping.data(), capacity, incarnation);
  return memory;
}

absl::StatusOr<SpillTableMemory> SpillTableMemory::Attach(UniqueFd fd) {
  SpillTableMemory memory;
  PENSTOCK_ASSIGN_OR_RETURN(memory.file,
                            MemoryFile::Adopt(std::move(fd), sizeof(SpillTableHeader)));
  PENSTOCK_ASSIGN_OR_RETURN(memory.mapping,
                            Mapping::Map(memory.file.fd(), memory.file.bytes(),
                                         Access::kReadWrite, OnFork::kDrop));
  PENSTOCK_ASSIGN_OR_RETURN(memory.table,
                            SpillTable::Attach(memory.mapping.data(), memory.file.bytes()));
  return memory;
}

absl::StatusOr<std::unique_ptr<SpillBridge>> SpillBridge::Open(const DaemonOptions& options,
                                                               const SpillTable& table,
                                                               std::byte* arena) {
  std::unique_ptr<SpillBridge> bridge(new SpillBridge(options, table, arena));
  bridge->dir_ = options.spill_dir;
  PENSTOCK_ASSIGN_OR_RETURN(bridge->notify_, MakeDoorbell());
  SpillOptions spill;
  spill.dir = options.spill_dir;
  spill.limit_bytes = options.spill_limit_bytes;
  spill.io = options.spill_io;
  spill.incarnation = table.incarnation();
  PENSTOCK_ASSIGN_OR_RETURN(bridge->store_,
                            SpillStore::Open(spill, table, bridge->notify_.get()));
  return bridge;
}

SpillBridge::SpillBridge(const DaemonOptions& options, const SpillTable& table, std::byte* arena)
    : options_(options), table_(table), arena_(arena), lines_(kLinesPerSecond) {}

void SpillBridge::Attach(Core* core) {
  core_ = core;
  core_->EnableSpill(this);
}

std::vector<uint32_t> SpillBridge::Copies() const {
  std::vector<uint32_t> copies;
  store_->Visit([&](SpillHandle handle, const SpilledObject&, uint64_t) {
    copies.push_back(handle);
  });
  return copies;
}

void SpillBridge::Deliver() {
  DrainDoorbell(notify_.get());
  for (const SpillDone& done : store_->TakeDone()) done_.push_back(done);
  for (size_t left = std::min(done_.size(), kMostDelivered); left > 0; --left) {
    const SpillDone done = done_.front();
    done_.pop_front();
    const SpillOutcome outcome{.ticket = done.ticket, .trouble = TroubleOf(done),
                               .copy = done.handle, .file = done.file,
                               .error_number = done.error_number};
    if (done.kind == SpillDone::Kind::kWritten) {
      LogWrite(done);
      core_->SpillWritten(outcome);
      continue;
    }
    LogRead(done, outcome.trouble);
    core_->SpillRead(outcome);
  }
  if (!done_.empty()) RingDoorbell(notify_.get());
}

// Clients get what is lost, or delete and make objects at the limit, as often as they like.
void SpillBridge::Log(spdlog::level::level_enum level, const std::string& line) {
  const auto left_out = lines_.Take(CoarseNowNs());
  if (!left_out) return;
  if (*left_out > 0) spdlog::warn("{} lines like the next one were left out", *left_out);
  spdlog::log(level, line);
}

// An object that cannot be read back is news once, however often it is asked for.
void SpillBridge::LogRead(const SpillDone& done, SpillTrouble trouble) {
  const auto read = reads_.extract(done.ticket);
  if (done.fault == SpillFault::kNone || done.fault == SpillFault::kCancelled || read.empty()) {
    return;
  }
  const ObjectId id = read.mapped();
  if (reported_.contains(id)) return;
  const auto left_out = lines_.Take(CoarseNowNs());
  if (!left_out) return;  // at its next get, perhaps
  if (reported_.size() >= kMostReported) reported_.clear();
  reported_.insert(id);
  if (*left_out > 0) spdlog::warn("{} lines like the next one were left out", *left_out);
  spdlog::warn("object {} on disk in {} (file {}) cannot be read back: {}{}. {}", id.ToHex(), dir_,
               done.file, NameOf(trouble), ErrnoText(done.error_number),
               trouble == SpillTrouble::kIo
                   ? "Look at that disk: each get of the object tries again"
                   : "It is lost: whoever gets it is told so (DATA_LOSS) and has to make it again");
}

// A disk that stays full fails twice a second, for as long as it does.
void SpillBridge::LogWrite(const SpillDone& done) {
  if (done.fault == SpillFault::kNone) {
    if (failed_writes_ > 0) {
      Log(spdlog::level::info,
          fmt::format("objects go to disk in {} again, after {} writes that failed", dir_,
                      failed_writes_));
    }
    failed_writes_ = 0;
    return;
  }
  if (done.fault == SpillFault::kCancelled) return;
  const int64_t now_ns = CoarseNowNs();
  const bool is_news = ++failed_writes_ == 1 || done.fault != logged_fault_;
  if (!is_news && now_ns - logged_ns_ < kBetweenReminders_ns) return;
  logged_fault_ = done.fault;
  logged_ns_ = now_ns;
  Log(spdlog::level::warn,
      fmt::format("no object can be written to disk in {}{} ({} writes failed so far): {}", dir_,
                  ErrnoText(done.error_number), failed_writes_,
                  DescribeSpillTrouble(TroubleOf(done), options_)));
}

void SpillBridge::LeaveFiles() { store_.reset(); }

void SpillBridge::RemoveFiles() { store_->Close(SpillStore::FilesAtEnd::kRemove); }

void SpillBridge::SpillWrite(uint64_t ticket, const SpilledFacts& facts, uint64_t offset) {
  store_->Write(ticket,
                {.id = facts.id, .size = facts.size, .metadata_size = facts.metadata_size,
                 .type_tag = facts.type_tag, .flags = facts.flags,
                 .maker_session = facts.maker_session, .maker_pid = facts.maker_pid,
                 .origin = facts.origin},
                {arena_ + offset, facts.stored_bytes});
}

void SpillBridge::SpillRead(uint64_t ticket, uint32_t copy, uint64_t stored_bytes,
                            uint64_t offset) {
  reads_[ticket] = table_.Facts(copy).object.id;
  store_->Read(ticket, copy, {arena_ + offset, stored_bytes});
}

void SpillBridge::SpillDrop(uint32_t copy) { store_->Drop(copy); }

SpilledFacts SpillBridge::SpillFacts(uint32_t copy) const {
  const penstock::SpillFacts facts = table_.Facts(copy);
  return {.id = facts.object.id, .size = facts.object.size, .stored_bytes = facts.stored_bytes,
          .metadata_size = facts.object.metadata_size, .type_tag = facts.object.type_tag,
          .flags = facts.object.flags, .maker_session = facts.object.maker_session,
          .maker_pid = facts.object.maker_pid, .origin = facts.object.origin};
}

}  // namespace penstock
