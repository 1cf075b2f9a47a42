// A daemon's core with honest clients in it, and what must hold for them whatever a hostile
// one does: they are never ended, every request of theirs is answered, what they sealed
// stands with its bytes, and what they lease or pin is nobody else's.
#ifndef PENSTOCK_TESTS_FUZZ_SESSION_WORLD_H_
#define PENSTOCK_TESTS_FUZZ_SESSION_WORLD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "tests/support/fake_client.h"

namespace penstock::fuzz {

using testing::FakeClient;
using testing::FakeLease;
using testing::FakeStore;

// A block that an honest client holds, marked with a number at both of its ends.
struct Block {
  FakeLease lease;
  uint64_t mark = 0;
  std::optional<ObjectId> reserved_for;
};

struct Object {
  ObjectId id;
  Block block;
  uint64_t size = 0;
  uint32_t flags = 0;
  uint32_t pins = 0;        // of its maker
  bool published = false;   // a turn has taken its seal
  bool deleted = false;     // by its maker
};

struct Request {
  enum class Kind { kSync, kContains, kGetNow, kGetWait, kRoom } kind;
  uint32_t number = 0;
  ObjectId id;                // asked for, or reserved
  bool cancelled = false;
  uint32_t turns = 0;         // that it has been waiting
  Submission record{};        // as it was asked, to be asked again
  bool may_be_lost = false;   // the daemon died between
};

// Thread safety: one thread.
class HonestClient {
 public:
  explicit HonestClient(FakeClient& client) : client_(&client) {}
  FakeClient& client() { return *client_; }

  std::vector<Block> leases;
  std::map<uint32_t, Object> objects;  // by slot
  std::vector<Request> requests;
  std::map<uint32_t, uint32_t> pins;   // of others' objects, by slot

 private:
  FakeClient* client_;
};

class World {
 public:
  // `nobody_deletes`: hostile clients are kept from deleting what honest ones made and from
  // reserving ids that honest ones will make, which any client of a store may do. What is
  // left must do honest clients no harm at all.
  explicit World(bool nobody_deletes) : nobody_deletes_(nobody_deletes) {}

  FakeStore& store() { return store_; }
  std::vector<std::unique_ptr<HonestClient>>& honest() { return honest_; }
  std::vector<FakeClient*>& hostile() { return hostile_; }
  // Slot of the nth block that this session leases; nothing when there are fewer.
  std::optional<uint32_t> LeasedSlot(uint64_t session, size_t nth) const;
  std::optional<ObjectId> SomeId(size_t nth) const;  // of an honest client's object

  void OpenHonest();
  void OpenHostile();
  // An honest process dies, with all that it held.
  void KillHonest(size_t which);
  void KillHostile(size_t which);

  // What an honest client does. Each pushes one record, if there is something to push.
  void AskForLease(HonestClient& who, uint64_t block_bytes, bool ahead);
  void Reserve(HonestClient& who, const ObjectId& id, uint64_t block_bytes);
  void GiveBack(HonestClient& who);
  void Seal(HonestClient& who, uint64_t size, uint32_t flags);
  void Ask(HonestClient& who, Request::Kind kind, const ObjectId& id);
  void Pin(HonestClient& who);
  void Unpin(HonestClient& who);
  void Delete(HonestClient& who);
  void Cancel(HonestClient& who);

  // A turn, then everything that must hold.
  void Turn();
  // Turns until there is nothing left to do: the core must come to rest, whoever is open.
  void Settle();
  // The core's free memory goes to the host, and a part of it comes again.
  void ReturnMemory();
  void FetchMemory();
  // The daemon dies between two turns and another takes over, whatever hostile clients wrote
  // meanwhile. Honest ones ask again what was not answered.
  void Restart();
  // Everybody dies; the store must be as empty as it was.
  void End();

 private:
  void AskFor(HonestClient& who, Request::Kind kind, const ObjectId& id,
              const Submission& record);
  void Restrain(FakeClient& hostile);
  void Collect(HonestClient& who);
  bool TakeAnswer(HonestClient& who, Request& request);
  void TakeObject(HonestClient& who, const Completion& answer);
  void TakeGrant(HonestClient& who, const FakeLease& lease,
                 const std::optional<ObjectId>& reserved_for);
  void CheckHonest(HonestClient& who);
  void CheckAll();
  void Mark(const Block& block);
  void Follow(const HonestClient& who, Object& object);
  void FollowAll(HonestClient& who);
  void CheckBlock(const Block& block);
  void CheckObject(HonestClient& who, Object& object);
  void CheckNoOverlap();
  // Whether nothing can have taken this honest client's object away.
  bool MustBeThere(const Object& object) const;
  const Object* FindWhatMustBeThere(const ObjectId& id) const;

  const bool nobody_deletes_;
  static constexpr uint32_t kSlots = 40;
  static constexpr uint64_t kArenaBytes = 64 * kKiB;  // small: a full one is quickly walked
  FakeStore store_{{.slots = kSlots,
                    .arena_bytes = kArenaBytes,
                    .limits = {.max_sessions = 8, .max_requests_per_session = 64,
                               .max_leases_per_request = 16, .most_records_at_once = 3,
                               .max_event_backlog = 32,
                               .memory_comes_back = true}}};
  std::vector<std::unique_ptr<HonestClient>> honest_;
  std::vector<FakeClient*> hostile_;
  std::vector<uint64_t> numbers_;  // of all sessions there ever were
  std::vector<Allocator::Extent> returned_;
  uint64_t next_mark_ = 1;
};

}  // namespace penstock::fuzz

#endif  // PENSTOCK_TESTS_FUZZ_SESSION_WORLD_H_
