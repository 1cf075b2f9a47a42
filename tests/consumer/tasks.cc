// A task and an actor, each in a process of its own, and an array that crosses uncopied.
#include <iostream>
#include <numeric>

#include <penstock/array_value.h>
#include <penstock/runtime.h>

double Sum(const penstock::Array<double>& numbers) {
  return std::accumulate(numbers.values().begin(), numbers.values().end(), 0.0);
}

struct Counter {
  int total = 0;
  int Add(int n) { return total += n; }
};
Counter* MakeCounter() { return new Counter(); }
PENSTOCK_REMOTE(Sum, MakeCounter, &Counter::Add);

int main() {
  penstock::Init();  // first: in a worker it serves calls and does not return
  const auto numbers = penstock::Array<double>::Ones(1'000'000);
  const auto sum = penstock::Task(Sum).Remote(numbers);
  const auto counter = penstock::Actor(MakeCounter).Remote();
  counter.Task(&Counter::Add).Remote(1);
  const auto total = counter.Task(&Counter::Add).Remote(2);
  std::cout << "the sum is " << *penstock::Get(sum) << ", the total " << *total.Get() << "\n";
  penstock::Shutdown();
}
