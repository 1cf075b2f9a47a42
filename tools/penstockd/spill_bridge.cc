// The core's words for spilling, and the spill module's.
#include "tools/penstockd/spill_bridge.h"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "store/base/errors.h"
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

SpillTrouble TroubleOf(SpillFault fault) {
  switch (fault) {
    case SpillFault::kNone: return SpillTrouble::kNone;
    case SpillFault::kDiskFull:
    case SpillFault::kLimit:
    case SpillFault::kTableFull: return SpillTrouble::kDiskFull;
    case SpillFault::kUnwritable: return SpillTrouble::kUnwritable;
    case SpillFault::kMissing: return SpillTrouble::kMissing;
    case SpillFault::kTruncated: return SpillTrouble::kTruncated;
    case SpillFault::kAltered: return SpillTrouble::kAltered;
    default: return SpillTrouble::kIo;
  }
}

}  // namespace

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
  std::unique_ptr<SpillBridge> bridge(new SpillBridge(table, arena));
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
    const SpillOutcome outcome{.ticket = done.ticket, .trouble = TroubleOf(done.fault),
                               .copy = done.handle, .file = done.file,
                               .error_number = done.error_number};
    if (done.kind == SpillDone::Kind::kWritten) {
      LogWrite(done);
      core_->SpillWritten(outcome);
      continue;
    }
    if (done.fault != SpillFault::kNone) {
      spdlog::warn("an object on disk in {} (file {}) is not to be read back: {} (errno {})", dir_,
                   done.file, NameOf(done.fault), done.error_number);
    }
    core_->SpillRead(outcome);
  }
  if (!done_.empty()) RingDoorbell(notify_.get());
}

// A disk that stays full fails twice a second, for as long as it does.
void SpillBridge::LogWrite(const SpillDone& done) {
  if (done.fault == SpillFault::kNone) {
    if (failed_writes_ > 0) {
      spdlog::info("objects go to disk in {} again, after {} writes that failed", dir_,
                   failed_writes_);
    }
    failed_writes_ = 0;
    return;
  }
  const int64_t now_ns = CoarseNowNs();
  const bool is_news = ++failed_writes_ == 1 || done.fault != logged_fault_;
  if (!is_news && now_ns - logged_ns_ < kBetweenReminders_ns) return;
  logged_fault_ = done.fault;
  logged_ns_ = now_ns;
  spdlog::warn("no object can be written to disk in {}: {} (file {}, errno {}; {} writes failed so "
               "far). {}", dir_, NameOf(done.fault), done.file, done.error_number, failed_writes_,
               done.fault == SpillFault::kDiskFull
                   ? "Make room there: writing goes on by itself"
                   : "Look at that directory and its disk: writing is tried again");
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
