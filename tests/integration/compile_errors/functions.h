// What the calls of cases.txt call.
#ifndef PENSTOCK_TESTS_INTEGRATION_COMPILE_ERRORS_FUNCTIONS_H_
#define PENSTOCK_TESTS_INTEGRATION_COMPILE_ERRORS_FUNCTIONS_H_

#include <string>

#include <penstock/array_value.h>
#include <penstock/runtime.h>

struct Unpackable {
  int value = 0;
};
int Add(int a, int b);
int Take(Unpackable value);
Unpackable Give();
class Counter {
 public:
  int Add(int by);
};
class Other {
 public:
  int Read();
};
Counter* MakeCounter(int start);
inline penstock::ActorHandle<Counter> counter;
inline penstock::ObjectRef<std::string> text;
inline penstock::Array<int> numbers;

#endif  // PENSTOCK_TESTS_INTEGRATION_COMPILE_ERRORS_FUNCTIONS_H_
