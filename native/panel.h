// Panels: kLanes rows of a weight unpacked once for all tokens, interleaved so that a lane is a row.
// Dword [k/4][row] holds four neighbouring codes of one row; a broadcast of four activations then meets kLanes rows
// and nothing is summed across lanes.
// No include guard: each section includes this file inside its own namespace, with kLanes and kSignedFrom: codes of
// so many bits or more lie in the panel without their offset, as signed bytes.

// What the integer sums must take away.
template <class F>
static constexpr int panel_offset() {
  return F::kBits >= kSignedFrom ? 0 : F::kOffset;
}

// Where the parts of one panel (kLanes rows, K columns) lie in a thread's scratch.
struct Panel {
  uint8_t* codes;      // [K / 4][kLanes][4]
  float* scales;       // [blocks][kLanes]
  float* min_scales;   // [blocks][kLanes]
  int32_t* groups;     // [K / group][kLanes]: the group's scale in both halves of a dword (blocks of 256)
  int32_t* minima;     // [K / group / 2][kLanes]: minima of two neighbouring groups in one dword (blocks of 256)
};

template <class F>
static size_t panel_bytes(int width) {
  const size_t k = size_t(width), blocks = k / F::kBlock;
  size_t bytes = k * kLanes + blocks * kLanes * 8;
  if (F::kBlock == 256) bytes += k / F::kGroup * kLanes * 6;
  return (bytes + 63) / 64 * 64;
}

template <class F>
static Panel panel_at(uint8_t* scratch, int width) {
  const size_t k = size_t(width), blocks = k / F::kBlock;
  Panel p;
  p.codes = scratch;
  p.scales = reinterpret_cast<float*>(scratch + k * kLanes);
  p.min_scales = p.scales + blocks * kLanes;
  p.groups = reinterpret_cast<int32_t*>(p.min_scales + blocks * kLanes);
  p.minima = p.groups + k / F::kGroup * kLanes;
  return p;
}

// Scales and minima of block b of row r.
template <class F>
static inline void fill_scales(const Panel& p, const uint8_t* block, int b, int r) {
  p.scales[b * kLanes + r] = F::scale(block);
  if constexpr (F::kMins) p.min_scales[b * kLanes + r] = F::min_scale(block);
  if constexpr (F::kBlock == 256) {
    constexpr int n = 256 / F::kGroup;
    int16_t scale[16], min[16];
    F::groups(block, scale, min);
    if constexpr (!F::kMins)
      for (int g = 0; g < n; g++) min[g] = int16_t(scale[g] * panel_offset<F>());
    for (int g = 0; g < n; g++) {
      const uint32_t s = uint16_t(scale[g]);
      p.groups[(b * n + g) * kLanes + r] = int32_t(s | s << 16);
    }
    for (int g = 0; g < n; g += 2)
      p.minima[(b * n + g) / 2 * kLanes + r] = int32_t(uint16_t(min[g]) | uint32_t(uint16_t(min[g + 1])) << 16);
  }
}

template <class F>
static void fill_panel(const Panel& p, const uint8_t* rows, size_t pitch, int count, int width) {
  const int blocks = width / F::kBlock;
  const uint8_t* row[kLanes];
  for (int r = 0; r < kLanes; r++) row[r] = rows + size_t(r < count ? r : count - 1) * pitch;  // the last one repeats
  uint8_t* out = p.codes;
  for (int b = 0; b < blocks; b++) {
    // The next panel's rows into the second-level cache, at this loop's own pace: hardware does not follow kLanes
    // streams at once.
    for (int line = 0; line < kLanes * F::kBytes; line += 64)
      __builtin_prefetch(rows + kLanes * pitch + size_t(b) * kLanes * F::kBytes + line, 0, 2);
#if defined(HOMEZOO_AVX512)
    if constexpr (requires { F::kPlainNibbles; }) {
      const size_t at = size_t(b) * F::kBytes;
      _mm512_storeu_ps(p.scales + b * kLanes, halves16(row, at));
      if constexpr (F::kMins)
        _mm512_storeu_ps(p.min_scales + b * kLanes, _mm512_xor_ps(_mm512_set1_ps(-0.0f), halves16(row, at + 2)));
      turn_nibbles16<F>(row, at + F::kNibbles, out);
      out += 32 * kLanes;
      continue;
    }
#endif
    for (int r = 0; r < kLanes; r++) fill_scales<F>(p, row[r] + size_t(b) * F::kBytes, b, r);
    for (int c = 0; c < F::kBlock / 32; c++, out += 32 * kLanes)
      for (int half = 0; half < kLanes; half += 8) {
        Bytes32 chunk[8];
        for (int r = 0; r < 8; r++) {
          chunk[r] = F::codes(row[half + r] + size_t(b) * F::kBytes, c);
          if constexpr (F::kBits >= kSignedFrom && F::kOffset) chunk[r] = minus_offset<F::kOffset>(chunk[r]);
        }
        store_turned8(out + half * 4, kLanes * 4, chunk);
      }
  }
}
