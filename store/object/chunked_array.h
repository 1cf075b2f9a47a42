// ChunkedArray: a growing array that never moves what it holds. A vector that grows past a million
// entries copies all of them at once, in the middle of somebody's turn.
//
// Thread safety: one thread.
#ifndef PENSTOCK_STORE_OBJECT_CHUNKED_ARRAY_H_
#define PENSTOCK_STORE_OBJECT_CHUNKED_ARRAY_H_

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

namespace penstock {

template <typename T>
class ChunkedArray {
 public:
  T& operator[](size_t i) { return (*chunks_[i / kChunk])[i % kChunk]; }
  const T& operator[](size_t i) const { return (*chunks_[i / kChunk])[i % kChunk]; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& back() { return (*this)[size_ - 1]; }
  const T& back() const { return (*this)[size_ - 1]; }
  void push_back(const T& value) {
    if (size_ == chunks_.size() * kChunk) chunks_.push_back(std::make_unique<Chunk>());
    (*this)[size_++] = value;
  }
  // Gives memory back, but for one chunk that the next ones may need.
  void pop_back() {
    --size_;
    if (size_ + 2 * kChunk <= chunks_.size() * kChunk) chunks_.pop_back();
  }
  void clear() {
    chunks_.clear();
    size_ = 0;
  }
  std::vector<T> ToVector() const {
    std::vector<T> all;
    all.reserve(size_);
    for (size_t i = 0; i < size_; ++i) all.push_back((*this)[i]);
    return all;
  }
  void Assign(const std::vector<T>& values) {
    clear();
    for (const T& value : values) push_back(value);
  }

 private:
  static constexpr size_t kChunk = 1024;
  using Chunk = std::array<T, kChunk>;

  std::vector<std::unique_ptr<Chunk>> chunks_;
  size_t size_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_OBJECT_CHUNKED_ARRAY_H_
