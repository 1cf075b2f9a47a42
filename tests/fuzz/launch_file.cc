// Any bytes as a driver's launch file: refused, or lists that come back the same.
#include "runtime/node/spawner.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  const fuzz::ExactCopy file({data, size});
  const auto launch = DecodeLaunch(file.text());
  if (!launch.ok()) return 0;
  std::string arguments;
  for (const std::string& text : launch->arguments) arguments.append(text).push_back('\0');
  std::vector<char*> environment;
  for (const std::string& text : launch->environment) {
    environment.push_back(const_cast<char*>(text.c_str()));
  }
  environment.push_back(nullptr);
  const auto again = DecodeLaunch(EncodeLaunch(arguments, environment.data()));
  PENSTOCK_CHECK(again.ok() && again->arguments == launch->arguments &&
                 again->environment == launch->environment);
  return 0;
}
