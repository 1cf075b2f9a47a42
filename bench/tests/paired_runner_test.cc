// The rules of believable figures: alternation, counts of pairs, the a/a ratio.
#include "bench/harness/paired_runner.h"

#include <string>

#include <gtest/gtest.h>

#include "bench/harness/clock.h"

namespace penstock::bench {
namespace {

Series Constant(std::string name, double value, std::string* calls = nullptr) {
  Series series;
  series.name = name;
  series.unit = "us";
  series.take = [=](Sample& sample) {
    if (calls != nullptr) *calls += name;
    sample.Add(value, 10);
    return absl::OkStatus();
  };
  return series;
}

TEST(PairedRunner, SamplesFloorAndResultsAlternately) {
  std::string calls;
  Report report;
  Group group{Constant("f", 2, &calls), {Constant("a", 3, &calls), Constant("b", 5, &calls)}};
  ASSERT_TRUE(RunGroup(group, {.quick = true}, report).ok());
  EXPECT_EQ("fabfabfabfab", calls);  // one round to warm up, three that count
  ASSERT_EQ(2u, report.results.size());
  EXPECT_DOUBLE_EQ(1.5, *report.results[0].ratio);
  EXPECT_DOUBLE_EQ(2.5, *report.results[1].ratio);
  EXPECT_EQ("f", report.results[0].floor);
  EXPECT_EQ(30u, report.results[0].operations);
  EXPECT_EQ(2, report.floors[0].second);
  EXPECT_FALSE(report.results[0].noisy);
}

TEST(PairedRunner, TakesFortyPairs) {
  std::string calls;
  Report report;
  ASSERT_TRUE(RunGroup({Constant("f", 2), {Constant("a", 3, &calls)}}, {}, report).ok());
  EXPECT_EQ(static_cast<size_t>(kLeastPairs) + 1, calls.size());
}

TEST(PairedRunner, AddsPairsUntilTheFloorAgreesWithItself) {
  int samples = 0;
  Series restless = Constant("f", 0);
  restless.take = [&samples](Sample& sample) {
    const bool settles = samples > 60;
    sample.Add(!settles && samples % 2 == 1 ? 1.2 : 1.0);
    ++samples;
    return absl::OkStatus();
  };
  Report report;
  ASSERT_TRUE(RunGroup({restless, {Constant("a", 3)}}, {}, report).ok());
  EXPECT_GT(samples, kLeastPairs + 1);
  EXPECT_FALSE(report.results[0].noisy);
}

TEST(PairedRunner, CallsAResultNoisyWhenItsTimeIsUp) {
  int samples = 0;
  Series restless = Constant("a", 0);
  restless.take = [&samples](Sample& sample) {
    sample.Add(samples++ % 2 == 1 ? 1.2 : 1.0);
    SleepNs(1'000'000);
    return absl::OkStatus();
  };
  Report report;
  ASSERT_TRUE(RunGroup({std::nullopt, {restless}}, {.seconds = 0.2}, report).ok());
  EXPECT_TRUE(report.results[0].noisy);
  EXPECT_FALSE(report.results[0].ratio.has_value());
}

TEST(PairedRunner, CallsAResultNoisyThatGotTooFewPairs) {
  Series slow = Constant("a", 1);
  slow.take = [](Sample& sample) {
    sample.Add(1);
    SleepNs(50'000'000);
    return absl::OkStatus();
  };
  Report report;
  ASSERT_TRUE(RunGroup({std::nullopt, {slow}}, {.seconds = 0.2}, report).ok());
  EXPECT_TRUE(report.results[0].noisy);
}

TEST(PairedRunner, PassesTheErrorOfASamplerOn) {
  Series broken = Constant("a", 1);
  broken.take = [](Sample&) { return absl::UnavailableError("the daemon died"); };
  Report report;
  EXPECT_EQ("the daemon died",
            RunGroup({std::nullopt, {broken}}, {.quick = true}, report).message());
}

TEST(Report, SaysInItsJsonAndItsStatusWhatWasNotVerified) {
  Report report;
  report.bench = "get";
  Result result;
  result.name = "get_ns";
  result.operations = 5;
  report.results.push_back(result);
  EXPECT_EQ(true, report.ToJson()["verified"]);
  report.verification.Fail("first");
  report.verification.Fail("second");
  const auto json = report.ToJson();
  EXPECT_EQ(false, json["verified"]);
  EXPECT_EQ("first", json["fault"]);
  EXPECT_EQ(1, json["schema"]);
  EXPECT_TRUE(json["results"][0]["floor"].is_null());
  EXPECT_TRUE(json["results"][0]["ratio"].is_null());
  EXPECT_NE(std::string::npos, report.ToTable().find("NOT VERIFIED: first"));
}

}  // namespace
}  // namespace penstock::bench
