// Finding a request's shape, and keeping the count.
#include "runtime/schedule/job_queue.h"

#include <algorithm>
#include <utility>

namespace penstock {

bool JobQueue::Push(LeaseRequest request, uint32_t most_shapes) {
  auto found = std::find_if(shapes_.begin(), shapes_.end(), [&](const auto& shape) {
    return shape->dedicated == request.dedicated && shape->needed == request.needed &&
           shape->kept == request.kept;
  });
  if (found == shapes_.end()) {
    if (shapes_.size() >= most_shapes) return false;
    auto shape = std::make_unique<Shape>();
    shape->needed = std::move(request.needed);
    shape->kept = std::move(request.kept);
    shape->dedicated = request.dedicated;
    found = shapes_.insert(shapes_.end(), std::move(shape));
  }
  (*found)->requests.Push(request.id);
  ++size_;
  return true;
}

bool JobQueue::Cancel(RequestId id) {
  for (const auto& shape : shapes_) {
    const RequestId oldest = shape->requests.front();
    if (!shape->requests.Cancel(id)) continue;
    if (oldest == id) shape->ForgetPasses();
    --size_;
    if (shape->requests.empty()) DropEmptyShapes();
    return true;
  }
  return false;
}

RequestId JobQueue::Take(Shape& shape) {
  shape.ForgetPasses();
  --size_;
  return shape.requests.Pop();
}

void JobQueue::DropEmptyShapes() {
  std::erase_if(shapes_, [](const auto& shape) { return shape->requests.empty(); });
}

}  // namespace penstock
