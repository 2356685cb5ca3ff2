// How fast this section's own instructions go, with everything in registers: the limits that kernels are held against.
// No include guard: each section includes this file inside its own namespace.

// Reads `bytes` (a multiple of 128) once; the result depends on all of them.
static uint64_t read_all(const uint8_t* p, size_t bytes) {
  Bytes32 a = load32(p), b = a, c = a, d = a;
  for (size_t i = 0; i < bytes; i += 128) {
    a = merge(a, load32(p + i));
    b = merge(b, load32(p + i + 32));
    c = merge(c, load32(p + i + 64));
    d = merge(d, load32(p + i + 96));
  }
  uint8_t out[32];
  store32(out, merge(merge(a, b), merge(c, d)));
  uint64_t total = 0;
  for (uint8_t byte : out) total += byte;
  return total;
}

// Runs about `rounds` rounds of fp32 multiply-adds; returns how many were done.
static double peak_fp32(int rounds) {
  Floats8 sum[10];  // more chains than the latency of a multiply-add times two per cycle
  for (int i = 0; i < 10; i++) sum[i] = set8(float(i));
  const Floats8 a = set8(0.999f), b = set8(1e-3f);
  for (int r = 0; r < rounds; r++)
    for (int i = 0; i < 10; i++) sum[i] = fma8(sum[i], a, b);
  float total = 0;
  for (int i = 0; i < 10; i++) total += sum8(sum[i]);
  return total == 12345.0f ? 0 : 80.0 * rounds;  // the result is used, so the loop stays
}

// The same for int8 products with their sums, as the prefill kernels form them.
#if defined(HOMEZOO_NEON_ROWS)
static double peak_int8(int rounds) {
  int8x16_t w = vdupq_n_s8(3);
  const int8x16_t a = vdupq_n_s8(-2);
#if defined(HOMEZOO_DOTPROD)
  int32x4_t sum[16];  // more chains than the latency of a product times four per cycle
  for (int i = 0; i < 16; i++) sum[i] = vdupq_n_s32(i);
#else
  int16x8_t sum[16];
  for (int i = 0; i < 16; i++) sum[i] = vdupq_n_s16(int16_t(i));
#endif
  for (int r = 0; r < rounds; r++) {
#if defined(HOMEZOO_I8MM)
    for (int i = 0; i < 16; i++) sum[i] = vmmlaq_s32(sum[i], w, a);
#elif defined(HOMEZOO_DOTPROD)
    for (int i = 0; i < 16; i++) sum[i] = vdotq_s32(sum[i], w, a);
#else
    for (int i = 0; i < 16; i += 2) {
      sum[i] = vmlal_s8(sum[i], vget_low_s8(w), vget_low_s8(a));
      sum[i + 1] = vmlal_high_s8(sum[i + 1], w, a);
    }
#if defined(__GNUC__)
    __asm__ volatile("" : "+w"(w));  // a new product each time, as far as the compiler knows
#endif
#endif
  }
  int64_t total = 0;
#if defined(HOMEZOO_DOTPROD)
  for (int i = 0; i < 16; i++) total += vaddvq_s32(sum[i]);
#else
  for (int i = 0; i < 16; i++) total += vaddvq_s16(sum[i]);
#endif
#if defined(HOMEZOO_I8MM)
  constexpr int each = 32;
#elif defined(HOMEZOO_DOTPROD)
  constexpr int each = 16;
#else
  constexpr int each = 8;
#endif
  return total == 12345 ? 0 : 16.0 * each * rounds;
}
#else
static double peak_int8(int rounds) {
#if defined(HOMEZOO_AMX)
  load_tile_shapes(kTileTokens);
  alignas(64) static const uint8_t codes[1024] = {1};
  _tile_loadd(2, codes, 32);
  _tile_loadd(4, codes, 64);
  for (int r = 0; r < rounds; r++) {
    _tile_dpbssd(0, 2, 4);
    _tile_dpbssd(1, 2, 4);
  }
  _tile_release();
  return 2.0 * 16 * 16 * 32 * rounds;
#elif defined(HOMEZOO_AVX512)
  __m512i sum[10];
  for (int i = 0; i < 10; i++) sum[i] = _mm512_set1_epi32(i);
  const __m512i u = _mm512_set1_epi8(3), a = _mm512_set1_epi8(-2);
  for (int r = 0; r < rounds; r++)
    for (int i = 0; i < 10; i++) sum[i] = _mm512_dpbusd_epi32(sum[i], u, a);
  int total = 0;
  for (int i = 0; i < 10; i++) total += _mm512_reduce_add_epi32(sum[i]);
  return total == 12345 ? 0 : 640.0 * rounds;
#elif defined(HOMEZOO_X86_ROWS)
  __m256i sum[10];
  for (int i = 0; i < 10; i++) sum[i] = _mm256_set1_epi16(int16_t(i));
  __m256i u = _mm256_set1_epi8(3);
  const __m256i a = _mm256_set1_epi8(-2);
  for (int r = 0; r < rounds; r++)
    for (int i = 0; i < 10; i++) {
      sum[i] = _mm256_add_epi16(sum[i], _mm256_maddubs_epi16(u, a));
      keep_here(sum[i]);
      keep_here(u);  // a new product each time, as far as the compiler knows
    }
  int16_t out[16];
  int total = 0;
  for (int i = 0; i < 10; i++) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), sum[i]);
    total += out[i % 16];
  }
  return total == 12345 ? 0 : 320.0 * rounds;
#else
  int32_t sum[32] = {};
  int8_t u[32], a[32];
  for (int i = 0; i < 32; i++) u[i] = int8_t(i), a[i] = int8_t(-i);
  for (int r = 0; r < rounds; r++)
    for (int i = 0; i < 32; i++) sum[i] += int32_t(u[i]) * (a[i] ^ (r & 1));
  int64_t total = 0;
  for (int i = 0; i < 32; i++) total += sum[i];
  return total == 12345 ? 0 : 32.0 * rounds;
#endif
}
#endif
