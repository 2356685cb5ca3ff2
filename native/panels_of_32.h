// Blocks of 32, two panels to each broadcast of activations: the order of the work, written once over what a section has
// of its own: Chain (kLanes floats), zero_chain and store_rows, kPrepared and prepare_sums, and block_of_32.
// No include guard: each section includes this file inside its own namespace.

// P neighbouring panels (of `rows` rows) times M tokens.
template <class F, int P, int M>
static void panels_of_32(const Panel* p, const Activations& x, int token, int rows, float* y, size_t stride) {
  const int blocks = x.width / 32;
  const int8_t* codes = x.codes + size_t(token) * size_t(x.width);
  const float* scales = x.scales + size_t(token) * size_t(blocks);
  const int16_t* sums = x.sum32 + size_t(token) * size_t(blocks);
  alignas(64) int32_t prepared[M][kPrepared];
  Chain chain[P][M];
  for (int i = 0; i < P; i++)
    for (int m = 0; m < M; m++) chain[i][m] = zero_chain();
  for (int first = 0; first < blocks; first += kPrepared) {
    const int count = blocks - first < kPrepared ? blocks - first : kPrepared;
    if constexpr (F::kOffset || F::kMins)
      for (int m = 0; m < M; m++) prepare_sums<F>(sums + m * blocks + first, count, prepared[m]);
    for (int b = 0; b < count; b++)
      block_of_32<F, P, M>(p, first + b, codes, x.width, scales, prepared[0] + b, chain);
  }
  for (int i = 0; i < P; i++)
    for (int m = 0; m < M; m++) store_rows(y + size_t(m) * stride + i * kLanes, rows - i * kLanes, chain[i][m]);
}

// M tokens times the panels of `rows` rows, which are F's and lie one after another.
template <class F, int M>
static void all_panels_of_32(uint8_t* panels, int rows, const Activations& x, int token, float* y, size_t stride) {
  const size_t bytes = panel_bytes<F>(x.width);
  y += size_t(token) * stride;
  for (; rows > kLanes; rows -= 2 * kLanes, panels += 2 * bytes, y += 2 * kLanes) {
    const Panel two[2] = {panel_at<F>(panels, x.width), panel_at<F>(panels + bytes, x.width)};
    panels_of_32<F, 2, M>(two, x, token, rows, y, stride);
  }
  const Panel one = panel_at<F>(panels, x.width);
  if (rows > 0) panels_of_32<F, 1, M>(&one, x, token, rows, y, stride);
}
