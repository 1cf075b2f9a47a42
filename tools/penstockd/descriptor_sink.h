// DescriptorSink: closes descriptors that strangers sent. A close may block for as long as its
// sender likes (a TCP socket that lingers, a file of a FUSE server), so the daemon's thread
// closes none of them itself.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_DESCRIPTOR_SINK_H_
#define PENSTOCK_TOOLS_PENSTOCKD_DESCRIPTOR_SINK_H_

#include <memory>
#include <vector>

#include "store/base/unique_fd.h"

namespace penstock {

// Thread safety: Take by one thread. Threads of its own, from the first descriptor on; they
// are not waited for, because one may never come back.
class DescriptorSink {
 public:
  DescriptorSink();
  ~DescriptorSink();
  DescriptorSink(const DescriptorSink&) = delete;
  DescriptorSink& operator=(const DescriptorSink&) = delete;

  // Never blocks. False: so many wait to be closed that whoever sent these had better go.
  // They are taken all the same.
  bool Take(std::vector<UniqueFd> fds);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_DESCRIPTOR_SINK_H_
