// A chunk of rows (at most the section's tile_rows, so that its panels stay in the second-level cache) times all tokens,
// over each section's own panels_times_tokens; `side` is the scratch behind the panels.
// No include guard: each section includes this file inside its own namespace.

template <class F>
static void matmul_many(const Weight& w, int begin, int end, const Activations& x, int tokens, float* y,
                        size_t stride, uint8_t* scratch) {
  const size_t bytes = panel_bytes<F>(w.width);
  for (int n = begin; n < end; n += kLanes)
    fill_panel<F>(panel_at<F>(scratch + size_t(n - begin) / kLanes * bytes, w.width), w.data + size_t(n) * w.row_bytes,
                  w.row_bytes, end - n < kLanes ? end - n : kLanes, w.width);
  float* side = reinterpret_cast<float*>(scratch + size_t((end - begin + kLanes - 1) / kLanes) * bytes);
  panels_times_tokens<F>(scratch, end - begin, x, tokens, y + begin, stride, side);
}
