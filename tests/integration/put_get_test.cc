// Put, get, delete and list: what one process makes is what all processes see.
#include <signal.h>

#include <penstock/array.h>

#include "tests/integration/helpers.h"

namespace penstock::testing {
namespace {

using absl::StatusCode;

constexpr absl::Duration kNow = absl::ZeroDuration();

TEST(PutGet, PayloadMetadataAndTypeTagComeBackAsTheyWent) {
  const TestDaemon daemon;
  daemon.WaitPopulated();
  Client client = daemon.Connect();
  for (const size_t size : {1, 63, 64, 65, 1000, 4096, 65536, 65537, 3'000'001}) {
    const std::vector<std::byte> payload = Pattern(size, size);
    const std::vector<std::byte> metadata = Pattern(size + 1, size % 100);
    const ObjectId id = Must(client.Put(payload, {.metadata = metadata, .type_tag = 7}));
    const ObjectView view = Must(client.Get(id));
    EXPECT_EQ(view.id(), id);
    EXPECT_EQ(view.type_tag(), 7u);
    EXPECT_TRUE(HasPattern(view.data(), size)) << size;
    EXPECT_EQ(view.data().size(), size);
    EXPECT_TRUE(HasPattern(view.metadata(), size + 1)) << size;
    EXPECT_EQ(view.metadata().size(), size % 100);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data().data()) % 64, 0u);
  }
}

TEST(PutGet, AnObjectOfZeroBytesIsAnObject) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const std::vector<std::byte> metadata = Pattern(1, 10);
  const ObjectId bare = Must(client.Put(""));
  const ObjectId id = Must(client.Put("", {.metadata = metadata}));
  const int code = RunInChild([&] {
    Client reader = daemon.Connect();
    const ObjectView view = Must(reader.Get(id));
    PENSTOCK_CHILD_EXPECT(view.status().ok() && view.data().empty());
    PENSTOCK_CHILD_EXPECT(view.metadata().size() == 10 && HasPattern(view.metadata(), 1));
    PENSTOCK_CHILD_EXPECT(Must(reader.Get(bare)).data().empty());
    PENSTOCK_CHILD_EXPECT(Must(reader.Contains(bare)));
    return 0;
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(Must(client.List()).size(), 2u);
}

TEST(PutGet, AnotherProcessReadsWhatWasPut) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId small = PutPattern(client, 1, 1000, {.type_tag = 9});
  const ObjectId large = PutPattern(client, 2, 9'000'000);
  const int code = RunInChild([&] {
    Client reader = daemon.Connect();
    const ObjectView view = Must(reader.Get(small));
    PENSTOCK_CHILD_EXPECT(view.type_tag() == 9 && HasPattern(view.data(), 1));
    PENSTOCK_CHILD_EXPECT(HasPattern(Must(reader.Get(large)).data(), 2));
    return 0;
  });
  EXPECT_EQ(code, 0);
}

TEST(PutGet, AProcessReadsItsOwnSealsBeforeTheDaemonHasTakenThem) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  for (int i = 0; i < 20; ++i) PutPattern(client, 0, 500);  // leases at hand
  Must(client.Sync());
  const pid_t daemon_pid = daemon.daemon_pid();
  kill(daemon_pid, SIGSTOP);
  const ObjectId id = PutPattern(client, 3, 500);
  const absl::StatusOr<ObjectView> view = client.Get(id, kNow);
  kill(daemon_pid, SIGCONT);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_TRUE(HasPattern(view->data(), 3));
  Must(client.Sync());
  EXPECT_TRUE(HasPattern(view->data(), 3));
  // And deletes them: the delete follows its seal.
  kill(daemon_pid, SIGSTOP);
  const ObjectId gone = PutPattern(client, 4, 500);
  const absl::Status deleted = client.Delete(gone);
  kill(daemon_pid, SIGCONT);
  EXPECT_TRUE(deleted.ok()) << deleted;
  Must(client.Sync());
  EXPECT_TRUE(Says(client.Get(gone, kNow), StatusCode::kNotFound, "deleted"));
}

TEST(PutGet, AGetWaitsForTheSealOfAnotherProcess) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId told = Must(client.NextId());  // before the object is made
  const ObjectId named = ObjectId::FromName("later");
  const pid_t child = StartChild([&] {
    Client reader = daemon.Connect();
    const std::vector<ObjectId> ids = {told, named};
    const auto views = reader.GetMany(ids);
    PENSTOCK_CHILD_EXPECT(views[0].ok() && HasPattern(views[0]->data(), 5));
    PENSTOCK_CHILD_EXPECT(views[1].ok() && HasPattern(views[1]->data(), 6));
    return 0;
  });
  ASSERT_TRUE(Eventually([&] { return daemon.Status().Counter("get_waiters") == 2; }));
  EXPECT_EQ(PutPattern(client, 5, 2000, {.id = told}), told);
  EXPECT_EQ(PutPattern(client, 6, 200'000, {.id = named}), named);
  EXPECT_EQ(WaitForChild(child), 0);
  EXPECT_EQ(daemon.Status().Counter("get_waiters"), 0u);
}

TEST(PutGet, GetManyAnswersEachIdForItself) {
  const TestDaemon daemon;
  const TestDaemon other_daemon;
  Client client = daemon.Connect();
  Client other = other_daemon.Connect();
  const ObjectId here = PutPattern(client, 1, 100);
  const ObjectId deleted = PutPattern(client, 2, 100);
  Must(client.Delete(deleted));
  Must(client.Sync());
  Builder unsealed = Must(client.Create(100));
  const ObjectId elsewhere = PutPattern(other, 3, 100);
  const std::vector<ObjectId> ids = {
      here, deleted, unsealed.id(), elsewhere, ObjectId::FromName("never"), here};
  for (const absl::Duration deadline : {kNow, absl::Seconds(2)}) {
    const auto views = client.GetMany(ids, deadline);
    const bool waits = deadline > kNow;
    const StatusCode missing =
        waits ? StatusCode::kDeadlineExceeded : StatusCode::kNotFound;
    const std::string why = waits ? "deadline" : "not here";
    ASSERT_EQ(views.size(), ids.size());
    EXPECT_TRUE(views[0].ok() && HasPattern(views[0]->data(), 1));
    EXPECT_TRUE(Says(views[1], StatusCode::kNotFound, "was deleted"));
    EXPECT_TRUE(Says(views[2], missing, why));
    EXPECT_TRUE(Says(views[3], StatusCode::kNotFound, "another store"));
    EXPECT_TRUE(Says(views[4], missing, why));
    EXPECT_TRUE(views[5].ok() && HasPattern(views[5]->data(), 1));
  }
  EXPECT_TRUE(client.GetMany({}).empty());
}

TEST(PutGet, ContainsSeesSealedObjectsOnly) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  Client second = daemon.Connect();
  Builder builder = Must(client.Create(100));
  EXPECT_FALSE(Must(second.Contains(builder.id())));
  const ObjectId id = Must(builder.Seal());
  EXPECT_TRUE(Must(client.Contains(id)));
  EXPECT_TRUE(Must(second.Contains(id)));
  Must(client.Delete(id));
  Must(client.Sync());
  EXPECT_FALSE(Must(second.Contains(id)));
  EXPECT_FALSE(Must(second.Contains(ObjectId::FromName("nobody"))));
}

TEST(PutGet, ListShowsEverySealedObjectWithItsFacts) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  EXPECT_TRUE(Must(client.List()).empty());
  const std::vector<std::byte> metadata = Pattern(1, 24);
  const ObjectId plain = PutPattern(client, 1, 300, {.metadata = metadata, .type_tag = 4});
  const ObjectId cache =
      PutPattern(client, 2, 70'000, {.evictable = true, .priority = Priority::kLow});
  const ObjectId bound =
      PutPattern(client, 3, 0, {.priority = Priority::kHigh, .session_bound = true});
  const Builder unsealed = Must(client.Create(50));
  size_t found = 0;
  for (const ObjectInfo& info : Must(client.List())) {
    ++found;
    if (info.id == plain) {
      EXPECT_EQ(info.size, 300u);
      EXPECT_EQ(info.metadata_size, 24u);
      EXPECT_EQ(info.type_tag, 4u);
      EXPECT_FALSE(info.evictable || info.session_bound);
      EXPECT_EQ(info.priority, Priority::kNormal);
    } else if (info.id == cache) {
      EXPECT_EQ(info.size, 70'000u);
      EXPECT_TRUE(info.evictable && !info.session_bound);
      EXPECT_EQ(info.priority, Priority::kLow);
    } else {
      EXPECT_EQ(info.id, bound);
      EXPECT_TRUE(info.session_bound && !info.evictable);
      EXPECT_EQ(info.priority, Priority::kHigh);
    }
  }
  EXPECT_EQ(found, 3u);
}

TEST(PutGet, ManyObjectsAreCreatedAndSealedTogether) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  std::vector<uint64_t> sizes;
  for (uint64_t i = 0; i < 3000; ++i) sizes.push_back(i % 700);
  std::vector<Builder> builders = Must(client.CreateMany(sizes));
  ASSERT_EQ(builders.size(), sizes.size());
  for (size_t i = 0; i < builders.size(); ++i) FillPattern(builders[i].data(), i);
  const std::vector<ObjectId> ids = Must(client.SealMany(builders));
  Client reader = daemon.Connect();
  const auto views = reader.GetMany(ids);
  for (size_t i = 0; i < views.size(); ++i) {
    ASSERT_TRUE(views[i].ok()) << views[i].status();
    ASSERT_EQ(views[i]->data().size(), sizes[i]);
    ASSERT_TRUE(HasPattern(views[i]->data(), i)) << i;
  }
  EXPECT_TRUE(Says(client.CreateMany(sizes, {.id = ObjectId::FromName("one")}),
                   StatusCode::kInvalidArgument, "options.id"));
  EXPECT_TRUE(Says(client.SealMany(builders), StatusCode::kFailedPrecondition, "sealed"));
}

TEST(PutGet, OfTwoWhoCreateOneNameTheSecondIsTold) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const CreateOptions named{.id = ObjectId::FromName("the one")};
  const auto is_refused_elsewhere = [&] {
    return RunInChild([&] {
      Client second = daemon.Connect();
      const auto outcome = second.Create(10, named);
      PENSTOCK_CHILD_EXPECT(absl::IsAlreadyExists(outcome.status()));
      return 0;
    }) == 0;
  };
  Builder builder = Must(client.Create(10, named));
  EXPECT_TRUE(is_refused_elsewhere()) << "while it is being made";
  EXPECT_TRUE(Says(client.Create(10, named), StatusCode::kAlreadyExists, "another id"));
  EXPECT_EQ(Must(builder.Seal()), *named.id);
  EXPECT_TRUE(is_refused_elsewhere()) << "when it is sealed";
  Must(client.Delete(*named.id));
  Must(client.Sync());
  { const Builder aborted = Must(client.Create(10, named)); }
  EXPECT_EQ(PutPattern(client, 1, 10, named), *named.id) << "free again";
}

TEST(PutGet, AnIdOfNextIdNamesOneObject) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id = Must(client.NextId());
  EXPECT_NE(Must(client.NextId()), id);
  PutPattern(client, 1, 100, {.id = id});
  EXPECT_TRUE(Says(client.Create(100, {.id = id}), StatusCode::kAlreadyExists, id.ToHex()));
  Must(client.Sync());
  EXPECT_TRUE(Says(client.Create(100, {.id = id}), StatusCode::kAlreadyExists, id.ToHex()));
  EXPECT_TRUE(HasPattern(Must(client.Get(id)).data(), 1));
}

TEST(PutGet, AnIdOfAnotherStoreMayBeMadeHereAndIsNotWaitedForBefore) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  const ObjectId id{77, 1, 1};
  EXPECT_TRUE(Says(client.Get(id), absl::StatusCode::kNotFound, "another store"));
  Must(client.Put("here", {.id = id}));
  EXPECT_EQ(Must(client.Get(id)).text(), "here");
  EXPECT_TRUE(Says(client.Put("twice", {.id = id}), absl::StatusCode::kAlreadyExists, id.ToHex()));
  Must(client.Delete(id));
  Must(client.Sync());
  EXPECT_TRUE(Says(client.Get(id), absl::StatusCode::kNotFound, "under a new id"));
}

TEST(PutGet, ArraysKeepTheirShapeAndElementType) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  auto array = Must(ArrayBuilder<double>::Create(client, {3, 4}));
  for (size_t i = 0; i < array.values().size(); ++i) {
    array.values()[i] = static_cast<double>(i) / 2;
  }
  const ObjectId id = Must(array.Seal());
  Client reader = daemon.Connect();
  const auto view = Must(ArrayView<double>::Get(reader, id));
  EXPECT_EQ(view.shape(), (std::vector<int64_t>{3, 4}));
  ASSERT_EQ(view.values().size(), 12u);
  EXPECT_EQ(view.at({2, 3}), 5.5);
  EXPECT_TRUE(Says(ArrayView<float>::Get(reader, id), StatusCode::kInvalidArgument,
                   "float64"));
  const ObjectId bytes = PutPattern(client, 1, 96);
  EXPECT_TRUE(Says(ArrayView<double>::Get(reader, bytes), StatusCode::kInvalidArgument,
                   "array"));
}

// The metadata is the maker's, and so is the size of the payload beside it.
TEST(PutGet, AnArrayHasNoMoreValuesThanItsShape) {
  const TestDaemon daemon;
  Client client = daemon.Connect();
  for (const auto& [shape, count] :
       {std::pair<std::vector<int64_t>, size_t>{{2, 3}, 6}, {{2, 0}, 0}, {{}, 1}}) {
    const auto metadata = Must(ArrayShape::Contiguous(DType::kFloat64, shape)).Encode();
    const ObjectId id = PutPattern(client, 1, 100 * sizeof(double),
                                   {.metadata = metadata, .type_tag = kArrayTypeTag});
    EXPECT_EQ(Must(ArrayView<double>::Get(client, id)).values().size(), count);
  }
}

TEST(PutGet, ViewsAndBuildersOutliveTheirClient) {
  const TestDaemon daemon;
  ObjectView view;
  Builder builder;
  {
    Client client = daemon.Connect();
    view = Must(client.Get(PutPattern(client, 1, 5000)));
    builder = Must(client.Create(100));
  }
  Client other = daemon.Connect();
  Must(other.Delete(view.id()));
  Must(other.Sync());
  EXPECT_TRUE(HasPattern(view.data(), 1));
  FillPattern(builder.data(), 2);
  EXPECT_TRUE(HasPattern(Must(other.Get(Must(builder.Seal()))).data(), 2));
}

}  // namespace
}  // namespace penstock::testing
