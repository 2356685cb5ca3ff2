// Compares every section that this CPU can execute with the plain one, bit for bit. Needs no Python:
//   cmake -S . -B build/check -DHOMEZOO_CHECK_SECTIONS=ON && cmake --build build/check && build/check/check_sections
// Arguments are names of sections that must be among them. Reading past the end of a weight or of the cache crashes.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "guarded.h"
#include "../../native/section.h"

using namespace homezoo;

namespace {

using Noise = std::mt19937;  // the same numbers with every compiler, other than the standard's distributions

float uniform(Noise& noise) { return float(noise() >> 8) * (2.0f / 16777216.0f) - 1.0f; }  // -1 to 1

std::vector<float> floats(size_t n, Noise& noise, float size = 1) {
  std::vector<float> x(n);
  for (auto& v : x) v = size * uniform(noise);
  return x;
}

struct Format {
  int type;
  std::vector<int> halves;  // where in a block its half-precision scales stand
};
const Format kFormats[] = {{kF32, {}},      {kF16, {0}},     {kBF16, {}},      {kQ4_0, {0}},     {kQ4_1, {0, 2}},
                           {kQ5_0, {0}},    {kQ5_1, {0, 2}}, {kQ8_0, {0}},     {kQ2_K, {80, 82}}, {kQ3_K, {108}},
                           {kQ4_K, {0, 2}}, {kQ5_K, {0, 2}}, {kQ6_K, {208}},   {kIQ4_NL, {0}},   {kIQ4_XS, {0}},
                           {kMXFP4, {}}};

// What the bytes of codes and group scales are: noise, or everywhere the value that is extreme in some format.
enum Pattern : int { kNoise = -1, kZeros = 0, kHighest = 0x7f, kLowest = 0x80, kOnes = 0xff };

void fill_blocks(Guarded& memory, const Format& f, int pattern, Noise& noise) {
  const size_t block = size_t(block_bytes_of(f.type));
  uint8_t* p = memory.data();
  for (size_t i = 0; i < memory.size(); i++) p[i] = pattern == kNoise ? uint8_t(noise() >> 11) : uint8_t(pattern);
  for (size_t at = 0; at < memory.size(); at += block) {
    for (int i : f.halves) {  // any half of either sign but infinity and NaN, subnormal ones too
      const uint16_t h = uint16_t((noise() & 0x83ff) | (noise() % 18) << 10);
      std::memcpy(p + at + size_t(i), &h, 2);
    }
    const float x = uniform(noise);
    if (f.type == kMXFP4) p[at] = uint8_t(noise() % 8 ? 110 + noise() % 30 : noise() % 3);
    if (f.type == kF32) std::memcpy(p + at, &x, 4);
    if (f.type == kBF16) std::memcpy(p + at, reinterpret_cast<const char*>(&x) + 2, 2);
  }
}

// Counts comparisons of one section and tells the first difference of each kind.
class Report {
 public:
  explicit Report(const char* section) : section_(section) {}

  void same(const std::string& what, const void* ours, const void* plain, size_t bytes) {
    comparisons_++;
    if (!std::memcmp(ours, plain, bytes)) return;
    const auto* a = static_cast<const uint8_t*>(ours);
    const size_t at = size_t(std::mismatch(a, a + bytes, static_cast<const uint8_t*>(plain)).first - a);
    if (failures_++ < 20) std::printf("%s: %s differs at byte %zu of %zu\n", section_, what.c_str(), at, bytes);
  }
  template <class T>
  void same(const std::string& what, const std::vector<T>& ours, const std::vector<T>& plain) {
    same(what, ours.data(), plain.data(), plain.size() * sizeof(T));
  }
  bool finish() const {
    std::printf("%s: %d comparisons, %d differences\n", section_, comparisons_, failures_);
    return failures_ == 0;
  }

 private:
  const char* section_;
  int comparisons_ = 0, failures_ = 0;
};

// Activations of some tokens as one section rounds them.
struct Rounded {
  Guarded values, codes, scales, sum16, sum32;
  Activations view;

  Rounded(const Section& s, Rounding rounding, const std::vector<float>& x, int width)
      : values(x.size() * 4), codes(x.size()), scales(x.size() / 32 * 4), sum16(x.size() / 16 * 2),
        sum32(x.size() / 32 * 2) {
    std::memcpy(values.data(), x.data(), x.size() * 4);
    auto* q = reinterpret_cast<int8_t*>(codes.data());
    auto* d = reinterpret_cast<float*>(scales.data());
    auto *s16 = reinterpret_cast<int16_t*>(sum16.data()), *s32 = reinterpret_cast<int16_t*>(sum32.data());
    const auto* from = reinterpret_cast<const float*>(values.data());
    const int tokens = int(x.size()) / width;
    view = {from, q, d, s16, s32, width};
    for (int t = 0; t < tokens; t++, from += width, q += width) {
      if (rounding == Rounding::per32) s.round32(from, width, q, d + t * width / 32, s32 + t * width / 32);
      if (rounding == Rounding::per256)
        s.round256(from, width, q, d + t * width / 256, s16 + t * width / 16, s32 + t * width / 32);
    }
  }
};

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
