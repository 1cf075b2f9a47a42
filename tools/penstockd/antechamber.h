// Antechamber: the connections that have no session, by when they last said something. Who
// neither becomes a client nor asks anything does not stay: a socket costs two descriptors.
#ifndef PENSTOCK_TOOLS_PENSTOCKD_ANTECHAMBER_H_
#define PENSTOCK_TOOLS_PENSTOCKD_ANTECHAMBER_H_

#include <cstddef>
#include <cstdint>
#include <list>

#include "absl/container/flat_hash_map.h"

namespace penstock {

// More wait at once only while a host starts very many clients in one moment; then who has
// been silent for longest makes room.
inline constexpr size_t kMostWithoutSession = 1024;
// A client says hello in the same breath as it connects.
inline constexpr int64_t kMostSilence_ns = 10'000'000'000;

// Thread safety: one thread.
class Antechamber {
 public:
  // It connected, or said something, just now.
  void Heard(int socket_fd, int64_t now_ns) {
    Leave(socket_fd);
    places_[socket_fd] = order_.insert(order_.end(), {socket_fd, now_ns});
  }
  // It has a session, or is gone. Nothing if it was not here.
  void Leave(int socket_fd) {
    const auto found = places_.find(socket_fd);
    if (found == places_.end()) return;
    order_.erase(found->second);
    places_.erase(found);
  }

  bool empty() const { return order_.empty(); }
  size_t size() const { return order_.size(); }
  // The one that has been silent for longest, and since when. There must be one.
  int most_silent() const { return order_.front().socket_fd; }
  int64_t silent_since_ns() const { return order_.front().heard_ns; }

 private:
  struct Place {
    int socket_fd;
    int64_t heard_ns;
  };
  std::list<Place> order_;
  absl::flat_hash_map<int, std::list<Place>::iterator> places_;
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCKD_ANTECHAMBER_H_
