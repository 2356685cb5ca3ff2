// Recording: each operation checks its widths, gets a value to write and a stage to run in.
#include <string>

#include "operations.h"

namespace homezoo {

int Program::width(int value) const {
  if (value < 0 || value >= int(values_.size())) refuse("no value " + std::to_string(value) + " in this program");
  return values_[size_t(value)].width;
}

int Program::new_value(int width, Domain domain, size_t bytes) {
  if (output_ >= 0) refuse("the program is finished: nothing can be added");
  values_.push_back({width, domain, bytes});
  return int(values_.size()) - 1;
}

bool Program::depends(const Stage& stage, const Operation& op) const {
  for (int other : stage.operations)
    for (int value : op.reads)
      if (operations_[size_t(other)]->writes == value) return true;
  return false;
}

// Token-wise operations join the last token-wise stage if nothing between would have to come first. Matrix products
// join the earliest stage of their kind after all that they read, so that those of adapters run beside those of
// weights; the others join the last stage if it is of their kind and they do not read from it.
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
  } else {
    int place = -1;
    const int first = op.may_join_earlier() ? 0 : last;
    for (int s = last; s >= first && s >= 0 && !depends(stages_[size_t(s)], op); s--)
      if (!stages_[size_t(s)].by_token) place = s;
    if (place >= 0) {
      stages_[size_t(place)].operations.push_back(index);
      return;
    }
  }
  stages_.push_back({{index}, op.by_token(), op.domain});
}

// Raises for a value of selected rows, where only one of tokens has a place in the batch and the cache.
void Program::of_tokens(int value, const char* operation) const {
  width(value);
  if (values_[size_t(value)].domain != Domain::tokens)
    refuse(std::string(operation) + ": value " + std::to_string(value) + " has selected rows, expected tokens");
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
  vocabulary_ = std::min(vocabulary_, vocabulary);
  op->writes = new_value(table.width, Domain::tokens, size_t(table.width) * 4);
  return append(std::move(op));
}

int Program::embed_positions(int type, Weight table, int positions) {
  const int tokens = vocabulary_;
  const int result = embed(type, table, positions);
  vocabulary_ = tokens;
  positions_ = std::min(positions_, positions);
  static_cast<Embed&>(*operations_.back()).by_position = true;
  return result;
}

int Program::select(int x) {
  of_tokens(x, "select");
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

int Program::low_rank(int x, int y, Weight a, int rank, const float* b, int rows, float scale, int adapter) {
  if (rank < 8 || rank % 8) refuse("low_rank: rank " + std::to_string(rank) + ", expected a multiple of 8");
  if (width(y) != rows || values_[size_t(x)].domain != values_[size_t(y)].domain)
    refuse("low_rank: b for " + std::to_string(rows) + " values and rows of " + std::to_string(width(y)));
  const int inner = matmul(x, kF32, a, rank);
  static_cast<Matmul&>(*operations_.back()).adapter = adapter;
  auto op = make<AddLowRank>({y, inner}, rows);
  op->b = b;
  op->rank = rank;
  op->rows = rows;
  op->scale = scale;
  op->adapter = adapter < 0 ? -1 : adapter;
  return append(std::move(op));
}

int Program::silu_mul(int gate, int up) {
  if (width(gate) != width(up) || values_[size_t(gate)].domain != values_[size_t(up)].domain)
    refuse("silu_mul: rows of " + std::to_string(width(gate)) + " and " + std::to_string(width(up)) + " values");
  auto op = std::make_unique<SiluMul>();
  op->reads = {gate, up};
  op->domain = values_[size_t(gate)].domain;
  op->writes = new_value(width(gate), op->domain, size_t(width(gate)) * 4);
  return append(std::move(op));
}

int Program::rope(int x, RopeTable table, int head_width, bool halves) {
  of_tokens(x, "rope");
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

}  // namespace homezoo
