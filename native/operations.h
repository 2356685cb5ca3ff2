// The operations of a program; program.cpp records them, this file runs them.
#pragma once
#include <cmath>
#include <cstring>

#include "program.h"

namespace homezoo {

struct Embed : Operation {
  int type;
  Weight table;
  bool by_position = false;  // rows of the table are positions instead of tokens
  void run(Step& s, int token, uint8_t*) const override {
    const int32_t row = by_position ? s.batch.positions[token] : s.batch.tokens[token];
    s.section.dequantize[type](table.data + size_t(row) * table.row_bytes, s.floats(writes, token), table.width);
  }
};

struct Select : Operation {
  void run(Step& s, int row, uint8_t*) const override {
    std::memcpy(s.floats(writes, row), s.floats(reads[0], s.batch.rows[row]),
                size_t(s.values[size_t(writes)].width) * sizeof(float));
  }
};

struct RmsNorm : Operation {
  std::vector<float> weight;
  float eps;
  void run(Step& s, int token, uint8_t*) const override {
    const int width = s.values[size_t(writes)].width, group = int(weight.size());
    for (int i = 0; i < width; i += group)
      s.section.rms_norm(s.floats(reads[0], token) + i, weight.data(), eps, group, s.floats(writes, token) + i);
  }
};

struct LayerNorm : Operation {
  std::vector<float> weight, bias;
  float eps;
  void run(Step& s, int token, uint8_t*) const override {
    s.section.layer_norm(s.floats(reads[0], token), weight.data(), bias.empty() ? nullptr : bias.data(), eps,
                         int(weight.size()), s.floats(writes, token));
  }
};

struct Add : Operation {
  float scale;
  void run(Step& s, int token, uint8_t*) const override {
    const float *x = s.floats(reads[0], token), *y = s.floats(reads[1], token);
    float* out = s.floats(writes, token);
    for (int i = 0; i < s.values[size_t(writes)].width; i++) out[i] = x[i] + scale * y[i];
  }
};

// y + scale * strength * inner bᵀ, where the strength is that of an adapter for the token's sequence; y itself where it
// is 0. A task is some columns, so that their part of b stays in the first-level cache for all tokens.
struct AddLowRank : Operation {
  const float* b;  // turned: [rank, rows]
  int rank, rows;
  float scale;
  int adapter;  // -1: it counts fully for every token
  bool by_token() const override { return false; }
  bool may_join_earlier() const override { return true; }
  int chunk() const {
    const int fit = 16384 / (4 * rank) / 8 * 8;  // half of the smallest first-level cache
    return fit < 32 ? 32 : fit;
  }
  int tasks(const Step&) const override { return (rows + chunk() - 1) / chunk(); }
  void run(Step& s, int task, uint8_t*) const override {
    const int begin = task * chunk(), count = begin + chunk() < rows ? chunk() : rows - begin;
    for (int t = 0; t < s.count(domain); t++) {
      const int32_t place = domain == Domain::rows ? s.batch.rows[t] : t;
      const float strength = adapter < 0 ? 1.0f : s.strength(s.batch.sequences[place], adapter);
      const float* y = s.floats(reads[0], t) + begin;
      float* out = s.floats(writes, t) + begin;
      if (strength == 0.0f)  // inner was not computed if no sequence uses the adapter
        std::memcpy(out, y, size_t(count) * sizeof(float));
      else
        s.section.add_low_rank(b + begin, size_t(rows), rank, s.floats(reads[1], t), scale * strength, y, count, out);
    }
  }
};

struct AddBias : Operation {
  std::vector<float> bias;
  void run(Step& s, int token, uint8_t*) const override {
    const float* x = s.floats(reads[0], token);
    float* out = s.floats(writes, token);
    for (size_t i = 0; i < bias.size(); i++) out[i] = x[i] + bias[i];
  }
};

struct SiluMul : Operation {
  void run(Step& s, int token, uint8_t*) const override {
    s.section.silu_mul(s.floats(reads[0], token), s.floats(reads[1], token), size_t(s.values[size_t(writes)].width),
                       s.floats(writes, token));
  }
};

struct Gelu : Operation {
  bool exact;
  void run(Step& s, int token, uint8_t*) const override {
    const auto kernel = exact ? s.section.gelu_erf : s.section.gelu;
    kernel(s.floats(reads[0], token), size_t(s.values[size_t(writes)].width), s.floats(writes, token));
  }
};

struct Scale : Operation {
  float factor;
  void run(Step& s, int token, uint8_t*) const override {
    const float* x = s.floats(reads[0], token);
    float* out = s.floats(writes, token);
    for (int i = 0; i < s.values[size_t(writes)].width; i++) out[i] = x[i] * factor;
  }
};

struct Multiply : Operation {
  void run(Step& s, int token, uint8_t*) const override {
    const float *x = s.floats(reads[0], token), *y = s.floats(reads[1], token);
    float* out = s.floats(writes, token);
    for (int i = 0; i < s.values[size_t(writes)].width; i++) out[i] = x[i] * y[i];
  }
};

struct Columns : Operation {
  int start;
  void run(Step& s, int token, uint8_t*) const override {
    std::memcpy(s.floats(writes, token), s.floats(reads[0], token) + start,
                size_t(s.values[size_t(writes)].width) * sizeof(float));
  }
};

struct SoftCap : Operation {
  float cap;
  void run(Step& s, int token, uint8_t*) const override {
    s.section.soft_cap(s.floats(reads[0], token), cap, size_t(s.values[size_t(writes)].width), s.floats(writes, token));
  }
};

struct ClampedSwiglu : Operation {
  float alpha, limit;
  void run(Step& s, int token, uint8_t*) const override {
    s.section.clamped_swiglu(s.floats(reads[0], token), s.floats(reads[1], token), alpha, limit,
                             size_t(s.values[size_t(writes)].width), s.floats(writes, token));
  }
};

// cos and sin of position * frequency, computed in double, once per step for all layers: [tokens, 2 * pairs].
struct RopeAngles : Operation {
  RopeTable table;
  void run(Step& s, int token, uint8_t*) const override {
    float* out = s.floats(writes, token);
    const size_t pairs = table.frequencies.size();
    for (size_t i = 0; i < pairs; i++) {
      const double angle = double(s.batch.positions[token]) * table.frequencies[i];
      out[i] = float(std::cos(angle)) * table.magnitude;
      out[pairs + i] = float(std::sin(angle)) * table.magnitude;
    }
  }
};

struct Rope : Operation {
  int pairs, head_width;
  bool halves;
  void run(Step& s, int token, uint8_t*) const override {
    const float *x = s.floats(reads[0], token), *cosine = s.floats(reads[1], token), *sine = cosine + pairs;
    float* out = s.floats(writes, token);
    const int width = s.values[size_t(writes)].width;
    const int next = halves ? pairs : 1, step = halves ? 1 : 2;
    if (2 * pairs < head_width) std::memcpy(out, x, size_t(width) * sizeof(float));
    for (int h = 0; h < width; h += head_width)
      for (int i = 0; i < pairs; i++) {
        const float a = x[h + i * step], b = x[h + i * step + next];
        out[h + i * step] = a * cosine[i] - b * sine[i];
        out[h + i * step + next] = a * sine[i] + b * cosine[i];
      }
  }
};

// Activations rounded to int8; the value's memory holds codes, scales and sums one array after another.
struct RoundActivations : Operation {
  Rounding rounding;
  int width;  // K
  static size_t bytes(int width, Rounding r) {
    const size_t k = size_t(width);
    return r == Rounding::per32 ? k + k / 32 * 6 : k + k / 256 * 4 + k / 16 * 2 + k / 32 * 2;
  }
  static Activations view(const Step& s, int value, int width, Rounding r) {
    const size_t k = size_t(width), tokens = size_t(s.count(s.values[size_t(value)].domain));
    const uint8_t* p = s.memory[size_t(value)];
    Activations a{};
    a.width = width;
    a.codes = reinterpret_cast<const int8_t*>(p);
    a.scales = reinterpret_cast<const float*>(p + tokens * k);
    const int16_t* sums = reinterpret_cast<const int16_t*>(a.scales + tokens * (k / (r == Rounding::per32 ? 32 : 256)));
    a.sum32 = sums;
    a.sum16 = sums + tokens * (k / 32);
    return a;
  }
  void run(Step& s, int token, uint8_t*) const override {
    const Activations a = view(s, writes, width, rounding);
    const size_t t = size_t(token), k = size_t(width);
    int8_t* codes = const_cast<int8_t*>(a.codes) + t * k;
    int16_t *sum32 = const_cast<int16_t*>(a.sum32) + t * (k / 32), *sum16 = const_cast<int16_t*>(a.sum16) + t * (k / 16);
    if (rounding == Rounding::per32)
      s.section.round32(s.floats(reads[0], token), width, codes, const_cast<float*>(a.scales) + t * (k / 32), sum32);
    else
      s.section.round256(s.floats(reads[0], token), width, codes, const_cast<float*>(a.scales) + t * (k / 256), sum16,
                         sum32);
  }
};

struct Matmul : Operation {
  int type, rows, tile;
  int adapter = -1;  // part of this adapter's delta: not computed when no sequence of the batch uses it
  Rounding rounding;
  Weight weight;
  bool may_join_earlier() const override { return true; }
  bool many(const Step& s) const { return s.count(domain) >= s.section.many_from; }
  bool by_token() const override { return false; }
  int chunk(const Step& s) const {
    if (many(s)) return tile;
    // About 32 KB of weights: far more than an atomic counter costs, little enough to share the end evenly.
    const int fit = int(32768 / weight.row_bytes) / 4 * 4;
    return fit < 4 ? 4 : fit > 256 ? 256 : fit;
  }
  int tasks(const Step& s) const override {
    return adapter >= 0 && !s.uses(adapter) ? 0 : (rows + chunk(s) - 1) / chunk(s);
  }
  void run(Step& s, int task, uint8_t* scratch) const override {
    Activations x{};
    if (rounding == Rounding::none) {
      x.values = s.floats(reads[0], 0);
      x.width = weight.width;
    } else {
      x = RoundActivations::view(s, reads[0], weight.width, rounding);
    }
    const int size = chunk(s), begin = task * size, end = begin + size < rows ? begin + size : rows;
    const MatmulKernel kernel = many(s) ? s.section.many[type] : s.section.few[type];
    kernel(weight, begin, end, x, s.count(domain), s.floats(writes, 0), size_t(rows), scratch);
  }
  size_t scratch_bytes() const override {  // panels of one chunk: codes, scales, group scales; or float rows
    return size_t(tile) * size_t(weight.width) * 2 + 16 * size_t(weight.width) + 4096;
  }
};

}  // namespace homezoo
