// Panels of sixteen rows in 512-bit registers, and how the float chains go on from their integers.
// No include guard: each section includes this file inside its own namespace, with kSignedFrom (see panel.h).

static constexpr int kLanes = 16;

#include "panel.h"

static inline __m512i load64(const void* p) { return _mm512_load_si512(p); }

static inline __m512i broadcast_pair(const int16_t* sums) {
  int32_t a;
  std::memcpy(&a, sums, 4);
  return _mm512_set1_epi32(a);
}

// Continues the float chain of one token with block b's integers (and minima).
template <class F>
static inline __m512 continue_chain(const Panel& p, int b, float scale, __m512i total, __m512i minima, __m512 chain) {
  const __m512 d = _mm512_loadu_ps(p.scales + b * kLanes), s = _mm512_set1_ps(scale);
  chain = _mm512_fmadd_ps(_mm512_cvtepi32_ps(total), _mm512_mul_ps(d, s), chain);
  if constexpr (F::kMins) {
    const __m512 low = _mm512_loadu_ps(p.min_scales + b * kLanes);
    const __m512i minus = _mm512_sub_epi32(_mm512_setzero_si512(), minima);
    chain = _mm512_fmadd_ps(_mm512_cvtepi32_ps(minus), _mm512_mul_ps(low, s), chain);
  }
  return chain;
}

// Blocks of 256: sum over groups of minima (or scale * offset) times the activations' sums, for token t.
template <class F>
static inline __m512i minima_of_block(const Panel& p, const Activations& x, int b, size_t token) {
  constexpr int groups = 256 / F::kGroup;
  const int16_t* sums = (F::kGroup == 16 ? x.sum16 : x.sum32) + token * size_t(x.width / F::kGroup) + b * groups;
  __m512i minima = _mm512_setzero_si512();
  for (int g = 0; g < groups / 2; g++) {
    const __m512i low = _mm512_loadu_si512(p.minima + (b * groups / 2 + g) * kLanes);
    minima = _mm512_dpwssd_epi32(minima, low, broadcast_pair(sums + 2 * g));
  }
  return minima;
}
