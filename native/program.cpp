// Replaying: memory for every value, checks of the batch, and the stages on all threads.
#include "program.h"

#include <algorithm>
#include <string>

#include "operations.h"

namespace homezoo {
namespace {

constexpr size_t kLine = 64;  // bytes of a cache line; every value and scratch area begins on one

size_t to_line(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

uint8_t* aligned(std::vector<uint8_t>& memory) {
  return memory.data() + (kLine - reinterpret_cast<uintptr_t>(memory.data()) % kLine) % kLine;
}

}  // namespace

// Gives every value a slot of memory; a slot is free again after the last stage that reads its value.
void Program::finish(int output) {
  width(output);
  if (output_ >= 0) refuse("the program is finished already");
  output_ = output;
  std::vector<int> written(values_.size(), 0);
  for (int s = 0; s < int(stages_.size()); s++)
    for (int index : stages_[size_t(s)].operations) {
      const Operation& op = *operations_[size_t(index)];
      written[size_t(op.writes)] = s;
      values_[size_t(op.writes)].last_stage = std::max(values_[size_t(op.writes)].last_stage, s);
      for (int value : op.reads) values_[size_t(value)].last_stage = std::max(values_[size_t(value)].last_stage, s);
    }
  values_[size_t(output)].last_stage = int(stages_.size());
  std::vector<int> free_after;  // of each slot: the last stage of its newest value
  std::vector<size_t> order(values_.size());
  for (size_t v = 0; v < order.size(); v++) order[v] = v;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return written[a] < written[b]; });
  for (size_t v : order) {
    int slot = 0;
    while (slot < int(free_after.size()) && free_after[size_t(slot)] >= written[v]) slot++;
    if (slot == int(free_after.size())) free_after.push_back(0);
    free_after[size_t(slot)] = values_[v].last_stage;
    values_[v].slot = slot;
  }
  slots_ = int(free_after.size());
  size_t scratch = kLine;
  for (const auto& op : operations_) scratch = std::max(scratch, to_line(op->scratch_bytes()));
  scratch_.resize(scratch * size_t(threads_->count()) + kLine);
  taken_ = std::make_unique<Counter[]>(stages_.size() * size_t(threads_->count()));
  done_ = std::make_unique<Counter[]>(stages_.size());
}

void Program::check(const BatchView& b) const {
  for (int i = 0; i < b.token_count; i++) {
    const auto at = " (entry " + std::to_string(i) + " of the batch)";
    if (b.tokens[i] < 0 || b.tokens[i] >= vocabulary_)
      refuse("token id " + std::to_string(b.tokens[i]) + " is outside 0.." + std::to_string(vocabulary_ - 1) + at);
    if (b.sequences[i] < 0 || b.sequences[i] >= b.sequence_count)
      refuse("sequence " + std::to_string(b.sequences[i]) + " is outside the page table" + at);
    if (b.positions[i] < 0 || b.positions[i] / 64 >= b.blocks_each)
      refuse("position " + std::to_string(b.positions[i]) + " is outside the page table" + at);
    if (b.positions[i] >= positions_)
      refuse("position " + std::to_string(b.positions[i]) + " is beyond the " + std::to_string(positions_) +
             " that the model has learned" + at);
    const int32_t* pages = b.blocks + size_t(b.sequences[i]) * size_t(b.blocks_each);
    for (int p = 0; p <= b.positions[i] / 64; p++)
      if (pages[p] < 0 || pages[p] >= cache_blocks_)
        refuse("cache block " + std::to_string(pages[p]) + " is outside the cache" + at);
  }
  for (int i = 0; i < b.row_count; i++)
    if (b.rows[i] < 0 || b.rows[i] >= b.token_count)
      refuse("row " + std::to_string(b.rows[i]) + " is outside the batch of " + std::to_string(b.token_count));
}

// Where each slot begins in the arena for so many tokens and rows; at the end the arena's bytes.
std::vector<size_t> Program::layout(int tokens, int rows) const {
  std::vector<size_t> size(size_t(slots_), 0), start(size_t(slots_) + 1, 0);
  for (const Value& v : values_) {
    size_t& bytes = size[size_t(v.slot)];
    bytes = std::max(bytes, to_line(v.bytes * size_t(v.domain == Domain::tokens ? tokens : rows)));
  }
  for (size_t i = 0; i < size.size(); i++) start[i + 1] = start[i] + size[i];
  start.back() += kLine;  // to begin on a line
  return start;
}

const Value& Program::output() const {
  if (output_ < 0) refuse("the program has no output yet");
  return values_[size_t(output_)];
}

size_t Program::buffer_bytes(int tokens, int rows) const {
  output();
  return layout(tokens, rows).back() + scratch_.size();
}

void Program::place(Step& step, const BatchView& batch, float* out) {
  const std::vector<size_t> start = layout(batch.token_count, batch.row_count);
  if (arena_.size() < start.back()) {
    arena_.clear();
    arena_.resize(start.back());
  }
  step.memory.resize(values_.size());
  for (size_t v = 0; v < values_.size(); v++)
    step.memory[v] = int(v) == output_ ? reinterpret_cast<uint8_t*>(out)
                                       : aligned(arena_) + start[size_t(values_[v].slot)];
}

void Program::run(const BatchView& batch, float* out) {
  output();
  check(batch);
  const std::lock_guard<std::mutex> alone(threads_->in_use());
  Step step{section_, batch, {}, values_};
  place(step, batch, out);
  for (size_t i = 0; i < stages_.size() * size_t(threads_->count()); i++)
    taken_[i].value.store(0, std::memory_order_relaxed);
  for (size_t i = 0; i < stages_.size(); i++) done_[i].value.store(0, std::memory_order_relaxed);
  threads_->run([&](int thread) { work(step, thread); });
}

// The next of `count` tasks, or -1. A thread has a run of neighbouring tasks of its own, so that it reads memory in
// one stream (chunks dealt out in turn reached 17 of 24 GB/s), and helps the others when it has finished.
int Program::take(size_t stage, int thread, int count) {
  const int threads = threads_->count();
  for (int k = 0; k < threads; k++) {
    const int owner = (thread + k) % threads;
    const int begin = int(int64_t(count) * owner / threads), end = int(int64_t(count) * (owner + 1) / threads);
    std::atomic<int>& taken = taken_[stage * size_t(threads) + size_t(owner)].value;
    if (begin + taken.load(std::memory_order_relaxed) >= end) continue;
    const int task = begin + taken.fetch_add(1, std::memory_order_relaxed);
    if (task < end) return task;
  }
  return -1;
}

// Waits for the end of a stage of which this thread did so many tasks. It ends with its last task, whoever did it:
// a thread that a busy neighbour keeps from its core holds up nobody, unless it was in the middle of a task.
void Program::leave(size_t stage, int did, int count) {
  std::atomic<int>& done = done_[stage].value;
  if (did && done.fetch_add(did, std::memory_order_acq_rel) + did == count)
    done.notify_all();
  else
    wait_until(done, count);
}

void Program::work(Step& step, int thread) {
  uint8_t* scratch = aligned(scratch_) + size_t(thread) * ((scratch_.size() - kLine) / size_t(threads_->count()));
  for (size_t s = 0; s < stages_.size(); s++) {
    const Stage& stage = stages_[s];
    int count = 0, did = 0;
    if (stage.by_token) {
      count = step.count(stage.domain);
      for (int t; (t = take(s, thread, count)) >= 0; did++)
        for (int index : stage.operations) operations_[size_t(index)]->run(step, t, scratch);
    } else {
      for (int index : stage.operations) count += operations_[size_t(index)]->tasks(step);
      for (int task; (task = take(s, thread, count)) >= 0; did++) {
        size_t i = 0;
        for (int tasks; task >= (tasks = operations_[size_t(stage.operations[i])]->tasks(step)); i++) task -= tasks;
        operations_[size_t(stage.operations[i])]->run(step, task, scratch);
      }
    }
    if (s + 1 < stages_.size()) leave(s, did, count);
  }
}

}  // namespace homezoo
