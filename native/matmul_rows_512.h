// A few tokens times quantised rows as they lie in the file (decode), 512-bit registers with VNNI: Q4_0, Q4_K, Q5_K, Q6_K.
// As in matmul_rows_x86.h, four rows at a time; the integers are the same, so the float chains are too.
// No include guard: each section includes this file inside its own namespace.

// How far ahead of its reads a loop fetches: these kernels use 4 KB in less time than memory answers in (8 to 16 KB
// measured best on Zen 5: 20 to 40 % over 4 KB), and it stays a part of the smallest first-level cache, 32 KB.
static constexpr size_t kAhead = 12 * 1024;

// Fetches what a loop over four neighbouring rows will read, kStep bytes of each at a time. Short rows: line after line as
// they lie. Where the fourth row begins beyond kAhead that would come too late for it (a third slower at 11,008 columns):
// there a step of each row, and behind the rows' end the four rows after them.
template <int kStep, bool kLinear>
class FetchAhead {
 public:
  FetchAhead(const uint8_t* rows, size_t pitch)
      : at_(rows + (kLinear ? kAhead : kRowAhead)), pitch_(pitch), left_(pitch - kRowAhead) {}
  void next() {
    if constexpr (kLinear) {
      fetch<4 * kStep>(at_);
      at_ += 4 * kStep;
    } else {
      for (int r = 0; r < 4; r++) fetch<kStep>(at_ + size_t(r) * pitch_);
      at_ += kStep, left_ -= kStep;
      if (left_ == 0) at_ += 3 * pitch_, left_ = pitch_;
    }
  }

 private:
  template <int bytes>
  static void fetch(const uint8_t* p) {
#pragma GCC unroll 16
    for (int line = 0; line < bytes; line += 64) _mm_prefetch(reinterpret_cast<const char*>(p + line), _MM_HINT_T0);
  }
  static constexpr size_t kRowAhead = kAhead / 4 / kStep * kStep;  // of each row; whole steps
  const uint8_t* at_;
  size_t pitch_, left_;  // left_: of the rows that at_ lies in, without kLinear
};

static inline bool fetched_linearly(size_t pitch) { return 3 * pitch <= kAhead; }

static inline __m512i load512(const void* p) { return _mm512_loadu_si512(p); }

// Lane i holds [sum of a's lane i, of b's, of c's, of d's].
static inline __m512i sums_in_lanes(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

static inline __m128i sum_of_lanes(__m512i a) {
  const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

// Dword b of four in all of lane b.
static inline __m512i spread4(__m128i a) {
  const __m512i which = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  return _mm512_permutexvar_epi32(which, _mm512_castsi128_si512(a));
}

static inline __m512i lanes_of(__m128i a, __m128i b, __m128i c, __m128i d) {
  const __m512i first = _mm512_castsi256_si512(_mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1));
  return _mm512_inserti32x4(_mm512_inserti32x4(first, c, 2), d, 3);
}

// Nibbles of four neighbouring blocks of a row, one block a lane.
template <class F>
static inline __m512i nibbles_of4(const uint8_t* p) {
  const auto at = [&](int b) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + b * F::kBytes + F::kNibbles));
  };
  return lanes_of(at(0), at(1), at(2), at(3));
}

// Scales of four blocks of four rows, lane b dword r: halves, F::kBytes apart at the beginning of each block.
template <class F>
static inline __m512 scales_of4x4(const uint8_t* p, size_t pitch) {
  constexpr int step = F::kBytes / 2;  // 3 * step < 32 halves: one register reaches the fourth block's
  const __m512i even = _mm512_castsi256_si512(_mm256_setr_epi16(
      0, 32, 0, 0, step, 32 + step, 0, 0, 2 * step, 32 + 2 * step, 0, 0, 3 * step, 32 + 3 * step, 0, 0));
  const __m512i odd = _mm512_castsi256_si512(_mm256_setr_epi16(
      0, 0, 0, 32, 0, 0, step, 32 + step, 0, 0, 2 * step, 32 + 2 * step, 0, 0, 3 * step, 32 + 3 * step));
  const __m512i rows01 = _mm512_permutex2var_epi16(load512(p), even, load512(p + pitch));
  const __m512i rows23 = _mm512_permutex2var_epi16(load512(p + 2 * pitch), odd, load512(p + 3 * pitch));
  return _mm512_cvtph_ps(
      _mm256_blend_epi32(_mm512_castsi512_si256(rows01), _mm512_castsi512_si256(rows23), 0xaa));
}

// Blocks of 32 codes in 16 bytes, without minima; the width is a multiple of four blocks.
template <class F, int M, bool kLinear>
static void rows4_by_4_blocks(const uint8_t* rows, size_t pitch, const Activations& x, int token, float* y,
                              size_t stride) {
  const int blocks = x.width / 32;
  const int8_t* codes = x.codes + size_t(token) * size_t(x.width);
  const float* scales = x.scales + size_t(token) * size_t(blocks);
  const int16_t* sums = x.sum32 + size_t(token) * size_t(blocks);
  const __m512i mask = _mm512_set1_epi8(15);
  FetchAhead<4 * F::kBytes, kLinear> ahead(rows, pitch);
  __m128 chain[M];
  for (int m = 0; m < M; m++) chain[m] = _mm_setzero_ps();
  for (int b = 0; b < blocks; b += 4) {
    const uint8_t* p = rows + size_t(b) * F::kBytes;
    ahead.next();
    __m512i low[4], high[4];
    for (int r = 0; r < 4; r++) {
      const __m512i n = nibbles_of4<F>(p + size_t(r) * pitch);
      low[r] = _mm512_and_si512(n, mask);
      high[r] = _mm512_and_si512(_mm512_srli_epi16(n, 4), mask);
    }
    const __m512 d = scales_of4x4<F>(p, pitch);
    for (int m = 0; m < M; m++) {
      const int8_t* a = codes + size_t(m) * size_t(x.width) + 32 * b;
      const __m512i front = load512(a), back = load512(a + 64);
      const __m512i first = _mm512_shuffle_i32x4(front, back, 0x88), second = _mm512_shuffle_i32x4(front, back, 0xdd);
      __m512i dots[4];
      for (int r = 0; r < 4; r++)
        dots[r] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), low[r], first), high[r], second);
      const __m128i four = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(sums + m * blocks + b));
      const __m128i shift = _mm_mullo_epi32(_mm_cvtepi16_epi32(four), _mm_set1_epi32(F::kOffset));
      const __m512i total = _mm512_sub_epi32(sums_in_lanes(dots[0], dots[1], dots[2], dots[3]), spread4(shift));
      const __m128i scale = _mm_castps_si128(_mm_loadu_ps(scales + m * blocks + b));
      const __m512 value = _mm512_cvtepi32_ps(total), by = _mm512_mul_ps(d, _mm512_castsi512_ps(spread4(scale)));
      chain[m] = _mm_fmadd_ps(_mm512_castps512_ps128(value), _mm512_castps512_ps128(by), chain[m]);
      chain[m] = _mm_fmadd_ps(_mm512_extractf32x4_ps(value, 1), _mm512_extractf32x4_ps(by, 1), chain[m]);
      chain[m] = _mm_fmadd_ps(_mm512_extractf32x4_ps(value, 2), _mm512_extractf32x4_ps(by, 2), chain[m]);
      chain[m] = _mm_fmadd_ps(_mm512_extractf32x4_ps(value, 3), _mm512_extractf32x4_ps(by, 3), chain[m]);
    }
  }
  for (int m = 0; m < M; m++) _mm_storeu_ps(y + size_t(m) * stride, chain[m]);
}

// `first` in the lower half of each 16-bit lane's shift, `second` in the upper half.
static inline __m512i halves(int16_t first, int16_t second) {
  return _mm512_inserti64x4(_mm512_set1_epi16(first), _mm256_set1_epi16(second), 1);
}

static inline __m512i twice(const uint8_t* p) { return _mm512_broadcast_i64x4(load32(p)); }

// The 256 codes of a block in four registers, each two chunks of 32: 0 2, 1 3, 4 6, 5 7 in Q4_K and Q5_K, 0 1, 2 3, ...
// in Q6_K. Bits that lie apart are shifted to their place in both halves at once.
template <class F>
static inline void codes_of_256(const uint8_t* b, __m512i* u) {
  const __m512i mask = _mm512_set1_epi8(15);
  const auto join = [](__m512i low, __m512i bits, int mask) {  // low | bits & mask
    return _mm512_ternarylogic_epi32(low, bits, _mm512_set1_epi8(char(mask)), 0xf8);
  };
  constexpr int at = std::is_same_v<F, Q4_K> ? 16 : std::is_same_v<F, Q5_K> ? 48 : 0;
  for (int h = 0; h < 2; h++) {
    const __m512i q = load512(b + at + 64 * h);
    u[2 * h] = _mm512_and_si512(q, mask);
    u[2 * h + 1] = _mm512_and_si512(_mm512_srli_epi16(q, 4), mask);
  }
  if constexpr (std::is_same_v<F, Q5_K>) {
    const __m512i high = twice(b + 16);
    u[0] = join(u[0], _mm512_sllv_epi16(high, halves(4, 2)), 16);
    u[1] = join(u[1], _mm512_sllv_epi16(high, halves(3, 1)), 16);
    u[2] = join(u[2], _mm512_srlv_epi16(high, halves(0, 2)), 16);
    u[3] = join(u[3], _mm512_srlv_epi16(high, halves(1, 3)), 16);
  } else if constexpr (std::is_same_v<F, Q6_K>) {
    for (int h = 0; h < 2; h++) {
      const __m512i high = twice(b + 128 + 32 * h);
      u[2 * h] = join(u[2 * h], _mm512_sllv_epi16(high, halves(4, 2)), 48);
      u[2 * h + 1] = join(u[2 * h + 1], _mm512_srlv_epi16(high, halves(0, 2)), 48);
    }
  }
}

// The activations of a block in the order of codes_of_256.
template <class F>
static inline void activations_of_256(const int8_t* a, __m512i* out) {
  for (int h = 0; h < 2; h++) {
    const __m512i front = load512(a + 128 * h), back = load512(a + 128 * h + 64);
    out[2 * h] = F::kGroup == 16 ? front : _mm512_shuffle_i64x2(front, back, 0x44);
    out[2 * h + 1] = F::kGroup == 16 ? back : _mm512_shuffle_i64x2(front, back, 0xee);
  }
}

// Packed group scales of a block in each of four rows, a row a lane: eight bytes of scales, eight of minima. Q4_K and
// Q5_K, see groups_of_12_bytes.
template <class F>
static inline __m512i groups_of4(const uint8_t* p, size_t pitch) {
  const auto at = [&](int r) {  // the four bytes behind them belong to the block too
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + size_t(r) * pitch + F::kPacked12));
  };
  const __m512i v = lanes_of(at(0), at(1), at(2), at(3));
  const __m512i shift = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 4, 0, 4));
  const __m512i last = _mm512_srlv_epi32(_mm512_shuffle_epi32(v, _MM_PERM_CCCC), shift);
  const __m512i first4 = _mm512_and_si512(v, _mm512_set1_epi8(0x3f));
  const __m512i last4 = _mm512_or_si512(_mm512_and_si512(last, _mm512_set1_epi8(15)),
                                        _mm512_and_si512(_mm512_srli_epi16(v, 2), _mm512_set1_epi8(0x30)));
  return _mm512_shuffle_epi32(_mm512_unpacklo_epi64(first4, last4), _MM_PERM_DBCA);
}

// Group scales of a row for the dwords of codes_of_256, each an int16 below sixteen zeros.
static inline void scales_of_row(__m512i groups, int row, __m512i* out) {
  const __m512i half = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2);
  const __m512i lane = _mm512_broadcast_i32x4(_mm_set_epi64x(2 * row + 1, 2 * row));
  const __m512i own = _mm512_permutexvar_epi64(lane, groups);
  for (int j = 0; j < 4; j++) {
    const __m512i pick = _mm512_or_si512(half, _mm512_set1_epi32(int(0x80808000) + j / 2 * 4 + j % 2));
    out[j] = _mm512_shuffle_epi8(own, pick);
  }
}

// Minima of the groups of four rows times the sums of activations, a row a lane of the result.
static inline __m128i minima_of4(__m512i groups, const int16_t* sum32) {
  const __m128i words = _mm_setr_epi8(8, -1, 9, -1, 10, -1, 11, -1, 12, -1, 13, -1, 14, -1, 15, -1);
  const __m512i minima = _mm512_shuffle_epi8(groups, _mm512_broadcast_i32x4(words));
  const __m512i sums = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(sum32)));
  const __m512i four = _mm512_madd_epi16(minima, sums);
  const __m512i two = _mm512_add_epi32(four, _mm512_shuffle_epi32(four, _MM_PERM_BADC));
  const __m512i one = _mm512_add_epi32(two, _mm512_shuffle_epi32(two, _MM_PERM_CDAB));
  const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm512_castsi512_si128(_mm512_permutexvar_epi32(first, one));
}

// Group scales of a block of Q6_K as scales_of_row has them, and scale * offset of its sixteen groups.
template <class F>
static inline __m256i scales_of_256(const uint8_t* b, __m512i* out) {
  const __m512i four = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  const __m256i words = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + F::kScales)));
  const __m512i dwords = _mm512_cvtepu16_epi32(words);
  for (int j = 0; j < 4; j++)
    out[j] = _mm512_permutexvar_epi32(_mm512_add_epi32(four, _mm512_set1_epi32(4 * j)), dwords);
  return _mm256_mullo_epi16(words, _mm256_set1_epi16(F::kOffset));
}

// The scales of a block in four rows, and those of its minima where it has them: they lie side by side.
template <class F>
static inline void scales_and_minima(const uint8_t* p, size_t pitch, __m128& d, __m128& low) {
  if constexpr (F::kMins) {
    const __m128i both = _mm_setr_epi32(int(read32(p)), int(read32(p + pitch)), int(read32(p + 2 * pitch)),
                                        int(read32(p + 3 * pitch)));
    const __m256 pairs = _mm256_cvtph_ps(both);
    const __m128 a = _mm256_castps256_ps128(pairs), b = _mm256_extractf128_ps(pairs, 1);
    d = _mm_shuffle_ps(a, b, 0x88);
    low = _mm_shuffle_ps(a, b, 0xdd);
  } else {
    d = scales_of4<F>(p, pitch);
  }
}

// Blocks of 256 whose dots of four codes fit an int16 (4 * 63 * 127 = 32004): a second dot product scales them.
template <class F, int M, bool kLinear>
static void rows4_by_block(const uint8_t* rows, size_t pitch, const Activations& x, int token, float* y,
                           size_t stride) {
  const int blocks = x.width / 256;
  FetchAhead<F::kBytes, kLinear> ahead(rows, pitch);
  __m128 chain[M];
  for (int m = 0; m < M; m++) chain[m] = _mm_setzero_ps();
  for (int b = 0; b < blocks; b++) {
    __m512i a[M][4], total[4][M], groups;
    for (int m = 0; m < M; m++)
      activations_of_256<F>(x.codes + size_t(token + m) * size_t(x.width) + 256 * b, a[m]);
    const uint8_t* p = rows + size_t(b) * F::kBytes;
    ahead.next();
    if constexpr (F::kMins) groups = groups_of4<F>(p, pitch);
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
      const uint8_t* block = p + size_t(r) * pitch;
      __m512i u[4], s[4];
      __m256i offsets;
      codes_of_256<F>(block, u);
      if constexpr (F::kMins) scales_of_row(groups, r, s);
      else offsets = scales_of_256<F>(block, s);
      for (int m = 0; m < M; m++) {
        __m512i sum = _mm512_setzero_si512();
        for (int j = 0; j < 4; j++)
          sum = _mm512_dpwssd_epi32(sum, _mm512_dpbusd_epi32(_mm512_setzero_si512(), u[j], a[m][j]), s[j]);
        if constexpr (!F::kMins) {
          const int16_t* sum16 = x.sum16 + size_t(token + m) * size_t(x.width / 16) + 16 * b;
          sum = _mm512_sub_epi32(sum, _mm512_zextsi256_si512(minima_of<F>(offsets, sum16, nullptr)));
        }
        total[r][m] = sum;
      }
    }
    __m128 d, low;
    scales_and_minima<F>(p, pitch, d, low);
    for (int m = 0; m < M; m++) {
      const __m128 scale = _mm_set1_ps(x.scales[size_t(token + m) * size_t(blocks) + size_t(b)]);
      const __m128i sum = sum_of_lanes(sums_in_lanes(total[0][m], total[1][m], total[2][m], total[3][m]));
      chain[m] = _mm_fmadd_ps(_mm_cvtepi32_ps(sum), _mm_mul_ps(d, scale), chain[m]);
      if constexpr (F::kMins) {
        const __m128i minima = minima_of4(groups, x.sum32 + size_t(token + m) * size_t(x.width / 32) + 8 * b);
        const __m128 minus = _mm_cvtepi32_ps(_mm_sub_epi32(_mm_setzero_si128(), minima));
        chain[m] = _mm_fmadd_ps(minus, _mm_mul_ps(low, scale), chain[m]);
      }
    }
  }
  for (int m = 0; m < M; m++) _mm_storeu_ps(y + size_t(m) * stride, chain[m]);
}
