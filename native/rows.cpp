#include "rows.h"

#include <algorithm>
#include <mutex>

namespace homezoo {
namespace {

constexpr size_t kRun = 1 << 15;  // values of a task: 128 KB, far more work than dealing it out

// work(begin, end) for runs of `count` things of `each` values.
template <class Work>
void share_runs(Threads& threads, size_t count, size_t each, Work work) {
  const size_t run = std::max<size_t>(1, kRun / std::max<size_t>(1, each)), tasks = (count + run - 1) / run;
  const std::lock_guard<std::mutex> alone(threads.in_use());
  threads.share(int(tasks), [&](int task, int) {
    const size_t begin = size_t(task) * run;
    work(begin, std::min(count, begin + run));
  });
}

}  // namespace

void rms_norm(Threads& threads, const Section& section, const float* dy, const float* x, const float* weight, float eps,
              int rows, int width, float* out) {
  share_runs(threads, size_t(rows), size_t(width), [&](size_t begin, size_t end) {
    for (size_t at = begin * size_t(width); at < end * size_t(width); at += size_t(width)) {
      if (dy) section.rms_norm_gradient(dy + at, x + at, weight, eps, width, out + at);
      else section.rms_norm(x + at, weight, eps, width, out + at);
    }
  });
}

void silu_mul(Threads& threads, const Section& section, const float* gate, const float* up, size_t n, float* y) {
  share_runs(threads, n, 1, [&](size_t begin, size_t end) {
    section.silu_mul(gate + begin, up + begin, end - begin, y + begin);
  });
}

void silu_mul_gradient(Threads& threads, const Section& section, const float* dy, const float* gate, const float* up,
                       size_t n, float* d_gate, float* d_up) {
  share_runs(threads, n, 1, [&](size_t begin, size_t end) {
    section.silu_mul_gradient(dy + begin, gate + begin, up + begin, end - begin, d_gate + begin, d_up + begin);
  });
}

void rotate(Threads& threads, const Section& section, const float* x, const Turn& turn, int rows, int width, float* y) {
  share_runs(threads, size_t(rows), size_t(width), [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; t++)
      section.rotate(x + t * size_t(width), turn.cosine + t * size_t(turn.pairs), turn.sine + t * size_t(turn.pairs),
                     turn.pairs, turn.head_width, width, turn.halves, turn.back, y + t * size_t(width));
  });
}

}  // namespace homezoo
