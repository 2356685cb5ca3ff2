// The quantised block formats, byte for byte as in GGUF files: one struct and one unpack function each.
//
// A block holds kBlock values in groups of kGroup. With unsigned codes u from `codes`:
//   value = scale * group_scale * (u - kOffset)  -  min_scale * group_min
// where group scales are 1 in blocks of 32, and the second term exists only where kMins says so.
// `codes(b, c)` gives the 32 codes of chunk c of block b; kBits bounds them. Source of the layouts: the struct
// definitions in ggml's ggml-common.h (facts of the format; the unpacking here is our own).
// No include guard: each section includes this file inside its own namespace.

static inline uint16_t read16(const uint8_t* p) {
  uint16_t v;
  std::memcpy(&v, p, 2);
  return v;
}
static inline uint32_t read32(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, 4);
  return v;
}

struct Block32 {
  static constexpr int kBlock = 32, kGroup = 32;
  static constexpr bool kHalfScale = true;  // the block begins with its scale, a half
  static float min_scale(const uint8_t*) { return 0; }
};
struct Block256 {
  static constexpr int kBlock = 256;
};

struct Q4_0 : Block32 {
  static constexpr int kBytes = 18, kBits = 4, kOffset = 8;
  static constexpr bool kMins = false;
  static float scale(const uint8_t* b) { return half_to_float(read16(b)); }
  static constexpr bool kPlainNibbles = true;  // a nibble is a code
  static constexpr int kNibbles = 2;  // where the 16 bytes of nibbles begin
  static Bytes32 from_nibbles(Bytes32 n) { return n; }
  static Bytes32 codes(const uint8_t* b, int) { return from_nibbles(nibbles(b + kNibbles)); }
};

struct Q4_1 : Block32 {
  static constexpr int kBytes = 20, kBits = 4, kOffset = 0;
  static constexpr bool kMins = true;
  static float scale(const uint8_t* b) { return half_to_float(read16(b)); }
  static float min_scale(const uint8_t* b) { return -half_to_float(read16(b + 2)); }
  static constexpr bool kPlainNibbles = true;  // a nibble is a code
  static constexpr int kNibbles = 4;  // where the 16 bytes of nibbles begin
  static Bytes32 from_nibbles(Bytes32 n) { return n; }
  static Bytes32 codes(const uint8_t* b, int) { return from_nibbles(nibbles(b + kNibbles)); }
};

struct Q5_0 : Block32 {
  static constexpr int kBytes = 22, kBits = 5, kOffset = 16;
  static constexpr bool kMins = false;
  static float scale(const uint8_t* b) { return half_to_float(read16(b)); }
  static Bytes32 codes(const uint8_t* b, int) {
    return merge(nibbles(b + 6), shift_left<4>(spread_bits(b + 2)));
  }
};

struct Q5_1 : Block32 {
  static constexpr int kBytes = 24, kBits = 5, kOffset = 0;
  static constexpr bool kMins = true;
  static float scale(const uint8_t* b) { return half_to_float(read16(b)); }
  static float min_scale(const uint8_t* b) { return -half_to_float(read16(b + 2)); }
  static Bytes32 codes(const uint8_t* b, int) {
    return merge(nibbles(b + 8), shift_left<4>(spread_bits(b + 4)));
  }
};

struct Q8_0 : Block32 {
  static constexpr int kBytes = 34, kBits = 8, kOffset = 128;
  static constexpr bool kMins = false;
  static float scale(const uint8_t* b) { return half_to_float(read16(b)); }
  static Bytes32 codes(const uint8_t* b, int) { return flip_sign(load32(b + 2)); }
};

// The sixteen values of the IQ4 codebook, plus 128.
alignas(16) static const uint8_t kIQ4[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                             129, 141, 153, 166, 181, 197, 217, 241};
struct IQ4_NL : Block32 {
  static constexpr int kBytes = 18, kBits = 8, kOffset = 128;
  static constexpr bool kMins = false;
  static float scale(const uint8_t* b) { return half_to_float(read16(b)); }
  static constexpr int kNibbles = 2;  // where the 16 bytes of nibbles begin
  static Bytes32 from_nibbles(Bytes32 n) { return lookup(kIQ4, n); }
  static Bytes32 codes(const uint8_t* b, int) { return from_nibbles(nibbles(b + kNibbles)); }
};

// Twice the FP4 (E2M1) values, plus 12; the scale 2^(e-127) is halved in return.
alignas(16) static const uint8_t kFP4[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
struct MXFP4 : Block32 {
  static constexpr int kBytes = 17, kBits = 5, kOffset = 12;
  static constexpr bool kMins = false, kHalfScale = false;
  static float scale(const uint8_t* b) {  // 2^(e-128); the two lowest are subnormal floats
    const uint32_t u = *b < 2 ? 0x00200000u << *b : uint32_t(*b - 1) << 23;
    float f;
    std::memcpy(&f, &u, 4);
    return f;
  }
  static constexpr int kNibbles = 1;  // where the 16 bytes of nibbles begin
  static Bytes32 from_nibbles(Bytes32 n) { return lookup(kFP4, n); }
  static Bytes32 codes(const uint8_t* b, int) { return from_nibbles(nibbles(b + kNibbles)); }
};

struct Q2_K : Block256 {
  static constexpr int kBytes = 84, kBits = 2, kOffset = 0, kGroup = 16;
  static constexpr bool kMins = true;
  static float scale(const uint8_t* b) { return half_to_float(read16(b + 80)); }
  static float min_scale(const uint8_t* b) { return half_to_float(read16(b + 82)); }
  static void groups(const uint8_t* b, int16_t* scale, int16_t* min) {
    for (int i = 0; i < 16; i++) scale[i] = b[i] & 15, min[i] = b[i] >> 4;
  }
  static Bytes32 codes(const uint8_t* b, int c) {
    const Bytes32 q = load32(b + 16 + 32 * (c / 4));
    return c % 4 == 0 ? bits<0, 3>(q) : c % 4 == 1 ? bits<2, 3>(q) : c % 4 == 2 ? bits<4, 3>(q) : bits<6, 3>(q);
  }
};

// Bit c of each byte, for c known after unrolling.
static inline Bytes32 bit_of(Bytes32 a, int c) {
  switch (c) {
    case 0: return bits<0, 1>(a);
    case 1: return bits<1, 1>(a);
    case 2: return bits<2, 1>(a);
    case 3: return bits<3, 1>(a);
    case 4: return bits<4, 1>(a);
    case 5: return bits<5, 1>(a);
    case 6: return bits<6, 1>(a);
    default: return bits<7, 1>(a);
  }
}

struct Q3_K : Block256 {
  static constexpr int kBytes = 110, kBits = 3, kOffset = 4, kGroup = 16;
  static constexpr bool kMins = false;
  static float scale(const uint8_t* b) { return half_to_float(read16(b + 108)); }
  static float min_scale(const uint8_t*) { return 0; }
  static void groups(const uint8_t* b, int16_t* scale, int16_t*) {
    const uint8_t* s = b + 96;  // 16 scales of 6 bits: 4 low bits in s[0..7], 2 high bits in s[8..11]
    for (int i = 0; i < 16; i++) {
      const int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4, high = (s[8 + i % 4] >> (2 * (i / 4))) & 3;
      scale[i] = int16_t((low | high << 4) - 32);
    }
  }
  static Bytes32 codes(const uint8_t* b, int c) {
    const Bytes32 q = load32(b + 32 + 32 * (c / 4));
    const Bytes32 low =
        c % 4 == 0 ? bits<0, 3>(q) : c % 4 == 1 ? bits<2, 3>(q) : c % 4 == 2 ? bits<4, 3>(q) : bits<6, 3>(q);
    return merge(low, shift_left<2>(bit_of(load32(b), c)));
  }
};

// Q4_K and Q5_K: eight 6-bit scales and minima in 12 bytes; three words hold them four at a time.
static inline void groups_of_12_bytes(const uint8_t* s, int16_t* scale, int16_t* min) {
  const uint32_t a = read32(s), b = read32(s + 4), c = read32(s + 8);
  const uint32_t words[4] = {a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030), b & 0x3f3f3f3f,
                             (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)};
  uint8_t bytes[16];
  std::memcpy(bytes, words, 16);
  for (int i = 0; i < 8; i++) scale[i] = bytes[i], min[i] = bytes[8 + i];
}

struct Q4_K : Block256 {
  static constexpr int kBytes = 144, kBits = 4, kOffset = 0, kGroup = 32;
  static constexpr int kPacked12 = 4;  // where the 12 bytes of scales and minima begin
  static constexpr bool kMins = true;
  static float scale(const uint8_t* b) { return half_to_float(read16(b)); }
  static float min_scale(const uint8_t* b) { return half_to_float(read16(b + 2)); }
  static void groups(const uint8_t* b, int16_t* scale, int16_t* min) { groups_of_12_bytes(b + 4, scale, min); }
  static Bytes32 codes(const uint8_t* b, int c) {
    const Bytes32 q = load32(b + 16 + 32 * (c / 2));
    return c % 2 ? bits<4, 15>(q) : bits<0, 15>(q);
  }
};

struct Q5_K : Block256 {
  static constexpr int kBytes = 176, kBits = 5, kOffset = 0, kGroup = 32;
  static constexpr int kPacked12 = 4;  // where the 12 bytes of scales and minima begin
  static constexpr bool kMins = true;
  static float scale(const uint8_t* b) { return half_to_float(read16(b)); }
  static float min_scale(const uint8_t* b) { return half_to_float(read16(b + 2)); }
  static void groups(const uint8_t* b, int16_t* scale, int16_t* min) { groups_of_12_bytes(b + 4, scale, min); }
  static Bytes32 codes(const uint8_t* b, int c) {
    const Bytes32 q = load32(b + 48 + 32 * (c / 2));
    return merge(c % 2 ? bits<4, 15>(q) : bits<0, 15>(q), shift_left<4>(bit_of(load32(b + 16), c)));
  }
};

struct Q6_K : Block256 {
  static constexpr int kBytes = 210, kBits = 6, kOffset = 32, kGroup = 16;
  static constexpr int kScales = 192;  // where the 16 signed bytes of scales begin
  static constexpr bool kMins = false;
  static float scale(const uint8_t* b) { return half_to_float(read16(b + 208)); }
  static float min_scale(const uint8_t*) { return 0; }
  static void groups(const uint8_t* b, int16_t* scale, int16_t*) {
    for (int i = 0; i < 16; i++) scale[i] = int8_t(b[kScales + i]);
  }
  static Bytes32 codes(const uint8_t* b, int c) {
    const Bytes32 low = load32(b + 64 * (c / 4) + 32 * (c % 2)), high = load32(b + 128 + 32 * (c / 4));
    switch (c % 4) {
      case 0: return merge(bits<0, 15>(low), shift_left<4>(bits<0, 3>(high)));
      case 1: return merge(bits<0, 15>(low), shift_left<4>(bits<2, 3>(high)));
      case 2: return merge(bits<4, 15>(low), shift_left<4>(bits<4, 3>(high)));
      default: return merge(bits<4, 15>(low), shift_left<4>(bits<6, 3>(high)));
    }
  }
};

struct IQ4_XS : Block256 {
  static constexpr int kBytes = 136, kBits = 8, kOffset = 128, kGroup = 32;
  static constexpr bool kMins = false;
  static float scale(const uint8_t* b) { return half_to_float(read16(b)); }
  static float min_scale(const uint8_t*) { return 0; }
  static void groups(const uint8_t* b, int16_t* scale, int16_t*) {
    const int high = read16(b + 2);
    for (int i = 0; i < 8; i++)
      scale[i] = int16_t(((b[4 + i / 2] >> (4 * (i % 2))) & 15) + (((high >> (2 * i)) & 3) << 4) - 32);
  }
  static Bytes32 codes(const uint8_t* b, int c) { return lookup(kIQ4, nibbles(b + 8 + 16 * c)); }
};
