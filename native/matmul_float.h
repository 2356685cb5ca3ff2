// Float weights (F32, F16, BF16) times float activations: eight partial sums, lane = k mod 8, in every section.
// No include guard: each section includes this file inside its own namespace.

struct F32 {
  static constexpr int kBytes = 4;
  static Floats8 load(const uint8_t* p) { return load8(reinterpret_cast<const float*>(p)); }
  static Floats8 load(const uint8_t* p, int n) { return load8(reinterpret_cast<const float*>(p), n); }
};
struct F16 {
  static constexpr int kBytes = 2;
  static Floats8 load(const uint8_t* p) { return load_half8(p); }
  static Floats8 load(const uint8_t* p, int n) {
    uint8_t part[16] = {};
    std::memcpy(part, p, size_t(n) * 2);
    return load_half8(part);
  }
};
struct BF16 {
  static constexpr int kBytes = 2;
  static Floats8 load(const uint8_t* p) { return load_bfloat8(p); }
  static Floats8 load(const uint8_t* p, int n) {
    uint8_t part[16] = {};
    std::memcpy(part, p, size_t(n) * 2);
    return load_bfloat8(part);
  }
};

template <class F>
static void dequantize_float_row(const uint8_t* row, float* out, int width) {
  each8(size_t(width), [&](size_t i, int lanes) {
    if (lanes == 8) store8(out + i, F::load(row + i * F::kBytes));
    else store8(out + i, F::load(row + i * F::kBytes, lanes), lanes);
  });
}

static constexpr size_t kFloatsAhead = 12 * 1024;  // bytes; a part of the smallest first-level cache (32 KB)

// R rows times M tokens; 4 x 3 sums, three activations and one weight fill the 16 registers of AVX2.
template <class F, int R, int M>
static void float_tile(const uint8_t* rows, size_t row_bytes, const float* x, int width, float* y, size_t stride) {
  Floats8 sum[R][M];
  for (int r = 0; r < R; r++)
    for (int m = 0; m < M; m++) sum[r][m] = zero8();
  int k = 0;
  for (; k + 8 <= width; k += 8) {
    if constexpr (M == 1)  // the rows to come, at this loop's own pace
      for (int line = 0; line < 8 * R * F::kBytes; line += 64)
        __builtin_prefetch(rows + kFloatsAhead + size_t(k) * R * F::kBytes + line);
    Floats8 a[M];
    for (int m = 0; m < M; m++) a[m] = load8(x + size_t(m) * size_t(width) + k);
    for (int r = 0; r < R; r++) {
      const Floats8 w = F::load(rows + size_t(r) * row_bytes + size_t(k) * F::kBytes);
      for (int m = 0; m < M; m++) sum[r][m] = fma8(w, a[m], sum[r][m]);
    }
  }
  if (k < width) {
    const int rest = width - k;
    for (int r = 0; r < R; r++) {
      const Floats8 w = F::load(rows + size_t(r) * row_bytes + size_t(k) * F::kBytes, rest);
      for (int m = 0; m < M; m++)
        sum[r][m] = fma8(w, load8(x + size_t(m) * size_t(width) + k, rest), sum[r][m]);
    }
  }
  for (int r = 0; r < R; r++)
    for (int m = 0; m < M; m++) y[size_t(m) * stride + size_t(r)] = sum8(sum[r][m]);
}

template <class F, int R>
static void float_rows(const uint8_t* rows, size_t row_bytes, const float* x, int width, int tokens, float* y,
                       size_t stride) {
  int t = 0;
  for (; t + 3 <= tokens; t += 3)
    float_tile<F, R, 3>(rows, row_bytes, x + size_t(t) * size_t(width), width, y + size_t(t) * stride, stride);
  for (; t < tokens; t++)
    float_tile<F, R, 1>(rows, row_bytes, x + size_t(t) * size_t(width), width, y + size_t(t) * stride, stride);
}

template <class F>
static void matmul_float_few(const Weight& w, int begin, int end, const Activations& x, int tokens, float* y,
                             size_t stride, uint8_t*) {
  int n = begin;
  if (tokens == 1)  // four sums would wait for each other
    for (; n + 8 <= end; n += 8)
      float_tile<F, 8, 1>(w.data + size_t(n) * w.row_bytes, w.row_bytes, x.values, w.width, y + n, stride);
  for (; n + 4 <= end; n += 4)
    float_rows<F, 4>(w.data + size_t(n) * w.row_bytes, w.row_bytes, x.values, w.width, tokens, y + n, stride);
  for (; n < end; n++)
    float_rows<F, 1>(w.data + size_t(n) * w.row_bytes, w.row_bytes, x.values, w.width, tokens, y + n, stride);
}

// Converts the rows of a chunk once for a group of tokens whose activations stay in the second-level cache.
template <class F>
static void matmul_float_many(const Weight& w, int begin, int end, const Activations& x, int tokens, float* y,
                              size_t stride, uint8_t* scratch) {
  constexpr int kGroupBytes = 256 * 1024;  // half of the smallest second-level cache we tune for (512 KB)
  const int fit = kGroupBytes / (4 * w.width) / 3 * 3, group = fit < 12 ? 12 : fit;
  float* rows = reinterpret_cast<float*>(scratch);
  for (int t = 0; t < tokens; t += group) {
    const int m = tokens - t < group ? tokens - t : group;
    for (int n = begin; n < end; n += 4) {
      const int r = end - n < 4 ? end - n : 4;
      for (int i = 0; i < r; i++)
        dequantize_float_row<F>(w.data + size_t(n + i) * w.row_bytes, rows + size_t(i) * size_t(w.width), w.width);
      const Weight part{scratch, size_t(w.width) * 4, w.width};
      const Activations some{x.values + size_t(t) * size_t(w.width), nullptr, nullptr, nullptr, nullptr, w.width};
      matmul_float_few<F32>(part, 0, r, some, m, y + size_t(t) * stride + n, stride, nullptr);
    }
  }
}
