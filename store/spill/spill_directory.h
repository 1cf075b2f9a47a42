// SpillDirectory: the directory of one store's spill files: checked, locked, cleaned.
//
// Every file is reached through the directory's descriptor, without following links.
// Thread safety: one thread at a time. Cost: system calls that may wait for the disk.
#ifndef PENSTOCK_STORE_SPILL_SPILL_DIRECTORY_H_
#define PENSTOCK_STORE_SPILL_SPILL_DIRECTORY_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"

namespace penstock {

// "spill-<16 hexadecimal digits>-<8 hexadecimal digits>".
std::string SpillFileName(uint64_t incarnation, uint32_t number);
struct SpillFileId {
  uint64_t incarnation = 0;
  uint32_t number = 0;
};
// Of exactly such a name.
std::optional<SpillFileId> ParseSpillFileName(std::string_view name);

inline constexpr char kSpillLockName[] = "spill.lock";

struct OpenedFile {
  UniqueFd fd;
  bool direct = false;
  uint64_t memory_align_bytes = 1;  // of addresses, for requests that skip the page cache
};

class SpillDirectory {
 public:
  // Makes `path` (mode 0700) when it is missing, and locks it until the object goes.
  // PermissionDenied: it is another user's, or others may write it. AlreadyExists: another
  // store uses it. InvalidArgument: no directory.
  static absl::StatusOr<SpillDirectory> Open(const std::string& path, uint64_t incarnation);

  // Somebody deleted the directory and made it again: goes on with the one that has its path
  // now, locked as at Open. It is not made here: what is missing may be a disk that is not
  // mounted, and its place the disk below. An errno when it stays as it was: EACCES when the
  // directory is another user's or open to others, EBUSY when another store uses it.
  int Reopen();

  // Deletes this user's spill files, of any incarnation, that `keep` does not want. The
  // result is the highest number met of the own incarnation, or 0.
  uint32_t RemoveFiles(const std::function<bool(SpillFileId)>& keep);

  // Without a valid descriptor in the result, `error` says why.
  OpenedFile CreateFile(uint32_t number, int& error) const;
  OpenedFile OpenFile(uint32_t number, int& error) const;
  void RemoveFile(uint32_t number) const;

  const std::string& path() const { return path_; }
  uint64_t incarnation() const { return incarnation_; }

 private:
  // Opens and locks what has the path.
  absl::Status Take();
  OpenedFile OpenAt(uint32_t number, int flags, int& error) const;

  std::string path_;
  uint64_t incarnation_ = 0;
  UniqueFd dir_;
  UniqueFd lock_;
};

}  // namespace penstock

#endif  // PENSTOCK_STORE_SPILL_SPILL_DIRECTORY_H_
