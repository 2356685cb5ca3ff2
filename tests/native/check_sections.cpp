// Compares every section that this CPU can execute with the plain one, bit for bit. Needs no Python:
//   cmake -S . -B build/check -DHOMEZOO_CHECK_SECTIONS=ON && cmake --build build/check && build/check/check_sections
// Arguments are names of sections that must be among them. Reading past the end of a weight or of the cache crashes.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "check_gradients.h"
#include "compared.h"

namespace {

// y[tokens][rows + 3]; the three between the rows must stay what they were.
std::vector<float> multiply(MatmulKernel kernel, const Weight& w, int rows, int tile, const Activations& x,
                            int tokens) {
  const size_t stride = size_t(rows) + 3;
  std::vector<float> y(size_t(tokens) * stride, 12345.0f);
  std::vector<uint8_t> scratch(size_t(tile) * size_t(w.width) * 2 + 16 * size_t(w.width) + 4096 + 64);
  uint8_t* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
  for (int n = 0; n < rows; n += tile)
    kernel(w, n, std::min(n + tile, rows), x, tokens, y.data(), stride, aligned);
  return y;
}

struct Shape {
  int rows, tokens, width, pattern;
  float activation;  // 0: noise; else all activations are this times 1 or, for negative ones, alternate
};

void check_matmul(const Section& fast, const Section& plain, const Format& f, const Shape& shape, Noise& noise,
                  Report& report) {
  const int size = block_size_of(f.type), width = size == 256 ? (shape.width + 255) / 256 * 256 : shape.width;
  const size_t row_bytes = size_t(width / size) * size_t(block_bytes_of(f.type));
  Guarded blocks(row_bytes * size_t(shape.rows));
  fill_blocks(blocks, f, shape.pattern, noise);
  const Weight w{blocks.data(), row_bytes, width};
  auto values = floats(size_t(shape.tokens) * size_t(width), noise);
  for (size_t i = 0; shape.activation != 0 && i < values.size(); i++)
    values[i] = i % 2 && shape.activation < 0 ? shape.activation : std::fabs(shape.activation);
  const Rounded x(plain, rounding_of(f.type), values, width);
  const std::string name = "type " + std::to_string(f.type) + ", " + std::to_string(shape.rows) + " rows, " +
                           std::to_string(shape.tokens) + " tokens, width " + std::to_string(width);
  const auto expected = multiply(plain.few[f.type], w, shape.rows, shape.rows, x.view, shape.tokens);
  report.same("few, " + name, multiply(fast.few[f.type], w, shape.rows, shape.rows, x.view, shape.tokens), expected);
  report.same("many, " + name, multiply(fast.many[f.type], w, shape.rows, fast.tile_rows, x.view, shape.tokens),
              expected);
  std::vector<float> ours(size_t(width), 1.0f), theirs(size_t(width), 2.0f);
  fast.dequantize[f.type](w.data, ours.data(), width);
  plain.dequantize[f.type](w.data, theirs.data(), width);
  report.same("dequantize, " + name, ours, theirs);
}

void check_matmuls(const Section& fast, const Section& plain, Report& report) {
  Noise noise(1);
  for (const Format& f : kFormats) {
    const bool any_width = block_size_of(f.type) == 1;
    for (const Shape& s : {Shape{1, 1, 32, kNoise, 0}, Shape{3, 2, 64, kNoise, 0}, Shape{4, 3, 96, kNoise, 0},
                           Shape{9, 4, 288, kNoise, 0}, Shape{16, 5, 512, kNoise, 0}, Shape{21, 6, 32, kNoise, 0},
                           Shape{37, 7, 64, kNoise, 0}, Shape{33, 19, 544, kNoise, 0}})
      check_matmul(fast, plain, f, s, noise, report);
    for (int width : {1, 7, 9, 23, 101})
      if (any_width) check_matmul(fast, plain, f, Shape{6, 5, width, kNoise, 0}, noise, report);
    for (int pattern : {kNoise, kZeros, kHighest, kLowest, kOnes})
      for (float activation : {1.0f, -1.0f})
        check_matmul(fast, plain, f, Shape{8, 5, 256, pattern, activation}, noise, report);
    check_matmul(fast, plain, f, Shape{5, 2, 256, kOnes, 1e-38f}, noise, report);
  }
}

void check_rounding(const Section& fast, const Section& plain, Report& report) {
  Noise noise(2);
  for (float size : {1.0f, 0.0f, 0x1p-149f, 0x1p-123f, 0x1p-121f, 0x1p-100f, 0x1p120f})
    for (int kind = 0; kind < 2; kind++) {
      constexpr int width = 768;
      auto x = floats(width, noise, size);
      if (kind)  // exact ties: k + 1/2 beside a block's largest value, 127
        for (int i = 0; i < width; i++) x[size_t(i)] = (i % 32 ? float(i % 250) / 2 - 63.25f : 127.0f) * size;
      for (Rounding r : {Rounding::per32, Rounding::per256}) {
        const Rounded ours(fast, r, x, width), theirs(plain, r, x, width);
        const std::string name = ", activations of size " + std::to_string(size);
        report.same("codes" + name, ours.codes.data(), theirs.codes.data(), width);
        report.same("scales" + name, ours.scales.data(), theirs.scales.data(), ours.scales.size());
        report.same("sums of 16" + name, ours.sum16.data(), theirs.sum16.data(), ours.sum16.size());
        report.same("sums of 32" + name, ours.sum32.data(), theirs.sum32.data(), ours.sum32.size());
      }
    }
}

void check_elementwise(const Section& fast, const Section& plain, Report& report) {
  Noise noise(3);
  for (int width : {1, 5, 8, 9, 31, 64, 100, 288})
    for (float size : {1.0f, 1e-20f, 30.0f, 1e15f}) {
      const size_t n = size_t(width);
      auto x = floats(n, noise, size);
      const auto weight = floats(n, noise), bias = floats(n, noise);
      x[0] = width % 2 ? -0.0f : 1e4f * size;
      std::vector<float> a(n), b(n);
      const auto check = [&](const char* what, auto compute) {
        compute(fast, a.data());
        compute(plain, b.data());
        report.same(std::string(what) + " of width " + std::to_string(width), a, b);
      };
      check("rms_norm", [&](const Section& s, float* y) { s.rms_norm(x.data(), weight.data(), 1e-5f, width, y); });
      check("layer_norm",
            [&](const Section& s, float* y) { s.layer_norm(x.data(), weight.data(), bias.data(), 1e-5f, width, y); });
      check("layer_norm without bias",
            [&](const Section& s, float* y) { s.layer_norm(x.data(), weight.data(), nullptr, 1e-5f, width, y); });
      check("silu_mul", [&](const Section& s, float* y) { s.silu_mul(x.data(), weight.data(), n, y); });
      check("gelu", [&](const Section& s, float* y) { s.gelu(x.data(), n, y); });
      check("gelu_erf", [&](const Section& s, float* y) { s.gelu_erf(x.data(), n, y); });
      check("soft_cap", [&](const Section& s, float* y) { s.soft_cap(x.data(), 30.0f, n, y); });
      check("clamped_swiglu",
            [&](const Section& s, float* y) { s.clamped_swiglu(x.data(), weight.data(), 1.702f, 7.0f, n, y); });
    }
}

// Queries at the last positions of a sequence of `length`; the second and third see a window of 70, the third one's
// scores are capped and sloped, and its heads have sinks.
void check_attention(const Section& fast, const Section& plain, int width, int heads, int length, bool q8,
                     Report& report) {
  Noise noise(4);
  const size_t row = size_t(q8 ? width / 32 * 34 : 2 * width), block = 64 * row;
  const int pages = (length + 63) / 64, count = std::min(3, length);
  Guarded keys(block * size_t(pages)), values(block * size_t(pages));
  const std::string name = " of width " + std::to_string(width) + (q8 ? ", q8_0" : ", f16");
  for (Guarded* cache : {&keys, &values})
    for (int i = 0; i < 64 * pages; i++) {
      const auto x = floats(size_t(width), noise, i % 7 ? 2.0f : 1e-6f);
      std::vector<uint8_t> ours(row);
      uint8_t* at = cache->data() + size_t(i) * row;
      fast.store(x.data(), width, ours.data(), q8);
      plain.store(x.data(), width, at, q8);
      report.same("store" + name, ours.data(), at, row);
    }
  std::vector<int32_t> table(size_t(pages), 0);
  for (int i = 0; i < pages; i++) table[size_t(i)] = (i + 1) % pages;
  const size_t each = size_t(heads) * size_t(width);
  const auto queries = floats(size_t(count) * each, noise, 3.0f);
  const auto slopes = floats(size_t(heads), noise), sinks = floats(size_t(heads), noise, 5.0f);
  std::vector<float> out[2];
  for (int which = 0; which < 2; which++) {
    out[which].assign(queries.size(), 0);
    std::vector<AttentionJob> jobs;
    for (int j = 0; j < count; j++) {
      const int last = length - count + j, first = j ? std::max(0, last - 69) : 0;
      jobs.push_back({queries.data() + size_t(j) * each, out[which].data() + size_t(j) * each, keys.data(),
                      values.data(), table.data(), block, row, heads, width, first, last, 0.3f, q8});
      if (j == 2) jobs[2].cap = 2, jobs[2].slopes = slopes.data(), jobs[2].sinks = sinks.data();
    }
    std::vector<float> scratch(attention_scratch(width, heads * count));
    (which ? plain : fast).attend(jobs.data(), count, scratch.data());
  }
  report.same("attention" + name + ", length " + std::to_string(length), out[0], out[1]);
}

bool agrees(const Section& fast, const Section& plain) {
  Report report(fast.name);
  check_matmuls(fast, plain, report);
  check_rounding(fast, plain, report);
  check_elementwise(fast, plain, report);
  check_gradients(fast, plain, report);
  check_row_gradients(fast, plain, report);
  const bool runs = fast.peak_int8(100) > 0 && fast.peak_fp32(100) > 0, expected = true;
  report.same("that the peaks run", &runs, &expected, sizeof runs);
  for (int length : {1, 2, 63, 64, 65, 200}) {
    for (int width : {8, 20, 48, 64}) check_attention(fast, plain, width, 1 + width % 3, length, false, report);
    for (int width : {32, 64, 96}) check_attention(fast, plain, width, 1 + width % 5, length, true, report);
  }
  return report.finish();
}

}  // namespace

int main(int argc, char** argv) {
  const Section* all[16];
  const int count = sections_here(all, 16);
  bool good = true;
  for (int i = 1; i < argc; i++)
    if (std::none_of(all, all + count, [&](const Section* s) { return !std::strcmp(s->name, argv[i]); })) {
      std::printf("no section %s on this CPU\n", argv[i]);
      good = false;
    }
  for (int i = 1; i < count; i++) good = agrees(*all[i], *all[0]) && good;
  std::printf("chosen: %s%s%s\n", active_section().name, *section_notice() ? "; " : "", section_notice());
  return good && !*section_notice() ? 0 : 1;
}
