// Which threads are seen in a session, and until when.
#include "client/src/thread_marks.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "client/src/fork_guard.h"

namespace penstock::internal {
namespace {

constexpr uintptr_t kSession = 0x1000;
constexpr uintptr_t kAnother = 0x2000;

// A thread that stays where `body` has brought it until the end of this object.
class StandingThread {
 public:
  explicit StandingThread(std::function<void()> body) : thread_([this, body] {
    RegisterThread();
    body();
    stands_.store(true);
    stands_.notify_all();
    leave_.wait(false);
    t_mark.LeaveFast();
    t_mark.Leave(ThreadMark::kNone);
  }) {
    stands_.wait(false);
  }
  ~StandingThread() {
    leave_.store(true);
    leave_.notify_all();
    thread_.join();
  }

 private:
  std::atomic<bool> stands_{false};
  std::atomic<bool> leave_{false};
  std::thread thread_;
};

bool Outside(uintptr_t session, Patience patience = Patience::kSome) {
  FenceAllThreads();
  return EachThreadWasOutside(session, patience);
}

TEST(ThreadMarks, AThreadInALongCallIsInItsSessionOnly) {
  {
    const StandingThread thread([] { t_mark.Enter(kSession); });
    EXPECT_FALSE(Outside(kSession));
    EXPECT_FALSE(Outside(kSession, Patience::kNone));
    EXPECT_TRUE(Outside(kAnother));
  }
  EXPECT_TRUE(Outside(kSession));
}

TEST(ThreadMarks, AThreadThatDoesNotSayWhereItIsMayBeAnywhere) {
  const StandingThread thread([] { t_mark.Enter(ThreadMark::kAny); });
  EXPECT_FALSE(Outside(kSession));
  EXPECT_FALSE(Outside(kAnother));
}

TEST(ThreadMarks, AThreadInAGetMayBeAnywhereAlsoWithinALongCall) {
  {
    const StandingThread thread([] { t_mark.EnterFast(); });
    EXPECT_FALSE(Outside(kSession));
  }
  const StandingThread thread([] {
    t_mark.Enter(kAnother);
    t_mark.EnterFast();
  });
  EXPECT_FALSE(Outside(kSession));
}

TEST(ThreadMarks, AThreadThatLeftTheInnerCallIsStillInTheOuterOne) {
  const StandingThread thread([] {
    t_mark.Enter(kSession);
    const uintptr_t before = t_mark.in_session.load();
    t_mark.Enter(ThreadMark::kAny);
    t_mark.Leave(before);
    t_mark.EnterFast();
    t_mark.LeaveFast();
  });
  EXPECT_FALSE(Outside(kSession));
  EXPECT_TRUE(Outside(kAnother));
}

TEST(ThreadMarks, AThreadThatGetsAndGetsIsSeenOutsideBetweenTwo) {
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> gets{0};
  std::thread busy([&] {
    RegisterThread();
    while (!stop.load()) {
      t_mark.EnterFast();
      gets.fetch_add(1);
      t_mark.LeaveFast();
    }
  });
  while (gets.load() == 0) std::this_thread::yield();
  bool seen = false;
  while (!seen) seen = Outside(kSession);
  EXPECT_TRUE(seen);
  stop.store(true);
  busy.join();
}

TEST(ThreadMarks, AThreadThatEndedKeepsNothing) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([] {
      RegisterThread();
      t_mark.Enter(kSession);  // as one that is cancelled
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(Outside(kSession));
}

// Other thread_local objects may hold views, and end after the mark.
TEST(ThreadMarks, AThreadCanBeSeenOnceMoreWhileItEnds) {
  static std::atomic<int> seen{0};
  struct LastToGo {
    ~LastToGo() {
      seen += ThisThreadIsRegistered(CurrentForkGeneration()) ? 100 : 1;
      RegisterThread();
      t_mark.Enter(kSession);
      seen += Outside(kSession) ? 100 : 1;
      t_mark.Leave(ThreadMark::kNone);
      UnregisterThread();
    }
  };
  std::thread([] {
    static thread_local const LastToGo last;
    static_cast<void>(last);
    RegisterThread();
  }).join();
  EXPECT_EQ(seen.load(), 2);
  EXPECT_TRUE(Outside(kSession));
}

TEST(ThreadMarks, AChildSeesNoneOfItsParentsThreads) {
  WatchForks();
  const StandingThread thread([] { t_mark.Enter(kSession); });
  RegisterThread();
  const pid_t child = fork();
  if (child == 0) {
    const bool forgotten = !ThisThreadIsRegistered(CurrentForkGeneration());
    RegisterThread();
    bool right = forgotten && Outside(kSession);
    t_mark.Enter(kSession);
    right = right && !Outside(kSession);
    _exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(Outside(kSession));
  UnregisterThread();
}

}  // namespace
}  // namespace penstock::internal
