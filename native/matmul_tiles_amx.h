// Tokens times quantised rows with AMX tiles: the tile unit sums the integers, AVX-512 continues the float chains.
// A tile of activations is up to 16 tokens x 32 (or 16) codes as they lie; a tile of weights is 8 (or 4) dword rows of a
// panel. Weights lie in the panel as signed bytes without their offset, so nothing is left to correct.
// No include guard: each section includes this file inside its own namespace.

static constexpr int kSignedFrom = 0;

#include "panel_512.h"

static constexpr int kTileTokens = 16;

struct alignas(64) TileShapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t columns[16] = {};  // bytes of a row
  uint8_t rows[16] = {};
};

// Tiles 0, 1: sums [tokens][16 rows] of int32; 2: activations of a group of 32, 3: of 16; 4, 5: their weights.
static void load_tile_shapes(int tokens) {
  TileShapes s;
  for (int t = 0; t < 4; t++) s.rows[t] = uint8_t(tokens);
  s.columns[0] = s.columns[1] = 64, s.columns[2] = 32, s.columns[3] = 16;
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
  _tile_dpbssd(tile, activations, weights);           \
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

// body(m) for m = 0 .. M-1, each a compile-time constant, so that arrays indexed by it live in registers.
template <class Body, int... m>
static inline __attribute__((always_inline)) void each_of(std::integer_sequence<int, m...>, Body body) {
  (body(std::integral_constant<int, m>{}), ...);
}
template <int M, class Body>
static inline __attribute__((always_inline)) void each(Body body) {
  each_of(std::make_integer_sequence<int, M>{}, body);
}

// Up to M tokens, those beyond `count` repeating the last one: their scales and sums, block after block, so that a
// block's lie side by side.
struct TileTokens {
  const int8_t* codes;
  int width, first, count;
  float* scales;       // [blocks][M]
  float* minus_sums;   // [blocks][M]: minus the sum of a block of 32's codes
};

template <class F, int M>
static TileTokens tile_tokens(const Activations& x, int first, int count, float* scratch) {
  const size_t blocks = size_t(x.width / F::kBlock);
  const TileTokens t{x.codes + size_t(first) * size_t(x.width), x.width, first, count, scratch, scratch + blocks * M};
  for (int m = 0; m < M; m++) {
    const size_t at = size_t(first + (m < count ? m : count - 1)) * blocks;
    for (size_t b = 0; b < blocks; b++) t.scales[b * M + size_t(m)] = x.scales[at + b];
    if (F::kBlock == 32 && F::kMins)
      for (size_t b = 0; b < blocks; b++) t.minus_sums[b * M + size_t(m)] = float(-x.sum32[at + b]);
  }
  return t;
}

// Blocks of 32, two at a time.
template <class F, int M>
static void panel_times_tile_32(const Panel& p, const TileTokens& t, int rows, float* y, size_t stride) {
  alignas(64) int32_t sums[2][256];
  const int blocks = t.width / 32;
  __m512 chain[M];
  each<M>([&](auto m) { chain[m] = _mm512_setzero_ps(); });
  const auto go_on = [&](int b, const int32_t* block_sums) __attribute__((always_inline)) {
    const __m512 d = _mm512_loadu_ps(p.scales + b * kLanes), low = _mm512_loadu_ps(p.min_scales + b * kLanes);
    const float *scales = t.scales + size_t(b) * M, *minus = t.minus_sums + size_t(b) * M;
    each<M>([&](auto m) {
      const __m512 scale = _mm512_set1_ps(scales[m]);
      chain[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(load64(block_sums + 16 * m)), _mm512_mul_ps(d, scale), chain[m]);
      if constexpr (F::kMins) chain[m] = _mm512_fmadd_ps(_mm512_set1_ps(minus[m]), _mm512_mul_ps(low, scale), chain[m]);
    });
  };
  int b = 0;
  for (; b + 2 <= blocks; b += 2) {
    tile_sums<32, 0>(t.codes + 32 * b, t.width, p.codes + size_t(b) * 512, sums[0]);
    tile_sums<32, 1>(t.codes + 32 * b + 32, t.width, p.codes + size_t(b) * 512 + 512, sums[1]);
    go_on(b, sums[0]);
    go_on(b + 1, sums[1]);
  }
  if (b < blocks) {
    tile_sums<32, 0>(t.codes + 32 * b, t.width, p.codes + size_t(b) * 512, sums[0]);
    go_on(b, sums[0]);
  }
  const __mmask16 mask = __mmask16((1u << rows) - 1);
  each<M>([&](auto m) {
    if (m < t.count) _mm512_mask_storeu_ps(y + size_t(m) * stride, mask, chain[m]);
  });
}

// Blocks of 256: the sums of two groups at a time meet the groups' scales, in integers.
template <class F, int M>
static void panel_times_tile_256(const Panel& p, const Activations& x, const TileTokens& t, int rows, float* y,
                                 size_t stride) {
  constexpr int groups = 256 / F::kGroup, bytes = F::kGroup * kLanes;  // bytes of a group in the panel
  alignas(64) int32_t sums[2][256];
  alignas(64) float chain[M][16] = {};  // once per block of 256: memory is near enough
  for (int b = 0; b < t.width / 256; b++) {
    const int8_t* codes = t.codes + b * 256;
    const uint8_t* panel = p.codes + size_t(b) * 256 * kLanes;
    __m512i total[M];
    each<M>([&](auto m) { total[m] = _mm512_setzero_si512(); });
    for (int g = 0; g < groups; g += 2) {
      tile_sums<F::kGroup, 0>(codes + g * F::kGroup, t.width, panel + g * bytes, sums[0]);
      tile_sums<F::kGroup, 1>(codes + (g + 1) * F::kGroup, t.width, panel + (g + 1) * bytes, sums[1]);
      const int32_t* scales = p.groups + (b * groups + g) * kLanes;
      const __m512i one = _mm512_srai_epi32(_mm512_loadu_si512(scales), 16);
      const __m512i two = _mm512_srai_epi32(_mm512_loadu_si512(scales + kLanes), 16);
      each<M>([&](auto m) {
        total[m] = _mm512_add_epi32(total[m], _mm512_mullo_epi32(load64(sums[0] + 16 * m), one));
        total[m] = _mm512_add_epi32(total[m], _mm512_mullo_epi32(load64(sums[1] + 16 * m), two));
      });
    }
    each<M>([&](auto m) {
      __m512i minima = _mm512_setzero_si512();
      if constexpr (F::kMins) minima = minima_of_block<F>(p, x, b, size_t(t.first + (m < t.count ? m : t.count - 1)));
      const __m512 old = _mm512_load_ps(chain[m]);
      _mm512_store_ps(chain[m], continue_chain<F>(p, b, t.scales[b * M + m], total[m], minus_floats(minima), old));
    });
  }
  const __mmask16 mask = __mmask16((1u << rows) - 1);
  for (int m = 0; m < t.count; m++) _mm512_mask_storeu_ps(y + size_t(m) * stride, mask, _mm512_load_ps(chain[m]));
}

// M tokens (or the fewer that are left) times the panels of `rows` rows.
template <class F, int M>
static void panels_times_tile(uint8_t* panels, int rows, const Activations& x, int first, int count, float* y,
                              size_t stride, float* scratch) {
  const size_t bytes = panel_bytes<F>(x.width);
  const TileTokens t = tile_tokens<F, M>(x, first, count, scratch);
  for (int n = 0; n < rows; n += kLanes) {
    const Panel p = panel_at<F>(panels + size_t(n) / kLanes * bytes, x.width);
    const int some = rows - n < kLanes ? rows - n : kLanes;
    float* out = y + size_t(first) * stride + n;
    if constexpr (F::kBlock == 32) panel_times_tile_32<F, M>(p, t, some, out, stride);
    else panel_times_tile_256<F, M>(p, x, t, some, out, stride);
  }
}

// The panels of `rows` rows times all tokens; `side` has room for the scales and sums of a tile of tokens.
template <class F>
static void panels_times_tokens(uint8_t* panels, int rows, const Activations& x, int tokens, float* y, size_t stride,
                                float* side) {
  int shaped = 0;
  for (int t = 0; t < tokens; t += kTileTokens) {
    const int count = tokens - t < kTileTokens ? tokens - t : kTileTokens;
    if (count != shaped) load_tile_shapes(shaped = count);
    if (count > 8) panels_times_tile<F, 16>(panels, rows, x, t, count, y, stride, side);
    else panels_times_tile<F, 8>(panels, rows, x, t, count, y, stride, side);
  }
  _tile_release();
}
