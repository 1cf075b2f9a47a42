// Element-wise passes over arrays of float and double: what a parameter server does all day.
// Not for users: they are beneath Array<T>.
//
// Each is one pass over memory without temporaries: every input is read once, the output
// written once. They are chosen at run time by what the processor has; an output of
// StreamingBytes() and more is written past the caches. Every choice gives the same bits as
// a plain loop over the elements: no contraction, no other order of additions.
//
// Spans need no alignment beyond that of their elements; outputs aligned to 64 bytes (as all
// objects are) are fastest. An output may be the very same span as an input; otherwise they
// do not overlap. A wrong number of elements is a bug and aborts.
//
// Thread safety: any number of threads at once. Cost: the memory traffic; no system call,
// no allocation. Each call ends with a store fence if it streamed, so that a later
// publication of the output is seen after its elements.
#ifndef PENSTOCK_INTERNAL_KERNELS_H_
#define PENSTOCK_INTERNAL_KERNELS_H_

#include <cstddef>
#include <span>

namespace penstock::ps {

// T is float or double in all that follows.

// out[i] = value
template <typename T>
void Fill(std::span<T> out, T value);

// out[i] = ((base[i] + updates[0][i]) + updates[1][i]) + ... in one pass, for any number of
// updates. updates[k] points to out.size() elements.
//
// Fused so, k updates move k + 2 times the bytes of the output, one after the other 3 k
// times; and the result is the same to the last bit.
template <typename T>
void AddUpdates(std::span<T> out, std::span<const T> base, std::span<const T* const> updates);

// out[i] = a * x[i] + b, rounded twice.
template <typename T>
void ScaleAdd(std::span<T> out, std::span<const T> x, T a, T b);

// out = parts[0], parts[1], ... one after the other. The parts have out.size() elements in
// sum and may not overlap the output at all.
template <typename T>
void Gather(std::span<T> out, std::span<const std::span<const T>> parts);

// Whether every value == x. NaN equals nothing, 0.0 equals -0.0.
template <typename T>
bool AllEqual(std::span<const T> values, T x);

}  // namespace penstock::ps

#endif  // PENSTOCK_INTERNAL_KERNELS_H_
