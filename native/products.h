// One product with a weight, forward or transposed, on all threads: what training calls, one operation at a time.
#pragma once
#include "section.h"
#include "threads.h"

namespace homezoo {

// y[T, N] = x[T, K] W^T, the bits of the engine: activations rounded to int8 where the weight is quantised, or not
// rounded when `exact`.
void matmul(Threads& threads, const Section& section, int type, const Weight& weight, int rows, const float* x,
            int tokens, bool exact, float* y);

// dx[T, K] = dy[T, N] W, in exact floats or with dy and W rounded to int8 in blocks of 32 rows.
void input_gradient(Threads& threads, const Section& section, int type, const Weight& weight, int rows, const float* dy,
                    int tokens, bool int8, float* dx);

// c[M, N] (+)= a b with the sum over R: a [M, R] or, turned, [R, M]; b [R, N] or, turned, [N, R]. The sums are those of
// exact input gradients.
struct FloatMatrix {
  const float* data;
  int rows, columns;  // as it lies
  bool turned;
  int height() const { return turned ? columns : rows; }
  int width() const { return turned ? rows : columns; }
};
void multiply(Threads& threads, const Section& section, const FloatMatrix& a, const FloatMatrix& b, bool add, float* c);

}  // namespace homezoo
