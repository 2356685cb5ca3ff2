// The vector operations of the block formats with pairs of 128-bit registers (NEON, ARMv8.0). Meanings: simd_plain.h.
// No lane subscripts or vector literals: MSVC's NEON types have none.

using Bytes32 = uint8x16x2_t;
using Floats8 = float32x4x2_t;

static inline Bytes32 load32(const uint8_t* p) { return {{vld1q_u8(p), vld1q_u8(p + 16)}}; }
static inline Bytes32 nibbles(const uint8_t* p) {
  const uint8x16_t a = vld1q_u8(p);
  return {{vandq_u8(a, vdupq_n_u8(15)), vshrq_n_u8(a, 4)}};
}
template <int shift, int mask>
static inline uint8x16_t bits16(uint8x16_t a) {
  if constexpr (shift != 0) a = vshrq_n_u8(a, shift);
  if constexpr (mask != 255 >> shift) a = vandq_u8(a, vdupq_n_u8(mask));
  return a;
}
template <int shift, int mask>
static inline Bytes32 bits(Bytes32 a) {
  return {{bits16<shift, mask>(a.val[0]), bits16<shift, mask>(a.val[1])}};
}
template <int shift>
static inline Bytes32 shift_left(Bytes32 a) {
  return {{vshlq_n_u8(a.val[0], shift), vshlq_n_u8(a.val[1], shift)}};
}
static inline Bytes32 merge(Bytes32 a, Bytes32 b) {
  return {{vorrq_u8(a.val[0], b.val[0]), vorrq_u8(a.val[1], b.val[1])}};
}
static inline Bytes32 flip_sign(Bytes32 a) {
  return {{veorq_u8(a.val[0], vdupq_n_u8(128)), veorq_u8(a.val[1], vdupq_n_u8(128))}};
}
template <int offset>
static inline Bytes32 minus_offset(Bytes32 a) {
  return {{vsubq_u8(a.val[0], vdupq_n_u8(offset)), vsubq_u8(a.val[1], vdupq_n_u8(offset))}};
}
static inline uint8x16_t spread_bits16(const uint8_t* p) {
  // Byte i takes byte i/8, keeps bit i%8 and turns it into 0 or 1.
  const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
  return vshrq_n_u8(vtstq_u8(vcombine_u8(vld1_dup_u8(p), vld1_dup_u8(p + 1)), bit), 7);
}
static inline Bytes32 spread_bits(const uint8_t* p) { return {{spread_bits16(p), spread_bits16(p + 2)}}; }
static inline Bytes32 lookup(const uint8_t* table16, Bytes32 a) {
  const uint8x16_t table = vld1q_u8(table16);
  return {{vqtbl1q_u8(table, a.val[0]), vqtbl1q_u8(table, a.val[1])}};
}
static inline void store32(uint8_t* p, Bytes32 a) {
  vst1q_u8(p, a.val[0]);
  vst1q_u8(p + 16, a.val[1]);
}

static inline float half_to_float(uint16_t h) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h))), 0);
}
static inline uint16_t float_to_half(float f) {
  return vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(f))), 0);
}

static inline Floats8 zero8() { return {{vdupq_n_f32(0), vdupq_n_f32(0)}}; }
static inline Floats8 set8(float x) { return {{vdupq_n_f32(x), vdupq_n_f32(x)}}; }
static inline Floats8 load8(const float* p) { return {{vld1q_f32(p), vld1q_f32(p + 4)}}; }
static inline Floats8 load8(const float* p, int n) {
  float part[8] = {};
  std::memcpy(part, p, size_t(n) * 4);
  return load8(part);
}
static inline void store8(float* p, Floats8 a) {
  vst1q_f32(p, a.val[0]);
  vst1q_f32(p + 4, a.val[1]);
}
static inline void store8(float* p, Floats8 a, int n) {
  float part[8];
  store8(part, a);
  std::memcpy(p, part, size_t(n) * 4);
}
static inline Floats8 load_half8(const uint8_t* p) {
  return {{vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))), vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p + 8)))}};
}
static inline Floats8 load_bfloat8(const uint8_t* p) {
  const uint16x8_t a = vreinterpretq_u16_u8(vld1q_u8(p));
  return {{vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(a), 16)),
           vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(a), 16))}};
}
static inline Floats8 load_int8x8(const int8_t* p) {
  const int16x8_t a = vmovl_s8(vld1_s8(p));
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(a))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(a)))}};
}
static inline void store_half8(uint8_t* p, Floats8 a) {
  vst1_u8(p, vreinterpret_u8_f16(vcvt_f16_f32(a.val[0])));
  vst1_u8(p + 8, vreinterpret_u8_f16(vcvt_f16_f32(a.val[1])));
}
#define HOMEZOO_BOTH(name, arguments, expression)                    \
  static inline float32x4_t name##4 arguments { return expression; } \
  static inline Floats8 name##8(Floats8 a, Floats8 b) {              \
    return {{name##4(a.val[0], b.val[0]), name##4(a.val[1], b.val[1])}}; \
  }
HOMEZOO_BOTH(add, (float32x4_t a, float32x4_t b), vaddq_f32(a, b))
HOMEZOO_BOTH(sub, (float32x4_t a, float32x4_t b), vsubq_f32(a, b))
HOMEZOO_BOTH(mul, (float32x4_t a, float32x4_t b), vmulq_f32(a, b))
HOMEZOO_BOTH(div, (float32x4_t a, float32x4_t b), vdivq_f32(a, b))
// Not fmax and fmin, which treat NaN in another way than a comparison.
HOMEZOO_BOTH(max, (float32x4_t a, float32x4_t b), vbslq_f32(vcgtq_f32(a, b), a, b))
HOMEZOO_BOTH(min, (float32x4_t a, float32x4_t b), vbslq_f32(vcltq_f32(a, b), a, b))
#undef HOMEZOO_BOTH
static inline Floats8 fma8(Floats8 a, Floats8 b, Floats8 c) {
  return {{vfmaq_f32(c.val[0], a.val[0], b.val[0]), vfmaq_f32(c.val[1], a.val[1], b.val[1])}};
}
static inline Floats8 abs8(Floats8 a) { return {{vabsq_f32(a.val[0]), vabsq_f32(a.val[1])}}; }
static inline Floats8 round8(Floats8 a) { return {{vrndnq_f32(a.val[0]), vrndnq_f32(a.val[1])}}; }
static inline float32x4_t power_of_two4(float32x4_t n) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
}
static inline Floats8 power_of_two8(Floats8 n) { return {{power_of_two4(n.val[0]), power_of_two4(n.val[1])}}; }
static inline float sum8(Floats8 a) {
  const float32x4_t b = vaddq_f32(a.val[0], a.val[1]);
  return vpadds_f32(vadd_f32(vget_low_f32(b), vget_high_f32(b)));
}
// sum8 of four registers at once, in the same order of additions.
#define HOMEZOO_SUMS4
static inline float32x4_t halves_of_two(Floats8 a, Floats8 b) {
  const float64x2_t x = vreinterpretq_f64_f32(vaddq_f32(a.val[0], a.val[1]));
  const float64x2_t y = vreinterpretq_f64_f32(vaddq_f32(b.val[0], b.val[1]));
  return vaddq_f32(vreinterpretq_f32_f64(vtrn1q_f64(x, y)), vreinterpretq_f32_f64(vtrn2q_f64(x, y)));
}
static inline void sums4(Floats8 a, Floats8 b, Floats8 c, Floats8 d, float* out) {
  vst1q_f32(out, vpaddq_f32(halves_of_two(a, b), halves_of_two(c, d)));
}
static inline float highest8(Floats8 a) { return vmaxvq_f32(max4(a.val[0], a.val[1])); }
static inline void store_codes8(int8_t* p, Floats8 a) {
  const int16x8_t w = vcombine_s16(vmovn_s32(vcvtq_s32_f32(a.val[0])), vmovn_s32(vcvtq_s32_f32(a.val[1])));
  vst1_s8(p, vmovn_s16(w));
}
static inline float fma1(float a, float b, float c) { return std::fma(a, b, c); }
static inline float sqrt1(float a) { return std::sqrt(a); }
