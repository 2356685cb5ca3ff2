// The table of kernels that one section (one family of CPU instructions) offers.
// Every section computes the same bits; they differ in speed only. See ARCHITECTURE.md, "The one canonical sum".
#pragma once
#include <cstddef>
#include <cstdint>

namespace homezoo {

// Tensor type numbers of GGUF files; kTypes bounds the tables below.
enum Type : int {
  kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ5_0 = 6, kQ5_1 = 7, kQ8_0 = 8, kQ2_K = 10, kQ3_K = 11,
  kQ4_K = 12, kQ5_K = 13, kQ6_K = 14, kIQ4_NL = 20, kIQ4_XS = 23, kBF16 = 30, kMXFP4 = 39, kTypes = 40
};

// How a format wants its activations: as they are, or int8 with one scale per 32 or per 256 values.
enum class Rounding : int { none, per32, per256 };

// Activations of T tokens, K values each, rows one after another.
struct Activations {
  const float* values;   // [T, K], used by float weights
  const int8_t* codes;   // [T, K] in -127..127
  const float* scales;   // [T, K / 32 or 256]: value = scale * code
  const int16_t* sum16;  // [T, K / 16] sums of codes (per256 only)
  const int16_t* sum32;  // [T, K / 32] sums of codes
  int width;             // K
};

// A weight matrix as it lies in the file: `rows` rows of K values, `row_bytes` bytes each.
struct Weight {
  const uint8_t* data;
  size_t row_bytes;
  int width;  // K
};

// y[t * stride + n] for rows n in [begin, end) and tokens t in [0, tokens). `scratch` is one thread's own.
using MatmulKernel = void (*)(const Weight&, int begin, int end, const Activations&, int tokens, float* y,
                              size_t stride, uint8_t* scratch);

// One query token's view of its key-value blocks, all heads of one key-value head at once.
struct AttentionJob {
  const float* queries;  // [heads, width]: query heads that share the key-value head
  float* output;         // [heads, width]
  const uint8_t* keys;   // cache arrays [blocks, groups, 64, row bytes], already at this key-value head
  const uint8_t* values;
  const int32_t* table;  // block numbers of this sequence
  size_t block_bytes;    // bytes from one block to the next
  size_t row_bytes;      // bytes of one position
  int heads, width;      // query heads here, values per head
  int first, last;       // positions seen, both included
  float scale;
  bool q8;               // rows are q8_0 blocks instead of f16
  float cap = 0;                  // scores are bent below it; 0: no cap
  const float* slopes = nullptr;  // [heads] or none: ALiBi, added to a score per position of distance
  const float* sinks = nullptr;   // [heads] or none: a score that takes its share of the softmax and gives no value
};

// Floats of scratch that `attend` takes for so many queries (jobs times heads): a block's keys and values, the parts
// and scores of up to four queries, and every query's running maximum and sum.
inline size_t attention_scratch(int width, int queries) {
  return size_t(width) * 132 + 256 + 2 * size_t(queries);
}

// A strip of columns of a weight and what its transpose meets: dx[t, k] = sum over n of dy[t, n] W[n, k].
constexpr int kStripColumns = 256;  // a whole number of blocks of every format
constexpr int kPartRows = 128;      // summed apart, exact floats: such a strip takes 128 KB of the second-level cache
constexpr int kTurnedRows = 1024;   // likewise int8: 256 KB of codes
struct GradientStrip {
  const uint8_t* weight;  // the strip's first block in row 0
  size_t row_bytes;
  int rows, columns;  // N; at most kStripColumns
  void (*dequantize)(const uint8_t* row, float* out, int width);
  const float* dy;  // [tokens, dy_stride], exact only
  size_t dy_stride;
  const Activations* rounded;  // of each kTurnedRows rows, int8 only: dy rounded in blocks of 32, zeros after the last
  int tokens;
  float* dx;  // [tokens, dx_stride]
  size_t dx_stride;
  bool add = false;            // to what dx has; these three for exact floats only
  bool turned_dy = false;      // dy is [rows, dy_stride]
  bool turned_weight = false;  // weight is floats [columns, row_bytes], from row 0 of the strip on
  int strip_bytes = 0;         // of a row of the strip: rows to come are fetched ahead
};

// Bytes of scratch, exact or int8, for so many tokens.
inline size_t gradient_scratch(bool int8, int tokens) {
  const size_t strip = kStripColumns;
  if (!int8) return sizeof(float) * strip * (kPartRows + 1);
  const size_t turned = strip * (kTurnedRows / 32 * 36), panels = strip * (kTurnedRows / 32 * 40);
  return sizeof(float) * (32 * strip + size_t(tokens) * 32) + turned + panels + 4096;
}

// One head of one whole sequence of a batch, without a cache. Rows of k and v are kv_stride values apart, all others
// q_stride, as dk and dv are given for each query head.
struct WholeAttention {
  const float *q, *k, *v;  // [length, width] each
  size_t q_stride, kv_stride;
  int length, width;
  int window;  // positions seen, or 0 for all
  float scale, slope;
  float* out;
  float* stats;  // [length, stats_stride]: the highest score and 1 / the sum of the weights of each query
  size_t stats_stride;
  const float* d_out;  // these and the next for the gradient only
  float *d_q, *d_k, *d_v;
};

// Floats of scratch for it or its gradient: panels of five matrices, a block's scores and their gradients.
inline size_t whole_attention_scratch(int length, int width) {
  const size_t n = size_t(length), e = size_t(width), padded = (n + 63) / 64 * 64, wide = (e + 63) / 64 * 64;
  return 2 * padded * e + 3 * n * wide + 2 * 48 * padded;
}

struct Section {
  const char* name;
  MatmulKernel few[kTypes];   // for a few tokens: reads rows as they lie
  MatmulKernel many[kTypes];  // for many tokens: unpacks a tile of rows once for all of them
  int many_from;              // number of tokens from which `many` is the faster one
  int tile_rows;              // `many` wants begin and end at multiples of this, the last tile excepted
  void (*dequantize[kTypes])(const uint8_t* row, float* out, int width);
  void (*round32)(const float* x, int width, int8_t* codes, float* scales, int16_t* sum32);
  void (*round256)(const float* x, int width, int8_t* codes, float* scales, int16_t* sum16, int16_t* sum32);
  void (*attend)(const AttentionJob* jobs, int count, float* scratch);  // same cache rows, several queries
  void (*store)(const float* x, int width, uint8_t* row, bool q8);      // one head's key or value into the cache
  void (*rms_norm)(const float* x, const float* weight, float eps, int width, float* y);
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, int width, float* y);
  void (*silu_mul)(const float* gate, const float* up, size_t n, float* y);
  void (*add_low_rank)(const float* b, size_t stride, int rank, const float* inner, float factor, const float* y,
                       int count, float* out);
  void (*gelu)(const float* x, size_t n, float* y);      // the tanh form
  void (*gelu_erf)(const float* x, size_t n, float* y);  // the exact form
  void (*soft_cap)(const float* x, float cap, size_t n, float* y);
  void (*clamped_swiglu)(const float* gate, const float* up, float alpha, float limit, size_t n, float* y);
  void (*gradient_exact)(const GradientStrip&, uint8_t* scratch);  // scratch on a cache line
  void (*gradient_int8)(const GradientStrip&, uint8_t* scratch);
  void (*silu_mul_gradient)(const float* dy, const float* gate, const float* up, size_t n, float* d_gate, float* d_up);
  void (*rms_norm_gradient)(const float* dy, const float* x, const float* weight, float eps, int width, float* dx);
  void (*rotate)(const float* x, const float* cosine, const float* sine, int pairs, int head_width, int width,
                 bool halves, bool back, float* y);
  void (*attend_whole)(const WholeAttention&, float* scratch);
  void (*attend_whole_gradient)(const WholeAttention&, float* scratch);
  uint64_t (*read_all)(const uint8_t* p, size_t bytes);  // bytes: a multiple of 128
  double (*peak_int8)(int rounds);  // multiply-adds done, everything in registers
  double (*peak_fp32)(int rounds);
};

const Section* section_plain();
const Section* section_avx2();
const Section* section_avx512();
const Section* section_amx();
const Section* section_neon();
const Section* section_neon_dotprod();
const Section* section_neon_i8mm();

Rounding rounding_of(int type);   // how activations must be rounded for weights of this type
int block_bytes_of(int type);  // 0 for a type without kernels
int block_size_of(int type);

const Section& active_section();              // best section of this CPU that agrees with the plain one
void use_section(const char* name);           // by name; throws std::invalid_argument when not offered here
const char* section_notice();                 // why a section stepped aside, or an empty string
int sections_here(const Section** out, int n);  // sections that this CPU can execute, plain first

}  // namespace homezoo
