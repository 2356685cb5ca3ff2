// Many tokens times quantised rows (prefill), 256-bit registers: a lane is a row.
// No include guard: each section includes this file inside its own namespace.

static constexpr int kLanes = 8;
static constexpr int kSignedFrom = 8;  // vpsignb takes 8-bit codes apart, vpmaddubsw wants the others unsigned

#include "panel.h"

// Four activations of each token, broadcast, times a dword of each row, into int16 pairs.
static inline __m256i broadcast4(const int8_t* codes) {
  int32_t a;
  std::memcpy(&a, codes, 4);
  return _mm256_set1_epi32(a);
}

// Keeps GCC from computing all products before any sum, which spills them (69 instead of 104 G/s per core on Zen 3).
static inline void keep_here(__m256i& v) {
#if defined(__GNUC__)
  __asm__ volatile("" : "+x"(v));
#endif
}

// total[m] += scale * products of one group (16 or 32 codes of each row with token m).
template <class F, int M>
static inline void group_products(const __m256i* w, const int8_t* const* codes, int at, __m256i scale,
                                  __m256i* total) {
  constexpr int dwords = F::kGroup / 4;
  if constexpr (F::kBits == 8) {
    for (int j = 0; j < dwords; j++) {
      const __m256i u = _mm256_load_si256(w + j), size = _mm256_abs_epi8(u);
      for (int m = 0; m < M; m++) {
        const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(broadcast4(codes[m] + at + 4 * j), u));
        total[m] = _mm256_add_epi32(total[m], _mm256_madd_epi16(pairs, scale));
        keep_here(total[m]);
      }
    }
    return;
  }
  // So many pairs of at most 2 * (2^bits - 1) * 127 fit an int16 lane.
  constexpr int fit = 32767 / (2 * ((1 << F::kBits) - 1) * 127), step = fit < dwords ? fit : dwords;
  constexpr int run = step >= 8 ? 8 : step >= 4 ? 4 : step >= 2 ? 2 : 1;
  for (int j = 0; j < dwords; j += run) {
    __m256i pairs[M];
    for (int i = 0; i < run; i++) {
      const __m256i u = _mm256_load_si256(w + j + i);
      for (int m = 0; m < M; m++) {
        const __m256i product = _mm256_maddubs_epi16(u, broadcast4(codes[m] + at + 4 * (j + i)));
        pairs[m] = i ? _mm256_add_epi16(pairs[m], product) : product;
        keep_here(pairs[m]);
      }
    }
    for (int m = 0; m < M; m++) total[m] = _mm256_add_epi32(total[m], _mm256_madd_epi16(pairs[m], scale));
  }
}

template <class F, int M>
static void panel_times_tokens(const Panel& p, const Activations& x, int token, int rows, float* y, size_t stride) {
  constexpr int groups = F::kBlock / F::kGroup;
  constexpr int offset = panel_offset<F>();
  const int blocks = x.width / F::kBlock;
  const int8_t* codes[M];
  for (int m = 0; m < M; m++) codes[m] = x.codes + size_t(token + m) * size_t(x.width);
  const float* scales = x.scales + size_t(token) * size_t(blocks);
  __m256 chain[M];
  for (int m = 0; m < M; m++) chain[m] = _mm256_setzero_ps();
  for (int b = 0; b < blocks; b++) {
    __m256i total[M], minima[M];
    for (int m = 0; m < M; m++) total[m] = minima[m] = _mm256_setzero_si256();
    for (int g = 0; g < groups; g++) {
      const int at = b * F::kBlock + g * F::kGroup;
      const __m256i scale = groups == 1 ? _mm256_set1_epi16(1)
                                        : load32(reinterpret_cast<const uint8_t*>(p.groups + (b * groups + g) * kLanes));
      group_products<F, M>(reinterpret_cast<const __m256i*>(p.codes + size_t(at) * kLanes), codes, at, scale, total);
    }
    if constexpr (F::kBlock == 256 && (F::kMins || offset)) {
      for (int g = 0; g < groups / 2; g++) {
        const __m256i low = load32(reinterpret_cast<const uint8_t*>(p.minima + (b * groups / 2 + g) * kLanes));
        for (int m = 0; m < M; m++) {
          const int16_t* sums = F::kGroup == 16 ? x.sum16 : x.sum32;
          int32_t pair;
          std::memcpy(&pair, sums + size_t(token + m) * size_t(x.width / F::kGroup) + (b * groups + 2 * g), 4);
          minima[m] = _mm256_add_epi32(minima[m], _mm256_madd_epi16(low, _mm256_set1_epi32(pair)));
        }
      }
    }
    const __m256 d = _mm256_loadu_ps(p.scales + b * kLanes), low = _mm256_loadu_ps(p.min_scales + b * kLanes);
    for (int m = 0; m < M; m++) {
      const __m256 scale = _mm256_set1_ps(scales[m * blocks + b]);
      if constexpr (F::kBlock == 32) {
        const __m256i sum = _mm256_set1_epi32(x.sum32[size_t(token + m) * size_t(blocks) + size_t(b)]);
        if (offset) total[m] = _mm256_sub_epi32(total[m], _mm256_mullo_epi32(sum, _mm256_set1_epi32(offset)));
        if (F::kMins) minima[m] = sum;
      } else if (offset) {
        total[m] = _mm256_sub_epi32(total[m], minima[m]);
      }
      chain[m] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total[m]), _mm256_mul_ps(d, scale), chain[m]);
      if (F::kMins) {
        const __m256i minus = _mm256_sub_epi32(_mm256_setzero_si256(), minima[m]);
        chain[m] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(minus), _mm256_mul_ps(low, scale), chain[m]);
      }
    }
  }
  for (int m = 0; m < M; m++) store_some8(y + size_t(m) * stride, chain[m], rows);
}

// Blocks of 32 nibbles with an offset of 8 take another way, two panels to each broadcast: their float step comes eight
// times as often as that of blocks of 256, so nothing else may come between, and loads were the limit.
template <class F>
static constexpr bool kNibblesMinus8 = F::kBlock == 32 && F::kBits == 4 && F::kOffset == 8 && !F::kMins;

static constexpr int kPrepared = 64;  // blocks whose sums are prepared at once: few enough for the first-level cache

// What begins the int16 sums of up to kPrepared blocks of one token, ready to be broadcast: -8 times the sum of a
// block's activations, half of it in each of the two lanes that make a total. However they wrap around on the way, both
// end within (11 + 4) * 16 * 127 = 30480.
template <class F>
static inline void prepare_sums(const int16_t* sums, int count, int32_t* out) {
  for (int i = 0; i < count; i++) out[i] = int32_t(uint16_t(-4 * sums[i]) * 0x10001u);
}

// Block b of P panels times M tokens, added to the float chains; `prepared` is [M][kPrepared], already at this block.
template <class F, int P, int M>
static inline void block_of_32(const Panel* p, int b, const int8_t* codes, int width, const float* scales,
                               const int32_t* prepared, __m256 (&chain)[P][M]) {
  static_assert(kNibblesMinus8<F>);
  __m256i pairs[P][M];
  for (int m = 0; m < M; m++)
    for (int i = 0; i < P; i++) pairs[i][m] = _mm256_set1_epi32(prepared[m * kPrepared]);
#pragma GCC unroll 8
  for (int j = 0; j < 8; j++) {
    __m256i u[P];
    for (int i = 0; i < P; i++) u[i] = load32(p[i].codes + size_t(b * 8 + j) * kLanes * 4);
    for (int m = 0; m < M; m++) {
      const __m256i a = broadcast4(codes + size_t(m) * size_t(width) + b * 32 + 4 * j);
      for (int i = 0; i < P; i++) {
        pairs[i][m] = _mm256_add_epi16(pairs[i][m], _mm256_maddubs_epi16(u[i], a));
        keep_here(pairs[i][m]);
      }
    }
  }
  for (int i = 0; i < P; i++) {
    const __m256 d = _mm256_loadu_ps(p[i].scales + b * kLanes);
    for (int m = 0; m < M; m++) {
      const __m256 total = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs[i][m], _mm256_set1_epi16(1)));
      const __m256 scale = _mm256_set1_ps(scales[m * (width / 32) + b]);
      chain[i][m] = _mm256_fmadd_ps(total, _mm256_mul_ps(d, scale), chain[i][m]);
    }
  }
}

// Writes the floats of a panel of which so many rows exist.
static inline void store_rows(float* y, int rows, __m256 value) { store_some8(y, value, rows < kLanes ? rows : kLanes); }

using Chain = __m256;
static inline __m256 zero_chain() { return _mm256_setzero_ps(); }
#include "panels_of_32.h"

// The panels of `rows` rows times all tokens; six tokens' sums, a weight and its broadcasts fill the 16 registers.
template <class F>
static void panels_times_tokens(uint8_t* panels, int rows, const Activations& x, int tokens, float* y, size_t stride,
                                float*) {
  if constexpr (kNibblesMinus8<F>) {  // so do the sums and chains of two panels and three tokens
    int t = 0;
    for (; t + 3 <= tokens; t += 3) all_panels_of_32<F, 3>(panels, rows, x, t, y, stride);
    for (; t < tokens; t++) all_panels_of_32<F, 1>(panels, rows, x, t, y, stride);
    return;
  }
  constexpr int M = F::kBlock == 32 ? 6 : 4;
  const size_t bytes = panel_bytes<F>(x.width);
  int t = 0;
  for (; t < tokens; t += (t + M <= tokens ? M : 1))
    for (int n = 0; n < rows; n += kLanes) {
      const Panel p = panel_at<F>(panels + size_t(n) / kLanes * bytes, x.width);
      const int some = rows - n < kLanes ? rows - n : kLanes;
      float* out = y + size_t(t) * stride + n;
      if (t + M <= tokens) panel_times_tokens<F, M>(p, x, t, some, out, stride);
      else panel_times_tokens<F, 1>(p, x, t, some, out, stride);
    }
}
