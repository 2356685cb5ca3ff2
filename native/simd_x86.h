// The vector operations of the block formats with 256-bit registers (AVX2, FMA, F16C). Meanings: simd_plain.h.


using Bytes32 = __m256i;
using Floats8 = __m256;

static inline __m256i load32(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
static inline __m256i nibbles(const uint8_t* p) {
  const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_and_si256(_mm256_inserti128_si256(_mm256_castsi128_si256(a), _mm_srli_epi16(a, 4), 1),
                          _mm256_set1_epi8(15));
}
template <int shift, int mask>
static inline __m256i bits(__m256i a) {
  return _mm256_and_si256(shift ? _mm256_srli_epi16(a, shift) : a, _mm256_set1_epi8(mask));
}
template <int shift>  // the values must stay inside their bytes
static inline __m256i shift_left(__m256i a) {
  return _mm256_slli_epi16(a, shift);
}
static inline __m256i merge(__m256i a, __m256i b) { return _mm256_or_si256(a, b); }
static inline __m256i flip_sign(__m256i a) { return _mm256_xor_si256(a, _mm256_set1_epi8(-128)); }
template <int offset>
static inline __m256i minus_offset(__m256i a) {
  return _mm256_sub_epi8(a, _mm256_set1_epi8(int8_t(offset)));
}
static inline __m256i spread_bits(const uint8_t* p) {
  int u;
  std::memcpy(&u, p, 4);
  // Byte i takes byte i/8 of u, keeps bit i%8 and turns it into 0 or 1.
  const __m256i which = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit = _mm256_set1_epi64x(int64_t(0x8040201008040201));
  const __m256i spread = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(u), which), bit);
  return _mm256_and_si256(_mm256_cmpeq_epi8(spread, bit), _mm256_set1_epi8(1));
}
static inline __m256i lookup(const uint8_t* table16, __m256i a) {
  return _mm256_shuffle_epi8(
      _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table16))), a);
}
static inline void store32(uint8_t* p, __m256i a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a); }

static inline float half_to_float(uint16_t h) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h))); }
static inline uint16_t float_to_half(float f) {
  return uint16_t(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(f), _MM_FROUND_TO_NEAREST_INT)));
}

static inline __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline __m256 zero8() { return _mm256_setzero_ps(); }
static inline __m256 set8(float x) { return _mm256_set1_ps(x); }
static inline __m256 load8(const float* p) { return _mm256_loadu_ps(p); }
static inline __m256 load8(const float* p, int n) { return _mm256_maskload_ps(p, first_lanes(n)); }
static inline void store8(float* p, __m256 a) { _mm256_storeu_ps(p, a); }
static inline void store8(float* p, __m256 a, int n) { _mm256_maskstore_ps(p, first_lanes(n), a); }
static inline __m256 load_half8(const uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
static inline __m256 load_bfloat8(const uint8_t* p) {
  const __m256i a = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(a, 16));
}
static inline __m256 load_int8x8(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
static inline void store_half8(uint8_t* p, __m256 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
static inline __m256 add8(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
static inline __m256 sub8(__m256 a, __m256 b) { return _mm256_sub_ps(a, b); }
static inline __m256 mul8(__m256 a, __m256 b) { return _mm256_mul_ps(a, b); }
static inline __m256 div8(__m256 a, __m256 b) { return _mm256_div_ps(a, b); }
static inline __m256 max8(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
static inline __m256 min8(__m256 a, __m256 b) { return _mm256_min_ps(a, b); }
static inline __m256 fma8(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
static inline __m256 abs8(__m256 a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline __m256 round8(__m256 a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline __m256 power_of_two8(__m256 n) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvttps_epi32(n), _mm256_set1_epi32(127)), 23));
}
static inline float sum8(__m256 a) {
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
// sum8 of four registers at once, in the same order of additions.
#define HOMEZOO_SUMS4
static inline void sums4(__m256 a, __m256 b, __m256 c, __m256 d, float* out) {
  const auto halves = [](__m256 x) { return _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)); };
  const __m128 w = halves(a), x = halves(b), y = halves(c), z = halves(d);
  const __m128 wx = _mm_add_ps(_mm_unpacklo_ps(w, x), _mm_unpackhi_ps(w, x));  // w0+w2, x0+x2, w1+w3, x1+x3
  const __m128 yz = _mm_add_ps(_mm_unpacklo_ps(y, z), _mm_unpackhi_ps(y, z));
  _mm_storeu_ps(out, _mm_add_ps(_mm_movelh_ps(wx, yz), _mm_movehl_ps(yz, wx)));
}
static inline float highest8(__m256 a) {
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
static inline void store_codes8(int8_t* p, __m256 a) {
  const __m256i i = _mm256_cvtps_epi32(a);
  const __m128i w = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(w, w));
}
// The same for 32 values; returns the sum of the codes, which would be late if it were read back from memory.
#define HOMEZOO_CODES32
static inline int store_codes32(int8_t* p, const __m256* a) {
  const auto words = [](__m256 x, __m256 y) { return _mm256_packs_epi32(_mm256_cvtps_epi32(x), _mm256_cvtps_epi32(y)); };
  const __m256i bytes = _mm256_packs_epi16(words(a[0], a[1]), words(a[2], a[3]));  // each half has four of each eight
  const __m256i codes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), codes);
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
  const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  const __m128i b = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
  const __m128i c = _mm_add_epi32(b, _mm_unpackhi_epi64(b, b));
  return _mm_cvtsi128_si32(_mm_add_epi32(c, _mm_shuffle_epi32(c, 1)));
}
static inline float fma1(float a, float b, float c) {
  return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
}
static inline float sqrt1(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }

// Transposes 8 rows of 8 dwords: dword j of every row goes to out + j * pitch.
static inline void store_turned8(uint8_t* out, size_t pitch, const __m256i* in) {
  __m256i a[8], b[8];
  for (int i = 0; i < 4; i++) {
    a[2 * i] = _mm256_unpacklo_epi32(in[2 * i], in[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_epi32(in[2 * i], in[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++) {
    b[4 * i] = _mm256_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
    b[4 * i + 1] = _mm256_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
    b[4 * i + 2] = _mm256_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
    b[4 * i + 3] = _mm256_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    store32(out + size_t(i) * pitch, _mm256_permute2x128_si256(b[i], b[i + 4], 0x20));
    store32(out + size_t(i + 4) * pitch, _mm256_permute2x128_si256(b[i], b[i + 4], 0x31));
  }
}
