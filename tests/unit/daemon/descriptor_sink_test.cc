// The sink: what is closed, by whom, and who waits for it.
#include "tools/penstockd/descriptor_sink.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "store/wire/packet_socket.h"

namespace penstock {
namespace {

struct Pair {
  UniqueFd ours, theirs;
};

Pair SocketPair() {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Its reading end sees the end once the other is closed everywhere.
Pair Pipe() {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

bool IsClosed(const UniqueFd& reading_end) {
  pollfd item{reading_end.get(), 0, 0};
  return poll(&item, 1, 10'000) == 1 && (item.revents & POLLHUP) != 0;
}

// Has the sink close one end of a pipe; the other end tells when it has.
UniqueFd CloseOneOf(DescriptorSink& sink) {
  Pair pipe = Pipe();
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(pipe.theirs));
  EXPECT_TRUE(sink.Close(std::move(fds)));
  return std::move(pipe.ours);
}

TEST(DescriptorSink, ClosesWhatItIsGiven) {
  DescriptorSink sink;
  EXPECT_TRUE(sink.Close({})) << "nothing is little";
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(IsClosed(CloseOneOf(sink))) << i;
}

TEST(DescriptorSink, AConversationEndsAtOnceAndWhatWasInItIsClosed) {
  DescriptorSink sink;
  Pair socket = SocketPair();
  Pair in_flight = Pipe();
  Pair of_session = Pipe();
  // The keeper's: an end that is not the last would leave what is unread where it is.
  const UniqueFd elsewhere(dup(socket.ours.get()));
  const int fd = in_flight.theirs.get();
  ASSERT_TRUE(SendPacket(socket.theirs.get(), "unread", {&fd, 1}).ok());
  in_flight.theirs.reset();
  std::vector<UniqueFd> more;
  more.push_back(std::move(of_session.theirs));
  sink.HangUp(std::move(socket.ours), std::move(more));
  char byte;
  EXPECT_EQ(recv(socket.theirs.get(), &byte, 1, MSG_DONTWAIT), 0) << "it heard the end at once";
  EXPECT_TRUE(IsClosed(in_flight.ours));
  EXPECT_TRUE(IsClosed(of_session.ours));
}

TEST(DescriptorSink, ManyAreAllClosedWithoutWaitingForEach) {
  constexpr size_t kMany = 300;
  DescriptorSink sink;
  std::vector<UniqueFd> ends(kMany);
  for (UniqueFd& end : ends) end = CloseOneOf(sink);
  for (const UniqueFd& end : ends) EXPECT_TRUE(IsClosed(end));
  for (int i = 0; i < 1000 && sink.waiting() > 0; ++i) usleep(10'000);
  EXPECT_EQ(sink.waiting(), 0u);
}

TEST(DescriptorSink, WhatStillWaitsAtItsEndIsClosedToo) {
  std::vector<UniqueFd> ends(100);
  {
    DescriptorSink sink;
    for (UniqueFd& end : ends) end = CloseOneOf(sink);
  }
  for (const UniqueFd& end : ends) EXPECT_TRUE(IsClosed(end));
}

}  // namespace
}  // namespace penstock
