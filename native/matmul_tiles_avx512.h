// Many tokens times quantised rows (prefill), 512-bit registers with VNNI: a lane is a row, sixteen rows a panel.
// No include guard: each section includes this file inside its own namespace.

static constexpr int kSignedFrom = 9;  // none: vpdpbusd takes all codes as unsigned bytes

#include "panel_512.h"

static inline __m512i broadcast4(const int8_t* codes) {
  int32_t a;
  std::memcpy(&a, codes, 4);
  return _mm512_set1_epi32(a);
}

// Writes the floats of a panel of which so many rows exist.
static inline void store_rows(float* y, int rows, __m512 value) {
  _mm512_mask_storeu_ps(y, rows < kLanes ? __mmask16((1u << rows) - 1) : __mmask16(0xffff), value);
}

static constexpr int kPrepared = 32;  // blocks whose sums are prepared at once: few enough for the first-level cache

// What the sums of one token's activations bring to up to kPrepared blocks, ready to be broadcast: integers that take
// the offset away, or factors of the minima. Dot products and float steps share two ports, so it is not left to them.
template <class F>
static inline void prepare_sums(const int16_t* sums, int count, int32_t* out) {
  for (int i = 0; i < kPrepared; i += 16) {
    const __mmask16 mask = count - i >= 16 ? __mmask16(0xffff) : __mmask16((1u << (count > i ? count - i : 0)) - 1);
    const __m512i sum = _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, sums + i));
    if constexpr (F::kMins) _mm512_store_ps(reinterpret_cast<float*>(out + i), minus_floats(sum));
    else _mm512_store_si512(out + i, _mm512_mullo_epi32(sum, _mm512_set1_epi32(-F::kOffset)));
  }
}

// Block b of P neighbouring panels times M tokens, added to the float chains; `prepared` is [M][kPrepared], already at
// this block. Two panels share each broadcast of activations: with one, the loads would take longer than the products.
template <class F, int P, int M>
static inline void block_of_32(const Panel* p, int b, const int8_t* codes, int width, const float* scales,
                               const int32_t* prepared, __m512 (&chain)[P][M]) {
  __m512i total[P][M];
  for (int m = 0; m < M; m++)
    for (int i = 0; i < P; i++)
      total[i][m] = F::kOffset ? _mm512_set1_epi32(prepared[m * kPrepared]) : _mm512_setzero_si512();
#pragma GCC unroll 8
  for (int j = 0; j < 8; j++) {
    __m512i u[P];
    for (int i = 0; i < P; i++) u[i] = load64(p[i].codes + size_t(b * 8 + j) * kLanes * 4);
    for (int m = 0; m < M; m++) {
      const __m512i a = broadcast4(codes + size_t(m) * size_t(width) + b * 32 + 4 * j);
      for (int i = 0; i < P; i++) total[i][m] = _mm512_dpbusd_epi32(total[i][m], u[i], a);
    }
  }
  for (int m = 0; m < M; m++) {
    float minus = 0;
    if constexpr (F::kMins) std::memcpy(&minus, prepared + m * kPrepared, 4);
    for (int i = 0; i < P; i++)
      chain[i][m] = continue_chain<F>(p[i], b, scales[m * (width / 32) + b], total[i][m], _mm512_set1_ps(minus),
                                      chain[i][m]);
  }
}

using Chain = __m512;
static inline __m512 zero_chain() { return _mm512_setzero_ps(); }
#include "panels_of_32.h"

// Blocks of 256: a panel times M tokens; each group's integers are scaled before they are added.
template <class F, int M>
static void panel_of_256(const Panel& p, const Activations& x, int token, int rows, float* y, size_t stride) {
  constexpr int groups = 256 / F::kGroup;
  const int blocks = x.width / 256;
  const int8_t* codes = x.codes + size_t(token) * size_t(x.width);
  const float* scales = x.scales + size_t(token) * size_t(blocks);
  __m512 chain[M];
  for (int m = 0; m < M; m++) chain[m] = _mm512_setzero_ps();
  for (int b = 0; b < blocks; b++) {
    __m512i total[M];
    for (int m = 0; m < M; m++) total[m] = _mm512_setzero_si512();
    for (int g = 0; g < groups; g++) {
      const int at = b * 256 + g * F::kGroup;
      __m512i part[M];
      for (int m = 0; m < M; m++) part[m] = _mm512_setzero_si512();
      for (int j = 0; j < F::kGroup / 4; j++) {
        const __m512i u = load64(p.codes + size_t(at / 4 + j) * kLanes * 4);
        for (int m = 0; m < M; m++)
          part[m] = _mm512_dpbusd_epi32(part[m], u, broadcast4(codes + size_t(m) * size_t(x.width) + at + 4 * j));
      }
      // The panel keeps the scale in both halves of a dword; as int32 it is the upper half, shifted.
      const __m512i scale = _mm512_srai_epi32(_mm512_loadu_si512(p.groups + (b * groups + g) * kLanes), 16);
      for (int m = 0; m < M; m++) total[m] = _mm512_add_epi32(total[m], _mm512_mullo_epi32(part[m], scale));
    }
    for (int m = 0; m < M; m++) {
      const __m512i minima = minima_of_block<F>(p, x, b, size_t(token + m));
      if constexpr (!F::kMins) total[m] = _mm512_sub_epi32(total[m], minima);
      chain[m] = continue_chain<F>(p, b, scales[m * blocks + b], total[m], minus_floats(minima), chain[m]);
    }
  }
  for (int m = 0; m < M; m++) store_rows(y + size_t(m) * stride, rows, chain[m]);
}

// M tokens times neighbouring panels of so many rows in all.
template <class F, int M>
static void panels_times(uint8_t* panels, int rows, const Activations& x, int token, float* y, size_t stride) {
  if constexpr (F::kBlock == 32) {
    all_panels_of_32<F, M>(panels, rows, x, token, y, stride);
  } else {
    y += size_t(token) * stride;
    for (; rows > 0; rows -= kLanes, panels += panel_bytes<F>(x.width), y += kLanes)
      panel_of_256<F, M>(panel_at<F>(panels, x.width), x, token, rows, y, stride);
  }
}

// The panels of `rows` rows times all tokens, six at a time: integer sums and float chains of two panels, or sums,
// parts and chains of one, fit into 32 registers.
template <class F>
static void panels_times_tokens(uint8_t* panels, int rows, const Activations& x, int tokens, float* y, size_t stride,
                                float*) {
  for (int t = 0, left; (left = tokens - t) > 0;) {
    if (left >= 6 && left != 8) panels_times<F, 6>(panels, rows, x, t, y, stride), t += 6;
    else if (left >= 4) panels_times<F, 4>(panels, rows, x, t, y, stride), t += 4;
    else if (left >= 2) panels_times<F, 2>(panels, rows, x, t, y, stride), t += 2;
    else panels_times<F, 1>(panels, rows, x, t, y, stride), t += 1;
  }
}
