#include "program.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "operations.h"

namespace homezoo {
namespace {

constexpr size_t kLine = 64;  // bytes of a cache line; every value and scratch area begins on one

size_t to_line(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

uint8_t* aligned(std::vector<uint8_t>& memory) {
  return memory.data() + (kLine - reinterpret_cast<uintptr_t>(memory.data()) % kLine) % kLine;
}

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

}  // namespace

int Program::width(int value) const {
  if (value < 0 || value >= int(values_.size())) refuse("no value " + std::to_string(value) + " in this program");
  return values_[size_t(value)].width;
}

int Program::new_value(int width, Domain domain, size_t bytes) {
  values_.push_back({width, domain, bytes});
  return int(values_.size()) - 1;
}

bool Program::depends(const Stage& stage, const Operation& op) const {
  for (int other : stage.operations)
    for (int value : op.reads)
      if (operations_[size_t(other)]->writes == value) return true;
  return false;
}

// Token-wise operations join the last token-wise stage if nothing between would have to come first; the others join
// the last stage if it is of their kind and they do not read from it.
void Program::add_to_stage(int index) {
  const Operation& op = *operations_[size_t(index)];
  const int last = int(stages_.size()) - 1;
  if (op.by_token()) {
    for (int s = last; s >= 0 && s >= last - 1; s--) {
      Stage& stage = stages_[size_t(s)];
      if (stage.by_token && stage.domain == op.domain) {
        stage.operations.push_back(index);
        return;
      }
      if (depends(stage, op)) break;
    }
  } else if (last >= 0 && !stages_[size_t(last)].by_token && !depends(stages_[size_t(last)], op)) {
    stages_[size_t(last)].operations.push_back(index);
    return;
  }
  stages_.push_back({{index}, op.by_token(), op.domain});
}

int Program::append(std::unique_ptr<Operation> op) {
  for (int value : op->reads) width(value);
  const int result = op->writes;
  operations_.push_back(std::move(op));
  add_to_stage(int(operations_.size()) - 1);
  return result;
}

int Program::embed(int type, Weight table, int vocabulary) {
  auto op = std::make_unique<Embed>();
  if (!section_.dequantize[type]) refuse("embed: no kernel for tensor type " + std::to_string(type));
  op->type = type;
  op->table = table;
  vocabulary_ = vocabulary;
  op->writes = new_value(table.width, Domain::tokens, size_t(table.width) * 4);
  return append(std::move(op));
}

int Program::select(int x) {
  auto op = std::make_unique<Select>();
  op->reads = {x};
  op->domain = Domain::rows;
  op->writes = new_value(width(x), Domain::rows, size_t(width(x)) * 4);
  return append(std::move(op));
}

int Program::rounded(int x, Rounding rounding) {
  for (const auto& [key, value] : roundings_)
    if (key == std::make_pair(x, rounding)) return value;
  auto op = std::make_unique<RoundActivations>();
  op->reads = {x};
  op->domain = values_[size_t(x)].domain;
  op->rounding = rounding;
  op->width = width(x);
  op->writes = new_value(width(x), op->domain, RoundActivations::bytes(width(x), rounding));
  const int value = append(std::move(op));
  roundings_.push_back({{x, rounding}, value});
  return value;
}

int Program::matmul(int x, int type, Weight weight, int rows) {
  if (!section_.few[type]) refuse("matmul: no kernel for tensor type " + std::to_string(type));
  if (width(x) != weight.width)
    refuse("matmul: activations have " + std::to_string(width(x)) + " values, the weight's rows " +
           std::to_string(weight.width));
  auto op = std::make_unique<Matmul>();
  op->rounding = rounding_of(type);
  op->reads = {op->rounding == Rounding::none ? x : rounded(x, op->rounding)};
  op->type = type;
  op->weight = weight;
  op->rows = rows;
  op->tile = section_.tile_rows;
  op->domain = values_[size_t(x)].domain;
  op->writes = new_value(rows, op->domain, size_t(rows) * 4);
  return append(std::move(op));
}

int Program::rms_norm(int x, std::vector<float> weight, float eps, int group) {
  if (int(weight.size()) != group || group < 1 || width(x) % group)
    refuse("rms_norm: weight of " + std::to_string(weight.size()) + " values for groups of " + std::to_string(group) +
           " in rows of " + std::to_string(width(x)));
  auto op = std::make_unique<RmsNorm>();
  op->reads = {x};
  op->domain = values_[size_t(x)].domain;
  op->weight = std::move(weight);
  op->eps = eps;
  op->writes = new_value(width(x), op->domain, size_t(width(x)) * 4);
  return append(std::move(op));
}

int Program::layer_norm(int x, std::vector<float> weight, std::vector<float> bias, float eps) {
  if (int(weight.size()) != width(x) || (!bias.empty() && bias.size() != weight.size()))
    refuse("layer_norm: weight of " + std::to_string(weight.size()) + " values for rows of " + std::to_string(width(x)));
  auto op = std::make_unique<LayerNorm>();
  op->reads = {x};
  op->domain = values_[size_t(x)].domain;
  op->weight = std::move(weight);
  op->bias = std::move(bias);
  op->eps = eps;
  op->writes = new_value(width(x), op->domain, size_t(width(x)) * 4);
  return append(std::move(op));
}

int Program::add(int x, int y, float scale) {
  if (width(x) != width(y) || values_[size_t(x)].domain != values_[size_t(y)].domain)
    refuse("add: rows of " + std::to_string(width(x)) + " and " + std::to_string(width(y)) + " values");
  auto op = std::make_unique<Add>();
  op->reads = {x, y};
  op->domain = values_[size_t(x)].domain;
  op->scale = scale;
  op->writes = new_value(width(x), op->domain, size_t(width(x)) * 4);
  return append(std::move(op));
}

int Program::add_bias(int x, std::vector<float> bias) {
  if (int(bias.size()) != width(x))
    refuse("add_bias: bias of " + std::to_string(bias.size()) + " values for rows of " + std::to_string(width(x)));
  auto op = std::make_unique<AddBias>();
  op->reads = {x};
  op->domain = values_[size_t(x)].domain;
  op->bias = std::move(bias);
  op->writes = new_value(width(x), op->domain, size_t(width(x)) * 4);
  return append(std::move(op));
}

int Program::silu_mul(int gate, int up) {
  if (width(gate) != width(up))
    refuse("silu_mul: rows of " + std::to_string(width(gate)) + " and " + std::to_string(width(up)) + " values");
  auto op = std::make_unique<SiluMul>();
  op->reads = {gate, up};
  op->domain = values_[size_t(gate)].domain;
  op->writes = new_value(width(gate), op->domain, size_t(width(gate)) * 4);
  return append(std::move(op));
}

int Program::gelu(int x) {
  auto op = std::make_unique<Gelu>();
  op->reads = {x};
  op->domain = values_[size_t(x)].domain;
  op->writes = new_value(width(x), op->domain, size_t(width(x)) * 4);
  return append(std::move(op));
}

int Program::rope(int x, RopeTable table, int head_width, bool halves) {
  const int pairs = int(table.frequencies.size());
  if (head_width < 1 || width(x) % head_width || 2 * pairs > head_width)
    refuse("rope: " + std::to_string(pairs) + " frequencies for heads of " + std::to_string(head_width) +
           " values in rows of " + std::to_string(width(x)));
  int angles = -1;
  for (const auto& [known, value] : rope_tables_)
    if (known.frequencies == table.frequencies && known.magnitude == table.magnitude) angles = value;
  if (angles < 0) {
    auto op = std::make_unique<RopeAngles>();
    op->table = table;
    op->writes = new_value(2 * pairs, Domain::tokens, size_t(2 * pairs) * 4);
    angles = append(std::move(op));
    rope_tables_.push_back({std::move(table), angles});
  }
  auto op = std::make_unique<Rope>();
  op->reads = {x, angles};
  op->pairs = pairs;
  op->head_width = head_width;
  op->halves = halves;
  op->writes = new_value(width(x), Domain::tokens, size_t(width(x)) * 4);
  return append(std::move(op));
}

int Program::attention(int q, int k, int v, CacheView cache, float scale, int window) {
  const int each = cache.groups * cache.width;
  if (width(k) != each || width(v) != each || width(q) % each || (cache.q8 && cache.width % 32))
    refuse("attention: queries of " + std::to_string(width(q)) + " and keys of " + std::to_string(width(k)) +
           " values for " + std::to_string(cache.groups) + " key-value heads of " + std::to_string(cache.width));
  cache_blocks_ = std::min(cache_blocks_, cache.block_count);
  auto store = std::make_unique<StoreCache>();
  store->reads = {k, v};
  store->cache = cache;
  store->writes = new_value(0, Domain::tokens, 0);
  const int stored = append(std::move(store));
  auto op = std::make_unique<Attend>();
  op->reads = {q, stored};
  op->cache = cache;
  op->heads = width(q) / cache.width;
  op->window = window;
  op->scale = scale;
  op->writes = new_value(width(q), Domain::tokens, size_t(width(q)) * 4);
  return append(std::move(op));
}

// Gives every value a slot of memory; a slot is free again after the last stage that reads its value.
void Program::finish(int output) {
  output_ = output;
  width(output);
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
  counters_ = std::make_unique<std::atomic<int>[]>(stages_.size());
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
    const int32_t* pages = b.blocks + size_t(b.sequences[i]) * size_t(b.blocks_each);
    for (int p = 0; p <= b.positions[i] / 64; p++)
      if (pages[p] < 0 || pages[p] >= cache_blocks_)
        refuse("cache block " + std::to_string(pages[p]) + " is outside the cache" + at);
  }
  for (int i = 0; i < b.row_count; i++)
    if (b.rows[i] < 0 || b.rows[i] >= b.token_count)
      refuse("row " + std::to_string(b.rows[i]) + " is outside the batch of " + std::to_string(b.token_count));
}

void Program::place(Step& step, const BatchView& batch, float* out) {
  std::vector<size_t> size(size_t(slots_), 0), start(size_t(slots_), 0);
  for (const Value& v : values_) {
    size_t& bytes = size[size_t(v.slot)];
    bytes = std::max(bytes, to_line(v.bytes * size_t(v.domain == Domain::tokens ? batch.token_count : batch.row_count)));
  }
  size_t total = kLine;
  for (size_t i = 0; i < size.size(); i++) start[i] = total - kLine, total += size[i];
  if (arena_.size() < total) {
    arena_.clear();
    arena_.resize(total);
  }
  step.memory.resize(values_.size());
  for (size_t v = 0; v < values_.size(); v++)
    step.memory[v] = int(v) == output_ ? reinterpret_cast<uint8_t*>(out)
                                       : aligned(arena_) + start[size_t(values_[v].slot)];
}

void Program::run(const BatchView& batch, float* out) {
  if (output_ < 0) refuse("the program has no output yet");
  check(batch);
  const std::lock_guard<std::mutex> alone(threads_->in_use());
  Step step{section_, batch, {}, values_};
  place(step, batch, out);
  for (size_t i = 0; i < stages_.size(); i++) counters_[i].store(0, std::memory_order_relaxed);
  threads_->run([&](int thread) { work(step, thread); });
}

void Program::work(Step& step, int thread) {
  uint8_t* scratch = aligned(scratch_) + size_t(thread) * ((scratch_.size() - kLine) / size_t(threads_->count()));
  for (size_t s = 0; s < stages_.size(); s++) {
    const Stage& stage = stages_[s];
    if (stage.by_token) {
      const int count = step.count(stage.domain);
      for (int t; (t = counters_[s].fetch_add(1, std::memory_order_relaxed)) < count;)
        for (int index : stage.operations) operations_[size_t(index)]->run(step, t, scratch);
    } else {
      int first = 0, task = counters_[s].fetch_add(1, std::memory_order_relaxed);
      for (int index : stage.operations) {
        const Operation& op = *operations_[size_t(index)];
        const int count = op.tasks(step);
        while (task < first + count) {
          op.run(step, task - first, scratch);
          task = counters_[s].fetch_add(1, std::memory_order_relaxed);
        }
        first += count;
      }
    }
    if (s + 1 < stages_.size()) threads_->barrier().wait();
  }
}

}  // namespace homezoo
