// Writes the seeds of every fuzz target: well-formed inputs made by Penstock's own encoders,
// from which tests/fuzz/make_corpus lets the fuzzer grow the corpus. Usage: make_seeds FOLDER
#include <penstock/array.h>
#include <penstock/internal/arguments.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "runtime/channel/channel.h"
#include "runtime/node/spawner.h"
#include "runtime/process/records.h"
#include "runtime/wire/node_message.h"
#include "store/base/units.h"
#include "store/shm/index_segment.h"
#include "store/shm/lease_segment.h"
#include "store/spill/spill_table.h"
#include "store/wire/control_message.h"

namespace penstock {
namespace {

class Seeds {
 public:
  explicit Seeds(std::filesystem::path root) : root_(std::move(root)) {}
  void Add(const std::string& target, std::string_view bytes) {
    std::filesystem::create_directories(root_ / target);
    std::ofstream file(root_ / target / ("seed-" + std::to_string(count_++)),
                       std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  int count() const { return count_; }

 private:
  std::filesystem::path root_;
  int count_ = 0;
};

template <typename T>
void Append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void AddControlMessages(Seeds& seeds) {
  for (const std::string& message :
       {HelloMessage(wire::Role_Client, 3, 2), HelloMessage(wire::Role_Runtime, 3, 2),
        RestartedMessage(3),
        WelcomeMessage({.session = 7, .incarnation = 9, .index_bytes = 4096,
                        .arena_bytes = 1 << 20, .capacity = 64, .daemon_pid = 4711}),
        RefusedMessage(absl::ResourceExhaustedError("the limit of sessions")),
        GoodbyeMessage(), ReturnLeasesMessage(), StatusRequestMessage(),
        StatusReplyMessage({}),
        StatusReplyMessage({.counters = {{"objects", 3}, {"sealed", 1u << 30}},
                            .notes = {"pages: 4 KiB", ""}})}) {
    seeds.Add("control_message", message);
  }
}

void AddNodeMessages(Seeds& seeds) {
  for (const NodeFacts& facts : std::initializer_list<NodeFacts>{
           {.kind = wire::NodeKind_RegisterDriver, .session = 3},
           {.kind = wire::NodeKind_RequestLease, .request = 5,
            .resources = {{"CPU", 1}, {"GPU", 0.5}}, .kept = {{"CPU", 0}}, .dedicated = true},
           {.kind = wire::NodeKind_NameActor, .request = 6, .process = 2, .name = "counter"},
           {.kind = wire::NodeKind_Gone, .process = 8, .signal = 9, .pid = 123,
            .text = "killed by signal 9"},
           {.kind = wire::NodeKind_Found, .request = 1, .process = 2, .actor = 3},
           {.kind = wire::NodeKind_RequestLease, .resources = {{"", -1}, {"CPU", 1e300}}}}) {
    seeds.Add("node_message", EncodeNodeMessage(facts));
  }
}

void AddChannelPrograms(Seeds& seeds) {
  // Steps of channel_record.cc: 0 writes a record, 1 raw bytes, 2 a tail, 5 drains.
  const auto record = [](uint8_t kind, uint64_t number, uint16_t bytes) {
    std::string step(1, '\0');
    Append(step, kind);
    Append(step, number);
    Append(step, bytes);
    return step;
  };
  const auto raw = [](uint32_t at, std::string_view bytes) {
    std::string step(1, '\1');
    Append(step, at);
    Append(step, static_cast<uint8_t>(bytes.size()));
    return step.append(bytes);
  };
  const auto tail = [](uint64_t value) {
    std::string step(1, '\2');
    Append(step, value);
    return step;
  };
  const std::string drain(1, '\5');
  const std::string give_back(1, '\4');
  seeds.Add("channel_record", record(0, 1, 100) + record(1, 2, 0) + drain + record(2, 3, 8192));
  std::string growing;
  for (uint16_t i = 0; i < 12; ++i) growing += record(3, i, 8000);
  seeds.Add("channel_record", growing + drain + give_back + growing + drain);
  for (const RecordHeader& header :
       {RecordHeader{16, 16, 1}, RecordHeader{0xffffffff, 16, 1}, RecordHeader{8193, 17, 1},
        RecordHeader{0, 2, 0}, RecordHeader{16, 1, 0}, RecordHeader{0, 15, 0},
        RecordHeader{0, 256, 0}}) {
    std::string bytes;
    Append(bytes, header);
    // An even number is a step ahead of tail / 16 % 1024, see SetTail.
    seeds.Add("channel_record", raw(kChannelHeaderBytes, bytes) + tail(2) + drain);
    seeds.Add("channel_record", raw(kChannelHeaderBytes, bytes) + tail(1000) + drain + drain);
  }
  seeds.Add("channel_record", tail(1) + drain);
  seeds.Add("channel_record", tail(~uint64_t{0}) + drain);
}

void AddCallRecords(Seeds& seeds) {
  using namespace internal;
  for (const auto& [borrowed, contained] : {std::pair{0u, 0u}, {1u, 0u}, {0u, 2u}, {9u, 9u}}) {
    ReplyHeader header;
    header.borrowed = borrowed;
    header.contained = contained;
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
    for (int i = 0; i < 3; ++i) bytes.append(BytesOf(ObjectId::FromName("x")));
    seeds.Add("call_record", bytes);
  }
  for (const int kind : {1, 2, 3, 4, 5, 6, 7, 8, 200}) {
    seeds.Add("call_record", PackError({.kind = static_cast<ErrorKind>(kind),
                                        .message = "it failed", .function = "f",
                                        .node = "this node", .pid = 3, .code = 1}));
  }
}

void AddArguments(Seeds& seeds) {
  using internal::AppendValue;
  const auto call = [&](std::string_view kinds, const std::string& body) {
    std::string input(1, static_cast<char>(kinds.size() - 1));
    seeds.Add("arguments", input.append(kinds).append(body));
  };
  const auto kind = [](int number) { return std::string(1, static_cast<char>(number)); };
  std::string body;
  for (const int64_t number : {int64_t{0}, int64_t{-1}, int64_t{300}, INT64_MAX}) {
    AppendValue(body, number);
  }
  call({"\0\0\0\0", 4}, body);
  call({"\1\2\3\4", 4}, body);
  body.clear();
  AppendValue(body, true);
  AppendValue(body, 1.5);
  AppendValue(body, std::string("text"));
  AppendValue(body, std::vector<int64_t>{1, -2, 1 << 20});
  call({"\5\6\10\11", 4}, body);
  body.clear();
  AppendValue(body, std::vector<std::vector<std::string>>{{"a", "b"}, {}, {"c"}});
  AppendValue(body, std::vector<char>{'x', 'y'});
  AppendValue(body, std::map<std::string, std::vector<int32_t>>{{"k", {1, 2}}, {"", {}}});
  AppendValue(body, std::tuple<int32_t, std::string, std::optional<double>>{1, "t", 2.0});
  call(kind(10) + kind(11) + kind(12) + kind(13), body);
  body.clear();
  // Settings, ActorId, flags, an array, a pair, as arguments.cc numbers them.
  AppendValue(body, std::tuple<std::string, std::vector<double>, std::map<std::string, int>>{
                        "n", {0.5}, {{"a", 1}}});
  AppendValue(body, std::pair<uint64_t, uint64_t>{1, 2});
  AppendValue(body, std::vector<bool>{true, false});
  AppendValue(body, std::vector<uint32_t>{1, 2, 3, 4});
  AppendValue(body, std::map<uint64_t, std::string>{{1, "a"}, {2, "b"}});
  call(kind(14) + kind(15) + kind(16) + kind(17) + kind(21), body);
  body.clear();
  internal::AppendArgument(body, internal::ArgumentKind::kObject,
                           internal::BytesOf(ObjectId::FromName("x")));
  call(kind(0), body);
  // Extensions: a ref and an array.
  const std::string ref = std::string("\xc7\x18\x01", 3) + std::string(24, 'i');
  const std::string array = std::string("\x91\xc7\x29\x02\x0a", 5) + std::string(40, 'i');
  call(kind(19), ref);
  call(kind(20), array);
}

void AddArrays(Seeds& seeds) {
  const auto add = [&](uint64_t payload_bytes, const ArrayShape& shape) {
    std::string input;
    Append(input, payload_bytes);
    const std::vector<std::byte> metadata = shape.Encode();
    input.append(reinterpret_cast<const char*>(metadata.data()), metadata.size());
    seeds.Add("array_metadata", input);
  };
  add(8, {DType::kFloat64, {}, {}});
  add(96, {DType::kFloat32, {2, 3, 4}, {48, 16, 4}});
  add(96, {DType::kFloat32, {2, 3, 4}, {4, 8, 24}});
  add(0, {DType::kInt8, {0}, {1}});
  add(16, {DType::kComplex128, {1 << 20, 1 << 20}, {0, 0}});
  add(~uint64_t{0}, {DType::kBool, {INT64_MAX}, {1}});
  add(64, {DType::kUint8, {1, 1, 2, 2, 2, 2, 2, 2}, {64, 64, 32, 16, 8, 4, 2, 1}});
}

void AddTexts(Seeds& seeds) {
  for (const std::string_view text :
       {"4GiB", "1.5 TiB", "64 B", "9.2e18", "0", "1048576", ".5MB",
        "0123456789abcdefABCDEF000000000000000000000000aa"}) {
    seeds.Add("object_id", text);
  }
  seeds.Add("object_id", ObjectId::FromName("name").ToHex());
  for (const std::string_view flags :
       {"", "--dir\n/run/me\n--memory\n64MiB", "--help", "--version", "--objects=64",
        "--huge-pages\noff\n--log-level\nwarn", "--cpus\n8\n--max-workers\n512",
        "--owner-pid\n1\n--max-sessions\n65536", "--config\n/dev/null", "--no-such-flag"}) {
    for (const std::string_view config :
         {"", "memory = \"64MiB\"\nobjects = 64\n",
          "dir = '/run/me' # mine\nhuge-pages = \"collapse\"\nmax-sessions = 0x10\n",
          "memory = [1, {a = 2}]\n", "[table]\nx = 1979-05-27T07:32:00Z\n",
          "log-level = \"\"\"\\\n  info\"\"\"\ncpus = +4_0\n"}) {
      if (!flags.empty() && !config.empty() && flags.size() % 2 == 0) continue;
      std::string input(flags);
      input.push_back('\0');
      seeds.Add("daemon_options", input.append(config));
    }
  }
  char first[] = "HOME=/root";
  char second[] = "A=";
  char* const environment[] = {first, second, nullptr};
  seeds.Add("launch_file", EncodeLaunch(std::string_view("program\0--flag\0", 15), environment));
  seeds.Add("launch_file", EncodeLaunch(std::string_view("p\0", 2), nullptr));
  seeds.Add("launch_file", std::string_view("4294967295\0a\0", 13));
}

void AddSessionPrograms(Seeds& seeds) {
  // Steps of session.cc: below 160 step % 16 is an honest client's, below 240 a hostile
  // one's, from there on the world's.
  const auto step = [](int number, std::string_view operands = {}) {
    return std::string(1, static_cast<char>(number)).append(operands);
  };
  const std::string turn = step(15);
  const std::string put = step(0, {"\3", 1}) + turn + step(4, {"\x40\0", 2}) + turn;
  const std::string get = step(8, {"\0", 1}) + turn + step(11) + turn;
  for (const char bits : {'\0', '\1'}) {
    const std::string first(1, bits);
    seeds.Add("session", first + put + put + get + step(12) + turn + step(10) + turn);
    seeds.Add("session", first + put + step(10) + step(12) + turn + step(11) + turn + put);
    // Names, waiting gets, events, evictable and bound objects.
    seeds.Add("session", first + step(14, "\3") + step(2, {"\0\2", 2}) + turn +
                             step(9, {"\x80", 1}) + turn + step(5, {"\x10\0\1", 3}) + turn);
    // Room runs out: large leases, one that waits, evictable objects that give way.
    const std::string large = step(0, "\7") + turn + step(5, {"\x10\0\1", 3}) + turn;
    seeds.Add("session", first + large + large + large + step(13) + turn + step(3) + turn);
    for (int op = 1; op < 14; ++op) {
      const char fields[] = {static_cast<char>(op), 5, 1, 0, 0, 1, 0, 0, 1};
      const std::string hostile = step(160, {fields, sizeof(fields)});
      seeds.Add("session", first + put + hostile + turn + hostile + hostile + turn + get +
                               step(243, {"\0", 1}) + turn + put);
      // Upon slot 0, which an honest client has leased.
      const char on_lease[] = {static_cast<char>(op), 5, 0, 0, 0, 1, 0, 0, 1};
      seeds.Add("session", first + step(0, "\3") + turn +
                               step(160, {on_lease, sizeof(on_lease)}) + turn + turn);
    }
    const std::string wild(8, '\xff');
    for (const int word : {166, 167, 168, 169}) {
      seeds.Add("session", first + put + step(word, wild) + turn + put + get + step(244));
    }
    // The daemon dies with a lease asked for, a seal untaken, a get that waits.
    const std::string restart = step(246);
    seeds.Add("session", first + put + step(0, "\3") + restart + turn +
                             step(4, {"\x40\0", 2}) + restart + turn + get);
    seeds.Add("session", first + step(9, {"\x80", 1}) + turn + restart + restart + turn +
                             step(2, {"\0\2", 2}) + turn + step(5, {"\x10\0\1", 3}) + turn);
    seeds.Add("session", first + put + step(10) + step(12) + turn + step(166, wild) + restart +
                             turn + step(11) + turn);
    seeds.Add("session", first + put + step(165, "\xff") + turn + step(241) + turn + get +
                             step(242, {"\0", 1}) + step(240) + put);
  }
}

void AddRecoverPrograms(Seeds& seeds) {
  // Steps of recover.cc: 0 puts, 1 leases, 5 is a turn; 6 to 14 tear; 15 takes over.
  const auto put = [](char block) {
    return std::string("\0\0", 2) + block + std::string(2, '\0') + "\5";
  };
  const std::string lease("\1\1\3\5", 4);
  const std::string base = put(0) + put(4) + lease + put(3);
  seeds.Add("recover", base + "\17" + base);
  for (char slot = 0; slot < 4; ++slot) {
    const std::string of(1, slot);
    for (const char state : {'\0', '\1', '\2', '\3', '\4', '\5', '\12'}) {
      seeds.Add("recover", base + "\6" + of + state + "\17" + base);
    }
    for (const std::string_view word : {"\10", "\13", "\15"}) {
      seeds.Add("recover", base + std::string(word) + of + "\x50\x51\17" + base);
    }
    seeds.Add("recover", base + "\11" + of + "\xa5\4\1" + "\12" + of + "\1\17" + base);
    for (char kind = 0; kind < 4; ++kind) {
      seeds.Add("recover", base + "\14" + of + kind + "\2\1\1\xa9\17" + base);
    }
  }
  for (char word = 0; word < 5; ++word) {
    seeds.Add("recover", base + "\16" + std::string(1, '\0') + "\1" + word + "\3\1\17" + base);
  }
}

// A segment's first byte says which it is, four say how large.
void AddSegments(Seeds& seeds) {
  const auto add = [&](char kind, uint64_t bytes, size_t head, const auto& format) {
    const std::unique_ptr<std::byte, void (*)(void*)> memory(
        static_cast<std::byte*>(std::aligned_alloc(4096, RoundUp(bytes, 4096))), std::free);
    std::memset(memory.get(), 0, bytes);
    format(memory.get());
    std::string input(1, kind);
    Append(input, static_cast<uint32_t>(bytes));
    seeds.Add("segments", input.append(reinterpret_cast<const char*>(memory.get()), head));
  };
  const IndexGeometry geometry = IndexGeometry::For(64);
  add(0, geometry.total_bytes, sizeof(IndexHeader), [&](std::byte* memory) {
    IndexSegment::Format(memory, geometry, 1 << 20, 7);
  });
  add(1, LeaseGeometry::TotalBytes(64), sizeof(LeaseHeader), [](std::byte* memory) {
    LeaseSegment::Format(memory, 64, 1 << 20, 7).AddExtent(0, 1 << 20);
  });
  add(2, SpillTable::BytesFor(4), SpillTable::BytesFor(4), [](std::byte* memory) {
    SpillTable::Make(memory, 4, 7);
  });
}

void AddSpillPrograms(Seeds& seeds) {
  // Steps of spill_files.cc.
  const std::string small("\0\1\x80\x10", 4), large("\0\0\x80\1", 4), read("\3\0", 2);
  const std::string drop("\5\0", 2), restart("\6");
  seeds.Add("spill_files", small + small + large + read + drop + restart + read);
  seeds.Add("spill_files", large + large + large + drop + drop + small + restart + read);
  for (const uint32_t at : {0u, 24u, 4096u, 4104u, 4200u, 8192u, 100'000u}) {
    std::string damage("\7\0", 2);
    Append(damage, at);
    damage.append("\4ABCD");
    const std::string keep("\1", 1), cut("\0", 1);
    for (const std::string& end : {keep, cut}) {
      seeds.Add("spill_files", small + small + large + damage + end + read + restart + read +
                                   drop + small);
    }
  }
  for (char by = 0; by < 6; ++by) {
    seeds.Add("spill_files", small + large + std::string("\10\0", 2) + by + read + restart +
                                 read + large + drop);
    for (char kind = 0; kind < 3; ++kind) {
      seeds.Add("spill_files", small + "\11" + kind + std::string(2, '\0') + by + restart +
                                   large + large + read);
    }
  }
}

void AddKeeperMessages(Seeds& seeds) {
  const auto packet = [](char fds, uint32_t kind, uint64_t number) {
    std::string step(1, fds);
    step.push_back(24);
    for (const uint32_t word : {kind, 1000u, 4711u, 0u}) Append(step, word);
    Append(step, number);
    return step;
  };
  seeds.Add("keeper_message", packet(3, 1, 0) + packet(6, 2, 5) + packet(0, 4, 0) +
                                  packet(6, 2, 6) + packet(0, 3, 5));
  for (uint32_t kind = 0; kind < 6; ++kind) {
    seeds.Add("keeper_message", packet(2, kind, 1) + packet(6, 2, 1) + packet(6, 2, 1));
  }
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_make_seeds FOLDER\n");
    return 2;
  }
  penstock::Seeds seeds(argv[1]);
  penstock::AddControlMessages(seeds);
  penstock::AddNodeMessages(seeds);
  penstock::AddChannelPrograms(seeds);
  penstock::AddCallRecords(seeds);
  penstock::AddArguments(seeds);
  penstock::AddArrays(seeds);
  penstock::AddTexts(seeds);
  penstock::AddSessionPrograms(seeds);
  penstock::AddRecoverPrograms(seeds);
  penstock::AddSegments(seeds);
  penstock::AddSpillPrograms(seeds);
  penstock::AddKeeperMessages(seeds);
  std::printf("%d seeds\n", seeds.count());
  return 0;
}
