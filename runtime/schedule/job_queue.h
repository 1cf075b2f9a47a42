// JobQueue: what one job waits for, requests of one shape together.
//
// Equal requests fit or do not fit together, so a decision looks at shapes and not at
// requests: a job that asks for the same thing 100,000 times is one shape.
// Thread safety: one thread.
#ifndef PENSTOCK_RUNTIME_SCHEDULE_JOB_QUEUE_H_
#define PENSTOCK_RUNTIME_SCHEDULE_JOB_QUEUE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/schedule/lease.h"
#include "runtime/schedule/request_queue.h"

namespace penstock {

struct Shape {
  Resources needed;
  Resources kept;
  bool dedicated = false;
  RequestQueue requests;

  // About the oldest request: how often a later one of its job was granted while it did not
  // fit, and, since that was too often, all the amounts that it lacked at one time or other.
  uint32_t passes = 0;
  Resources lacked;

  void ForgetPasses() {
    passes = 0;
    lacked = Resources();
  }
};

class JobQueue {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  // In no order; none of them is empty, except between Take and DropEmptyShapes.
  const std::vector<std::unique_ptr<Shape>>& shapes() const { return shapes_; }

  // False: it would be one shape more than `most_shapes`. O(shapes).
  bool Push(LeaseRequest request, uint32_t most_shapes);
  // O(shapes x log requests).
  bool Cancel(RequestId id);
  // The oldest request of `shape`, which stays even if it is empty now. O(1).
  RequestId Take(Shape& shape);
  void DropEmptyShapes();

 private:
  std::vector<std::unique_ptr<Shape>> shapes_;
  size_t size_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_RUNTIME_SCHEDULE_JOB_QUEUE_H_
