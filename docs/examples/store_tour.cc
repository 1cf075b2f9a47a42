// A tour of the store between two processes, a maker and a reader. Run it beside a daemon:
//
//   PENSTOCK_DIR=~/penstock build/release/bin/store-tour
//
// Every value is checked; the exit status is 1 when one is wrong or a call fails.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include <penstock/array.h>
#include <penstock/client.h>

namespace {

using Numbers = penstock::ArrayView<double>;
const char* g_who = "";
constexpr int64_t kSide = 1000;
constexpr char kGreeting[] = "hello from the maker";

void Say(const char* step, std::initializer_list<std::string_view> words) {
  std::string what;
  for (const std::string_view word : words) what += word;
  std::printf("%-7s %-8s %s\n", g_who, step, what.c_str());
  std::fflush(stdout);
}

void Check(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "store-tour: %s: %s\n", g_who, what.c_str());
  std::exit(1);
}

template <typename T>
T Must(absl::StatusOr<T> outcome) {
  Check(outcome.ok(), outcome.status().ToString());
  return *std::move(outcome);
}

// Tells the other process an id, or only that it may go on.
struct Pipe {
  int ends[2];
  Pipe() { Check(pipe(ends) == 0, "pipe() failed"); }
  void Tell(const penstock::ObjectId& id = {}) const {
    Check(write(ends[1], &id, sizeof(id)) == sizeof(id), "the other process has ended");
  }
  penstock::ObjectId Hear() const {
    penstock::ObjectId id;
    Check(read(ends[0], &id, sizeof(id)) == sizeof(id), "the other process has ended");
    return id;
  }
};

void CheckNumbers(const Numbers& numbers) {
  double expected = 0;
  for (const double value : numbers.values()) Check(value == expected++, "an element is wrong");
  Check(expected == kSide * kSide, "the array has another size");
}

void Maker(const Pipe& to_reader, const Pipe& to_maker) {
  penstock::Client client = Must(penstock::Client::Connect());
  const penstock::ObjectId text = Must(client.Put(kGreeting));
  Say("put", {"\"", kGreeting, "\" as object ", text.ToHex()});
  to_reader.Tell(text);
  to_maker.Hear();
  const penstock::ObjectId id = Must(client.NextId());
  Say("promise", {"object ", id.ToHex(), ", of which no byte exists yet"});
  to_reader.Tell(id);
  auto matrix = Must(penstock::ArrayBuilder<double>::Create(client, {kSide, kSide}, {.id = id}));
  std::iota(matrix.values().begin(), matrix.values().end(), 0.0);
  Must(matrix.Seal());
  Say("seal", {"1000 x 1000 doubles, written where they stay"});

  to_maker.Hear();
  Say("delete", {"the array, while the reader still looks at it"});
  Check(client.Delete(id).ok() && client.Sync().ok(), "Delete and Sync");
  to_reader.Tell();
}

void Reader(const Pipe& to_reader, const Pipe& to_maker) {
  penstock::Client client = Must(penstock::Client::Connect());
  const penstock::ObjectView text = Must(client.Get(to_reader.Hear()));
  Check(text.text() == kGreeting, "the text is wrong");
  Say("get", {"\"", text.text(), "\", read where it lies"});
  to_maker.Tell();
  const penstock::ObjectId id = to_reader.Hear();
  Numbers numbers = Must(Numbers::Get(client, id, absl::Seconds(30)));
  CheckNumbers(numbers);
  Say("get", {"waited for the seal; all 1,000,000 elements are right"});
  to_maker.Tell();
  to_reader.Hear();
  CheckNumbers(numbers);
  Say("look", {"deleted, but pinned by this view: all elements are still right"});
  const auto again = client.Get(id, absl::ZeroDuration());
  Check(absl::IsNotFound(again.status()), "a get of a deleted object found it");
  Say("get", {"once more: ", again.status().ToString()});
  Say("(note)", {"a write through a view, not done here, is a fault in the writer alone"});
}

}  // namespace

int main() {
  std::signal(SIGPIPE, SIG_IGN);  // a Tell to a process that has ended says so instead
  const Pipe to_reader, to_maker;
  const pid_t child = fork();
  g_who = child == 0 ? "reader" : "maker";
  // Each keeps only the ends it uses, so that the other's death ends its reads.
  close(child == 0 ? to_reader.ends[1] : to_reader.ends[0]);
  close(child == 0 ? to_maker.ends[0] : to_maker.ends[1]);
  (child == 0 ? Reader : Maker)(to_reader, to_maker);
  if (child == 0) return 0;
  int status = 0;
  Check(waitpid(child, &status, 0) == child && status == 0, "the reader failed");
  std::printf("Both processes are done, and every value was right.\n");
}
