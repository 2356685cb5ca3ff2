// The second product of a low-rank delta, added to what the weight gave. The rank is small, so that sums along it would
// spend more on joining lanes than on multiplying: eight rows of b are taken at a time instead.
// No include guard: each section includes this file inside its own namespace.

// out[n] = y[n] + factor * sum over k of b[k, n] * inner[k], for `count` values of one token; `rank` is a multiple of 8.
// Each sum has the eight parts, k mod 8, of matmul_float.h, joined in its order: the bits are those of that product.
static void add_low_rank(const float* b, size_t stride, int rank, const float* inner, float factor, const float* y,
                         int count, float* out) {
  each8(size_t(count), [&](size_t n, int lanes) {
    Floats8 sum[8];
    for (int j = 0; j < 8; j++) sum[j] = zero8();
    for (int k = 0; k < rank; k += 8)
      for (int j = 0; j < 8; j++)
        sum[j] = fma8(load_some8(b + size_t(k + j) * stride + n, lanes), set8(inner[k + j]), sum[j]);
    const Floats8 evens = add8(add8(sum[0], sum[4]), add8(sum[2], sum[6]));
    const Floats8 odds = add8(add8(sum[1], sum[5]), add8(sum[3], sum[7]));
    store_some8(out + n, add8(load_some8(y + n, lanes), mul8(set8(factor), add8(evens, odds))), lanes);
  });
}
