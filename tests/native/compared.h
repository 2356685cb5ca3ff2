// What the comparisons share: noise, blocks of every format, rounded activations, and a report.
#pragma once
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "guarded.h"
#include "../../native/section.h"

using namespace homezoo;

using Noise = std::mt19937;  // the same numbers with every compiler, other than the standard's distributions

inline float uniform(Noise& noise) { return float(noise() >> 8) * (2.0f / 16777216.0f) - 1.0f; }  // -1 to 1

inline std::vector<float> floats(size_t n, Noise& noise, float size = 1) {
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

inline void fill_blocks(Guarded& memory, const Format& f, int pattern, Noise& noise) {
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
