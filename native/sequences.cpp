#include "sequences.h"

#include <algorithm>
#include <memory>
#include <mutex>

namespace homezoo {

void attend_sequences(Threads& threads, const Section& section, const Sequences& form, const SequenceArrays& arrays,
                      bool gradient) {
  const std::lock_guard<std::mutex> alone(threads.in_use());
  int longest = 0;
  for (int s = 0; s < form.count; s++) longest = std::max(longest, form.starts[s + 1] - form.starts[s]);
  const size_t floats = whole_attention_scratch(longest, form.width);
  const std::unique_ptr<float[]> scratch(new float[floats * size_t(threads.count())]);
  const size_t width = size_t(form.width), row = size_t(form.heads) * width, kv_row = size_t(form.groups) * width;
  threads.share(form.count * form.heads, [&](int task, int thread) {
    const int sequence = task / form.heads, head = task % form.heads, group = head / (form.heads / form.groups);
    const size_t first = size_t(form.starts[sequence]);
    const size_t at = first * row + size_t(head) * width, kv_at = first * kv_row + size_t(group) * width;
    WholeAttention a{};
    a.q = arrays.q + at, a.k = arrays.k + kv_at, a.v = arrays.v + kv_at;
    a.q_stride = row, a.kv_stride = kv_row;
    a.length = form.starts[sequence + 1] - form.starts[sequence];
    a.width = form.width, a.window = form.window, a.scale = form.scale;
    a.slope = form.slopes ? form.slopes[head] : 0.0f;
    a.out = arrays.out + at;
    a.stats = arrays.stats + 2 * (first * size_t(form.heads) + size_t(head));
    a.stats_stride = 2 * size_t(form.heads);
    if (gradient) a.d_out = arrays.d_out + at, a.d_q = arrays.d_q + at, a.d_k = arrays.d_k + at, a.d_v = arrays.d_v + at;
    (gradient ? section.attend_whole_gradient : section.attend_whole)(a, scratch.get() + floats * size_t(thread));
  });
}

}  // namespace homezoo
