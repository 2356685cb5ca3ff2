// A few tokens times quantised rows as they lie in the file (decode), 128-bit registers.
// Four rows at a time: their integers are reduced together, then one fused multiply-add continues four float chains.
// No include guard: each section includes this file inside its own namespace.

static inline int8x16x2_t load_codes32(const int8_t* p) { return {{vld1q_s8(p), vld1q_s8(p + 16)}}; }

// Codes of chunk c as signed bytes: up to 6 bits as they are, 8-bit ones without their offset of 128.
template <class F>
static inline int8x16x2_t row_codes(const uint8_t* b, int c) {
  Bytes32 u = F::codes(b, c);
  if constexpr (F::kBits == 8) u = flip_sign(u);
  return {{vreinterpretq_s8_u8(u.val[0]), vreinterpretq_s8_u8(u.val[1])}};
}

// What the integers of row_codes leave to subtract.
template <class F>
static constexpr int row_offset() {
  return F::kBits == 8 ? 0 : F::kOffset;
}

#if !defined(HOMEZOO_DOTPROD)
// 16 products, two in each int16 lane: at most 2 * 128 * 127 = 32512.
static inline int16x8_t products16(int8x16_t w, int8x16_t a) {
  return vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(a)), w, a);
}
#endif

// 16 products as four int32 lanes to add up.
static inline int32x4_t dot16(int8x16_t w, int8x16_t a) {
#if defined(HOMEZOO_DOTPROD)
  return vdotq_s32(vdupq_n_s32(0), w, a);
#else
  return vpaddlq_s16(products16(w, a));
#endif
}

// 32 products as four int32 lanes to add up.
template <int bits>
static inline int32x4_t dot32(int8x16x2_t w, int8x16x2_t a) {
#if defined(HOMEZOO_DOTPROD)
  return vdotq_s32(dot16(w.val[0], a.val[0]), w.val[1], a.val[1]);
#else
  int16x8_t sums = products16(w.val[0], a.val[0]);
  if constexpr (bits == 8) return vpadalq_s16(vpaddlq_s16(sums), products16(w.val[1], a.val[1]));
  static_assert(bits <= 6 || bits == 8);  // four products: at most 4 * 63 * 127 = 32004, still an int16
  sums = vmlal_s8(sums, vget_low_s8(w.val[1]), vget_low_s8(a.val[1]));
  return vpaddlq_s16(vmlal_high_s8(sums, w.val[1], a.val[1]));
#endif
}

// [sum of a, sum of b, sum of c, sum of d], each over its four lanes.
static inline int32x4_t reduce4(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) {
  return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
}

static inline float32x4_t four(float a, float b, float c, float d) {
  float32x4_t v = vdupq_n_f32(a);
  v = vsetq_lane_f32(b, v, 1);
  v = vsetq_lane_f32(c, v, 2);
  return vsetq_lane_f32(d, v, 3);
}

template <class F>
static inline float32x4_t scales_of4(const uint8_t* b, size_t pitch) {
  if constexpr (requires { requires F::kHalfScale; }) {  // four halves, converted at once
    const uint64_t halves = uint64_t(read16(b)) | uint64_t(read16(b + pitch)) << 16 |
                            uint64_t(read16(b + 2 * pitch)) << 32 | uint64_t(read16(b + 3 * pitch)) << 48;
    return vcvt_f32_f16(vcreate_f16(halves));
  } else {
    return four(F::scale(b), F::scale(b + pitch), F::scale(b + 2 * pitch), F::scale(b + 3 * pitch));
  }
}
template <class F>
static inline float32x4_t min_scales_of4(const uint8_t* b, size_t pitch) {
  return four(F::min_scale(b), F::min_scale(b + pitch), F::min_scale(b + 2 * pitch), F::min_scale(b + 3 * pitch));
}

template <class F, int M>
static void rows4_of_32(const uint8_t* rows, size_t pitch, const Activations& x, int token, float* y,
                        size_t stride) {
  const int blocks = x.width / 32;
  const int8_t* codes = x.codes + size_t(token) * size_t(x.width);
  const float* scales = x.scales + size_t(token) * size_t(blocks);
  const int16_t* sums = x.sum32 + size_t(token) * size_t(blocks);
  float32x4_t chain[M];
  for (int m = 0; m < M; m++) chain[m] = vdupq_n_f32(0);
  for (int b = 0; b < blocks; b++) {
    const uint8_t* p = rows + size_t(b) * F::kBytes;
    int8x16x2_t w[4];
    for (int r = 0; r < 4; r++) w[r] = row_codes<F>(p + size_t(r) * pitch, 0);
    const float32x4_t d = scales_of4<F>(p, pitch);
    for (int m = 0; m < M; m++) {
      const int8x16x2_t a = load_codes32(codes + size_t(m) * size_t(x.width) + 32 * b);
      int32x4_t total = reduce4(dot32<F::kBits>(w[0], a), dot32<F::kBits>(w[1], a), dot32<F::kBits>(w[2], a),
                                dot32<F::kBits>(w[3], a));
      const int16x4_t sum = vld1_dup_s16(sums + m * blocks + b);
      const float scale = scales[m * blocks + b];
      if constexpr (row_offset<F>() != 0) total = vmlsl_s16(total, sum, vdup_n_s16(row_offset<F>()));
      chain[m] = vfmaq_f32(chain[m], vcvtq_f32_s32(total), vmulq_n_f32(d, scale));
      if constexpr (F::kMins) {
        const float32x4_t minus = vcvtq_f32_s32(vmovl_s16(vneg_s16(sum)));
        chain[m] = vfmaq_f32(chain[m], minus, vmulq_n_f32(min_scales_of4<F>(p, pitch), scale));
      }
    }
  }
  for (int m = 0; m < M; m++) vst1q_f32(y + size_t(m) * stride, chain[m]);
}

// Group scales and minima of a block of 256; blocks with groups of 32 use the first eight.
struct Groups {
  int16x8_t scale[2], min[2];
};

template <class F>
static inline Groups groups_of(const uint8_t* b) {
  Groups g;
  if constexpr (requires { F::kPacked12; }) {  // Q4_K and Q5_K, see groups_of_12_bytes
    const uint32x4_t words = vreinterpretq_u32_u8(vld1q_u8(b + F::kPacked12));
    const uint8x8_t first = vreinterpret_u8_u32(vget_low_u32(words));
    const uint8x8_t last = vreinterpret_u8_u32(vdup_laneq_u32(words, 2));
    const uint8x8_t low = vand_u8(first, vdup_n_u8(0x3f));
    const uint8x8_t shifted = vshl_u8(last, vcreate_s8(0xfcfcfcfc00000000));  // the upper word by 4 to the right
    const uint8x8_t high = vorr_u8(vand_u8(shifted, vdup_n_u8(15)), vand_u8(vshr_n_u8(first, 2), vdup_n_u8(0x30)));
    const uint32x2_t a = vreinterpret_u32_u8(low), c = vreinterpret_u32_u8(high);
    g.scale[0] = vreinterpretq_s16_u16(vmovl_u8(vreinterpret_u8_u32(vzip1_u32(a, c))));
    g.min[0] = vreinterpretq_s16_u16(vmovl_u8(vreinterpret_u8_u32(vzip2_u32(a, c))));
    g.scale[1] = g.min[1] = vdupq_n_s16(0);
  } else {
    int16_t scale[16] = {}, min[16] = {};
    F::groups(b, scale, min);
    for (int i = 0; i < 2; i++) g.scale[i] = vld1q_s16(scale + 8 * i), g.min[i] = vld1q_s16(min + 8 * i);
  }
  return g;
}

// total[m] += group scales of chunk c times its products with token m.
template <class F, int M, int c>
static inline void add_chunk(const uint8_t* b, const int32x4_t* scales, const int8_t* const* codes, int32x4_t* total) {
  const int8x16x2_t w = row_codes<F>(b, c);
  for (int m = 0; m < M; m++) {
    const int8x16x2_t a = load_codes32(codes[m] + 32 * c);
    if constexpr (F::kGroup == 32) {
      total[m] = vmlaq_laneq_s32(total[m], dot32<F::kBits>(w, a), scales[c / 4], c % 4);
    } else {
      total[m] = vmlaq_laneq_s32(total[m], dot16(w.val[0], a.val[0]), scales[c / 2], 2 * c % 4);
      total[m] = vmlaq_laneq_s32(total[m], dot16(w.val[1], a.val[1]), scales[c / 2], 2 * c % 4 + 1);
    }
  }
}

// Sum over groups of scale or minimum times the sum of the group's activations, as int32 lanes to reduce.
template <class F>
static inline int32x4_t dot_sums(const int16x8_t* group, const int16_t* sum16, const int16_t* sum32) {
  const int16_t* sums = F::kGroup == 16 ? sum16 : sum32;
  int32x4_t total = vdupq_n_s32(0);
  for (int i = 0; i < 256 / F::kGroup / 8; i++) {
    const int16x8_t s = vld1q_s16(sums + 8 * i);
    total = vmlal_high_s16(vmlal_s16(total, vget_low_s16(group[i]), vget_low_s16(s)), group[i], s);
  }
  return total;
}

// Integers of block `block` of one row with tokens token .. token + M - 1, as lanes to reduce.
template <class F, int M>
static inline void block_products(const uint8_t* b, const Activations& x, int token, int block, int32x4_t* total,
                                  int32x4_t* minima) {
  const Groups g = groups_of<F>(b);
  int32x4_t scales[4];
  for (int i = 0; i < 2; i++) {
    scales[2 * i] = vmovl_s16(vget_low_s16(g.scale[i]));
    scales[2 * i + 1] = vmovl_s16(vget_high_s16(g.scale[i]));
  }
  const int8_t* codes[M];
  for (int m = 0; m < M; m++) {
    const size_t t = size_t(token + m);
    codes[m] = x.codes + t * size_t(x.width) + 256 * block;
    const int16_t* sum16 = x.sum16 + t * size_t(x.width / 16) + 16 * block;
    const int16_t* sum32 = x.sum32 + t * size_t(x.width / 32) + 8 * block;
    total[m] = vdupq_n_s32(0);
    if constexpr (F::kMins) minima[m] = dot_sums<F>(g.min, sum16, sum32);
    if constexpr (row_offset<F>() != 0) total[m] = vmulq_n_s32(dot_sums<F>(g.scale, sum16, sum32), -row_offset<F>());
  }
  add_chunk<F, M, 0>(b, scales, codes, total);
  add_chunk<F, M, 1>(b, scales, codes, total);
  add_chunk<F, M, 2>(b, scales, codes, total);
  add_chunk<F, M, 3>(b, scales, codes, total);
  add_chunk<F, M, 4>(b, scales, codes, total);
  add_chunk<F, M, 5>(b, scales, codes, total);
  add_chunk<F, M, 6>(b, scales, codes, total);
  add_chunk<F, M, 7>(b, scales, codes, total);
}

template <class F, int M>
static void rows4_of_256(const uint8_t* rows, size_t pitch, const Activations& x, int token, float* y,
                         size_t stride) {
  const int blocks = x.width / 256;
  float32x4_t chain[M];
  for (int m = 0; m < M; m++) chain[m] = vdupq_n_f32(0);
  for (int b = 0; b < blocks; b++) {
    int32x4_t total[4][M], minima[4][M];
    const uint8_t* p = rows + size_t(b) * F::kBytes;
    for (int r = 0; r < 4; r++) block_products<F, M>(p + size_t(r) * pitch, x, token, b, total[r], minima[r]);
    const float32x4_t d = scales_of4<F>(p, pitch);
    for (int m = 0; m < M; m++) {
      const float scale = x.scales[size_t(token + m) * size_t(blocks) + size_t(b)];
      const int32x4_t sum = reduce4(total[0][m], total[1][m], total[2][m], total[3][m]);
      chain[m] = vfmaq_f32(chain[m], vcvtq_f32_s32(sum), vmulq_n_f32(d, scale));
      if constexpr (F::kMins) {
        const int32x4_t low = reduce4(minima[0][m], minima[1][m], minima[2][m], minima[3][m]);
        chain[m] = vfmaq_f32(chain[m], vcvtq_f32_s32(vnegq_s32(low)), vmulq_n_f32(min_scales_of4<F>(p, pitch), scale));
      }
    }
  }
  for (int m = 0; m < M; m++) vst1q_f32(y + size_t(m) * stride, chain[m]);
}
