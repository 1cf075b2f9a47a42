// The floor of the parameter server moves what it says and checks it.
#include "bench/harness/ps_floor.h"

#include <gtest/gtest.h>

#include "bench/harness/pinning.h"

namespace penstock::bench {
namespace {

constexpr PsWorkload kSmall = {.bytes = 8 * 10'007, .shards = 2, .workers = 4, .iterations = 3};

TEST(PsFloor, EveryTrafficComesOutRightSampleAfterSample) {
  const auto floor = PsFloor::Create(kSmall, AllowedCpus());
  ASSERT_TRUE(floor.ok()) << floor.status();
  Verification verification;
  for (int sample = 0; sample < 3; ++sample) {
    for (const PsTraffic traffic : kPsTraffics) {
      const auto seconds = (*floor)->TakeSample(traffic, verification);
      ASSERT_TRUE(seconds.ok()) << seconds.status();
      EXPECT_GT(*seconds, 0);
    }
  }
  EXPECT_TRUE(verification.ok()) << verification.fault();
}

TEST(PsFloor, SeriesAreNamedAsTheReportWantsThem) {
  const auto floor = PsFloor::Create(kSmall, {AllowedCpus()[0]});
  ASSERT_TRUE(floor.ok()) << floor.status();
  Verification verification;
  std::vector<std::string> names;
  for (const PsTraffic traffic : kPsTraffics) {
    Series series = (*floor)->AsSeries(traffic, verification);
    Sample sample;
    ASSERT_TRUE(series.take(sample).ok());
    EXPECT_EQ(sample.observations().size(), 1u);
    series.describe(series.more);
    EXPECT_EQ(series.more["threads"], 1);
    EXPECT_TRUE(series.more.contains("way"));
    names.push_back(series.name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"ps_views_floor_s", "ps_contiguous_floor_s",
                                             "ps_views_read_floor_s"}));
}

TEST(PsFloor, RefusesAWorkloadThatIsNone) {
  EXPECT_FALSE(PsFloor::Create({.bytes = 12}, {0}).ok());
  EXPECT_FALSE(PsFloor::Create({.bytes = 800, .workers = 0}, {0}).ok());
  EXPECT_FALSE(PsFloor::Create({.bytes = 800}, {}).ok());
}

}  // namespace
}  // namespace penstock::bench
