// SessionHead: what a view needs of its session, readable without a call. Not for users.
//
// A view is two pointers, to its session and to the pinned slot; what the slot says is read
// there, when somebody asks, since a pinned slot does not change. Copying it would cost
// more than all else: the processor finishes every store before a locked instruction, and
// the next one is the release (docs/decisions/0008).
#ifndef PENSTOCK_INTERNAL_SESSION_HEAD_H_
#define PENSTOCK_INTERNAL_SESSION_HEAD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <penstock/internal/slot.h>
#include <penstock/object_id.h>

namespace penstock::internal {

class ClientState;

// Counts forks: grows by one in the child at each fork. Relaxed: a fork is ordered with
// everything.
extern std::atomic<uint32_t> g_fork_generation;
inline uint32_t CurrentForkGeneration() {
  return g_fork_generation.load(std::memory_order_relaxed);
}

struct SessionHead {
  const Slot* slots = nullptr;       // of the index
  const std::byte* arena = nullptr;  // the read-only view
  uint32_t fork_generation = 0;      // of the process that opened the session

  bool IsOfThisProcess() const { return fork_generation == CurrentForkGeneration(); }
};

struct Pinned {
  SessionHead* session;  // null: not here, or not at hand
  const Slot* object;
};

// Pins the slot that holds `id`, sealed, if one look finds it. Thread safety: any.
Pinned PinLocal(const ClientState& client, const ObjectId& id);
// Lets one pin go. Of another process's session: only what belongs to the view itself.
// Thread safety: any.
void Unpin(SessionHead* session, const Slot* object);

}  // namespace penstock::internal

#endif  // PENSTOCK_INTERNAL_SESSION_HEAD_H_
