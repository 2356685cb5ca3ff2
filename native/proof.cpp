#include "proof.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace homezoo {
namespace {

// Numbers that look random and are the same everywhere (xorshift).
struct Noise {
  uint32_t state = 2463534242u;
  uint32_t next() {
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
  }
  float uniform() { return float(next() >> 8) * (2.0f / 16777216.0f) - 1.0f; }
};

// Valid blocks with noise for codes; half-precision scales are kept finite and small.
std::vector<uint8_t> noisy_rows(const Layout& l, int rows, int width, Noise& noise) {
  std::vector<uint8_t> data(size_t(rows) * size_t(width / l.size) * size_t(l.bytes));
  for (auto& byte : data) byte = uint8_t(noise.next() >> 11);
  // Wherever a scale may stand (first or last four bytes), keep the exponent bits of each half below infinity.
  for (size_t at = 0; at < data.size(); at += size_t(l.bytes))
    for (int i : {1, 3, l.bytes - 3, l.bytes - 1})
      if (i > 0 && i < l.bytes) data[at + size_t(i)] &= 0xbb;
  if (l.type == kMXFP4)
    for (size_t at = 0; at < data.size(); at += 17) data[at] = uint8_t(120 + data[at] % 8);
  return data;
}

}  // namespace

bool agrees(const Section& fast, const Section& plain, const Layout& l) {
  constexpr int kRows = 19, kTokens = 23, kWidth = 512;  // every tile, and remainders of rows and tokens
  Noise noise;
  const auto data = noisy_rows(l, kRows, kWidth, noise);
  const Weight weight{data.data(), data.size() / kRows, kWidth};
  std::vector<float> x(kTokens * kWidth), scales(kTokens * kWidth / 32), a(kTokens * kRows), b(kTokens * kRows);
  std::vector<int8_t> codes(kTokens * kWidth);
  std::vector<int16_t> sum16(kTokens * kWidth / 16), sum32(kTokens * kWidth / 32);
  for (auto& value : x) value = noise.uniform();
  for (int t = 0; t < kTokens; t++) {
    const float* row = x.data() + t * kWidth;
    if (l.rounding == Rounding::per32)
      plain.round32(row, kWidth, codes.data() + t * kWidth, scales.data() + t * kWidth / 32,
                    sum32.data() + t * kWidth / 32);
    else
      plain.round256(row, kWidth, codes.data() + t * kWidth, scales.data() + t * kWidth / 256,
                     sum16.data() + t * kWidth / 16, sum32.data() + t * kWidth / 32);
  }
  const Activations act{x.data(), codes.data(), scales.data(), sum16.data(), sum32.data(), kWidth};
  std::vector<uint8_t> scratch(64 * size_t(kWidth) * 2 + 64 * kWidth + 8192 + 64);
  uint8_t* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
  plain.few[l.type](weight, 0, kRows, act, kTokens, b.data(), kRows, aligned);
  for (const MatmulKernel kernel : {fast.few[l.type], fast.many[l.type]}) {
    std::fill(a.begin(), a.end(), 0.0f);
    kernel(weight, 0, kRows, act, kTokens, a.data(), kRows, aligned);
    if (std::memcmp(a.data(), b.data(), a.size() * sizeof(float))) return false;
  }
  return true;
}

namespace {

uint8_t* aligned(std::vector<uint8_t>& memory) {
  return memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
}

// dx of a strip of Q4_0, exact or int8, from dy rounded by the plain section.
std::vector<float> strip_gradient(const Section& s, const Section& plain, bool int8) {
  constexpr int kRows = 37, kTokens = 9, kColumns = 96, kRounded = 64;  // rows and tokens: tiles and what is left over
  Noise noise;
  const Layout layout{kQ4_0, 32, 18, Rounding::per32};
  const auto data = noisy_rows(layout, kRows, kColumns, noise);
  std::vector<float> dy(kTokens * kRows), padded(kTokens * kRounded), dx(kTokens * kColumns), scales(kTokens * 2);
  for (auto& value : dy) value = noise.uniform();
  std::vector<int8_t> codes(kTokens * kRounded);
  std::vector<int16_t> sums(kTokens * 2);
  for (int t = 0; t < kTokens; t++) {
    std::copy_n(dy.data() + t * kRows, kRows, padded.data() + t * kRounded);
    plain.round32(padded.data() + t * kRounded, kRounded, codes.data() + t * kRounded, scales.data() + t * 2,
                  sums.data() + t * 2);
  }
  const Activations rounded{nullptr, codes.data(), scales.data(), nullptr, sums.data(), kRounded};
  GradientStrip strip{};
  strip.weight = data.data(), strip.row_bytes = data.size() / kRows;
  strip.rows = kRows, strip.columns = kColumns, strip.dequantize = s.dequantize[kQ4_0];
  strip.dy = dy.data(), strip.dy_stride = kRows, strip.rounded = &rounded, strip.tokens = kTokens;
  strip.dx = dx.data(), strip.dx_stride = kColumns;
  std::vector<uint8_t> scratch(gradient_scratch(int8, kTokens) + 64);
  (int8 ? s.gradient_int8 : s.gradient_exact)(strip, aligned(scratch));
  return dx;
}

// Values and gradients of one head of 21 positions.
std::vector<float> attention_gradient(const Section& s) {
  constexpr size_t kLength = 21, kWidth = 12, kSize = kLength * kWidth;
  Noise noise;
  std::vector<float> in(4 * kSize), out(4 * kSize), stats(2 * kLength);
  for (auto& value : in) value = noise.uniform();
  WholeAttention a{};
  a.q = in.data(), a.k = a.q + kSize, a.v = a.k + kSize, a.d_out = a.v + kSize;
  a.q_stride = a.kv_stride = kWidth, a.length = int(kLength), a.width = int(kWidth), a.window = 13;
  a.scale = 0.3f, a.slope = 0.1f, a.stats = stats.data(), a.stats_stride = 2;
  a.out = out.data(), a.d_q = a.out + kSize, a.d_k = a.d_q + kSize, a.d_v = a.d_k + kSize;
  std::vector<float> scratch(whole_attention_scratch(a.length, a.width));
  s.attend_whole(a, scratch.data());
  s.attend_whole_gradient(a, scratch.data());
  return out;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return !std::memcmp(a.data(), b.data(), a.size() * sizeof(float));
}

}  // namespace

bool gradients_agree(const Section& fast, const Section& plain) {
  for (const bool int8 : {false, true})
    if (!same(strip_gradient(fast, plain, int8), strip_gradient(plain, plain, int8))) return false;
  return same(attention_gradient(fast), attention_gradient(plain));
}

}  // namespace homezoo
