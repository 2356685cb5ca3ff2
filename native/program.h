// A recorded forward pass: a list of operations on values, replayed for any batch with one call.
// Values are float arrays [tokens, width] (or [rows, width] after `select`). Operations that work token by token are
// chained without waiting; matrix products that do not depend on each other share a stage, which ends with its last
// task, not with its last thread.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "section.h"
#include "threads.h"

namespace homezoo {

// The ragged batch, as models/batch.py defines it.
struct BatchView {
  const int32_t *tokens, *positions, *sequences, *blocks, *rows;
  int token_count, sequence_count, blocks_each, row_count;
  const float* strengths = nullptr;  // [sequence_count, adapter_count]; 0: the sequence does without that adapter
  int adapter_count = 0;
};

// Cache arrays of one layer: [blocks, groups, 64, row bytes].
struct CacheView {
  uint8_t *keys, *values;
  int block_count, groups, width;  // width: values of one head
  bool q8;
};

struct RopeTable {
  std::vector<double> frequencies;
  float magnitude;
};

struct AttentionForm {
  float scale;
  int window;  // positions a token sees, itself included; 0: all
  float cap;   // 0: none
  bool causal;
  std::vector<float> slopes, sinks;  // [heads] or empty
};

enum class Domain { tokens, rows };

// A value of the program; `bytes` is per token.
struct Value {
  int width;
  Domain domain;
  size_t bytes;
  int slot = -1, last_stage = -1;
};

// Throws std::invalid_argument, which Python sees as ValueError.
[[noreturn]] inline void refuse(const std::string& what) { throw std::invalid_argument(what); }

struct Step;  // one replay: batch, memory and counters

struct Operation {
  std::vector<int> reads;
  int writes = -1;
  Domain domain = Domain::tokens;
  virtual ~Operation() = default;
  virtual bool by_token() const { return true; }
  virtual bool may_join_earlier() const { return false; }  // a stage before the last, with what else is computed there
  virtual int tasks(const Step&) const { return 0; }           // of operations that are not by token
  virtual void run(Step&, int task, uint8_t* scratch) const = 0;  // task: the token, or a task's number
  virtual size_t scratch_bytes() const { return 0; }
};

class Program {
 public:
  explicit Program(std::shared_ptr<Threads> threads, const Section& section)
      : threads_(std::move(threads)), section_(section) {}

  int embed(int type, Weight table, int vocabulary);
  int embed_positions(int type, Weight table, int positions);
  int select(int x);
  int matmul(int x, int type, Weight weight, int rows);
  int rms_norm(int x, std::vector<float> weight, float eps, int group);
  int layer_norm(int x, std::vector<float> weight, std::vector<float> bias, float eps);
  int add(int x, int y, float scale);  // x + scale * y
  int add_bias(int x, std::vector<float> bias);
  // y + scale * strength * (x aᵀ) b for tokens whose sequence uses the adapter (below 0: for all, with strength 1), y
  // for the others; a [rank, K], b turned [rank, rows], rank a multiple of 8.
  int low_rank(int x, int y, Weight a, int rank, const float* b, int rows, float scale, int adapter);
  int silu_mul(int gate, int up);
  int gelu(int x, bool exact);
  int scale(int x, float factor);
  int multiply(int x, int y);
  int columns(int x, int start, int stop);  // values start to stop - 1 of each row
  int soft_cap(int x, float cap);
  int clamped_swiglu(int gate, int up, float alpha, float limit);
  // A routing is a value of 2 * slots floats: the numbers of the experts chosen, then their weights.
  int route(int scores, int slots);
  int expert_matmul(int x, int routing, int type, Weight weight, int rows, int experts);  // [tokens, slots * rows]
  int expert_bias(int x, int routing, std::vector<float> bias, int experts);
  int expert_sum(int x, int routing);  // the slots' rows, weighted: [tokens, width / slots]
  int rope(int x, RopeTable table, int head_width, bool halves);
  int attention(int q, int k, int v, CacheView cache, AttentionForm form);
  void finish(int output);

  int output_width() const { return output().width; }
  int width(int value) const;
  size_t memory_bytes() const { return arena_.capacity(); }
  size_t buffer_bytes(int tokens, int rows) const;  // what a batch of so many needs beside its output
  void run(const BatchView& batch, float* out);  // out [rows or tokens, output width]
  bool output_by_row() const { return output().domain == Domain::rows; }

 private:
  const Value& output() const;  // refuses before `finish`
  struct Stage {
    std::vector<int> operations;
    bool by_token;
    Domain domain;
  };
  template <class Op>  // an operation on rows of its first value's domain, with a value to write
  std::unique_ptr<Op> make(std::vector<int> reads, int new_width) {
    for (int value : reads) width(value);
    auto op = std::make_unique<Op>();
    op->domain = values_[size_t(reads[0])].domain;
    op->writes = new_value(new_width, op->domain, size_t(new_width) * 4);
    op->reads = std::move(reads);
    return op;
  }
  struct alignas(64) Counter {  // a cache line each, so that threads do not disturb each other
    std::atomic<int> value;
  };
  int new_value(int width, Domain domain, size_t bytes);
  void of_tokens(int value, const char* operation) const;
  int append(std::unique_ptr<Operation> op);
  void add_to_stage(int op);
  bool depends(const Stage& stage, const Operation& op) const;
  int rounded(int x, Rounding rounding);
  int slots_of(int routing, const char* operation) const;
  std::vector<size_t> layout(int tokens, int rows) const;
  void place(Step& step, const BatchView& batch, float* out);
  void check(const BatchView& batch) const;
  void work(Step& step, int thread);
  int take(size_t stage, int thread, int count);
  void leave(size_t stage, int did, int count);

  std::shared_ptr<Threads> threads_;
  const Section& section_;
  std::vector<Value> values_;
  std::vector<std::unique_ptr<Operation>> operations_;
  std::vector<Stage> stages_;
  std::vector<std::pair<std::pair<int, Rounding>, int>> roundings_;
  std::vector<std::pair<RopeTable, int>> rope_tables_;
  int output_ = -1, slots_ = 0, vocabulary_ = 1 << 30, positions_ = 1 << 30, cache_blocks_ = 1 << 30;
  std::vector<uint8_t> arena_, scratch_;
  std::unique_ptr<Counter[]> taken_;  // [stages][threads]: tasks begun of each thread's own run
  std::unique_ptr<Counter[]> done_;   // [stages]: tasks finished
};

struct Step {
  const Section& section;
  BatchView batch;
  std::vector<uint8_t*> memory;  // of each value
  const std::vector<Value>& values;

  int count(Domain d) const { return d == Domain::tokens ? batch.token_count : batch.row_count; }
  // How strongly an adapter counts for a sequence of the batch; 0 for one that the batch does not know.
  float strength(int sequence, int adapter) const {
    if (adapter >= batch.adapter_count) return 0.0f;
    return batch.strengths[size_t(sequence) * size_t(batch.adapter_count) + size_t(adapter)];
  }
  bool uses(int adapter) const {
    for (int i = 0; i < batch.sequence_count; i++)
      if (strength(i, adapter) != 0.0f) return true;
    return false;
  }
  float* floats(int value, int token) const {
    return reinterpret_cast<float*>(memory[size_t(value)]) + size_t(token) * size_t(values[size_t(value)].width);
  }
};

}  // namespace homezoo
