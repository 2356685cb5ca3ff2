// The transpose of a product with int8: dy and each column of W rounded in blocks of 32 rows, then prefill's panels.
// No include guard: each section includes this file inside its own namespace, after its tiles and input_gradient.h.

// A block of a turned strip: 32 codes of one column and their scale as it is, where Q8_0 would round it to a half.
struct Turned : Block32 {
  static constexpr int kBytes = 36, kBits = 8, kOffset = 128;
  static constexpr bool kMins = false, kHalfScale = false;
  static float scale(const uint8_t* b) {
    float f;
    std::memcpy(&f, b, 4);
    return f;
  }
  static Bytes32 codes(const uint8_t* b, int) { return flip_sign(load32(b + 4)); }
};

// Rows begin .. begin + 31 of a strip as floats [32][kStripColumns], zeros from `end` on.
static void dequantize_block(const GradientStrip& s, int begin, int end, float* floats) {
  for (int r = 0; r < 32; r++, floats += kStripColumns) {
    if (begin + r < end) dequantize_strip_row(s, begin + r, floats);
    else std::memset(floats, 0, sizeof(float) * size_t(s.columns));
  }
}

#if defined(HOMEZOO_X86_ROWS)

#if defined(HOMEZOO_AVX512)
static inline Wide abs_wide(Wide a) { return _mm512_abs_ps(a); }
static inline Wide max_wide(Wide a, Wide b) { return _mm512_max_ps(a, b); }
static inline Wide mul_wide(Wide a, Wide b) { return _mm512_mul_ps(a, b); }
static inline Wide div_wide(Wide a, Wide b) { return _mm512_div_ps(a, b); }
static inline Wide finite_or_zero(Wide a) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, set_wide(3.4028234663852886e38f), _CMP_LE_OQ), a);
}
// Four rows' codes as dwords of a column each.
static inline void store_codes_of_4(uint8_t* out, Wide a, Wide b, Wide c, Wide d) {
  const __m512i ab = _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
  const __m512i cd = _mm512_packs_epi32(_mm512_cvtps_epi32(c), _mm512_cvtps_epi32(d));
  const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  const __m512i codes = _mm512_shuffle_epi8(_mm512_packs_epi16(ab, cd), order);
  _mm512_store_si512(out, _mm512_xor_si512(codes, _mm512_set1_epi8(char(panel_offset<Turned>()))));
}
#else
static inline Wide abs_wide(Wide a) { return abs8(a); }
static inline Wide max_wide(Wide a, Wide b) { return max8(a, b); }
static inline Wide mul_wide(Wide a, Wide b) { return mul8(a, b); }
static inline Wide div_wide(Wide a, Wide b) { return div8(a, b); }
static inline Wide finite_or_zero(Wide a) {
  return _mm256_and_ps(a, _mm256_cmp_ps(a, set_wide(3.4028234663852886e38f), _CMP_LE_OQ));
}
static inline void store_codes_of_4(uint8_t* out, Wide a, Wide b, Wide c, Wide d) {
  const __m256i ab = _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
  const __m256i cd = _mm256_packs_epi32(_mm256_cvtps_epi32(c), _mm256_cvtps_epi32(d));
  const __m128i turned = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m256i order = _mm256_broadcastsi128_si256(turned);
  store32(out, _mm256_shuffle_epi8(_mm256_packs_epi16(ab, cd), order));  // signed, as the panels of this section are
}
#endif
static_assert(kLanes == kWide && (panel_offset<Turned>() == 0 || panel_offset<Turned>() == 128));

// kLanes columns of 32 rows into block b of a panel, each column rounded by its largest value, as activations are.
static inline void round_columns(const float* rows, const Panel& p, int b) {
  Wide peak = set_wide(0);
  for (int r = 0; r < 32; r++) peak = max_wide(peak, abs_wide(load_wide(rows + r * kStripColumns)));
  const Wide most = set_wide(127.0f), factor = finite_or_zero(div_wide(most, peak));
  store_wide(p.scales + b * kLanes, div_wide(peak, most));
  const auto scaled = [&](int r) { return mul_wide(load_wide(rows + r * kStripColumns), factor); };
  for (int r = 0; r < 32; r += 4)
    store_codes_of_4(p.codes + size_t(b * 32 + r) * kLanes, scaled(r), scaled(r + 1), scaled(r + 2), scaled(r + 3));
}

// Rows [begin, end) of the strip as panels, kLanes columns each; columns beyond the last are whatever floats hold.
static void fill_turned(const GradientStrip& s, int begin, int end, float* floats, uint8_t*, uint8_t* panels) {
  const int width = (end - begin + 31) / 32 * 32;
  const size_t bytes = panel_bytes<Turned>(width);
  for (int b = 0; b * 32 < width; b++) {
    dequantize_block(s, begin + b * 32, end, floats);
    for (int k = 0; k < s.columns; k += kLanes)
      round_columns(floats + k, panel_at<Turned>(panels + size_t(k / kLanes) * bytes, width), b);
  }
}

#else

// Eight columns of 32 rows, each column rounded by its largest value, as activations are.
static void round_columns8(const float* rows, uint8_t* blocks, size_t pitch) {
  Floats8 peak = zero8();
  for (int r = 0; r < 32; r++) peak = max8(peak, abs8(load8(rows + r * kStripColumns)));
  float highest[8], inverse[8];
  store8(highest, peak);
  for (int k = 0; k < 8; k++) {
    const float scale = highest[k] / 127.0f;
    inverse[k] = 127.0f / highest[k];
    if (!(inverse[k] <= 3.4028234663852886e38f)) inverse[k] = 0;
    std::memcpy(blocks + size_t(k) * pitch, &scale, 4);
  }
  const Floats8 factor = load8(inverse);
  for (int r = 0; r < 32; r++) {
    int8_t codes[8];
    store_codes8(codes, round8(mul8(load8(rows + r * kStripColumns), factor)));
    for (int k = 0; k < 8; k++) blocks[size_t(k) * pitch + 4 + size_t(r)] = uint8_t(codes[k]);
  }
}

// Rows [begin, end) of the strip as rows of `Turned` blocks, one row for each column; where there are panels, as those.
static void fill_turned(const GradientStrip& s, int begin, int end, float* floats, uint8_t* turned, uint8_t* panels) {
  const size_t pitch = size_t((end - begin + 31) / 32) * Turned::kBytes;
  for (int b = 0; begin + b * 32 < end; b++) {
    dequantize_block(s, begin + b * 32, end, floats);
    for (int k = 0; k < s.columns; k += 8)
      round_columns8(floats + k, turned + size_t(b) * Turned::kBytes + size_t(k) * pitch, pitch);
  }
#if defined(HOMEZOO_NEON_ROWS)
  const int width = (end - begin + 31) / 32 * 32;
  for (int k = 0; k < s.columns; k += kLanes)
    fill_panel<Turned>(panel_at<Turned>(panels + size_t(k / kLanes) * panel_bytes<Turned>(width), width),
                       turned + size_t(k) * pitch, pitch, kLanes, width);
#else
  (void)panels;
#endif
}

#endif

static void gradient_int8(const GradientStrip& s, uint8_t* scratch) {
  float* floats = reinterpret_cast<float*>(scratch);  // [32][kStripColumns]
  float* part = floats + 32 * kStripColumns;          // [tokens][32]
  uint8_t* turned = reinterpret_cast<uint8_t*>(part + size_t(s.tokens) * 32);
  uint8_t* panels = turned + kStripColumns * size_t(kTurnedRows / 32 * Turned::kBytes);
  float* side = reinterpret_cast<float*>(panels + kStripColumns * size_t(kTurnedRows / 32 * (32 + 8)));
  for (int begin = 0, p = 0; begin < s.rows; begin += kTurnedRows, p++) {
    const int end = s.rows - begin < kTurnedRows ? s.rows : begin + kTurnedRows;
    fill_turned(s, begin, end, floats, turned, panels);
    for (int k = 0; k < s.columns; k += 32) {  // rows of every quantised format are whole blocks of 32
      float* to = begin ? part : s.dx + k;
      const size_t stride = begin ? 32 : s.dx_stride;
#if defined(HOMEZOO_X86_ROWS) || defined(HOMEZOO_NEON_ROWS)
      const size_t bytes = panel_bytes<Turned>(s.rounded[p].width);
      panels_times_tokens<Turned>(panels + size_t(k / kLanes) * bytes, 32, s.rounded[p], s.tokens, to, stride,
                                  side);
#else
      (void)side;
      const size_t pitch = size_t((end - begin + 31) / 32) * Turned::kBytes;
      const Weight w{turned + size_t(k) * pitch, pitch, s.rounded[p].width};
      matmul_plain<Turned>(w, 0, 32, s.rounded[p], s.tokens, to, stride, nullptr);
#endif
      for (int t = 0; begin && t < s.tokens; t++) {
        float* dx = s.dx + size_t(t) * s.dx_stride + k;
        for (int c = 0; c < 32; c += kWide)
          store_wide(dx + c, add_wide(load_wide(dx + c), load_wide(part + t * 32 + c)));
      }
    }
  }
}
