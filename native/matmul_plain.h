// Quantised weights times int8 activations, plain: what the fast kernels must repeat bit for bit.
// No include guard: each section includes this file inside its own namespace.

// One output element: integers exact inside a block, then one float chain over the blocks in order.
template <class F>
static float dot_row(const uint8_t* row, const Activations& x, int token) {
  const int blocks = x.width / F::kBlock;
  const int8_t* codes = x.codes + size_t(token) * size_t(x.width);
  const float* scales = x.scales + size_t(token) * size_t(blocks);
  float sum = 0;
  for (int b = 0; b < blocks; b++, row += F::kBytes) {
    int16_t scale[16] = {1}, min[16] = {1};
    if constexpr (F::kBlock == 256) F::groups(row, scale, min);
    int total = 0, minima = 0;
    for (int c = 0; c < F::kBlock / 32; c++) {
      uint8_t u[32];
      store32(u, F::codes(row, c));
      for (int i = 0; i < 32; i++) {
        const int g = (32 * c + i) / F::kGroup, a = *codes++;
        total += scale[g] * (int(u[i]) - F::kOffset) * a;
        minima += min[g] * a;
      }
    }
    sum = fma1(float(total), F::scale(row) * scales[b], sum);
    if (F::kMins) sum = fma1(float(-minima), F::min_scale(row) * scales[b], sum);
  }
  return sum;
}

template <class F>
static void matmul_plain(const Weight& w, int begin, int end, const Activations& x, int tokens, float* y,
                         size_t stride, uint8_t*) {
  for (int n = begin; n < end; n++)
    for (int t = 0; t < tokens; t++)
      y[size_t(t) * stride + size_t(n)] = dot_row<F>(w.data + size_t(n) * w.row_bytes, x, t);
}
