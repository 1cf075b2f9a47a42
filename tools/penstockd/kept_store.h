// What the keeper holds for the daemon, so that the next daemon finds the store and the
// sessions of living clients as the last one left them.
//
// The daemon hands over the descriptors when it makes something, before anybody else hears
// of it, through a socket pair (KeeperChannel). A message in that socket outlives its sender.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_KEPT_STORE_H_
#define PENSTOCK_TOOLS_PENSTOCKD_KEPT_STORE_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/base/unique_fd.h"

namespace penstock {

struct KeptConnection {
  uint64_t number = 0;  // of the session
  int32_t pid = 0;
  uint32_t uid = 0;
  bool read_only = false;  // its role, which outlives the daemon that gave it
  UniqueFd socket;
  UniqueFd pidfd;
  UniqueFd client_file;
  UniqueFd daemon_file;
  UniqueFd daemon_read_only;
  UniqueFd daemon_doorbell;
  UniqueFd client_doorbell;
};

struct KeptStore {
  UniqueFd arena;
  UniqueFd index;
  // What clients were given, kept too: a client may hold a lease on it (F_SETLEASE), and then
  // opening the file once more would take until that lease breaks.
  UniqueFd arena_read_only;
  UniqueFd index_read_only;
  UniqueFd leases;
  UniqueFd spill_table;
  std::map<uint64_t, KeptConnection> sessions;  // by number
  bool serving = false;  // the daemon of now has come so far
  bool yielded = false;  // another process is the keeper now: end without a word
  bool left = false;     // the daemon of now will write no more: the store is free to be had
  // From one that left, for the next one alone: what its core knew (Core::Retire).
  UniqueFd slot_infos;
  UniqueFd core_state;

  // Of a store whose sockets were removed: those that the daemon made in their place.
  UniqueFd listener;
  UniqueFd window;

  bool has_store() const {
    return arena.valid() && index.valid() && arena_read_only.valid() &&
           index_read_only.valid() && leases.valid() && spill_table.valid();
  }
};

// Descriptors to send; they stay the caller's.
struct StoreDescriptors {
  int arena = -1;
  int index = -1;
  int arena_read_only = -1;
  int index_read_only = -1;
  int leases = -1;
  int spill_table = -1;
};
struct SessionDescriptors {
  uint64_t number = 0;
  int32_t pid = 0;
  uint32_t uid = 0;
  bool read_only = false;
  int socket = -1;
  int pidfd = -1;
  int client_file = -1;
  int daemon_file = -1;
  int daemon_read_only = -1;
  int daemon_doorbell = -1;
  int client_doorbell = -1;
};

// The daemon's end. Never blocks. Thread safety: one thread.
class KeeperChannel {
 public:
  KeeperChannel() = default;
  explicit KeeperChannel(UniqueFd fd) : fd_(std::move(fd)) {}

  // Errors: Unavailable when the keeper does not read (it is stopped), or is gone.
  absl::Status SendStore(const StoreDescriptors& store);
  absl::Status SendSession(const SessionDescriptors& session);
  // Cannot fail: what does not go out now goes with the next message.
  void SendSessionEnd(uint64_t number);
  // Cannot fail either.
  void SendSockets(int listener, int window);
  void SendServing();
  // Asks the keeper to go and leave all to another one. It writes a byte into `yielded` when
  // it does; nothing comes out of there when it died instead.
  absl::Status SendYield(int yielded);
  // The heir's end: "I am the keeper now". The daemon's: waits until it says so.
  void SendKept();
  bool AwaitKept(int timeout_ms);
  // The daemon's last word: the next one may begin. Of its core, or -1 and -1. False: the keeper
  // died before there was a next one, or has none after so long.
  bool LeaveTo(int slot_infos, int core_state, int timeout_ms);
  bool AwaitSucceeded(int timeout_ms);
  // The other end is closed: the keeper is dead or dying.
  bool IsClosed() const;
  UniqueFd Release() { return std::move(fd_); }

 private:
  absl::Status Send(uint32_t kind, const SessionDescriptors& about, std::vector<int> fds);
  // The next message, if it is of this kind. -1: waits until there is one, or never will be.
  bool Await(uint32_t kind, int timeout_ms);
  void SendWhatIsLeft();

  UniqueFd fd_;
  std::vector<uint64_t> unsent_ends_;
  std::vector<int> unsent_sockets_;  // the listener and the window, or nothing
};

struct ChannelEnds {
  UniqueFd keeper;
  UniqueFd daemon;
};
absl::StatusOr<ChannelEnds> MakeKeeperChannel();

// The next daemon's first word over the channel of the one that left. Until then that one holds the
// store as well, or the keeper alone would.
void TellSucceeded(int channel);

// The keeper's end: takes every message that is there into `kept`. False when the daemon's
// end is closed and all has been read.
bool TakeKeeperMessages(int fd, KeptStore& kept);

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_KEPT_STORE_H_
