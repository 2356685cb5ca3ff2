// Queries against the key-value cache, one pass, no matrix of scores.
// Each cache block of 64 positions gives its maximum, sum and weighted values; blocks are merged in order, so the
// bits do not depend on which queries are computed together (Dao et al. 2022, online softmax).
// No include guard: each section includes this file inside its own namespace.

static constexpr int kPage = 64;  // positions in one cache block

static void load_cache_row(const uint8_t* row, int width, bool q8, float* out) {
  if (!q8) {
    int i = 0;
    for (; i + 8 <= width; i += 8) store8(out + i, load_half8(row + 2 * i));
    for (; i < width; i++) out[i] = half_to_float(read16(row + 2 * i));
    return;
  }
  for (int b = 0; b < width / 32; b++, row += 34) {
    const Floats8 scale = set8(half_to_float(read16(row)));
    for (int i = 0; i < 32; i += 8)
      store8(out + 32 * b + i, mul8(scale, load_int8x8(reinterpret_cast<const int8_t*>(row + 2 + i))));
  }
}

static void store_cache_row(const float* x, int width, uint8_t* row, bool q8) {
  if (!q8) {
    int i = 0;
    for (; i + 8 <= width; i += 8) store_half8(row + 2 * i, load8(x + i));
    for (; i < width; i++) {
      const uint16_t h = float_to_half(x[i]);
      std::memcpy(row + 2 * i, &h, 2);
    }
    return;
  }
  for (int b = 0; b < width / 32; b++, row += 34) {
    const uint16_t scale = float_to_half(round_block(x + 32 * b, 32, reinterpret_cast<int8_t*>(row + 2)));
    std::memcpy(row, &scale, 2);
  }
}

// scores[q][i] = scale * (query q . keys[i]) for Q queries; eight partial sums each. Four positions and two queries
// share each other's loads, which are the limit otherwise.
template <int Q>
static void score_rows(const float* const* queries, const float* keys, int width, int n, float scale, float* scores) {
  const int whole = width / 8 * 8, rest = width - whole;
  for (int i = 0; i < n; i += 4) {
    const float* row[4];
    for (int j = 0; j < 4; j++) row[j] = keys + size_t(i + j < n ? i + j : n - 1) * size_t(width);
    Floats8 sum[Q][4];
    for (int q = 0; q < Q; q++)
      for (int j = 0; j < 4; j++) sum[q][j] = zero8();
    for (int k = 0; k < whole; k += 8)
      for (int j = 0; j < 4; j++) {
        const Floats8 key = load8(row[j] + k);
        for (int q = 0; q < Q; q++) sum[q][j] = fma8(load8(queries[q] + k), key, sum[q][j]);
      }
    if (rest)
      for (int j = 0; j < 4; j++)
        for (int q = 0; q < Q; q++)
          sum[q][j] = fma8(load8(queries[q] + whole, rest), load8(row[j] + whole, rest), sum[q][j]);
    for (int q = 0; q < Q; q++) {
      float four[4];
#if defined(HOMEZOO_SUMS4)
      sums4(sum[q][0], sum[q][1], sum[q][2], sum[q][3], four);
#else
      for (int j = 0; j < 4; j++) four[j] = sum8(sum[q][j]);
#endif
      for (int j = 0; j < 4; j++) scores[q * kPage + i + j] = four[j] * scale;  // beyond n: not read
    }
  }
}

// 8 * N values of Q queries' sums; eight independent chains keep both multiply-add units of a core busy.
template <int Q, int N>
static void weigh_columns(const float* weights, const float* values, int width, int begin, int n, float* out) {
  Floats8 sum[Q][N];
  for (int q = 0; q < Q; q++)
    for (int j = 0; j < N; j++) sum[q][j] = begin ? load8(out + q * width + 8 * j) : zero8();
  for (int i = begin; i < n; i++) {
    Floats8 w[Q];
    for (int q = 0; q < Q; q++) w[q] = set8(weights[q * kPage + i]);
    for (int j = 0; j < N; j++) {
      const Floats8 v = load8(values + size_t(i) * size_t(width) + 8 * j);
      for (int q = 0; q < Q; q++) sum[q][j] = fma8(w[q], v, sum[q][j]);
    }
  }
  for (int q = 0; q < Q; q++)
    for (int j = 0; j < N; j++) store8(out + q * width + 8 * j, sum[q][j]);
}

// out[q][e] = sum over i of weights[q][i] * values[i][e], a chain in the order of i, for columns e from `first` on; it
// goes on from what `out` has where `begin` is not 0.
template <int Q>
static void weigh_rows(const float* weights, const float* values, int width, int begin, int n, float* out,
                       int first = 0) {
  int e = first;
  for (; e + 64 / Q <= width; e += 64 / Q) weigh_columns<Q, 8 / Q>(weights, values + e, width, begin, n, out + e);
  for (; e + 8 <= width; e += 8) weigh_columns<Q, 1>(weights, values + e, width, begin, n, out + e);
  if (e == width) return;
  for (int q = 0; q < Q; q++) {
    Floats8 sum = begin ? load8(out + q * width + e, width - e) : zero8();
    for (int i = begin; i < n; i++)
      sum = fma8(set8(weights[q * kPage + i]), load8(values + size_t(i) * size_t(width) + e, width - e), sum);
    store8(out + q * width + e, sum, width - e);
  }
}

template <int Q>
static void weigh_page(const float* weights, const float* values, int width, int n, float* out) {
  weigh_rows<Q>(weights, values, width, 0, n, out);
}

#ifdef HOMEZOO_AVX512
#include "attention_512.h"
#else
static constexpr int kTogether = 2;  // queries whose sums fit the registers
#endif

static float highest_of(const float* scores, int n) {
  float highest = scores[0];
  int i = 0;
  if (n >= 8) {
    Floats8 top = load8(scores);
    for (i = 8; i + 8 <= n; i += 8) top = max8(top, load8(scores + i));
    highest = highest8(top);
  }
  for (; i < n; i++) highest = scores[i] > highest ? scores[i] : highest;
  return highest;
}

// In place: scores become e^(score - highest); returns their sum. Rows beyond n up to a multiple of 8 become 0.
static float soften(float* scores, int n, float highest) {
  Floats8 total = zero8();
  int i = 0;
#ifdef HOMEZOO_AVX512
  for (; i + 16 <= n; i += 16) total = soften_sixteen(scores + i, highest, total);
#endif
  for (; i + 8 <= n; i += 8) {
    const Floats8 p = exp8(sub8(load8(scores + i), set8(highest)));
    total = add8(total, p);
    store8(scores + i, p);
  }
  if (i < n) {
    float last[8];
    store8(last, exp8(sub8(load8(scores + i, n - i), set8(highest))));
    const Floats8 p = load8(last, n - i);
    total = add8(total, p);
    store8(scores + i, p);
  }
  return sum8(total);
}

struct Softmax {
  float highest, sum;
};

// Adds one block's part (its own maximum, sum and weighted values) to the running result of a query. `factor` is
// e^-(distance of the two maxima), which takes down the lower one.
static void merge_block(Softmax& all, float* out, float highest, float sum, float factor, const float* part,
                        int width) {
  const bool higher = highest > all.highest;
  const float keep = higher ? factor : 1.0f, take = higher ? 1.0f : factor;
  all = {higher ? highest : all.highest, fma1(sum, take, all.sum * keep)};
  each8(size_t(width), [&](size_t i, int lanes) {
    const Floats8 old = mul8(load_some8(out + i, lanes), set8(keep));
    store_some8(out + i, fma8(load_some8(part + i, lanes), set8(take), old), lanes);
  });
}

// What weighted values are multiplied by in the end: 1 / sum, the sum with the sink's share where there is one.
static float share(const Softmax& all, const float* sink) {
  if (!sink) return 1.0f / all.sum;
  const float top = *sink > all.highest ? *sink : all.highest, keep = exp1(all.highest - top);
  return keep / fma1(all.sum, keep, exp1(*sink - top));
}

// One query against the positions of a page that it sees: n of them, the first `from` rows into the page.
struct PageQuery {
  const AttentionJob* job;
  int head, from, n;
  Softmax* state;
  float* out;
};

// Q queries that see the page from the same position on; keys and values are its rows from there.
template <int Q>
static void attend_page(const PageQuery* query, int page, const float* keys, const float* values, float* scores,
                        float* part) {
  const int width = query->job->width, from = query->from;
  const float* rows[Q];
  int most = query->n, fewest = query->n;
  for (int q = 0; q < Q; q++) {
    rows[q] = query[q].job->queries + query[q].head * width;
    most = query[q].n > most ? query[q].n : most;
    fewest = query[q].n < fewest ? query[q].n : fewest;
  }
  score_rows<Q>(rows, keys, width, most, query->job->scale, scores);
  float highest[Q], sum[Q], factor[8] = {};
  for (int q = 0; q < Q; q++) {
    const AttentionJob& job = *query[q].job;
    const int n = query[q].n;
    float* mine = scores + q * kPage;
    if (job.cap > 0) soft_cap(mine, job.cap, size_t(n), mine);
    if (job.slopes)
      for (int i = 0; i < n; i++)
        mine[i] = fma1(job.slopes[query[q].head], float(page * kPage + from + i - job.last), mine[i]);
    highest[q] = highest_of(mine, n);
    sum[q] = soften(mine, n, highest[q]);
    if (page == job.first / kPage) continue;
    const float before = query[q].state->highest;
    factor[q] = highest[q] > before ? before - highest[q] : highest[q] - before;
  }
  weigh_page<Q>(scores, values, width, fewest, part);
  for (int q = 0; q < Q; q++)  // neighbouring tokens: a position or two more
    if (query[q].n > fewest)
      weigh_rows<1>(scores + q * kPage, values, width, fewest, query[q].n, part + q * width);
  store8(factor, exp8(load8(factor)));
  for (int q = 0; q < Q; q++) {
    if (page != query[q].job->first / kPage) {
      merge_block(*query[q].state, query[q].out, highest[q], sum[q], factor[q], part + q * width, width);
    } else {
      *query[q].state = {highest[q], sum[q]};
      std::memcpy(query[q].out, part + q * width, size_t(width) * sizeof(float));
    }
  }
}

// Neighbouring queries wait here until kTogether of them see a page from the same position on.
struct PageQueries {
  PageQuery waiting[kTogether];
  int count = 0;

  template <int Q>
  void attend(int page, const float* keys, const float* values, float* scores, float* part) {
    int i = 0;
    const int from = waiting->from * waiting->job->width;
    for (; i + Q <= count; i += Q) attend_page<Q>(waiting + i, page, keys + from, values + from, scores, part);
    if (i == count) return;
    std::memmove(waiting, waiting + i, sizeof(PageQuery) * size_t(count - i));
    count -= i;
    if constexpr (Q > 1) attend<Q / 2>(page, keys, values, scores, part);
  }
};

// Scratch: 2 * 64 * width floats for a block's keys and values, the parts and the scores of kTogether queries, and a
// Softmax for each query.
static void attend(const AttentionJob* jobs, int count, float* scratch) {
  const int width = jobs[0].width, heads = jobs[0].heads;
  float* keys = scratch;
  float* values = keys + kPage * width;
  float* part = values + kPage * width;
  float* scores = part + kTogether * width;
  Softmax* state = reinterpret_cast<Softmax*>(scores + kTogether * kPage);
  int first = jobs[0].first, last = jobs[0].last;
  for (int j = 1; j < count; j++) {
    if (jobs[j].first < first) first = jobs[j].first;
    if (jobs[j].last > last) last = jobs[j].last;
  }
  for (int page = first / kPage; page <= last / kPage; page++) {
    const size_t at = size_t(jobs[0].table[page]) * jobs[0].block_bytes;
    const int low = page == first / kPage ? first % kPage : 0;
    const int high = page == last / kPage ? last % kPage : kPage - 1;
    for (int i = low; i <= high; i++) {
      load_cache_row(jobs[0].keys + at + size_t(i) * jobs[0].row_bytes, width, jobs[0].q8, keys + i * width);
      load_cache_row(jobs[0].values + at + size_t(i) * jobs[0].row_bytes, width, jobs[0].q8, values + i * width);
    }
    PageQueries together;
    const auto attend_waiting = [&] {
      together.attend<kTogether>(page, keys, values, scores, part);
      together.count = 0;
    };
    for (int j = 0; j < count; j++) {
      const AttentionJob& job = jobs[j];
      if (page < job.first / kPage || page > job.last / kPage) continue;
      const int from = page == job.first / kPage ? job.first % kPage : 0;
      const int n = (page == job.last / kPage ? job.last % kPage : kPage - 1) - from + 1;
      if (together.count && together.waiting->from != from) attend_waiting();
      for (int h = 0; h < heads; h++) {
        together.waiting[together.count++] = {&job, h, from, n, state + j * heads + h, job.output + h * width};
        if (together.count == kTogether) attend_waiting();
      }
    }
    attend_waiting();
  }
  for (int j = 0; j < count; j++)
    for (int h = 0; h < heads; h++) {
      float* out = jobs[j].output + h * width;
      const Floats8 inverse = set8(share(state[j * heads + h], jobs[j].sinks ? jobs[j].sinks + h : nullptr));
      each8(size_t(width), [&](size_t i, int lanes) {
        store_some8(out + i, mul8(load_some8(out + i, lanes), inverse), lanes);
      });
    }
}
