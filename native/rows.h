// Norm, gated unit and rotation with their gradients, row by row on all threads: what training calls one at a time.
#pragma once
#include "section.h"
#include "threads.h"

namespace homezoo {

// x [rows, width], each `width` values a row of their own with the weight [width]. dy: its gradient, or null forward.
void rms_norm(Threads& threads, const Section& section, const float* dy, const float* x, const float* weight, float eps,
              int rows, int width, float* out);

// silu(gate) * up, n values each.
void silu_mul(Threads& threads, const Section& section, const float* gate, const float* up, size_t n, float* y);
void silu_mul_gradient(Threads& threads, const Section& section, const float* dy, const float* gate, const float* up,
                       size_t n, float* d_gate, float* d_up);

// Heads of x [rows, width] turned by angles with cosine and sine [rows, pairs]; `back` turns the other way.
struct Turn {
  const float *cosine, *sine;
  int pairs, head_width;
  bool halves, back;
};
void rotate(Threads& threads, const Section& section, const float* x, const Turn& turn, int rows, int width, float* y);

}  // namespace homezoo
