// The operations of mixtures of experts: choosing experts, and products that read the chosen ones only.
#pragma once
#include <cmath>
#include <cstring>

#include "operations.h"

namespace homezoo {

// The highest scores, equal ones in order of their number, and their softmax.
struct Route : Operation {
  void run(Step& s, int token, uint8_t*) const override {
    const float* scores = s.floats(reads[0], token);
    float* out = s.floats(writes, token);
    const int experts = s.values[size_t(reads[0])].width, slots = s.values[size_t(writes)].width / 2;
    for (int i = 0; i < slots; i++) {
      int best = -1;
      for (int e = 0; e < experts; e++) {
        bool taken = false;
        for (int j = 0; j < i; j++) taken |= int(out[j]) == e;
        if (!taken && (best < 0 || scores[e] > scores[best])) best = e;
      }
      out[i] = float(best);
    }
    double total = 0;
    for (int i = 0; i < slots; i++) total += std::exp(double(scores[int(out[i])]) - double(scores[int(out[0])]));
    for (int i = 0; i < slots; i++)
      out[slots + i] = float(std::exp(double(scores[int(out[i])]) - double(scores[int(out[0])])) / total);
  }
};

// Each slot's row of x, or the token's only one, times the weight of the slot's expert: [tokens, slots * rows].
struct ExpertMatmul : Operation {
  static constexpr int kTogether = 32;  // rows of x computed together: a tile of rows is unpacked once for them
  int type, rows, tile, experts, slots, input_width;
  Rounding rounding;
  Weight weight;
  bool by_token() const override { return false; }

  // With no more choices than experts, hardly any expert is chosen twice: one task for a choice, else for an expert.
  bool by_choice(const Step& s) const { return s.count(domain) * slots <= experts; }
  int chunk(const Step& s) const {
    if (!by_choice(s)) return tile;
    const int fit = int(32768 / weight.row_bytes) / 4 * 4;  // as Matmul
    return fit < 4 ? 4 : fit > 256 ? 256 : fit;
  }
  int chunks(const Step& s) const { return (rows + chunk(s) - 1) / chunk(s); }
  int tasks(const Step& s) const override {
    return chunks(s) * (by_choice(s) ? s.count(domain) * slots : experts);
  }

  Activations row(const Step& s, int token, int slot) const {
    const size_t at = size_t(token) * size_t(input_width) +
                      (input_width == weight.width ? 0 : size_t(slot) * size_t(weight.width));
    Activations x{};
    if (rounding == Rounding::none) {
      x.values = s.floats(reads[0], 0) + at;
    } else {
      x = RoundActivations::view(s, reads[0], input_width, rounding);
      x.codes += at;
      x.scales += at / size_t(block());
      x.sum16 += at / 16;
      x.sum32 += at / 32;
    }
    x.width = weight.width;
    return x;
  }
  int block() const { return rounding == Rounding::per256 ? 256 : 32; }
  Weight part(int expert, int begin) const {
    return {weight.data + (size_t(expert) * size_t(rows) + size_t(begin)) * weight.row_bytes, weight.row_bytes,
            weight.width};
  }

  void run(Step& s, int task, uint8_t* scratch) const override {
    const int begin = task % chunks(s) * chunk(s), size = begin + chunk(s) < rows ? chunk(s) : rows - begin;
    const int which = task / chunks(s);
    if (by_choice(s)) {
      const int token = which / slots, slot = which % slots, expert = int(s.floats(reads[1], token)[slot]);
      float* out = s.floats(writes, token) + slot * rows + begin;
      s.section.few[type](part(expert, begin), 0, size, row(s, token, slot), 1, out, size_t(rows), scratch);
      return;
    }
    int chosen[kTogether], count = 0;  // token * slots + slot
    for (int t = 0; t < s.count(domain); t++) {
      const float* numbers = s.floats(reads[1], t);
      for (int slot = 0; slot < slots; slot++) {
        if (int(numbers[slot]) != which) continue;
        chosen[count++] = t * slots + slot;
        if (count == kTogether) count = compute(s, which, begin, size, chosen, count, scratch);
      }
    }
    if (count) compute(s, which, begin, size, chosen, count, scratch);
  }

  // Gathers the choices' activations, multiplies them together and scatters the results; returns 0, the count left.
  int compute(Step& s, int expert, int begin, int size, const int* chosen, int count, uint8_t* scratch) const {
    const size_t k = size_t(weight.width);
    uint8_t* p = scratch + kernel_scratch();
    float* values = reinterpret_cast<float*>(p);  // [kTogether, K], or codes, scales and sums in its place
    int8_t* codes = reinterpret_cast<int8_t*>(p);
    float* scales = reinterpret_cast<float*>(p + kTogether * k);
    int16_t* sum16 = reinterpret_cast<int16_t*>(p + kTogether * 2 * k);
    int16_t* sum32 = reinterpret_cast<int16_t*>(p + kTogether * 3 * k);
    float* out = reinterpret_cast<float*>(p + kTogether * 4 * k);
    for (int i = 0; i < count; i++) {
      const Activations x = row(s, chosen[i] / slots, chosen[i] % slots);
      const size_t n = size_t(i);
      if (rounding == Rounding::none) {
        std::memcpy(values + n * k, x.values, k * 4);
        continue;
      }
      const size_t blocks = k / size_t(block());
      std::memcpy(codes + n * k, x.codes, k);
      std::memcpy(scales + n * blocks, x.scales, blocks * 4);
      std::memcpy(sum32 + n * (k / 32), x.sum32, k / 32 * 2);
      if (rounding == Rounding::per256) std::memcpy(sum16 + n * (k / 16), x.sum16, k / 16 * 2);
    }
    const Activations x{values, codes, scales, sum16, sum32, weight.width};
    const MatmulKernel kernel = count >= s.section.many_from ? s.section.many[type] : s.section.few[type];
    kernel(part(expert, begin), 0, size, x, count, out, size_t(tile), scratch);
    for (int i = 0; i < count; i++)
      std::memcpy(s.floats(writes, chosen[i] / slots) + chosen[i] % slots * rows + begin, out + size_t(i) * size_t(tile),
                  size_t(size) * 4);
    return 0;
  }
  size_t kernel_scratch() const {  // as Matmul, in whole cache lines
    return (size_t(tile) * size_t(weight.width) * 2 + 16 * size_t(weight.width) + 4096) / 64 * 64 + 64;
  }
  size_t scratch_bytes() const override {
    return kernel_scratch() + kTogether * (4 * size_t(weight.width) + 4 * size_t(tile));
  }
};

struct ExpertBias : Operation {
  std::vector<float> bias;  // [experts, rows]
  void run(Step& s, int token, uint8_t*) const override {
    const float *x = s.floats(reads[0], token), *numbers = s.floats(reads[1], token);
    float* out = s.floats(writes, token);
    const int slots = s.values[size_t(reads[1])].width / 2, rows = s.values[size_t(writes)].width / slots;
    for (int slot = 0; slot < slots; slot++) {
      const float* add = bias.data() + size_t(numbers[slot]) * size_t(rows);
      for (int i = 0; i < rows; i++) out[slot * rows + i] = x[slot * rows + i] + add[i];
    }
  }
};

struct ExpertSum : Operation {  // slot by slot, in the order of the routing
  void run(Step& s, int token, uint8_t*) const override {
    const float *x = s.floats(reads[0], token), *routing = s.floats(reads[1], token);
    float* out = s.floats(writes, token);
    const int slots = s.values[size_t(reads[1])].width / 2, rows = s.values[size_t(writes)].width;
    for (int i = 0; i < rows; i++) {
      float sum = routing[slots] * x[i];
      for (int slot = 1; slot < slots; slot++) sum += routing[slots + slot] * x[slot * rows + i];
      out[i] = sum;
    }
  }
};

}  // namespace homezoo
