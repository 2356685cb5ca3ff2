// A few tokens times quantised rows as they lie in the file (decode), 256-bit registers.
// Four rows at a time: their integers are reduced together, then one fused multiply-add continues four float chains.
// No include guard: each section includes this file inside its own namespace.

// Sums of four neighbouring products: u8 codes times s8 activations, added to eight int32 lanes.
template <int bits>
static inline __m256i dot4(__m256i sum, __m256i u, __m256i a) {
#ifdef HOMEZOO_VNNI
  return _mm256_dpbusd_epi32(sum, u, a);
#else
  const __m256i ones = _mm256_set1_epi16(1);
  if constexpr (bits <= 6) {  // a pair is at most 2 * 63 * 127 = 16002: no saturation
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(u, a), ones));
  } else {  // u - 128 as magnitude times sign: a pair is at most 2 * 128 * 127 = 32512
    const __m256i w = flip_sign(u);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
  }
#endif
}

// What dot4 leaves to subtract: it computes with u - 128 by itself where it must split signs.
template <class F>
static constexpr int dot_offset() {
#ifdef HOMEZOO_VNNI
  return F::kOffset;
#else
  return F::kBits == 8 ? 0 : F::kOffset;
#endif
}

// [sum of a, sum of b, sum of c, sum of d], each over its eight lanes.
static inline __m128i reduce4(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

template <class F>
static inline __m128 scales_of4(const uint8_t* b, size_t pitch) {
  return _mm_setr_ps(F::scale(b), F::scale(b + pitch), F::scale(b + 2 * pitch), F::scale(b + 3 * pitch));
}
template <class F>
static inline __m128 min_scales_of4(const uint8_t* b, size_t pitch) {
  return _mm_setr_ps(F::min_scale(b), F::min_scale(b + pitch), F::min_scale(b + 2 * pitch),
                     F::min_scale(b + 3 * pitch));
}

// Codes of two rows in one register: `low` holds codes 0..15 of both, `high` codes 16..31.
template <class F>
static inline void pair_codes(const uint8_t* a, const uint8_t* b, __m256i& low, __m256i& high) {
  if constexpr (requires { F::kNibbles; }) {
    const __m256i both = _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(b + F::kNibbles),
                                             reinterpret_cast<const __m128i*>(a + F::kNibbles));
    low = F::from_nibbles(bits<0, 15>(both));
    high = F::from_nibbles(bits<4, 15>(both));
  } else {
    const __m256i first = F::codes(a, 0), second = F::codes(b, 0);
    low = _mm256_permute2x128_si256(first, second, 0x20);
    high = _mm256_permute2x128_si256(first, second, 0x31);
  }
}

// Scales of four rows of a block, in the order 0, 2, 1, 3 in which their integers come out.
template <class F>
static inline __m128 scales_0213(const uint8_t* b, size_t pitch) {
  if constexpr (F::kHalfScale) {
    __m128i h = _mm_cvtsi32_si128(read16(b));
    h = _mm_insert_epi16(h, read16(b + 2 * pitch), 1);
    h = _mm_insert_epi16(h, read16(b + pitch), 2);
    return _mm_cvtph_ps(_mm_insert_epi16(h, read16(b + 3 * pitch), 3));
  } else {
    return _mm_setr_ps(F::scale(b), F::scale(b + 2 * pitch), F::scale(b + pitch), F::scale(b + 3 * pitch));
  }
}

// Sums of the four rows of two pairs, in the order 0, 2, 1, 3; a pair's rows are its 128-bit halves.
static inline __m128i reduce_pairs(__m256i pair01, __m256i pair23) {
  const __m256i s = _mm256_add_epi32(_mm256_unpacklo_epi32(pair01, pair23), _mm256_unpackhi_epi32(pair01, pair23));
  const __m256i t = _mm256_add_epi32(s, _mm256_shuffle_epi32(s, 0x4e));
  return _mm_unpacklo_epi64(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
}

// int32 lanes of a pair of rows times 32 activations, given as both halves in both lanes.
template <class F>
static inline __m256i pair_products(__m256i low, __m256i high, __m256i first, __m256i second) {
#ifndef HOMEZOO_VNNI
  if constexpr (F::kBits <= 5) {  // two pairs: at most 4 * 31 * 127 = 15748, still an int16
    const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(low, first), _mm256_maddubs_epi16(high, second));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
#endif
  return dot4<F::kBits>(dot4<F::kBits>(_mm256_setzero_si256(), low, first), high, second);
}

template <class F, int M>
static void rows4_of_32(const uint8_t* rows, size_t pitch, const Activations& x, int token, float* y,
                        size_t stride) {
  const int blocks = x.width / 32;
  const int8_t* codes = x.codes + size_t(token) * size_t(x.width);
  const float* scales = x.scales + size_t(token) * size_t(blocks);
  const int16_t* sums = x.sum32 + size_t(token) * size_t(blocks);
  __m128 chain[M];  // rows 0, 2, 1, 3
  for (int m = 0; m < M; m++) chain[m] = _mm_setzero_ps();
  for (int b = 0; b < blocks; b++) {
    const uint8_t* p = rows + size_t(b) * F::kBytes;
    // The next four rows, at this loop's own pace: 4 * kBytes of them for each block here.
    for (int line = 0; line < 4 * F::kBytes; line += 64)
      _mm_prefetch(reinterpret_cast<const char*>(rows + 4 * pitch + size_t(b) * 4 * F::kBytes + line), _MM_HINT_T0);
    __m256i low01, high01, low23, high23;
    pair_codes<F>(p, p + pitch, low01, high01);
    pair_codes<F>(p + 2 * pitch, p + 3 * pitch, low23, high23);
    const __m128 d = scales_0213<F>(p, pitch);
    for (int m = 0; m < M; m++) {
      const __m128i* a = reinterpret_cast<const __m128i*>(codes + size_t(m) * size_t(x.width) + 32 * b);
      const __m256i first = _mm256_broadcastsi128_si256(_mm_loadu_si128(a));
      const __m256i second = _mm256_broadcastsi128_si256(_mm_loadu_si128(a + 1));
      __m128i total = reduce_pairs(pair_products<F>(low01, high01, first, second),
                                   pair_products<F>(low23, high23, first, second));
      const int sum = sums[m * blocks + b];
      const __m128 scale = _mm_set1_ps(scales[m * blocks + b]);
      if (dot_offset<F>()) total = _mm_sub_epi32(total, _mm_set1_epi32(dot_offset<F>() * sum));
      chain[m] = _mm_fmadd_ps(_mm_cvtepi32_ps(total), _mm_mul_ps(d, scale), chain[m]);
      if constexpr (F::kMins) {
        const __m128 low = _mm_setr_ps(F::min_scale(p), F::min_scale(p + 2 * pitch), F::min_scale(p + pitch),
                                       F::min_scale(p + 3 * pitch));
        chain[m] = _mm_fmadd_ps(_mm_set1_ps(float(-sum)), _mm_mul_ps(low, scale), chain[m]);
      }
    }
  }
  for (int m = 0; m < M; m++) _mm_storeu_ps(y + size_t(m) * stride, _mm_shuffle_ps(chain[m], chain[m], 0xd8));
}

// Group scales of a block of 256 (16 or 8 of them), and minima or scale * offset, as int16.
struct Groups {
  __m256i scales, minima;
};

template <class F>
static inline Groups groups_of(const uint8_t* b) {
  if constexpr (requires { F::kPacked12; }) {  // Q4_K and Q5_K, see groups_of_12_bytes
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + F::kPacked12));
    const __m128i last = _mm_srlv_epi32(_mm_shuffle_epi32(v, 0xaa), _mm_setr_epi32(0, 4, 0, 4));
    const __m128i first4 = _mm_and_si128(v, _mm_set1_epi8(0x3f));
    const __m128i last4 = _mm_or_si128(_mm_and_si128(last, _mm_set1_epi8(15)),
                                       _mm_and_si128(_mm_srli_epi16(v, 2), _mm_set1_epi8(0x30)));
    const __m256i all = _mm256_cvtepu8_epi16(_mm_shuffle_epi32(_mm_unpacklo_epi64(first4, last4), 0xd8));
    return {_mm256_permute4x64_epi64(all, 0x44), _mm256_zextsi128_si256(_mm256_extracti128_si256(all, 1))};
  } else {
    alignas(32) int16_t scale[16] = {}, min[16] = {};
    F::groups(b, scale, min);
    __m256i s = load32(reinterpret_cast<const uint8_t*>(scale));
    if constexpr (F::kGroup == 32) s = _mm256_permute4x64_epi64(s, 0x44);
    if constexpr (F::kMins) return {s, load32(reinterpret_cast<const uint8_t*>(min))};
    const __m256i used = F::kGroup == 32 ? _mm256_zextsi128_si256(_mm256_castsi256_si128(s)) : s;
    return {s, _mm256_mullo_epi16(used, _mm256_set1_epi16(F::kOffset))};
  }
}

// One int16 scale for each 16-bit lane of chunk c: one group of 32, or two groups of 16.
template <int group>
static inline __m256i chunk_scale(__m256i scales, int c) {
  if constexpr (group == 32) {  // both halves of `scales` hold the eight scales
    const __m256i pick = _mm256_set1_epi16(int16_t((2 * c) | (2 * c + 1) << 8));
    return _mm256_shuffle_epi8(scales, pick);
  } else {
    const __m256i four = c < 4 ? _mm256_permute4x64_epi64(scales, 0x44) : _mm256_permute4x64_epi64(scales, 0xee);
    const int g = 2 * (c % 4);
    const __m256i pick = _mm256_setr_m128i(_mm_set1_epi16(int16_t((2 * g) | (2 * g + 1) << 8)),
                                           _mm_set1_epi16(int16_t((2 * g + 2) | (2 * g + 3) << 8)));
    return _mm256_shuffle_epi8(four, pick);
  }
}

// Sum over groups of minima (or scale * offset) times sums of activations, as int32 lanes to reduce.
template <class F>
static inline __m256i minima_of(__m256i minima, const int16_t* sum16, const int16_t* sum32) {
  if constexpr (F::kGroup == 16)
    return _mm256_madd_epi16(minima, load32(reinterpret_cast<const uint8_t*>(sum16)));
  return _mm256_madd_epi16(
      minima, _mm256_zextsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(sum32))));
}

// int32 lanes of one block of 256: sum over chunks of group scale times products.
template <class F>
static inline __m256i block_products(const uint8_t* b, __m256i scales, const int8_t* codes) {
  __m256i total = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int c = 0; c < 8; c++) {
    const __m256i u = F::codes(b, c), a = load32(reinterpret_cast<const uint8_t*>(codes) + 32 * c);
    const __m256i s = chunk_scale<F::kGroup>(scales, c);
    __m256i pairs;
    if constexpr (F::kBits <= 6) {
      pairs = _mm256_maddubs_epi16(u, a);
    } else {
      const __m256i w = flip_sign(u);
      pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
    }
    total = _mm256_add_epi32(total, _mm256_madd_epi16(pairs, s));
  }
  return total;
}

template <class F, int M>
static void rows4_of_256(const uint8_t* rows, size_t pitch, const Activations& x, int token, float* y,
                         size_t stride) {
  const int blocks = x.width / 256;
  constexpr bool kShift = !F::kMins && F::kBits != 8;  // codes carry an offset that the sums must take away
  __m128 chain[M];
  for (int m = 0; m < M; m++) chain[m] = _mm_setzero_ps();
  for (int b = 0; b < blocks; b++) {
    __m256i total[4][M], minima[4][M];
    const uint8_t* p = rows + size_t(b) * F::kBytes;
    for (int r = 0; r < 4; r++) {
      const uint8_t* block = p + size_t(r) * pitch;
      for (int line = 0; line < F::kBytes; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(block + 4 * pitch + line), _MM_HINT_T0);
      const Groups groups = groups_of<F>(block);
      for (int m = 0; m < M; m++) {
        const size_t t = size_t(token + m);
        total[r][m] = block_products<F>(block, groups.scales, x.codes + t * size_t(x.width) + 256 * b);
        if (F::kMins || kShift)
          minima[r][m] = minima_of<F>(groups.minima, x.sum16 + t * size_t(x.width / 16) + 16 * b,
                                      x.sum32 + t * size_t(x.width / 32) + 8 * b);
        if (kShift) total[r][m] = _mm256_sub_epi32(total[r][m], minima[r][m]);
      }
    }
    const __m128 d = scales_of4<F>(p, pitch);
    for (int m = 0; m < M; m++) {
      const __m128 scale = _mm_set1_ps(x.scales[size_t(token + m) * size_t(blocks) + size_t(b)]);
      const __m128i sum = reduce4(total[0][m], total[1][m], total[2][m], total[3][m]);
      chain[m] = _mm_fmadd_ps(_mm_cvtepi32_ps(sum), _mm_mul_ps(d, scale), chain[m]);
      if constexpr (F::kMins) {
        const __m128i low = reduce4(minima[0][m], minima[1][m], minima[2][m], minima[3][m]);
        const __m128i minus = _mm_sub_epi32(_mm_setzero_si128(), low);
        chain[m] = _mm_fmadd_ps(_mm_cvtepi32_ps(minus), _mm_mul_ps(min_scales_of4<F>(p, pitch), scale), chain[m]);
      }
    }
  }
  for (int m = 0; m < M; m++) _mm_storeu_ps(y + size_t(m) * stride, chain[m]);
}
