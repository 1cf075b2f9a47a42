// RawSession: a client's side of the handshake and of its ring, made by hand from
// store/wire and store/shm, so that a test can send what no client would.
#ifndef PENSTOCK_TESTS_INTEGRATION_RAW_SESSION_H_
#define PENSTOCK_TESTS_INTEGRATION_RAW_SESSION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "store/shm/index_segment.h"
#include "store/shm/mapping.h"
#include "store/shm/session_segment.h"
#include "store/wire/control_message.h"
#include "store/wire/packet_socket.h"

namespace penstock::testing {

class RawSession {
 public:
  // Ends the test program when the daemon of `dir` does not welcome it.
  explicit RawSession(const std::string& dir, bool read_only = false);

  // Puts a record into the ring, publishes it and rings; nothing, once the daemon has ended
  // the session.
  void Push(const Submission& record);
  // The tail word as it stands, whatever it should be; rings.
  void PublishTail(uint64_t tail);
  // The answer to `request`; ends the test program if none comes.
  Completion AnswerTo(uint32_t request);
  // Takes out of the completion ring what is there.
  void Drain();
  // A lease of a block of `block_bytes`.
  GrantedLease TakeLease(uint64_t block_bytes);
  // What the daemon says when it refuses this session; empty if it says nothing within
  // `timeout_ms`.
  std::string Refusal(int timeout_ms = 20'000);

  UniqueFd socket;
  WelcomeFacts facts;
  std::vector<UniqueFd> fds;  // in the places of FdOrder
  Mapping arena;  // read-only
  Mapping index_mapping;
  Mapping client_mapping;
  Mapping daemon_mapping;
  SessionSegments segments;
  IndexSegment index;

 private:
  SubmissionProducer producer_;
  CompletionConsumer consumer_;
};

// Sends one packet over a connection of its own and returns what was refused in answer;
// empty: the daemon closed without a word.
std::string RefusalOf(const std::string& dir, const std::string& packet,
                      const std::vector<int>& fds = {});

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_INTEGRATION_RAW_SESSION_H_
