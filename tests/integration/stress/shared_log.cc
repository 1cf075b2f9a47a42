// The shared log's memory and its texts.
#include "tests/integration/stress/shared_log.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <fmt/format.h>

namespace penstock::stress {

const char* NameOf(Count count) {
  static constexpr const char* kNames[] = {
      "operations", "sealed", "bytes made", "by Put", "by SealToView", "under a name",
      "batches", "builders aborted", "full", "got", "waited for", "bytes checked", "evicted",
      "deleted", "maker died", "forgotten", "waited in vain", "made before fork", "forks",
      "forks killed", "deletes", "gone after Sync", "spared", "contains", "lists"};
  static_assert(std::size(kNames) == static_cast<size_t>(Count::kCounts));
  return kNames[static_cast<size_t>(count)];
}

const char* NameOf(Doing doing) {
  static constexpr const char* kNames[] = {
      "nothing", "connect", "create", "seal", "get", "waiting get", "release", "delete",
      "sync", "contains", "list", "fork", "checking bytes"};
  static_assert(std::size(kNames) == static_cast<size_t>(Doing::kDoings));
  return kNames[static_cast<size_t>(doing)];
}

SharedLog* SharedLog::Make(uint64_t capacity) {
  const uint64_t bytes = sizeof(SharedLog) + capacity * sizeof(Entry);
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    perror("penstock-stress: mmap of the shared log");
    exit(1);
  }
  madvise(memory, bytes, MADV_DONTDUMP);
  return new (memory) SharedLog(capacity);  // the entries are zero: kEmpty
}

Entry* SharedLog::Append(const ObjectId& id, uint64_t seed, uint32_t size, uint32_t traits,
                         Stage stage) {
  const uint64_t at = tail_.fetch_add(1, std::memory_order_relaxed);
  if (at >= capacity_) return nullptr;
  Entry& entry = entries_[at];
  entry.id = id;
  entry.seed = seed;
  entry.size = size;
  entry.traits = traits;
  entry.Advance(stage);
  return &entry;
}

uint64_t SharedLog::size() const {
  return std::min(tail_.load(std::memory_order_relaxed), capacity_);
}

Entry* SharedLog::NextToDelete(uint64_t keep) {
  if (delete_cursor_.load(std::memory_order_relaxed) + keep >= size()) return nullptr;
  const uint64_t at = delete_cursor_.fetch_add(1, std::memory_order_relaxed);
  return at < size() ? &entries_[at] : nullptr;
}

void SharedLog::Fail(const std::string& what) {
  const uint32_t at = failures_.fetch_add(1, std::memory_order_acq_rel);
  if (at >= kTexts) return;
  const std::string text = fmt::format("process {}: {}", getpid(), what);
  std::memcpy(texts_[at], text.data(), std::min<size_t>(text.size(), kTextBytes - 1));
}

std::string SharedLog::FailureTexts() const {
  std::string all;
  for (const char* text : texts_) {
    if (text[0] != 0) all += fmt::format("  {}\n", text);
  }
  if (failures() > kTexts) all += fmt::format("  ... and {} more\n", failures() - kTexts);
  return all;
}

std::string SharedLog::WhatThreadsDo(uint32_t threads) const {
  uint32_t counts[static_cast<size_t>(Doing::kDoings)] = {};
  for (uint32_t i = 0; i < std::min(threads, kMostThreads); ++i) {
    ++counts[doing_[i].load(std::memory_order_relaxed)];
  }
  std::string all;
  for (size_t i = 0; i < std::size(counts); ++i) {
    if (counts[i] > 0) {
      all += fmt::format("  {:<16}{:>6} threads\n", NameOf(static_cast<Doing>(i)), counts[i]);
    }
  }
  return all;
}

}  // namespace penstock::stress
