// Writes a matrix into the node's store, and reads it where it lies.
#include <iostream>
#include <numeric>

#include <penstock/array.h>
#include <penstock/client.h>

int main() {
  auto client = penstock::Client::Connect();  // to this node's penstockd
  if (!client.ok()) {
    std::cerr << client.status().message() << "\n";
    return 1;
  }
  auto matrix = penstock::ArrayBuilder<double>::Create(*client, {1000, 1000}).value();
  std::iota(matrix.values().begin(), matrix.values().end(), 0.0);
  penstock::ObjectId id = matrix.Seal().value();  // now nobody can change it
  // Any process that has the id borrows the same memory: no copy, no system call.
  auto view = penstock::ArrayView<double>::Get(*client, id).value();
  std::cout << "object " << id.ToHex() << " ends with " << view.values().back() << "\n";
}
