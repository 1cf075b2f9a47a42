// FaultyDisk: a queue to the disk that fails, alters or holds back requests as a test says.
#ifndef PENSTOCK_TESTS_UNIT_SPILL_FAULTY_DISK_H_
#define PENSTOCK_TESTS_UNIT_SPILL_FAULTY_DISK_H_

#include <cerrno>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "store/base/check.h"
#include "store/spill/disk_queue.h"

namespace penstock::testing {

// What goes wrong. Shared by the test and the spill thread.
class DiskTrouble {
 public:
  // Of a hundred writes so many fail with this errno; the same for reads.
  void FailWrites(int percent, int error) { Set(write_percent_, percent, write_error_, error); }
  void FailReads(int percent, int error) { Set(read_percent_, percent, read_error_, error); }
  // Of a hundred reads so many bring a wrong byte.
  void AlterReads(int percent) {
    std::lock_guard lock(mutex_);
    alter_percent_ = percent;
  }
  // From now on requests are not even started; Release lets all go.
  void Hold() {
    std::lock_guard lock(mutex_);
    is_holding_ = true;
  }
  void Release() {
    std::lock_guard lock(mutex_);
    is_holding_ = false;
    if (queue_ != nullptr) queue_->Wake();
  }

 private:
  friend class FaultyDisk;
  void Set(int& percent, int new_percent, int& error, int new_error) {
    std::lock_guard lock(mutex_);
    percent = new_percent;
    error = new_error;
  }
  bool Strikes(int percent) { return static_cast<int>(random_() % 100) < percent; }

  std::mutex mutex_;
  std::minstd_rand random_{1};
  int write_percent_ = 0, write_error_ = EIO;
  int read_percent_ = 0, read_error_ = EIO;
  int alter_percent_ = 0;
  bool is_holding_ = false;
  DiskQueue* queue_ = nullptr;
};

class FaultyDisk final : public DiskQueue {
 public:
  static std::unique_ptr<DiskQueue> Make(std::shared_ptr<DiskTrouble> trouble) {
    return std::make_unique<FaultyDisk>(std::move(trouble));
  }
  explicit FaultyDisk(std::shared_ptr<DiskTrouble> trouble)
      : trouble_(std::move(trouble)), disk_(std::move(*CreateThreadQueue())) {
    std::lock_guard lock(trouble_->mutex_);
    trouble_->queue_ = disk_.get();
  }
  ~FaultyDisk() override {
    std::lock_guard lock(trouble_->mutex_);
    trouble_->queue_ = nullptr;
  }

  void Submit(DiskRequest* request) override {
    std::lock_guard lock(trouble_->mutex_);
    if (trouble_->is_holding_) {
      held_.push_back(request);
    } else {
      Start(request);
    }
  }

  void Wait(std::vector<DiskRequest*>& finished) override {
    std::vector<DiskRequest*> arrived;
    if (failed_.empty()) disk_->Wait(arrived);
    std::lock_guard lock(trouble_->mutex_);
    if (!trouble_->is_holding_) {
      for (DiskRequest* request : std::exchange(held_, {})) Start(request);
    }
    for (DiskRequest* request : arrived) {
      if (!request->is_write && trouble_->Strikes(trouble_->alter_percent_)) Alter(*request);
    }
    finished.insert(finished.end(), arrived.begin(), arrived.end());
    for (DiskRequest* request : std::exchange(failed_, {})) finished.push_back(request);
  }

  void Wake() override { disk_->Wake(); }
  std::string_view name() const override { return "faulty threads"; }

 private:
  void Start(DiskRequest* request) {
    const int percent = request->is_write ? trouble_->write_percent_ : trouble_->read_percent_;
    if (trouble_->Strikes(percent)) {
      request->error = request->is_write ? trouble_->write_error_ : trouble_->read_error_;
      failed_.push_back(request);
    } else {
      first_part_[request] = request->parts[0];
      disk_->Submit(request);
    }
  }
  void Alter(DiskRequest& request) {
    const iovec part = first_part_[&request];
    auto* bytes = static_cast<unsigned char*>(part.iov_base);
    // Inside what matters: header or payload, not the padding behind a small record.
    bytes[trouble_->random_() % 100] ^= 1;
  }

  std::shared_ptr<DiskTrouble> trouble_;
  std::unique_ptr<DiskQueue> disk_;
  std::vector<DiskRequest*> failed_;
  std::vector<DiskRequest*> held_;
  std::map<DiskRequest*, iovec> first_part_;
};

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_UNIT_SPILL_FAULTY_DISK_H_
