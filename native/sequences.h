// Attention inside the whole sequences of a batch, without a cache, and its gradients, on all threads.
#pragma once
#include "section.h"
#include "threads.h"

namespace homezoo {

struct Sequences {
  const int32_t* starts;  // [count + 1]: sequence s has the tokens starts[s] .. starts[s + 1] - 1
  int count;
  int heads, groups, width;  // H query heads share G key-value heads, E values each
  float scale;
  int window;           // positions seen, or 0 for all
  const float* slopes;  // [heads] or null
};

// q, out [T, heads * width], k, v [T, groups * width]; stats [T, heads, 2] is what the gradient wants to know again.
struct SequenceArrays {
  const float *q, *k, *v;
  float *out, *stats;
  const float* d_out;
  float *d_q, *d_k, *d_v;  // d_k and d_v of each query head: [T, heads * width]
};

void attend_sequences(Threads& threads, const Section& section, const Sequences& form, const SequenceArrays& arrays,
                      bool gradient);

}  // namespace homezoo
