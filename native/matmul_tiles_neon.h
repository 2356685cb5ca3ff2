// Many tokens times quantised rows (prefill), 128-bit registers: a lane is a row, eight rows a panel.
// Three ways to the same integers: widening products (ARMv8.0), byte dot products, 2 x 2 byte matrix products (i8mm).
// No include guard: each section includes this file inside its own namespace.

static constexpr int kLanes = 8;
static constexpr int kSignedFrom = 0;  // all codes without their offset: all products here are of signed bytes

#if defined(HOMEZOO_I8MM)

// Eight rows' chunks of 32 codes: [k / 8][pair of rows][2][8], the left side of a matrix product.
static inline void store_turned8(uint8_t* out, size_t, const Bytes32* in) {
  for (int pair = 0; pair < 4; pair++)
    for (int half = 0; half < 2; half++) {
      const uint64x2_t a = vreinterpretq_u64_u8(in[2 * pair].val[half]);
      const uint64x2_t b = vreinterpretq_u64_u8(in[2 * pair + 1].val[half]);
      vst1q_u8(out + 64 * (2 * half) + 16 * pair, vreinterpretq_u8_u64(vzip1q_u64(a, b)));
      vst1q_u8(out + 64 * (2 * half + 1) + 16 * pair, vreinterpretq_u8_u64(vzip2q_u64(a, b)));
    }
}

// sum[m][h]: products of one group of rows 4h .. 4h + 3 with token m. An odd last token is its own neighbour.
template <class F, int M>
static inline void group_products(const int8_t* w, const int8_t* const* codes, int at, int32x4_t (*sum)[2]) {
  constexpr int pairs = (M + 1) / 2;
  int32x4_t tile[4][pairs];  // two rows times two tokens each
  for (int r = 0; r < 4; r++)
    for (int p = 0; p < pairs; p++) tile[r][p] = vdupq_n_s32(0);
  for (int k = 0; k < F::kGroup; k += 16, w += 16 * kLanes) {
    int8x16_t low[pairs], high[pairs];
    for (int p = 0; p < pairs; p++) {
      const int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(codes[2 * p] + at + k));
      const int64x2_t b = vreinterpretq_s64_s8(vld1q_s8(codes[2 * p + 1 < M ? 2 * p + 1 : 2 * p] + at + k));
      low[p] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
      high[p] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
    }
    for (int r = 0; r < 4; r++) {
      const int8x16_t first = vld1q_s8(w + 16 * r), second = vld1q_s8(w + 64 + 16 * r);
      for (int p = 0; p < pairs; p++)
        tile[r][p] = vmmlaq_s32(vmmlaq_s32(tile[r][p], first, low[p]), second, high[p]);
    }
  }
  for (int m = 0; m < M; m++)
    for (int h = 0; h < 2; h++)
      sum[m][h] = m % 2 ? vuzp2q_s32(tile[2 * h][m / 2], tile[2 * h + 1][m / 2])
                        : vuzp1q_s32(tile[2 * h][m / 2], tile[2 * h + 1][m / 2]);
}

#else

// Transposes 8 rows of 8 dwords: dword j of every row goes to out + j * pitch.
static inline void store_turned8(uint8_t* out, size_t pitch, const Bytes32* in) {
  for (int rows = 0; rows < 8; rows += 4)
    for (int half = 0; half < 2; half++) {
      uint32x4_t r[4];
      for (int i = 0; i < 4; i++) r[i] = vreinterpretq_u32_u8(in[rows + i].val[half]);
      const uint64x2_t even01 = vreinterpretq_u64_u32(vtrn1q_u32(r[0], r[1]));  // dwords 0 and 2 of two rows
      const uint64x2_t odd01 = vreinterpretq_u64_u32(vtrn2q_u32(r[0], r[1]));   // dwords 1 and 3
      const uint64x2_t even23 = vreinterpretq_u64_u32(vtrn1q_u32(r[2], r[3]));
      const uint64x2_t odd23 = vreinterpretq_u64_u32(vtrn2q_u32(r[2], r[3]));
      uint8_t* to = out + size_t(4 * half) * pitch + 4 * rows;
      vst1q_u8(to, vreinterpretq_u8_u64(vtrn1q_u64(even01, even23)));
      vst1q_u8(to + pitch, vreinterpretq_u8_u64(vtrn1q_u64(odd01, odd23)));
      vst1q_u8(to + 2 * pitch, vreinterpretq_u8_u64(vtrn2q_u64(even01, even23)));
      vst1q_u8(to + 3 * pitch, vreinterpretq_u8_u64(vtrn2q_u64(odd01, odd23)));
    }
}

#if defined(HOMEZOO_DOTPROD)

// Dword `lane` of each token's sixteen codes times that dword of eight rows.
template <int lane, int M>
static inline void dot_lane(const int8_t* w, const int8x16_t* a, int32x4_t (*sum)[2]) {
  const int8x16_t first = vld1q_s8(w + 4 * kLanes * lane), second = vld1q_s8(w + 4 * kLanes * lane + 16);
  for (int m = 0; m < M; m++) {
    sum[m][0] = vdotq_laneq_s32(sum[m][0], first, a[m], lane);
    sum[m][1] = vdotq_laneq_s32(sum[m][1], second, a[m], lane);
  }
}

// sum[m][h]: products of one group of rows 4h .. 4h + 3 with token m.
template <class F, int M>
static inline void group_products(const int8_t* w, const int8_t* const* codes, int at, int32x4_t (*sum)[2]) {
  for (int m = 0; m < M; m++) sum[m][0] = sum[m][1] = vdupq_n_s32(0);
  for (int k = 0; k < F::kGroup; k += 16, w += 16 * kLanes) {
    int8x16_t a[M];
    for (int m = 0; m < M; m++) a[m] = vld1q_s8(codes[m] + at + k);
    dot_lane<0, M>(w, a, sum);
    dot_lane<1, M>(w, a, sum);
    dot_lane<2, M>(w, a, sum);
    dot_lane<3, M>(w, a, sum);
  }
}

#else

// part += four codes of a token times those of eight rows; each part has two rows.
static inline void add_dword(int8x16_t first, int8x16_t second, const int8_t* codes, int16x8_t* part) {
  int32_t dword;
  std::memcpy(&dword, codes, 4);
  const int8x16_t a = vreinterpretq_s8_s32(vdupq_n_s32(dword));
  part[0] = vmlal_s8(part[0], vget_low_s8(first), vget_low_s8(a));
  part[1] = vmlal_high_s8(part[1], first, a);
  part[2] = vmlal_s8(part[2], vget_low_s8(second), vget_low_s8(a));
  part[3] = vmlal_high_s8(part[3], second, a);
}

// How many products of this format an int16 lane can add up.
template <class F>
static constexpr int products_that_fit() {
  constexpr int above = (1 << F::kBits) - 1 - F::kOffset, largest = above > F::kOffset ? above : F::kOffset;
  return 32767 / (largest * 127);
}

// sum[m][h]: products of one group of rows 4h .. 4h + 3 with token m. A register of int16 lanes holds two rows.
template <class F, int M>
static inline void group_products(const int8_t* w, const int8_t* const* codes, int at, int32x4_t (*sum)[2]) {
  constexpr int dwords = F::kGroup / 4, fit = products_that_fit<F>(), run = fit >= 8 ? 8 : fit >= 4 ? 4 : 2;
  constexpr int step = run < dwords ? run : dwords;
  static_assert(fit >= 2);
  int32x4_t wide[M][4];
  for (int m = 0; m < M; m++)
    for (int q = 0; q < 4; q++) wide[m][q] = vdupq_n_s32(0);
  for (int j = 0; j < dwords; j += step) {
    int16x8_t part[M][4];
    for (int m = 0; m < M; m++)
      for (int q = 0; q < 4; q++) part[m][q] = vdupq_n_s16(0);
    for (int i = j; i < j + step; i++) {
      const int8x16_t first = vld1q_s8(w + 4 * kLanes * i), second = vld1q_s8(w + 4 * kLanes * i + 16);
      for (int m = 0; m < M; m++) add_dword(first, second, codes[m] + at + 4 * i, part[m]);
    }
    for (int m = 0; m < M; m++)
      for (int q = 0; q < 4; q++) wide[m][q] = vpadalq_s16(wide[m][q], part[m][q]);
  }
  for (int m = 0; m < M; m++)
    for (int h = 0; h < 2; h++) sum[m][h] = vpaddq_s32(wide[m][2 * h], wide[m][2 * h + 1]);
}

#endif
#endif

#include "panel.h"

// total[m]: over the groups of block b (256 codes), group scale times products.
template <class F, int M>
static inline void block_of_groups(const Panel& p, const int8_t* const* codes, int b, int32x4_t (*total)[2]) {
  constexpr int groups = 256 / F::kGroup;
  for (int m = 0; m < M; m++) total[m][0] = total[m][1] = vdupq_n_s32(0);
  for (int g = 0; g < groups; g++) {
    const int at = 256 * b + g * F::kGroup;
    int32x4_t part[M][2];
    group_products<F, M>(reinterpret_cast<const int8_t*>(p.codes) + size_t(at) * kLanes, codes, at, part);
    for (int h = 0; h < 2; h++) {  // the panel keeps the scale in both halves of a dword
      const int32x4_t scale = vshrq_n_s32(vld1q_s32(p.groups + (b * groups + g) * kLanes + 4 * h), 16);
      for (int m = 0; m < M; m++) total[m][h] = vmlaq_s32(total[m][h], part[m][h], scale);
    }
  }
}

// minima[m]: over the groups of block b (256 codes), minimum times the sum of the group's activations.
template <class F, int M>
static inline void minima_of_block(const Panel& p, const Activations& x, int token, int b, int32x4_t (*minima)[2]) {
  constexpr int groups = 256 / F::kGroup;
  const int each = x.width / F::kGroup;
  const int16_t* sums = (F::kGroup == 16 ? x.sum16 : x.sum32) + size_t(token) * size_t(each) + b * groups;
  for (int m = 0; m < M; m++) minima[m][0] = minima[m][1] = vdupq_n_s32(0);
  for (int g = 0; g < groups; g += 2) {
    // Minima of groups g and g + 1, eight rows each.
    const int16x8x2_t low = vld2q_s16(reinterpret_cast<const int16_t*>(p.minima + (b * groups + g) / 2 * kLanes));
    for (int m = 0; m < M; m++)
      for (int i = 0; i < 2; i++) {
        const int16x4_t sum = vld1_dup_s16(sums + m * each + g + i);
        minima[m][0] = vmlal_s16(minima[m][0], vget_low_s16(low.val[i]), sum);
        minima[m][1] = vmlal_s16(minima[m][1], vget_high_s16(low.val[i]), sum);
      }
  }
}

template <class F, int M>
static void panel_times_tokens(const Panel& p, const Activations& x, int token, int rows, float* y, size_t stride) {
  const int blocks = x.width / F::kBlock;
  const int8_t* codes[M];
  for (int m = 0; m < M; m++) codes[m] = x.codes + size_t(token + m) * size_t(x.width);
  const float* scales = x.scales + size_t(token) * size_t(blocks);
  Floats8 chain[M];
  for (int m = 0; m < M; m++) chain[m] = zero8();
  for (int b = 0; b < blocks; b++) {
    int32x4_t total[M][2], minima[M][2];
    if constexpr (F::kBlock == 256) {
      block_of_groups<F, M>(p, codes, b, total);
      if constexpr (F::kMins) minima_of_block<F, M>(p, x, token, b, minima);
    } else {
      group_products<F, M>(reinterpret_cast<const int8_t*>(p.codes) + size_t(32 * b) * kLanes, codes, 32 * b, total);
      if constexpr (F::kMins)
        for (int m = 0; m < M; m++)
          minima[m][0] = minima[m][1] = vdupq_n_s32(x.sum32[size_t(token + m) * size_t(blocks) + size_t(b)]);
    }
    const Floats8 d = load8(p.scales + b * kLanes), low = load8(p.min_scales + b * kLanes);
    for (int m = 0; m < M; m++) {
      const float scale = scales[m * blocks + b];
      for (int h = 0; h < 2; h++) {
        float32x4_t& sum = chain[m].val[h];
        sum = vfmaq_f32(sum, vcvtq_f32_s32(total[m][h]), vmulq_n_f32(d.val[h], scale));
        if constexpr (F::kMins)
          sum = vfmaq_f32(sum, vcvtq_f32_s32(vnegq_s32(minima[m][h])), vmulq_n_f32(low.val[h], scale));
      }
    }
  }
  for (int m = 0; m < M; m++) store_some8(y + size_t(m) * stride, chain[m], rows);
}

// The panels of `rows` rows times all tokens. Four tokens: their integer sums and float chains (16 registers), a
// panel's weights and four activations fit the 32 registers.
template <class F>
static void panels_times_tokens(uint8_t* panels, int rows, const Activations& x, int tokens, float* y, size_t stride,
                                float*) {
  const size_t bytes = panel_bytes<F>(x.width);
  for (int t = 0, next; t < tokens; t = next) {
    const int left = tokens - t, m = left >= 4 ? 4 : left >= 2 ? 2 : 1;
    next = t + m;
    const auto kernel = m == 4   ? panel_times_tokens<F, 4>
                        : m == 2 ? panel_times_tokens<F, 2>
                                 : panel_times_tokens<F, 1>;
    for (int n = 0; n < rows; n += kLanes)
      kernel(panel_at<F>(panels + size_t(n) / kLanes * bytes, x.width), x, t, rows - n < kLanes ? rows - n : kLanes,
             y + size_t(t) * stride + n, stride);
  }
}
