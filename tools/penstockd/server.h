// Server: the daemon's process around the core: sockets, doorbells, deaths, sleeping.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_SERVER_H_
#define PENSTOCK_TOOLS_PENSTOCKD_SERVER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "runtime/node/node_service.h"
#include "store/object/core.h"
#include "store/reactor/reactor.h"
#include "store/wire/control_message.h"
#include "tools/penstockd/antechamber.h"
#include "tools/penstockd/bitmap_window.h"
#include "tools/penstockd/connection.h"
#include "tools/penstockd/copy_choice.h"
#include "tools/penstockd/descriptor_sink.h"
#include "tools/penstockd/idle_memory.h"
#include "tools/penstockd/log_budget.h"
#include "tools/penstockd/options.h"
#include "tools/penstockd/populator.h"
#include "tools/penstockd/spill_bridge.h"
#include "store/base/spin_budget.h"
#include "tools/penstockd/store_memory.h"
#include "tools/penstockd/turn_clock.h"

namespace penstock {

class Server : public CoreHost, public NodeStore {
 public:
  // `listen_fd` stays the caller's. `stop_fd` becomes readable when the server should end.
  // A store in `kept` is taken over from a daemon that died, an empty one is filled.
  static absl::StatusOr<std::unique_ptr<Server>> Make(const DaemonOptions& options,
                                                      int listen_fd, int stop_fd,
                                                      KeeperChannel keeper, KeptStore kept);
  ~Server() override;

  // Calls `on_ready` when `fd` is readable.
  absl::Status Watch(int fd, Reactor::Callback on_ready);
  void Unwatch(int fd) { reactor_->Remove(fd); }
  // Takes clients in at another socket, in place of the one it has; it stays the caller's too.
  absl::Status ListenWith(int listen_fd);
  // `replace` starts another keeper in place of one that ended (`pidfd`) and says whether
  // that worked. It is also called for a session that comes just then.
  absl::Status WatchKeeper(int pidfd, std::function<bool()> replace);

  // The keeper died, or goes; another one, behind `keeper`, is to hold everything.
  absl::Status ChangeKeeper(KeeperChannel keeper);
  // server_handover.cc: `hand_over` makes the process behind a socket the keeper (its pidfd is
  // the second), and Run returns where that worked.
  void OnTakeOver(std::function<absl::Status(UniqueFd, UniqueFd)> hand_over) {
    hand_over_ = std::move(hand_over);
  }
  // For the next penstockd to compare: each as "--name value", long values cut.
  std::vector<std::string> GivenFlags() const;
  KeeperChannel& keeper() { return keeper_; }
  bool has_handed_over() const { return has_handed_over_; }
  // After Run, of a server that has handed over: lets go of all that another daemon would
  // write too, says so, and ends this process. Clients keep their sockets.
  [[noreturn]] void Leave();

  // Of the store, which may be an older one than the options.
  uint64_t arena_bytes() const { return memory_.arena_file.bytes(); }
  uint32_t slots() const { return memory_.index.capacity(); }

  // Serves until `stop_fd` is readable, then tells the clients and returns.
  void Run();
  void Stop() { stopping_ = true; }

 private:
  explicit Server(const DaemonOptions& options);

  // CoreHost
  void Wake(SessionRow row) override;
  void AskForLeases(SessionRow row) override;
  void CopyBlock(uint64_t from, uint64_t to, uint64_t bytes) override;
  void SessionBroken(SessionRow row, const std::string& why) override;
  void PinQuotaExceeded(SessionRow row, uint64_t pinned_bytes) override;

  // NodeStore
  bool IsSessionOf(uint64_t session, int32_t pid) const override {
    return core_->IsSessionOf(session, pid);
  }
  void DropObjectsOf(std::span<const uint64_t> sessions) override {
    core_->DropObjectsOf(sessions);
  }

  absl::Status Init(int listen_fd, int stop_fd, KeptStore kept);
  absl::Status SendStore();
  absl::Status BeginSpilling();
  absl::StatusOr<std::string> PrepareCore(UniqueFd slot_infos, UniqueFd core_state);
  absl::StatusOr<MemoryFile> RetireCore();
  // `core_state`: of a daemon that left in order, or empty.
  absl::Status Recover(std::map<uint64_t, KeptConnection> sessions,
                       std::string_view core_state);
  absl::Status SendWelcome(const Connection& connection);
  bool MayHaveHandles(const Connection& connection) const;
  absl::Status TellKeeper(const Connection& connection);
  bool ReplaceKeeper();
  absl::Status WatchSession(Connection& connection, SessionRow row);
  void OnConnect();
  absl::StatusOr<SessionRole> RoleOf(const Connection& connection) const;
  void OnPacket(int socket_fd);
  void OnDeath(int socket_fd);
  void OnHello(Connection& connection, const wire::Hello& hello);
  void HandOver(int socket_fd, const wire::TakeOver& heir);
  absl::Status MayHandOver(const Connection& connection, const wire::TakeOver& heir) const;
  absl::Status OpenSession(Connection& connection);
  void PassToNode(int socket_fd);
  void OnPopulated();
  void TakeCopyChoice();
  absl::Status CheckSessionsOf(uint32_t uid) const;
  void Refuse(Connection& connection, const absl::Status& why);
  void TurnAway(int socket, const absl::Status& why);
  void RefusePacket(Connection& connection, const absl::Status& why);
  void Warn(const std::string& line);
  void CloseSilent(int64_t now_ns);
  void DoNowAndThen(int64_t now_ns);
  void MoveIdleMemory(int64_t now_ns);
  void FetchWanted();
  int MostSleepMs() const;
  void Close(int socket_fd);
  void SleepUntilNeeded();
  StatusFacts Status() const;

  const DaemonOptions options_;
  int listen_fd_ = -1;
  UniqueFd spare_;  // let go of to accept, and to refuse, when no descriptor is left
  StoreMemory memory_;
  MemoryFile slot_infos_file_;
  Mapping slot_infos_;
  SpillTableMemory spill_table_;
  std::unique_ptr<SpillBridge> spill_;
  KeeperChannel keeper_;
  int keeper_pidfd_ = -1;
  std::function<bool()> replace_keeper_;
  std::function<absl::Status(UniqueFd, UniqueFd)> hand_over_;
  bool has_handed_over_ = false;
  std::unique_ptr<Core> core_;
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<NodeService> node_;
  std::unique_ptr<Populator> populator_;
  UniqueFd populated_doorbell_;
  std::optional<CopyChoice> copy_choice_;  // none: made already
  bool population_finished_ = false;
  uint64_t idle_bytes_ = 0;          // that are to go to the host
  std::optional<IdleMemory> idle_memory_;  // none: the host gets nothing back
  int64_t host_short_since_ns_ = 0;  // 0: it is not
  bool host_short_is_told_ = false;  // once, until something comes
  bool stopping_ = false;
  int64_t quotas_looked_at_ns_ = 0;
  int64_t spill_stopped_since_ns_ = 0;  // 0: it goes on
  SpinBudget spin_;
  TurnClock turn_clock_;
  int64_t polled_ns_ = 0;
  int64_t next_bells_ns_ = 0;
  BitmapWindow bitmaps_;  // outlives the connections
  absl::flat_hash_map<int, std::unique_ptr<Connection>> connections_;  // by socket
  std::vector<Connection*> by_row_;
  Antechamber antechamber_;                 // those of them without a session
  DescriptorSink sink_;                     // of strangers' descriptors
  LogBudget warnings_;                      // about what clients can cause
  uint64_t turned_away_ = 0;
  std::vector<int> broken_sockets_;  // closed between turns, not within one
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_SERVER_H_
