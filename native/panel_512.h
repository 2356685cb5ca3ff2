// Panels of sixteen rows in 512-bit registers, and how the float chains go on from their integers.
// No include guard: each section includes this file inside its own namespace, with kSignedFrom (see panel.h).

static constexpr int kLanes = 16, kChunkRows = 32;

// Nibbles that are codes: sixteen rows of one block are turned while two codes still share a byte. Register k takes rows
// k, k+4, k+8 and k+12, so that the rows come out in order.
template <class F>
static inline void turn_nibbles16(const uint8_t* const* row, size_t at, uint8_t* out) {
  __m512i r[4];
  for (int k = 0; k < 4; k++) {
    const auto load = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(row[i] + at)); };
    r[k] = lanes_of(load(k), load(k + 4), load(k + 8), load(k + 12));
  }
  const __m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
  const __m512i c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);
  const __m512i dwords[4] = {_mm512_unpacklo_epi64(a, c), _mm512_unpackhi_epi64(a, c), _mm512_unpacklo_epi64(b, d),
                             _mm512_unpackhi_epi64(b, d)};
  const __m512i mask = _mm512_set1_epi8(15), offset = _mm512_set1_epi8(kSignedFrom <= F::kBits ? F::kOffset : 0);
  for (int j = 0; j < 4; j++) {
    const __m512i low = _mm512_and_si512(dwords[j], mask);
    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(dwords[j], 4), mask);
    _mm512_store_si512(out + 64 * j, _mm512_sub_epi8(low, offset));
    _mm512_store_si512(out + 64 * (j + 4), _mm512_sub_epi8(high, offset));
  }
}

// The halves at `at` bytes into sixteen rows, as floats.
static inline __m512 halves16(const uint8_t* const* row, size_t at) {
  alignas(32) uint16_t h[16];
  for (int i = 0; i < 16; i++) h[i] = read16(row[i] + at);
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(h)));
}

#include "panel.h"

static inline __m512i load64(const void* p) { return _mm512_load_si512(p); }

static inline __m512i broadcast_pair(const int16_t* sums) {
  int32_t a;
  std::memcpy(&a, sums, 4);
  return _mm512_set1_epi32(a);
}

static inline __m512 minus_floats(__m512i minima) {
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_setzero_si512(), minima));
}

// Continues the float chain of one token with block b's integers and, where the format has them, its minima's factors.
template <class F>
static inline __m512 continue_chain(const Panel& p, int b, float scale, __m512i total, __m512 minus, __m512 chain) {
  const __m512 d = _mm512_loadu_ps(p.scales + b * kLanes), s = _mm512_set1_ps(scale);
  chain = _mm512_fmadd_ps(_mm512_cvtepi32_ps(total), _mm512_mul_ps(d, s), chain);
  if constexpr (F::kMins) {
    const __m512 low = _mm512_loadu_ps(p.min_scales + b * kLanes);
    chain = _mm512_fmadd_ps(minus, _mm512_mul_ps(low, s), chain);
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
