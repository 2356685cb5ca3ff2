// Gradients of the norm and of the gated unit, in one pass over a row each. Meanings: ops/reference_gradient.py.
// No include guard: each section includes this file inside its own namespace.

// y = silu(gate) * up. With s = sigmoid(gate): d_up = dy gate s and d_gate = dy up s (1 + gate (1 - s)).
static void silu_mul_gradient(const float* dy, const float* gate, const float* up, size_t n, float* d_gate,
                              float* d_up) {
  const Floats8 one = set8(1.0f);
  each8(n, [&](size_t i, int lanes) {
    const Floats8 y = load_some8(dy + i, lanes), g = load_some8(gate + i, lanes), u = load_some8(up + i, lanes);
    const Floats8 s = div8(one, add8(one, exp8(sub8(zero8(), g)))), ys = mul8(y, s);
    store_some8(d_up + i, mul8(ys, g), lanes);
    store_some8(d_gate + i, mul8(mul8(ys, u), fma8(g, sub8(one, s), one)), lanes);
  });
}

// y = x r w with r = 1 / sqrt(mean(x^2) + eps), w frozen: dx = r (dy w - x r^2 mean(dy w x)).
static void rms_norm_gradient(const float* dy, const float* x, const float* weight, float eps, int width, float* dx) {
  Floats8 squares = zero8(), products = zero8();
  each8(size_t(width), [&](size_t i, int lanes) {
    const Floats8 a = load_some8(x + i, lanes);
    squares = fma8(a, a, squares);
    products = fma8(mul8(load_some8(dy + i, lanes), load_some8(weight + i, lanes)), a, products);
  });
  const float r = 1.0f / sqrt1(sum8(squares) / float(width) + eps);
  const Floats8 factor = set8(-r * r * (sum8(products) / float(width))), scale = set8(r);
  each8(size_t(width), [&](size_t i, int lanes) {
    const Floats8 weighted = mul8(load_some8(dy + i, lanes), load_some8(weight + i, lanes));
    store_some8(dx + i, mul8(scale, fma8(load_some8(x + i, lanes), factor, weighted)), lanes);
  });
}

// Pairs (a, b) of each head turned by the angles whose cosines and sines are given, or back: [pairs] each.
static void rotate(const float* x, const float* cosine, const float* sine, int pairs, int head_width, int width,
                   bool halves, bool back, float* y) {
  const int next = halves ? pairs : 1, step = halves ? 1 : 2;
  if (2 * pairs < head_width) std::memcpy(y, x, size_t(width) * sizeof(float));
  for (int h = 0; h < width; h += head_width)
    for (int i = 0; i < pairs; i++) {
      const float a = x[h + i * step], b = x[h + i * step + next], s = back ? -sine[i] : sine[i];
      y[h + i * step] = a * cosine[i] - b * s;
      y[h + i * step + next] = a * s + b * cosine[i];
    }
}
