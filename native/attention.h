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

// scores[i] = scale * (query . keys[i]); eight partial sums each, four positions share the query's loads.
static void score_rows(const float* query, const float* keys, int width, int pitch, int n, float scale,
                       float* scores) {
  const int whole = width / 8 * 8, rest = width - whole;
  for (int i = 0; i < n; i += 4) {
    const float* row[4];
    for (int j = 0; j < 4; j++) row[j] = keys + size_t(i + j < n ? i + j : n - 1) * size_t(pitch);
    Floats8 sum[4] = {zero8(), zero8(), zero8(), zero8()};
    for (int k = 0; k < whole; k += 8) {
      const Floats8 q = load8(query + k);
      for (int j = 0; j < 4; j++) sum[j] = fma8(q, load8(row[j] + k), sum[j]);
    }
    if (rest) {
      const Floats8 q = load8(query + whole, rest);
      for (int j = 0; j < 4; j++) sum[j] = fma8(q, load8(row[j] + whole, rest), sum[j]);
    }
    float four[4];
#if defined(HOMEZOO_SUMS4)
    sums4(sum[0], sum[1], sum[2], sum[3], four);
#else
    for (int j = 0; j < 4; j++) four[j] = sum8(sum[j]);
#endif
    for (int j = 0; j < 4 && i + j < n; j++) scores[i + j] = four[j] * scale;
  }
}

// 8 * N values from e on; eight independent chains keep both multiply-add units of a core busy.
template <int N>
static void weigh_columns(const float* weights, const float* values, int pitch, int n, float* out) {
  Floats8 sum[N];
  for (int j = 0; j < N; j++) sum[j] = zero8();
  for (int i = 0; i < n; i++) {
    const Floats8 w = set8(weights[i]);
    const float* v = values + size_t(i) * size_t(pitch);
    for (int j = 0; j < N; j++) sum[j] = fma8(w, load8(v + 8 * j), sum[j]);
  }
  for (int j = 0; j < N; j++) store8(out + 8 * j, sum[j]);
}

// out[e] = sum over i of weight[i] * values[i][e], a chain in the order of i.
static void weigh_rows(const float* weights, const float* values, int width, int pitch, int n, float* out) {
  int e = 0;
  for (; e + 64 <= width; e += 64) weigh_columns<8>(weights, values + e, pitch, n, out + e);
  for (; e + 16 <= width; e += 16) weigh_columns<2>(weights, values + e, pitch, n, out + e);
  for (; e < width; e += 8) {
    const int lanes = width - e < 8 ? width - e : 8;
    Floats8 sum = zero8();
    for (int i = 0; i < n; i++)
      sum = fma8(set8(weights[i]), load_some8(values + size_t(i) * size_t(pitch) + e, lanes), sum);
    store_some8(out + e, sum, lanes);
  }
}

// In place: scores become e^(score - highest); returns their sum. Rows beyond n up to a multiple of 8 become 0.
static float soften(float* scores, int n, float highest) {
  Floats8 total = zero8();
  for (int i = 0; i < n; i += 8) {
    const int lanes = n - i < 8 ? n - i : 8;
    float part[8] = {};
    store8(part, exp8(sub8(load_some8(scores + i, lanes), set8(highest))));
    const Floats8 p = load8(part, lanes);
    total = add8(total, p);
    store8(scores + i, p);
  }
  return sum8(total);
}

struct Softmax {
  float highest, sum;
};

// Adds one block's part (its own maximum, sum and weighted values) to the running result of a query.
static void merge_block(Softmax& all, float* out, float highest, float sum, const float* part, int width,
                        bool first) {
  if (first) {
    all = {highest, sum};
    std::memcpy(out, part, size_t(width) * sizeof(float));
    return;
  }
  const float top = highest > all.highest ? highest : all.highest;
  const float keep = exp1(all.highest - top), take = exp1(highest - top);
  all = {top, fma1(sum, take, all.sum * keep)};
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

// Scratch: 2 * 64 * width floats for a block's keys and values, one part, 64 scores, and a Softmax for each query.
static void attend(const AttentionJob* jobs, int count, float* scratch) {
  const int width = jobs[0].width, heads = jobs[0].heads;
  float* keys = scratch;
  float* values = keys + kPage * width;
  float* part = values + kPage * width;
  float* scores = part + width;
  Softmax* state = reinterpret_cast<Softmax*>(scores + kPage);
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
    for (int j = 0; j < count; j++) {
      const AttentionJob& job = jobs[j];
      if (page < job.first / kPage || page > job.last / kPage) continue;
      const int from = page == job.first / kPage ? job.first % kPage : 0;
      const int n = (page == job.last / kPage ? job.last % kPage : kPage - 1) - from + 1;
      for (int h = 0; h < heads; h++) {
        score_rows(job.queries + h * width, keys + from * width, width, width, n, job.scale, scores);
        if (job.cap > 0) soft_cap(scores, job.cap, size_t(n), scores);
        if (job.slopes)
          for (int i = 0; i < n; i++) scores[i] = fma1(job.slopes[h], float(page * kPage + from + i - job.last), scores[i]);
        float highest = scores[0];
        for (int i = 1; i < n; i++) highest = scores[i] > highest ? scores[i] : highest;
        const float sum = soften(scores, n, highest);
        weigh_rows(scores, values + from * width, width, width, n, part);
        merge_block(state[j * heads + h], job.output + h * width, highest, sum, part, width,
                    page == job.first / kPage);
      }
    }
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
