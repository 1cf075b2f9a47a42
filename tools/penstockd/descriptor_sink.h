// DescriptorSink: closes descriptors that strangers sent, and the sockets they came by. A close
// may block for as long as its sender likes (a TCP socket that lingers, a file of a FUSE
// server), so the daemon's thread closes none of them itself. Nor the memory of a session, which
// takes as long as hundreds of calls.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_DESCRIPTOR_SINK_H_
#define PENSTOCK_TOOLS_PENSTOCKD_DESCRIPTOR_SINK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "store/base/unique_fd.h"

namespace penstock {

// Thread safety: one thread calls. A thread of its own, from the first descriptor on, and more
// where that one does not come back from a close; they are not waited for.
class DescriptorSink {
 public:
  // A close that takes longer holds up the others.
  static constexpr int64_t kPatience_ns = 20'000'000;

  DescriptorSink();
  ~DescriptorSink();
  DescriptorSink(const DescriptorSink&) = delete;
  DescriptorSink& operator=(const DescriptorSink&) = delete;

  // Never blocks. False: so many wait to be closed that whoever sent these had better go.
  // They are taken all the same.
  bool Close(std::vector<UniqueFd> fds);
  // Ends the conversation at once, also where the keeper has the socket too and takes its time.
  // What was sent and not read is then read and thrown away, and the socket and the session's
  // own descriptors are closed, on a thread of the sink. Never blocks.
  void HangUp(UniqueFd socket, std::vector<UniqueFd> of_session = {});

  // How many are not closed yet. While there are any, HelpIfStuck is to be called now and
  // then: it starts another thread if nothing was closed for kPatience_ns.
  size_t waiting() const;
  void HelpIfStuck();

 private:
  struct Item;
  struct State;
  void Put(std::unique_ptr<Item> item);

  std::shared_ptr<State> state_;
  size_t most_waiting_ = 0;
  uint32_t threads_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_DESCRIPTOR_SINK_H_
