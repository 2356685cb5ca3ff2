// Sixteen tokens times sixteen rows with AMX tiles: the tile unit sums the integers, AVX-512 continues the chains.
// An activation tile is 16 tokens x 32 codes as they lie; a weight tile is 8 (or 4) dword rows of a panel.
// No include guard: each section includes this file inside its own namespace.

struct alignas(64) TileShapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t columns[16] = {};  // bytes of a row
  uint8_t rows[16] = {};
};

// Tiles 0, 1: sums [16 tokens][16 rows] of int32; 2: activations of a group of 32, 3: of 16; 4, 5: their weights.
static void load_tile_shapes() {
  TileShapes s;
  s.columns[0] = s.columns[1] = 64, s.rows[0] = s.rows[1] = 16;
  s.columns[2] = 32, s.rows[2] = 16, s.columns[3] = 16, s.rows[3] = 16;
  s.columns[4] = 64, s.rows[4] = 8, s.columns[5] = 64, s.rows[5] = 4;
#if defined(__GNUC__)
  __asm__ volatile("" : : "r"(&s) : "memory");  // GCC 12's intrinsic reads 8 of the 64 bytes, as far as GCC knows
#endif
  _tile_loadconfig(&s);
}

// The tile instructions take tile numbers only as literals, so a macro writes the four cases out.
#define HOMEZOO_TILE_SUMS(tile, activations, weights) \
  _tile_zero(tile);                                   \
  _tile_loadd(activations, codes, width);             \
  _tile_loadd(weights, panel, 64);                    \
  _tile_dpbsud(tile, activations, weights);           \
  _tile_stored(tile, sums, 64)

// sums[token][row] of one group of codes, through tile 0 or 1 (two, so that neighbouring groups overlap).
template <int group, int tile>
static inline void tile_sums(const int8_t* codes, int width, const uint8_t* panel, int32_t* sums) {
  if constexpr (group == 32 && tile == 0) {
    HOMEZOO_TILE_SUMS(0, 2, 4);
  } else if constexpr (group == 32) {
    HOMEZOO_TILE_SUMS(1, 2, 4);
  } else if constexpr (tile == 0) {
    HOMEZOO_TILE_SUMS(0, 3, 5);
  } else {
    HOMEZOO_TILE_SUMS(1, 3, 5);
  }
}
#undef HOMEZOO_TILE_SUMS

// Blocks of 32: each group's sums meet the float chains at once.
template <class F>
static inline void amx_block_of_32(const Panel& p, const Activations& x, int b, int token, const int32_t* sums,
                                   __m512* chain) {
  const int blocks = x.width / 32;
  const size_t first = size_t(token) * size_t(blocks) + size_t(b);
  const __m512 d = _mm512_loadu_ps(p.scales + b * kLanes), low = _mm512_loadu_ps(p.min_scales + b * kLanes);
#pragma GCC unroll 16
  for (int m = 0; m < 16; m++) {
    const size_t at = first + size_t(m * blocks);
    const __m512 scale = _mm512_set1_ps(x.scales[at]);
    __m512i total = load64(sums + 16 * m);
    if (F::kOffset) total = _mm512_sub_epi32(total, _mm512_set1_epi32(F::kOffset * x.sum32[at]));
    chain[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(total), _mm512_mul_ps(d, scale), chain[m]);
    if (F::kMins)
      chain[m] = _mm512_fmadd_ps(_mm512_set1_ps(float(-x.sum32[at])), _mm512_mul_ps(low, scale), chain[m]);
  }
}

template <class F>
static void panel_times_16_tokens(const Panel& p, const Activations& x, int token, int rows, float* y, size_t stride) {
  constexpr int groups = F::kBlock / F::kGroup;
  alignas(64) int32_t sums[2][256];
  const int blocks = x.width / F::kBlock;
  const int8_t* codes = x.codes + size_t(token) * size_t(x.width);
  __m512 chain[16];
  for (auto& c : chain) c = _mm512_setzero_ps();
  if constexpr (F::kBlock == 32) {
    int b = 0;
    for (; b + 2 <= blocks; b += 2) {
      tile_sums<32, 0>(codes + 32 * b, x.width, p.codes + size_t(b) * 8 * 64, sums[0]);
      tile_sums<32, 1>(codes + 32 * b + 32, x.width, p.codes + size_t(b + 1) * 8 * 64, sums[1]);
      amx_block_of_32<F>(p, x, b, token, sums[0], chain);
      amx_block_of_32<F>(p, x, b + 1, token, sums[1], chain);
    }
    if (b < blocks) {
      tile_sums<32, 0>(codes + 32 * b, x.width, p.codes + size_t(b) * 8 * 64, sums[0]);
      amx_block_of_32<F>(p, x, b, token, sums[0], chain);
    }
  } else {
    for (int b = 0; b < blocks; b++) {
      __m512i total[16];
      for (auto& t : total) t = _mm512_setzero_si512();
      for (int g = 0; g < groups; g += 2) {
        const int at = b * 256 + g * F::kGroup;
        tile_sums<F::kGroup, 0>(codes + at, x.width, p.codes + size_t(at) * kLanes, sums[0]);
        tile_sums<F::kGroup, 1>(codes + at + F::kGroup, x.width, p.codes + size_t(at + F::kGroup) * kLanes, sums[1]);
        const int32_t* scales = p.groups + (b * groups + g) * kLanes;
        const __m512i one = _mm512_srai_epi32(_mm512_loadu_si512(scales), 16);
        const __m512i two = _mm512_srai_epi32(_mm512_loadu_si512(scales + kLanes), 16);
#pragma GCC unroll 16
        for (int m = 0; m < 16; m++) {
          total[m] = _mm512_add_epi32(total[m], _mm512_mullo_epi32(load64(sums[0] + 16 * m), one));
          total[m] = _mm512_add_epi32(total[m], _mm512_mullo_epi32(load64(sums[1] + 16 * m), two));
        }
      }
#pragma GCC unroll 16
      for (int m = 0; m < 16; m++) {
        __m512i minima = _mm512_setzero_si512();
        if (F::kMins || F::kOffset) minima = minima_of_block<F>(p, x, b, size_t(token + m));
        if (!F::kMins) total[m] = _mm512_sub_epi32(total[m], minima);
        const float scale = x.scales[size_t(token + m) * size_t(blocks) + size_t(b)];
        chain[m] = continue_chain<F>(p, b, scale, total[m], minima, chain[m]);
      }
    }
  }
  const __mmask16 mask = __mmask16((1u << rows) - 1);
  for (int m = 0; m < 16; m++) _mm512_mask_storeu_ps(y + size_t(m) * stride, mask, chain[m]);
}
