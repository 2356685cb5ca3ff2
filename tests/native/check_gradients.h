// Compares what training adds: strips of input gradients, exact and int8, and gradients of rows.
#pragma once
#include <memory>

#include "compared.h"

// dx of a strip of columns by one section's kernel, from dy rounded by the plain one; three values between the rows of
// dx must stay what they were.
inline std::vector<float> strip_gradient(const Section& s, const Section& plain, const Format& f, const Guarded& blocks,
                                         int rows, int columns, const std::vector<float>& dy, int tokens, bool int8) {
  const size_t stride = size_t(columns) + 3;
  std::vector<float> dx(size_t(tokens) * stride, 12345.0f);
  std::vector<std::unique_ptr<Rounded>> parts;
  std::vector<Activations> views;
  for (int begin = 0; int8 && begin < rows; begin += kTurnedRows) {
    const int count = std::min(kTurnedRows, rows - begin), width = (count + 31) / 32 * 32;
    std::vector<float> padded(size_t(tokens) * size_t(width));
    for (int t = 0; t < tokens; t++)
      std::copy_n(dy.data() + size_t(t) * size_t(rows) + begin, count, padded.data() + size_t(t) * size_t(width));
    parts.push_back(std::make_unique<Rounded>(plain, Rounding::per32, padded, width));
    views.push_back(parts.back()->view);
  }
  const size_t row_bytes = size_t(columns / block_size_of(f.type)) * size_t(block_bytes_of(f.type));
  const GradientStrip strip{blocks.data(), row_bytes,    rows,   columns,   s.dequantize[f.type], dy.data(),
                            size_t(rows),  views.data(), tokens, dx.data(), stride};
  std::vector<uint8_t> scratch(gradient_scratch(int8, tokens) + 64);
  uint8_t* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
  (int8 ? s.gradient_int8 : s.gradient_exact)(strip, aligned);
  return dx;
}

inline void check_gradients(const Section& fast, const Section& plain, Report& report) {
  struct Case {
    int rows, columns, tokens;
    float size;
  };
  Noise noise(5);
  for (const Format& f : kFormats)
    for (const Case& c : {Case{1, 256, 1, 1.0f}, Case{33, 32, 7, 1.0f}, Case{37, 256, 13, 1e-20f}, Case{160, 96, 9, 1.0f},
                          Case{kTurnedRows + 1, 64, 3, 1e10f}, Case{5, 7, 4, 1.0f}}) {
      const int size = block_size_of(f.type), columns = size == 256 ? 256 : size == 32 ? (c.columns + 31) / 32 * 32 : c.columns;
      Guarded blocks(size_t(c.rows) * size_t(columns / size) * size_t(block_bytes_of(f.type)));
      fill_blocks(blocks, f, kNoise, noise);
      const auto dy = floats(size_t(c.rows) * size_t(c.tokens), noise, c.size);
      for (bool int8 : {false, true}) {
        if (int8 && size == 1) continue;
        const std::string name = std::string(int8 ? "int8" : "exact") + " gradient, type " + std::to_string(f.type) +
                                 ", " + std::to_string(c.rows) + " rows, " + std::to_string(c.tokens) + " tokens";
        report.same(name, strip_gradient(fast, plain, f, blocks, c.rows, columns, dy, c.tokens, int8),
                    strip_gradient(plain, plain, f, blocks, c.rows, columns, dy, c.tokens, int8));
      }
    }
}

inline void check_row_gradients(const Section& fast, const Section& plain, Report& report) {
  Noise noise(6);
  for (int width : {2, 8, 9, 64, 100})
    for (float size : {1.0f, 1e-20f, 30.0f}) {
      const size_t n = size_t(width);
      const auto dy = floats(n, noise), x = floats(n, noise, size), other = floats(n, noise);
      std::vector<float> out[2];
      for (int which = 0; which < 2; which++) {
        const Section& s = which ? plain : fast;
        out[which].resize(5 * n);
        float* y = out[which].data();
        s.rms_norm_gradient(dy.data(), x.data(), other.data(), 1e-5f, width, y);
        s.silu_mul_gradient(dy.data(), x.data(), other.data(), n, y + n, y + 2 * n);
        s.rotate(x.data(), dy.data(), other.data(), width / 2, width, width / 2 * 2, true, false, y + 3 * n);
        s.rotate(x.data(), dy.data(), other.data(), width / 2, width, width / 2 * 2, false, true, y + 4 * n);
      }
      report.same("gradients of rows of width " + std::to_string(width), out[0], out[1]);
    }
}
