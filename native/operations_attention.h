// The operations of a program that write and read the key-value cache.
#pragma once
#include "program.h"

namespace homezoo {

struct StoreCache : Operation {  // reads k and v of a token, writes them into the cache; its value is empty
  CacheView cache;
  void run(Step& s, int token, uint8_t*) const override {
    const int position = s.batch.positions[token];
    const int block = s.batch.blocks[s.batch.sequences[token] * s.batch.blocks_each + position / 64];
    const size_t row = cache.q8 ? size_t(cache.width) / 32 * 34 : size_t(cache.width) * 2;
    for (int g = 0; g < cache.groups; g++) {
      const size_t at = ((size_t(block) * size_t(cache.groups) + size_t(g)) * 64 + size_t(position % 64)) * row;
      s.section.store(s.floats(reads[0], token) + g * cache.width, cache.width, cache.keys + at, cache.q8);
      s.section.store(s.floats(reads[1], token) + g * cache.width, cache.width, cache.values + at, cache.q8);
    }
  }
};

struct Attend : Operation {  // one task: up to kQueries neighbouring tokens of one sequence, one key-value head
  static constexpr int kQueries = 16;
  CacheView cache;
  int heads;  // all query heads
  AttentionForm form;
  bool by_token() const override { return false; }
  int tasks(const Step& s) const override {
    int runs = 0;
    for (int t = 0; t < s.batch.token_count; t = next_run(s, t)) runs++;
    return runs * cache.groups;
  }
  static int next_run(const Step& s, int t) {
    const int first = t;
    do t++;
    while (t < s.batch.token_count && t < first + kQueries && s.batch.sequences[t] == s.batch.sequences[first]);
    return t;
  }
  static int last_position(const Step& s, int t) {  // of the batch's tokens in the sequence of token t
    int last = s.batch.positions[t];
    for (int i = t + 1; i < s.batch.token_count; i++)
      if (s.batch.sequences[i] == s.batch.sequences[t] && s.batch.positions[i] > last) last = s.batch.positions[i];
    return last;
  }
  void run(Step& s, int task, uint8_t* scratch) const override {
    int t = 0;
    for (int skip = task / cache.groups; skip > 0; skip--) t = next_run(s, t);
    const int end = next_run(s, t), group = task % cache.groups, each = heads / cache.groups;
    const size_t row = cache.q8 ? size_t(cache.width) / 32 * 34 : size_t(cache.width) * 2;
    AttentionJob jobs[kQueries];
    for (int i = t; i < end; i++) {
      const int position = s.batch.positions[i];
      const int first = form.window && position >= form.window ? position - form.window + 1 : 0;
      const int last = form.causal ? position : last_position(s, i);
      const size_t head = size_t(group * each * cache.width), offset = size_t(group) * 64 * row;
      jobs[i - t] = {s.floats(reads[0], i) + head,
                     s.floats(writes, i) + head,
                     cache.keys + offset,
                     cache.values + offset,
                     s.batch.blocks + size_t(s.batch.sequences[i]) * size_t(s.batch.blocks_each),
                     size_t(cache.groups) * 64 * row,
                     row,
                     each,
                     cache.width,
                     first,
                     last,
                     form.scale,
                     cache.q8,
                     form.cap,
                     form.slopes.empty() ? nullptr : form.slopes.data() + group * each,
                     form.sinks.empty() ? nullptr : form.sinks.data() + group * each};
    }
    s.section.attend(jobs, end - t, reinterpret_cast<float*>(scratch));
  }
  size_t scratch_bytes() const override {
    return sizeof(float) * attention_scratch(cache.width, kQueries * heads / cache.groups);
  }
};

}  // namespace homezoo
