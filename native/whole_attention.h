// Attention of one head inside one whole sequence, without a cache, and its gradients: what training computes.
// Scores of a block of queries are kept in floats; all products go through the register tiles of input_gradient.h.
// Meanings: src/homezoo/ops/reference_gradient.py.
// No include guard: each section includes this file inside its own namespace, after input_gradient.h.

static constexpr int kQueries = 48;  // of a block: whole register tiles, and its scores stay in the second-level cache

static inline int to_columns(int n) { return (n + kColumns - 1) / kColumns * kColumns; }

// Rows of x [n, width] as panels [width / kColumns][n][kColumns], with zeros to the right.
static void pack_rows(const float* x, size_t stride, int n, int width, float* panels) {
  for (int e = 0; e < width; e += kColumns) {
    const int count = width - e < kColumns ? width - e : kColumns;
    for (int i = 0; i < n; i++, panels += kColumns) {
      std::memcpy(panels, x + size_t(i) * stride + e, sizeof(float) * size_t(count));
      std::memset(panels + count, 0, sizeof(float) * size_t(kColumns - count));
    }
  }
}

// C [count, columns] of one panel: A times its rows, or (turned) the transpose of A, whose rows are then those summed.
template <bool turned>
static void times_panel(const float* a, size_t a_stride, int count, const float* panel, int rows, float* c,
                        size_t c_stride, int columns, bool first) {
  const size_t step = turned ? 1 : a_stride;
  int t = 0;
  const auto tile = [&](auto kernel) {
    kernel(panel, rows, a + size_t(t) * step, a_stride, c + size_t(t) * c_stride, c_stride, columns, first);
  };
  for (; t + 6 <= count; t += 6) tile(gradient_tile<6, turned>);
  for (; t + 2 <= count; t += 2) tile(gradient_tile<2, turned>);
  for (; t < count; t++) tile(gradient_tile<1, turned>);
}

// The same with all panels of a matrix `width` wide, each of `all` rows, of which `rows` from `from` on are summed.
template <bool turned>
static void times_panels(const float* a, size_t a_stride, int count, const float* panels, int all, int from, int rows,
                         float* c, size_t c_stride, int width, bool first) {
  for (int e = 0; e < width; e += kColumns, panels += size_t(all) * kColumns)
    times_panel<turned>(a, a_stride, count, panels + size_t(from) * kColumns, rows, c + e, c_stride,
                        width - e < kColumns ? width - e : kColumns, first);
}

// A block of queries: keys from `low` (a whole number of panels) to `high` may be seen by some of them.
struct QueryBlock {
  int first, count, low, high;
  QueryBlock(const WholeAttention& a, int from) : first(from) {
    count = a.length - from < kQueries ? a.length - from : kQueries;
    const int seen = a.window > 0 && from + 1 > a.window ? from + 1 - a.window : 0;
    low = seen / kColumns * kColumns;
    high = from + count;
  }
  int width() const { return to_columns(high - low); }
};

// Products of queries (or gradients) with turned panels of keys (or values): [count, stride] from key `low` on.
static void block_scores(const WholeAttention& a, const QueryBlock& b, const float* rows, size_t row_stride,
                         const float* turned, float* scores, size_t stride) {
  for (int j = b.low; j < b.high; j += kColumns)
    times_panel<false>(rows + size_t(b.first) * row_stride, row_stride, b.count, turned + size_t(j) * size_t(a.width),
                       a.width, scores + (j - b.low), stride, kColumns, true);
}

// Scores of query i to weights e^(score - most), 0 where it does not look; `most` is found first unless it is known.
static float weigh(const WholeAttention& a, const QueryBlock& b, int i, float* scores, float& most, bool known) {
  const int from = a.window > 0 && i + 1 > a.window ? i + 1 - a.window : 0;
  const int begin = from - b.low, end = i + 1 - b.low;
  for (int c = 0; c < begin; c++) scores[c] = 0;
  for (int c = end; c < b.width(); c++) scores[c] = 0;
  for (int c = begin; c < end; c++) scores[c] = a.scale * scores[c] + a.slope * float(c - end + 1);
  float* seen = scores + begin;
  if (!known) {
    Floats8 highest = set8(seen[0]);
    each8(size_t(end - begin), [&](size_t k, int lanes) {
      if (lanes == 8) highest = max8(highest, load8(seen + k));
      else for (int c = 0; c < lanes; c++) highest = max8(highest, set8(seen[k + size_t(c)]));
    });
    most = highest8(highest);
  }
  Floats8 total = zero8();
  each8(size_t(end - begin), [&](size_t k, int lanes) {
    const Floats8 weight = exp8(sub8(load_some8(seen + k, lanes), set8(most)));
    store_some8(seen + k, weight, lanes);
    total = add8(total, lanes == 8 ? weight : load_some8(seen + k, lanes));
  });
  return sum8(total);
}

static void scale_row(float* x, int n, float factor) {
  for (int i = 0; i < n; i++) x[i] *= factor;
}

static void attend_whole(const WholeAttention& a, float* scratch) {
  const int padded = to_columns(a.length), wide = to_columns(a.width);
  float* keys = scratch;
  float* values = keys + size_t(padded) * size_t(a.width);
  float* scores = values + size_t(a.length) * size_t(wide);
  pack_turned(a.k, a.kv_stride, a.length, a.width, keys);
  pack_rows(a.v, a.kv_stride, a.length, a.width, values);
  for (int i = 0; i < a.length; i += kQueries) {
    const QueryBlock b(a, i);
    const size_t stride = size_t(b.width());
    block_scores(a, b, a.q, a.q_stride, keys, scores, stride);
    for (int q = 0; q < b.count; q++) {
      float* most = a.stats + size_t(i + q) * a.stats_stride;
      most[1] = 1.0f / weigh(a, b, i + q, scores + size_t(q) * stride, most[0], false);
    }
    times_panels<false>(scores, stride, b.count, values, a.length, b.low, b.high - b.low,
                        a.out + size_t(i) * a.q_stride, a.q_stride, a.width, true);
    for (int q = 0; q < b.count; q++)
      scale_row(a.out + size_t(i + q) * a.q_stride, a.width, a.stats[size_t(i + q) * a.stats_stride + 1]);
  }
}

// Weights and their gradients of a block to gradients of scores: weight (d_weight - what the query's weights share).
static void score_gradients(const WholeAttention& a, const QueryBlock& b, float* weights, float* gradients,
                            size_t stride) {
  for (int q = 0; q < b.count; q++) {
    const size_t i = size_t(b.first + q), at = i * a.q_stride;
    float most = a.stats[i * a.stats_stride];
    const float share = a.stats[i * a.stats_stride + 1];
    float *p = weights + size_t(q) * stride, *g = gradients + size_t(q) * stride;
    weigh(a, b, int(i), p, most, true);
    Floats8 along = zero8();
    each8(size_t(a.width), [&](size_t k, int lanes) {
      along = fma8(load_some8(a.d_out + at + k, lanes), load_some8(a.out + at + k, lanes), along);
    });
    const float shared = sum8(along);
    for (int c = 0; c < int(stride); c++) {
      p[c] *= share;
      g[c] = a.scale * (p[c] * (g[c] - shared));
    }
  }
}

static void attend_whole_gradient(const WholeAttention& a, float* scratch) {
  const int padded = to_columns(a.length), wide = to_columns(a.width);
  const size_t turned = size_t(padded) * size_t(a.width), straight = size_t(a.length) * size_t(wide);
  float *keys = scratch, *values = keys + turned, *key_rows = values + turned, *query_rows = key_rows + straight;
  float *out_rows = query_rows + straight, *weights = out_rows + straight;
  float* gradients = weights + size_t(kQueries) * size_t(padded);
  pack_turned(a.k, a.kv_stride, a.length, a.width, keys);
  pack_turned(a.v, a.kv_stride, a.length, a.width, values);
  pack_rows(a.k, a.kv_stride, a.length, a.width, key_rows);
  pack_rows(a.q, a.q_stride, a.length, a.width, query_rows);
  pack_rows(a.d_out, a.q_stride, a.length, a.width, out_rows);
  for (int i = 0; i < a.length; i++) {
    std::memset(a.d_k + size_t(i) * a.q_stride, 0, sizeof(float) * size_t(a.width));
    std::memset(a.d_v + size_t(i) * a.q_stride, 0, sizeof(float) * size_t(a.width));
  }
  for (int i = 0; i < a.length; i += kQueries) {
    const QueryBlock b(a, i);
    const size_t stride = size_t(b.width()), at = size_t(b.low) * a.q_stride;
    const int keys_seen = b.high - b.low;
    block_scores(a, b, a.q, a.q_stride, keys, weights, stride);
    block_scores(a, b, a.d_out, a.q_stride, values, gradients, stride);
    score_gradients(a, b, weights, gradients, stride);
    times_panels<false>(gradients, stride, b.count, key_rows, a.length, b.low, keys_seen,
                        a.d_q + size_t(i) * a.q_stride, a.q_stride, a.width, true);
    times_panels<true>(weights, stride, keys_seen, out_rows, a.length, i, b.count, a.d_v + at, a.q_stride, a.width,
                       false);
    times_panels<true>(gradients, stride, keys_seen, query_rows, a.length, i, b.count, a.d_k + at, a.q_stride, a.width,
                       false);
  }
}
