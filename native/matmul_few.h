// A few tokens times quantised rows as they lie in the file, over a section's own rows4_of_32 and rows4_of_256.
// No include guard: each section includes this file inside its own namespace.

template <class F, int M>
static inline void rows4(const uint8_t* rows, size_t pitch, const Activations& x, int token, float* y,
                         size_t stride) {
#ifdef HOMEZOO_AVX512
  if constexpr (std::is_same_v<F, Q4_0>) {
    if (x.width % 128 == 0)
      return fetched_linearly(pitch) ? rows4_by_4_blocks<F, M, true>(rows, pitch, x, token, y, stride)
                                     : rows4_by_4_blocks<F, M, false>(rows, pitch, x, token, y, stride);
  } else if constexpr (std::is_same_v<F, Q4_K> || std::is_same_v<F, Q5_K> || std::is_same_v<F, Q6_K>) {
    return fetched_linearly(pitch) ? rows4_by_block<F, M, true>(rows, pitch, x, token, y, stride)
                                   : rows4_by_block<F, M, false>(rows, pitch, x, token, y, stride);
  }
#endif
  if constexpr (F::kBlock == 32) rows4_of_32<F, M>(rows, pitch, x, token, y, stride);
  else rows4_of_256<F, M>(rows, pitch, x, token, y, stride);
}

template <class F>
static void matmul_few(const Weight& w, int begin, int end, const Activations& x, int tokens, float* y,
                       size_t stride, uint8_t*) {
  int n = begin;
  for (; n + 4 <= end; n += 4) {
    const uint8_t* rows = w.data + size_t(n) * w.row_bytes;
    int t = 0;
    for (; t + 4 <= tokens; t += 4) rows4<F, 4>(rows, w.row_bytes, x, t, y + size_t(t) * stride + n, stride);
    for (; t + 2 <= tokens; t += 2) rows4<F, 2>(rows, w.row_bytes, x, t, y + size_t(t) * stride + n, stride);
    for (; t < tokens; t++) rows4<F, 1>(rows, w.row_bytes, x, t, y + size_t(t) * stride + n, stride);
  }
  for (; n < end; n++)  // the last rows: each as four equal ones, a pitch of 0 apart
    for (int t = 0; t < tokens; t++) {
      float same[4];
      rows4<F, 1>(w.data + size_t(n) * w.row_bytes, 0, x, t, same, 4);
      y[size_t(t) * stride + size_t(n)] = same[0];
    }
}
