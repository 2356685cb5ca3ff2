// The vector operations of the block formats in plain C++: the meaning that every other section repeats.

struct Bytes32 {
  uint8_t v[32];
};

static inline Bytes32 load32(const uint8_t* p) {
  Bytes32 r;
  std::memcpy(r.v, p, 32);
  return r;
}

// 16 bytes: low nibbles become bytes 0..15, high nibbles bytes 16..31.
static inline Bytes32 nibbles(const uint8_t* p) {
  Bytes32 r;
  for (int i = 0; i < 16; i++) r.v[i] = p[i] & 15, r.v[i + 16] = p[i] >> 4;
  return r;
}

template <int shift, int mask>
static inline Bytes32 bits(Bytes32 a) {
  for (auto& b : a.v) b = (b >> shift) & mask;
  return a;
}

template <int shift>
static inline Bytes32 shift_left(Bytes32 a) {
  for (auto& b : a.v) b = uint8_t(b << shift);
  return a;
}

static inline Bytes32 merge(Bytes32 a, Bytes32 b) {
  for (int i = 0; i < 32; i++) a.v[i] |= b.v[i];
  return a;
}

static inline Bytes32 flip_sign(Bytes32 a) {
  for (auto& b : a.v) b ^= 128;
  return a;
}

// 32 bits become 32 bytes of 0 or 1.
static inline Bytes32 spread_bits(const uint8_t* p) {
  Bytes32 r;
  for (int i = 0; i < 32; i++) r.v[i] = (p[i / 8] >> (i % 8)) & 1;
  return r;
}

static inline Bytes32 lookup(const uint8_t* table16, Bytes32 a) {
  for (auto& b : a.v) b = table16[b];
  return a;
}

static inline void store32(uint8_t* p, Bytes32 a) { std::memcpy(p, a.v, 32); }

static inline float half_to_float(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 1023;
  uint32_t u;
  if (exponent == 31) {
    u = sign | 0x7f800000 | fraction << 13;
  } else if (exponent) {
    u = sign | (exponent + 112) << 23 | fraction << 13;
  } else {  // zero or subnormal: fraction * 2^-24, exact in float
    const float f = float(fraction) * 5.9604644775390625e-8f;
    std::memcpy(&u, &f, 4);
    u |= sign;
  }
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

// Nearest half, ties to even; above the largest half: infinity.
static inline uint16_t float_to_half(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  const uint32_t sign = (u >> 16) & 0x8000;
  u &= 0x7fffffff;
  if (u > 0x7f800000) return uint16_t(sign | 0x7e00);  // NaN
  if (u >= 0x477ff000) return uint16_t(sign | 0x7c00);
  if (u < 0x38800000) {  // subnormal half: let the float adder round at 2^-24
    float a;
    std::memcpy(&a, &u, 4);
    a += 0.5f;
    std::memcpy(&u, &a, 4);
    return uint16_t(sign | (u - 0x3f000000));
  }
  u += 0xc8000fff + ((u >> 13) & 1);
  return uint16_t(sign | u >> 13);
}

// Eight floats; every operation is one IEEE operation per lane.
struct Floats8 {
  float v[8];
};
static inline Floats8 zero8() { return Floats8{}; }
static inline Floats8 set8(float x) { return Floats8{{x, x, x, x, x, x, x, x}}; }
static inline Floats8 load8(const float* p) {
  Floats8 r;
  std::memcpy(r.v, p, 32);
  return r;
}
static inline Floats8 load8(const float* p, int n) {  // lanes from n on are 0
  Floats8 r{};
  std::memcpy(r.v, p, size_t(n) * 4);
  return r;
}
static inline void store8(float* p, Floats8 a) { std::memcpy(p, a.v, 32); }
static inline void store8(float* p, Floats8 a, int n) { std::memcpy(p, a.v, size_t(n) * 4); }
static inline Floats8 load_half8(const uint8_t* p) {
  Floats8 r;
  for (int i = 0; i < 8; i++) {
    uint16_t h;
    std::memcpy(&h, p + 2 * i, 2);
    r.v[i] = half_to_float(h);
  }
  return r;
}
static inline Floats8 load_bfloat8(const uint8_t* p) {
  Floats8 r;
  for (int i = 0; i < 8; i++) {
    const uint32_t u = uint32_t(p[2 * i] | p[2 * i + 1] << 8) << 16;
    std::memcpy(&r.v[i], &u, 4);
  }
  return r;
}
static inline Floats8 load_int8x8(const int8_t* p) {
  Floats8 r;
  for (int i = 0; i < 8; i++) r.v[i] = float(p[i]);
  return r;
}
static inline void store_half8(uint8_t* p, Floats8 a) {
  for (int i = 0; i < 8; i++) {
    const uint16_t h = float_to_half(a.v[i]);
    std::memcpy(p + 2 * i, &h, 2);
  }
}
#define HOMEZOO_LANES(name, expression)                 \
  static inline Floats8 name(Floats8 a, Floats8 b) {    \
    for (int i = 0; i < 8; i++) a.v[i] = (expression);  \
    return a;                                           \
  }
HOMEZOO_LANES(add8, a.v[i] + b.v[i])
HOMEZOO_LANES(sub8, a.v[i] - b.v[i])
HOMEZOO_LANES(mul8, a.v[i] * b.v[i])
HOMEZOO_LANES(div8, a.v[i] / b.v[i])
HOMEZOO_LANES(max8, a.v[i] > b.v[i] ? a.v[i] : b.v[i])
HOMEZOO_LANES(min8, a.v[i] < b.v[i] ? a.v[i] : b.v[i])
#undef HOMEZOO_LANES
static inline Floats8 fma8(Floats8 a, Floats8 b, Floats8 c) {  // a * b + c, rounded once
  for (int i = 0; i < 8; i++) c.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
  return c;
}
static inline Floats8 abs8(Floats8 a) {
  for (auto& x : a.v) x = std::fabs(x);
  return a;
}
static inline Floats8 round8(Floats8 a) {  // to the nearest integer, ties to even
  for (auto& x : a.v) x = std::nearbyint(x);
  return a;
}
static inline Floats8 power_of_two8(Floats8 n) {  // 2^n for integers n in -126..127
  for (auto& x : n.v) {
    const uint32_t u = uint32_t(int32_t(x) + 127) << 23;
    std::memcpy(&x, &u, 4);
  }
  return n;
}
// ((0+4)+(2+6)) + ((1+5)+(3+7)): the fixed order in which eight partial sums meet.
static inline float sum8(Floats8 a) {
  return ((a.v[0] + a.v[4]) + (a.v[2] + a.v[6])) + ((a.v[1] + a.v[5]) + (a.v[3] + a.v[7]));
}
static inline float highest8(Floats8 a) {
  float m = a.v[0];
  for (int i = 1; i < 8; i++) m = a.v[i] > m ? a.v[i] : m;
  return m;
}
static inline void store_codes8(int8_t* p, Floats8 a) {  // integers in -127..127
  for (int i = 0; i < 8; i++) p[i] = int8_t(a.v[i]);
}
static inline float fma1(float a, float b, float c) { return std::fma(a, b, c); }
static inline float sqrt1(float a) { return std::sqrt(a); }
