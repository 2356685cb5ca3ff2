// Norms, activations and the rounding of activations to int8, written once over eight lanes.
// No include guard: each section includes this file inside its own namespace.

// Eight lanes, for what is written over more of them too (simd_512.h).
struct Eight {
  using Floats = Floats8;
  static Floats set(float x) { return set8(x); }
  static Floats load(const float* p) { return load8(p); }
  static void store(float* p, Floats a) { store8(p, a); }
  static Floats add(Floats a, Floats b) { return add8(a, b); }
  static Floats mul(Floats a, Floats b) { return mul8(a, b); }
  static Floats div(Floats a, Floats b) { return div8(a, b); }
  static Floats max(Floats a, Floats b) { return max8(a, b); }
  static Floats min(Floats a, Floats b) { return min8(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return fma8(a, b, c); }
  static Floats round(Floats a) { return round8(a); }
  static Floats power_of_two(Floats n) { return power_of_two8(n); }
};
#ifdef HOMEZOO_AVX512
#include "simd_512.h"
#endif

// e^x per lane, error below 2 units in the last place for -87.3 < x < 88.7; outside it stays at the ends.
// Method: x = n ln 2 + r with |r| <= ln(2)/2, then a degree-6 polynomial (Cephes expf coefficients).
template <class V>
static inline typename V::Floats exp_of(typename V::Floats x) {
  x = V::min(V::set(88.3762626647950f), V::max(V::set(-87.3365478515625f), x));  // this order keeps NaN
  const auto n = V::round(V::mul(x, V::set(1.44269504088896341f)));
  auto r = V::fma(n, V::set(-0.693359375f), x);
  r = V::fma(n, V::set(2.12194440e-4f), r);
  auto p = V::set(1.9875691500e-4f);
  p = V::fma(p, r, V::set(1.3981999507e-3f));
  p = V::fma(p, r, V::set(8.3334519073e-3f));
  p = V::fma(p, r, V::set(4.1665795894e-2f));
  p = V::fma(p, r, V::set(1.6666665459e-1f));
  p = V::fma(p, r, V::set(5.0000001201e-1f));
  p = V::fma(p, V::mul(r, r), V::add(r, V::set(1.0f)));
  return V::mul(p, V::power_of_two(n));
}

static inline Floats8 exp8(Floats8 x) { return exp_of<Eight>(x); }

static inline float exp1(float x) {
  float out[8];
  store8(out, exp8(set8(x)));
  return out[0];
}

template <class Body>  // body(i, lanes): eight values from i on, or `lanes` of them at the end
static inline void each8(size_t n, Body body) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) body(i, 8);
  if (i < n) body(i, int(n - i));
}

static inline Floats8 load_some8(const float* p, int lanes) { return lanes == 8 ? load8(p) : load8(p, lanes); }
static inline void store_some8(float* p, Floats8 a, int lanes) {
  if (lanes == 8) store8(p, a);
  else store8(p, a, lanes);
}

static void rms_norm(const float* x, const float* weight, float eps, int width, float* y) {
  Floats8 squares = zero8();
  each8(size_t(width), [&](size_t i, int lanes) {
    const Floats8 a = load_some8(x + i, lanes);
    squares = fma8(a, a, squares);
  });
  const Floats8 scale = set8(1.0f / sqrt1(sum8(squares) / float(width) + eps));
  each8(size_t(width), [&](size_t i, int lanes) {
    store_some8(y + i, mul8(mul8(load_some8(x + i, lanes), scale), load_some8(weight + i, lanes)), lanes);
  });
}

static void layer_norm(const float* x, const float* weight, const float* bias, float eps, int width, float* y) {
  Floats8 total = zero8();
  each8(size_t(width), [&](size_t i, int lanes) { total = add8(total, load_some8(x + i, lanes)); });
  const float mean = sum8(total) / float(width);
  float squares = 0;
  each8(size_t(width), [&](size_t i, int lanes) {
    float part[8] = {};
    for (int k = 0; k < lanes; k++) part[k] = x[i + size_t(k)] - mean;
    squares += sum8(mul8(load8(part), load8(part)));
  });
  const float scale = 1.0f / sqrt1(squares / float(width) + eps);
  each8(size_t(width), [&](size_t i, int lanes) {
    const Floats8 a = mul8(mul8(sub8(load_some8(x + i, lanes), set8(mean)), set8(scale)),
                           load_some8(weight + i, lanes));
    store_some8(y + i, bias ? add8(a, load_some8(bias + i, lanes)) : a, lanes);
  });
}

template <class V>
static inline typename V::Floats silu_of(typename V::Floats gate, typename V::Floats up) {
  const auto e = exp_of<V>(V::mul(gate, V::set(-1.0f)));
  return V::mul(V::div(gate, V::add(V::set(1.0f), e)), up);
}

static void silu_mul(const float* gate, const float* up, size_t n, float* y) {
  size_t whole = 0;
#ifdef HOMEZOO_AVX512
  for (; whole + 16 <= n; whole += 16)
    Sixteen::store(y + whole, silu_of<Sixteen>(Sixteen::load(gate + whole), Sixteen::load(up + whole)));
#endif
  each8(n - whole, [&](size_t k, int lanes) {
    const size_t i = whole + k;
    store_some8(y + i, silu_of<Eight>(load_some8(gate + i, lanes), load_some8(up + i, lanes)), lanes);
  });
}

// x/2 (1 + tanh(z)) = x / (1 + e^(-2z)) with z = sqrt(2/pi) (x + 0.044715 x^3)
static void gelu(const float* x, size_t n, float* y) {
  each8(n, [&](size_t i, int lanes) {
    const Floats8 a = load_some8(x + i, lanes);
    const Floats8 cubic = fma8(mul8(mul8(a, a), a), set8(0.044715f), a);
    const Floats8 e = exp8(mul8(cubic, set8(-1.5957691216057308f)));
    store_some8(y + i, div8(a, add8(set8(1.0f), e)), lanes);
  });
}

// x/2 (1 + erf(x/sqrt(2))). erfc(z) by Abramowitz and Stegun 7.1.26 (1964), error below 1.5e-7.
static void gelu_erf(const float* x, size_t n, float* y) {
  each8(n, [&](size_t i, int lanes) {
    const Floats8 a = load_some8(x + i, lanes), z = mul8(abs8(a), set8(0.70710678118654752f));
    const Floats8 t = div8(set8(1.0f), fma8(z, set8(0.3275911f), set8(1.0f)));
    Floats8 p = set8(1.061405429f);
    p = fma8(p, t, set8(-1.453152027f));
    p = fma8(p, t, set8(1.421413741f));
    p = fma8(p, t, set8(-0.284496736f));
    p = fma8(p, t, set8(0.254829592f));
    const Floats8 tail = mul8(mul8(p, t), exp8(sub8(zero8(), mul8(z, z))));  // erfc(|x| / sqrt(2))
    const Floats8 lost = mul8(mul8(set8(0.5f), abs8(a)), tail);
    const Floats8 kept = add8(mul8(set8(0.5f), a), mul8(set8(0.5f), abs8(a)));  // max(x, 0) that keeps NaN
    store_some8(y + i, sub8(kept, lost), lanes);
  });
}

// cap * tanh(x / cap), with tanh(z) = 1 - 2 / (1 + e^(2z)): absolute error below 3e-7 * cap.
static void soft_cap(const float* x, float cap, size_t n, float* y) {
  const float twice = 2.0f / cap;
  each8(n, [&](size_t i, int lanes) {
    const Floats8 e = exp8(mul8(load_some8(x + i, lanes), set8(twice)));
    const Floats8 tanh = sub8(set8(1.0f), div8(set8(2.0f), add8(set8(1.0f), e)));
    store_some8(y + i, mul8(set8(cap), tanh), lanes);
  });
}

// (clamp(up) + 1) * gate * sigmoid(alpha * gate), gate held below `limit` and up within it (gpt-oss).
static void clamped_swiglu(const float* gate, const float* up, float alpha, float limit, size_t n, float* y) {
  each8(n, [&](size_t i, int lanes) {
    const Floats8 g = min8(set8(limit), load_some8(gate + i, lanes));  // this order keeps NaN
    const Floats8 u = min8(set8(limit), max8(set8(-limit), load_some8(up + i, lanes)));
    const Floats8 swish = div8(g, add8(set8(1.0f), exp8(mul8(g, set8(-alpha)))));
    store_some8(y + i, mul8(add8(u, set8(1.0f)), swish), lanes);
  });
}

// A block of `n` values (32 or 256): returns the scale max|x| / 127, and what values are multiplied by before rounding.
static inline float block_scale(const float* x, int n, Floats8& inverse) {
  Floats8 highest = zero8(), invalid = zero8();
  for (int i = 0; i < n; i += 8) {
    const Floats8 a = load8(x + i);
    highest = max8(highest, abs8(a));
    invalid = fma8(a, zero8(), invalid);  // a maximum drops NaN; this sum is NaN after one, and 0 otherwise
  }
  const float peak = highest8(highest) + sum8(invalid);
  // Below 127 / FLT_MAX the inverse would be infinite: such a block is 0, as in ops/reference.
  inverse = set8(peak > 3.7323e-37f ? 127.0f / peak : 0.0f);
  return peak / 127.0f;
}

// One block of `n` values (32 or 256) to int8: codes = round(x * 127 / max|x|); returns the scale.
static inline float round_block(const float* x, int n, int8_t* codes) {
  Floats8 inverse;
  const float scale = block_scale(x, n, inverse);
  for (int i = 0; i < n; i += 8) store_codes8(codes + i, round8(mul8(load8(x + i), inverse)));
  return scale;
}

static inline int16_t sum_codes(const int8_t* codes, int n) {
  int total = 0;
  for (int i = 0; i < n; i++) total += codes[i];
  return int16_t(total);
}

static void round32(const float* x, int width, int8_t* codes, float* scales, int16_t* sum32) {
  for (int b = 0; b < width / 32; b++, x += 32, codes += 32) {
#if defined(HOMEZOO_CODES32)
    Floats8 inverse, rounded[4];
    scales[b] = block_scale(x, 32, inverse);
    for (int i = 0; i < 4; i++) rounded[i] = round8(mul8(load8(x + 8 * i), inverse));
    sum32[b] = int16_t(store_codes32(codes, rounded));
#else
    scales[b] = round_block(x, 32, codes);
    sum32[b] = sum_codes(codes, 32);
#endif
  }
}

static void round256(const float* x, int width, int8_t* codes, float* scales, int16_t* sum16, int16_t* sum32) {
  for (int b = 0; b < width / 256; b++) scales[b] = round_block(x + 256 * b, 256, codes + 256 * b);
  for (int g = 0; g < width / 16; g++) sum16[g] = sum_codes(codes + 16 * g, 16);
  for (int g = 0; g < width / 32; g++) sum32[g] = int16_t(sum16[2 * g] + sum16[2 * g + 1]);
}

template <class F>
static void dequantize_row(const uint8_t* row, float* out, int width) {
  uint8_t codes[32];
  for (int b = 0; b < width / F::kBlock; b++, row += F::kBytes) {
    int16_t scale[16] = {1}, min[16] = {1};
    if constexpr (F::kBlock == 256) F::groups(row, scale, min);
    const float d = F::scale(row), m = F::min_scale(row);
    for (int c = 0; c < F::kBlock / 32; c++) {
      store32(codes, F::codes(row, c));
      for (int i = 0; i < 32; i += F::kGroup) {  // a group's factors are constants of its loop, which is vectorised
        const float factor = d * float(scale[(32 * c + i) / F::kGroup]);
        const float minimum = F::kMins ? m * float(min[(32 * c + i) / F::kGroup]) : 0;
        for (int k = 0; k < F::kGroup; k++) {
          const float value = factor * float(int(codes[i + k]) - F::kOffset);
          out[i + k] = F::kMins ? value - minimum : value;
        }
      }
      out += 32;
    }
  }
}
