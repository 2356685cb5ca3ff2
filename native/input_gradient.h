// The transpose of a product: dx = dy W, each dequantised tile of W used for all tokens. Two ways: exact floats, and
// int8 with scales along the rows of W. Meanings: src/homezoo/ops/reference_gradient.py.
// No include guard: each section includes this file inside its own namespace.

#if defined(HOMEZOO_AVX512)
using Wide = __m512;
static constexpr int kWide = 16, kVectors = 4;  // 6 tokens x 4 vectors, a row's 4 and one broadcast: 29 of 32 registers
static inline Wide load_wide(const float* p) { return _mm512_loadu_ps(p); }
static inline void store_wide(float* p, Wide a) { _mm512_storeu_ps(p, a); }
static inline Wide set_wide(float x) { return _mm512_set1_ps(x); }
static inline Wide fma_wide(Wide a, Wide b, Wide c) { return _mm512_fmadd_ps(a, b, c); }
static inline Wide add_wide(Wide a, Wide b) { return _mm512_add_ps(a, b); }
#else
using Wide = Floats8;
static constexpr int kWide = 8, kVectors = 2;  // 6 tokens x 2 vectors, a row's 2 and one broadcast: 15 of 16 registers
static inline Wide load_wide(const float* p) { return load8(p); }
static inline void store_wide(float* p, Wide a) { store8(p, a); }
static inline Wide set_wide(float x) { return set8(x); }
static inline Wide fma_wide(Wide a, Wide b, Wide c) { return fma8(a, b, c); }
static inline Wide add_wide(Wide a, Wide b) { return add8(a, b); }
#endif
static constexpr int kColumns = kWide * kVectors;  // columns of a register tile

// M tokens times `rows` rows of a tile [rows][V * kWide]: one chain of fma over the rows, added to what dx has unless
// this is its first part. `turned`: dy is [rows, dy_stride], a token a column.
template <int M, bool turned = false, int V = kVectors>
static void gradient_tile(const float* tile, int rows, const float* dy, size_t dy_stride, float* dx, size_t dx_stride,
                          int columns, bool first) {
  for (int m = 0; m < M; m++)  // added to at the end; since the part before, it has left the cache
    for (int k = 0; k < columns; k += 16) __builtin_prefetch(dx + size_t(m) * dx_stride + k, 1);
  Wide sum[M][V];
  for (int m = 0; m < M; m++)
    for (int v = 0; v < V; v++) sum[m][v] = set_wide(0);
  for (int n = 0; n < rows; n++, tile += V * kWide) {
    Wide w[V];
    for (int v = 0; v < V; v++) w[v] = load_wide(tile + v * kWide);
    for (int m = 0; m < M; m++) {
      const Wide a = set_wide(turned ? dy[size_t(n) * dy_stride + size_t(m)] : dy[size_t(m) * dy_stride + size_t(n)]);
      for (int v = 0; v < V; v++) sum[m][v] = fma_wide(w[v], a, sum[m][v]);
    }
  }
  for (int m = 0; m < M; m++, dx += dx_stride) {
    if (columns == V * kWide) {
      for (int v = 0; v < V; v++)
        store_wide(dx + v * kWide, first ? sum[m][v] : add_wide(load_wide(dx + v * kWide), sum[m][v]));
    } else {
      float part[V * kWide];
      for (int v = 0; v < V; v++) store_wide(part + v * kWide, sum[m][v]);
      for (int k = 0; k < columns; k++) dx[k] = first ? part[k] : dx[k] + part[k];
    }
  }
}

// Eight rows of eight floats, `stride` apart, to eight columns of rows `pitch` apart.
static inline void turn8(const float* from, size_t stride, float* to, size_t pitch) {
#if defined(HOMEZOO_X86_ROWS)
  __m256i rows[8];
  for (int i = 0; i < 8; i++) rows[i] = load32(reinterpret_cast<const uint8_t*>(from + size_t(i) * stride));
  store_turned8(reinterpret_cast<uint8_t*>(to), sizeof(float) * pitch, rows);
#else
  for (int i = 0; i < 8; i++)
    for (int k = 0; k < 8; k++) to[size_t(k) * pitch + size_t(i)] = from[size_t(i) * stride + size_t(k)];
#endif
}

// The transpose of x [columns, rows] as register tiles [groups][rows][width], with zeros to the right.
static void pack_turned(const float* x, size_t stride, int columns, int rows, float* tiles, int width = kColumns) {
  for (int g = 0; g < columns; g += width, tiles += size_t(rows) * size_t(width))
    for (int c = 0; c < width; c += 8) {
      const float* from = x + size_t(g + c) * stride;
      int r = 0;
      for (; g + c + 8 <= columns && r + 8 <= rows; r += 8)
        turn8(from + r, stride, tiles + size_t(r) * size_t(width) + c, size_t(width));
      for (; r < rows; r++)
        for (int i = 0; i < 8; i++)
          tiles[size_t(r) * size_t(width) + size_t(c + i)] =
              g + c + i < columns ? from[size_t(i) * stride + size_t(r)] : 0.0f;
    }
}

// Row n of the strip as floats. Rows lie a whole row of the weight apart, which no hardware follows: one to come is
// fetched, as many ahead as take the time of a miss.
static inline void dequantize_strip_row(const GradientStrip& s, int n, float* out) {
  constexpr int kAhead = 12;
  const uint8_t* row = s.weight + size_t(n) * s.row_bytes;
  if (n + kAhead < s.rows)
    for (int line = 0; line < s.strip_bytes + 63; line += 64) __builtin_prefetch(row + kAhead * s.row_bytes + line);
  s.dequantize(row, out, s.columns);
}

// Rows [begin, begin + rows) of the strip as floats, register tile after register tile: [groups][rows][width].
static void fill_strip(const GradientStrip& s, int begin, int rows, int width, float* tiles, float* row) {
  if (s.turned_weight)
    return pack_turned(reinterpret_cast<const float*>(s.weight) + begin, s.row_bytes / sizeof(float), s.columns, rows,
                       tiles, width);
  const int groups = (s.columns + width - 1) / width;
  std::memset(row, 0, sizeof(float) * size_t(groups * width));
  for (int r = 0; r < rows; r++) {
    dequantize_strip_row(s, begin + r, row);
    for (int g = 0; g < groups; g++)
      std::memcpy(tiles + (size_t(g) * size_t(rows) + size_t(r)) * size_t(width), row + g * width,
                  sizeof(float) * size_t(width));
  }
}

// `rows` rows from `begin` on of V * kWide columns from k on, for tokens [t, t + M).
template <int M, int V>
static void tile_at(const GradientStrip& s, const float* tile, int begin, int rows, int k, int t) {
  const size_t token = s.turned_dy ? 1 : s.dy_stride, row = s.turned_dy ? s.dy_stride : 1;
  const int columns = s.columns - k < V * kWide ? s.columns - k : V * kWide;
  (s.turned_dy ? gradient_tile<M, true, V> : gradient_tile<M, false, V>)(
      tile, rows, s.dy + size_t(t) * token + size_t(begin) * row, s.dy_stride, s.dx + size_t(t) * s.dx_stride + k,
      s.dx_stride, columns, begin == 0 && !s.add);
}

// V * kWide columns at most, as of a delta's rank: tokens are read from one end to the other, as memory likes it, while
// many parts of the strip lie in the second-level cache.
template <int V>
static void gradient_narrow(const GradientStrip& s, float* tiles, float* row) {
  constexpr int M = V == 1 ? 8 : 6, kWidth = V * kWide, kRows = kPartRows * (kStripColumns / kWidth);
  const auto parts = [&](auto tile, int from, int to, int t) {
    for (int begin = from; begin < to; begin += kPartRows)
      tile(s, tiles + size_t(begin - from) * kWidth, begin, to - begin < kPartRows ? to - begin : kPartRows, 0, t);
  };
  for (int from = 0; from < s.rows; from += kRows) {
    const int to = s.rows - from < kRows ? s.rows : from + kRows;
    fill_strip(s, from, to - from, kWidth, tiles, row);
    int t = 0;
    for (; t + M <= s.tokens; t += M) parts(tile_at<M, V>, from, to, t);
    for (; t < s.tokens; t++) parts(tile_at<1, V>, from, to, t);
  }
}

static void gradient_exact(const GradientStrip& s, uint8_t* scratch) {
  float* row = reinterpret_cast<float*>(scratch);
  float* tiles = row + kStripColumns;
  if (s.columns <= kWide) return gradient_narrow<1>(s, tiles, row);
  if (s.columns <= 2 * kWide) return gradient_narrow<2>(s, tiles, row);
  for (int begin = 0; begin < s.rows; begin += kPartRows) {
    const int rows = s.rows - begin < kPartRows ? s.rows - begin : kPartRows;
    fill_strip(s, begin, rows, kColumns, tiles, row);
    for (int k = 0; k < s.columns; k += kColumns) {
      const float* tile = tiles + size_t(k) * size_t(rows);
      int t = 0;
      for (; t + 6 <= s.tokens; t += 6) tile_at<6, kVectors>(s, tile, begin, rows, k, t);
      for (; t + 2 <= s.tokens; t += 2) tile_at<2, kVectors>(s, tile, begin, rows, k, t);
      for (; t < s.tokens; t++) tile_at<1, kVectors>(s, tile, begin, rows, k, t);
    }
  }
}
