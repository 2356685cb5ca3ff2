// Four queries against a page of keys and values in 512-bit registers: two queries share a register for the scores, with
// eight partial sums each as everywhere; for the weighted values a lane is a column. Same bits as attention.h.
// No include guard: attention.h includes this file.

static constexpr int kTogether = 4;  // sixteen registers of sums, which share eight loads

// Sixteen sums of eight lanes in the order of sum8: sum[p][j] holds queries 2p and 2p + 1 at position j. Lane
// 4 * query + position of the result.
static inline __m512 sums16(const __m512 (&sum)[2][4]) {
  __m512 pair[2];
  for (int p = 0; p < 2; p++) {
    __m512 half[2];  // four lanes each of both queries at positions 2i and 2i + 1
    for (int i = 0; i < 2; i++) {
      const __m512 a = sum[p][2 * i], b = sum[p][2 * i + 1];
      half[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
    pair[p] = _mm512_add_ps(_mm512_unpacklo_ps(half[0], half[1]), _mm512_unpackhi_ps(half[0], half[1]));
  }
  const __m512d u = _mm512_castps_pd(pair[0]), v = _mm512_castps_pd(pair[1]);
  const __m512 all = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(u, v)), _mm512_castpd_ps(_mm512_unpackhi_pd(u, v)));
  // A quarter of `all` holds query q = quarter % 2 (+ 2) at position quarter / 2 (+ 2).
  const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 4, 12, 5, 13, 2, 10, 3, 11, 6, 14, 7, 15);
  return _mm512_permutexvar_ps(order, all);
}

template <>
void score_rows<4>(const float* const* queries, const float* keys, int width, int n, float scale, float* scores) {
  const int whole = width / 8 * 8, rest = width - whole;
  const auto both = [](__m256 low, __m256 high) { return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1); };
  for (int i = 0; i < n; i += 4) {
    const float* row[4];
    for (int j = 0; j < 4; j++) row[j] = keys + size_t(i + j < n ? i + j : n - 1) * size_t(width);
    __m512 sum[2][4];
    for (int p = 0; p < 2; p++)
      for (int j = 0; j < 4; j++) sum[p][j] = _mm512_setzero_ps();
    for (int k = 0; k < whole; k += 8) {
      const __m512 a = both(load8(queries[0] + k), load8(queries[1] + k));
      const __m512 b = both(load8(queries[2] + k), load8(queries[3] + k));
      for (int j = 0; j < 4; j++) {
        const __m512 key = _mm512_broadcast_f32x8(load8(row[j] + k));
        sum[0][j] = _mm512_fmadd_ps(a, key, sum[0][j]);
        sum[1][j] = _mm512_fmadd_ps(b, key, sum[1][j]);
      }
    }
    if (rest)
      for (int p = 0; p < 2; p++) {
        const __m512 a = both(load8(queries[2 * p] + whole, rest), load8(queries[2 * p + 1] + whole, rest));
        for (int j = 0; j < 4; j++)
          sum[p][j] = _mm512_fmadd_ps(a, _mm512_broadcast_f32x8(load8(row[j] + whole, rest)), sum[p][j]);
      }
    const __m512 all = _mm512_mul_ps(sums16(sum), _mm512_set1_ps(scale));  // beyond n: not read
    _mm_storeu_ps(scores + i, _mm512_castps512_ps128(all));
    _mm_storeu_ps(scores + kPage + i, _mm512_extractf32x4_ps(all, 1));
    _mm_storeu_ps(scores + 2 * kPage + i, _mm512_extractf32x4_ps(all, 2));
    _mm_storeu_ps(scores + 3 * kPage + i, _mm512_extractf32x4_ps(all, 3));
  }
}

// 16 * N columns of four queries.
template <int N>
static void weigh_columns_512(const float* weights, const float* values, int width, int n, float* out) {
  __m512 sum[4][N];
  for (int q = 0; q < 4; q++)
    for (int j = 0; j < N; j++) sum[q][j] = _mm512_setzero_ps();
  for (int i = 0; i < n; i++) {
    __m512 v[N];
    for (int j = 0; j < N; j++) v[j] = _mm512_loadu_ps(values + size_t(i) * size_t(width) + 16 * j);
    for (int q = 0; q < 4; q++) {
      const __m512 w = _mm512_set1_ps(weights[q * kPage + i]);
      for (int j = 0; j < N; j++) sum[q][j] = _mm512_fmadd_ps(w, v[j], sum[q][j]);
    }
  }
  for (int q = 0; q < 4; q++)
    for (int j = 0; j < N; j++) _mm512_storeu_ps(out + q * width + 16 * j, sum[q][j]);
}

template <>
void weigh_page<4>(const float* weights, const float* values, int width, int n, float* out) {
  int e = 0;
  for (; e + 64 <= width; e += 64) weigh_columns_512<4>(weights, values + e, width, n, out + e);
  for (; e + 16 <= width; e += 16) weigh_columns_512<1>(weights, values + e, width, n, out + e);
  if (e < width) weigh_rows<4>(weights, values, width, 0, n, out, e);
}

// Sixteen scores become e^(score - highest), added to `total` eight after eight.
static inline Floats8 soften_sixteen(float* scores, float highest, Floats8 total) {
  const __m512 p = exp_of<Sixteen>(_mm512_sub_ps(_mm512_loadu_ps(scores), _mm512_set1_ps(highest)));
  _mm512_storeu_ps(scores, p);
  return add8(add8(total, _mm512_castps512_ps256(p)), _mm512_extractf32x8_ps(p, 1));
}
