// Many tokens times quantised rows (prefill), 512-bit registers with VNNI: a lane is a row, sixteen rows a panel.
// No include guard: each section includes this file inside its own namespace.

static constexpr int kSignedFrom = 9;  // none: vpdpbusd takes all codes as unsigned bytes

#include "panel_512.h"

static inline __m512i broadcast4(const int8_t* codes) {
  int32_t a;
  std::memcpy(&a, codes, 4);
  return _mm512_set1_epi32(a);
}

template <class F, int M>
static void panel_times_tokens(const Panel& p, const Activations& x, int token, int rows, float* y, size_t stride) {
  constexpr int groups = F::kBlock / F::kGroup, dwords = F::kGroup / 4;
  const int blocks = x.width / F::kBlock;
  const int8_t* codes = x.codes + size_t(token) * size_t(x.width);
  const float* scales = x.scales + size_t(token) * size_t(blocks);
  __m512 chain[M];
  for (int m = 0; m < M; m++) chain[m] = _mm512_setzero_ps();
  for (int b = 0; b < blocks; b++) {
    __m512i total[M], minima[M];
    for (int m = 0; m < M; m++) {
      const int sum = F::kBlock == 32 ? x.sum32[size_t(token + m) * size_t(blocks) + size_t(b)] : 0;
      total[m] = F::kBlock == 32 ? _mm512_set1_epi32(-F::kOffset * sum) : _mm512_setzero_si512();
      if (F::kBlock == 32 && F::kMins) minima[m] = _mm512_set1_epi32(sum);
    }
    for (int g = 0; g < groups; g++) {
      const int at = b * F::kBlock + g * F::kGroup;
      __m512i part[M];
      for (int m = 0; m < M; m++) part[m] = groups == 1 ? total[m] : _mm512_setzero_si512();
      for (int j = 0; j < dwords; j++) {
        const __m512i u = load64(p.codes + size_t(at / 4 + j) * kLanes * 4);
        for (int m = 0; m < M; m++)
          part[m] = _mm512_dpbusd_epi32(part[m], u, broadcast4(codes + size_t(m) * size_t(x.width) + at + 4 * j));
      }
      if constexpr (groups == 1) {
        for (int m = 0; m < M; m++) total[m] = part[m];
      } else {  // the panel keeps the scale in both halves of a dword; as int32 it is the upper half, shifted
        const __m512i scale = _mm512_srai_epi32(_mm512_loadu_si512(p.groups + (b * groups + g) * kLanes), 16);
        for (int m = 0; m < M; m++) total[m] = _mm512_add_epi32(total[m], _mm512_mullo_epi32(part[m], scale));
      }
    }
    if constexpr (F::kBlock == 256)
      for (int m = 0; m < M; m++) {
        minima[m] = minima_of_block<F>(p, x, b, size_t(token + m));
        if constexpr (!F::kMins) total[m] = _mm512_sub_epi32(total[m], minima[m]);
      }
    for (int m = 0; m < M; m++)
      chain[m] = continue_chain<F>(p, b, scales[m * blocks + b], total[m], minima[m], chain[m]);
  }
  const __mmask16 mask = __mmask16((1u << rows) - 1);
  for (int m = 0; m < M; m++) _mm512_mask_storeu_ps(y + size_t(m) * stride, mask, chain[m]);
}

// The panels of `rows` rows times all tokens.
template <class F>
static void panels_times_tokens(uint8_t* panels, int rows, const Activations& x, int tokens, float* y, size_t stride,
                                float*) {
  constexpr int M = F::kBlock == 32 ? 8 : 6;  // integer sums, float chains and minima within 32 registers
  const size_t bytes = panel_bytes<F>(x.width);
  const auto panel = [&](int n) { return panel_at<F>(panels + size_t(n) / kLanes * bytes, x.width); };
  const auto some = [&](int n) { return rows - n < kLanes ? rows - n : kLanes; };
  int t = 0;
  for (; t + M <= tokens; t += M)
    for (int n = 0; n < rows; n += kLanes)
      panel_times_tokens<F, M>(panel(n), x, t, some(n), y + size_t(t) * stride + n, stride);
  for (; t < tokens; t++)
    for (int n = 0; n < rows; n += kLanes)
      panel_times_tokens<F, 1>(panel(n), x, t, some(n), y + size_t(t) * stride + n, stride);
}

// A chunk of rows (at most 32, so that its panels stay in the second-level cache) times all tokens.
template <class F>
static void matmul_many(const Weight& w, int begin, int end, const Activations& x, int tokens, float* y,
                        size_t stride, uint8_t* scratch) {
  const size_t bytes = panel_bytes<F>(w.width);
  for (int n = begin; n < end; n += kLanes)
    fill_panel<F>(panel_at<F>(scratch + size_t(n - begin) / kLanes * bytes, w.width), w.data + size_t(n) * w.row_bytes,
                  w.row_bytes, end - n < kLanes ? end - n : kLanes, w.width);
  panels_times_tokens<F>(scratch, end - begin, x, tokens, y + begin, stride, nullptr);
}
