// The processes of a benchmark: roles, failures, deaths.
#include "bench/harness/crew.h"

#include <signal.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "bench/harness/latency_floors.h"
#include "bench/harness/pinning.h"

namespace penstock::bench {
namespace {

absl::Status CountUp(Member& member, const RoleOrder& order, RoleAnswer& answer) {
  for (uint64_t i = 0; i < order.count; ++i) {
    member.observations()[answer.observations++] = static_cast<double>(member.number * 100) +
                                                   static_cast<double>(i);
  }
  return absl::OkStatus();
}
absl::Status Refuse(Member&, const RoleOrder&, RoleAnswer&) {
  return absl::NotFoundError("no store here");
}
absl::Status Die(Member&, const RoleOrder&, RoleAnswer&) {
  kill(getpid(), SIGKILL);
  return absl::OkStatus();
}
absl::Status WaitForever(Member&, const RoleOrder&, RoleAnswer&) {
  for (;;) pause();
}

Part PartOf(int member, Role role, uint64_t count = 0) {
  Part part{member, role, {}};
  part.order.cpu = AllowedCpus()[0];
  part.order.count = count;
  return part;
}

TEST(Crew, AnswersInTheOrderOfTheParts) {
  auto crew = Crew::Start();
  ASSERT_TRUE(crew.ok()) << crew.status();
  const Part parts[] = {PartOf(2, CountUp, 1), PartOf(0, CountUp, 2)};
  const auto answers = crew->Play(parts);
  ASSERT_TRUE(answers.ok()) << answers.status();
  EXPECT_EQ(200, crew->ObservationsOf(2, (*answers)[0])[0]);
  EXPECT_EQ(2u, crew->ObservationsOf(0, (*answers)[1]).size());
}

TEST(Crew, PassesOnWhatARoleSaysAndEndsItsPartners) {
  auto crew = Crew::Start();
  ASSERT_TRUE(crew.ok()) << crew.status();
  const Part parts[] = {PartOf(0, WaitForever), PartOf(1, Refuse)};
  EXPECT_EQ("no store here", crew->Play(parts).status().message());
  EXPECT_EQ(absl::StatusCode::kAborted, crew->Play(parts).status().code());
}

TEST(Crew, SaysHowAMemberDiedInsteadOfWaitingForIt) {
  auto crew = Crew::Start();
  ASSERT_TRUE(crew.ok()) << crew.status();
  const Part parts[] = {PartOf(0, WaitForever), PartOf(1, Die)};
  const absl::Status status = crew->Play(parts).status();
  EXPECT_EQ(absl::StatusCode::kAborted, status.code());
  EXPECT_NE(std::string::npos, status.message().find("signal 9")) << status;
}

TEST(Crew, GivesUpAtTheDeadline) {
  auto crew = Crew::Start();
  ASSERT_TRUE(crew.ok()) << crew.status();
  const Part parts[] = {PartOf(0, WaitForever)};
  EXPECT_EQ(absl::StatusCode::kDeadlineExceeded,
            crew->Play(parts, absl::Milliseconds(50)).status().code());
}

TEST(LatencyFloors, EachGivesObservationsOnOneCore) {
  auto crew = Crew::Start();
  ASSERT_TRUE(crew.ok()) << crew.status();
  const int cpu = AllowedCpus()[0];
  Report report;
  for (Series& series :
       std::vector<Series>{FutexRoundTrip(*crew, "futex", cpu, cpu, 1000),
                           UnixSocketRoundTrip(*crew, "socket", cpu, cpu),
                           Relay(*crew, "relay", SameCore()), BareSystemCall(*crew, "call", cpu)}) {
    Group group;
    group.values.push_back(series);
    const absl::Status status = RunGroup(group, {.quick = true}, report);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_GT(report.results.back().value, 0) << report.results.back().name;
  }
}

}  // namespace
}  // namespace penstock::bench
