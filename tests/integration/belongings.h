// Belongings: what a process has that its clients, or its store, could leave behind.
#ifndef PENSTOCK_TESTS_INTEGRATION_BELONGINGS_H_
#define PENSTOCK_TESTS_INTEGRATION_BELONGINGS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace penstock::testing {

struct Belongings {
  size_t mappings = 0;  // of Penstock's memory files
  uint64_t mapped_bytes = 0;
  size_t descriptors = 0;
  size_t threads = 0;

  static Belongings Of(pid_t pid);
  static Belongings Now();  // this process's
  bool operator==(const Belongings&) const = default;
  // Of a process that does something by itself now and then.
  bool IsWithin(const Belongings& other) const {
    return mappings <= other.mappings && mapped_bytes <= other.mapped_bytes &&
           descriptors <= other.descriptors && threads <= other.threads;
  }
};
std::ostream& operator<<(std::ostream& out, const Belongings& of);

// Mappings of this process: files with this in their name.
size_t MappingsOf(const std::string& name);

}  // namespace penstock::testing

#endif  // PENSTOCK_TESTS_INTEGRATION_BELONGINGS_H_
