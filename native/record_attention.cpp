// Recording attention and the operations that only some architectures have.
#include <algorithm>
#include <string>

#include "operations.h"
#include "operations_attention.h"
#include "operations_experts.h"

namespace homezoo {

int Program::attention(int q, int k, int v, CacheView cache, AttentionForm form) {
  for (int value : {q, k, v}) of_tokens(value, "attention");
  if (form.window < 0) refuse("attention: window of " + std::to_string(form.window) + " positions");
  const int each = cache.groups * cache.width;
  if (width(k) != each || width(v) != each || width(q) % each || (cache.q8 && cache.width % 32))
    refuse("attention: queries of " + std::to_string(width(q)) + " and keys of " + std::to_string(width(k)) +
           " values for " + std::to_string(cache.groups) + " key-value heads of " + std::to_string(cache.width));
  const int heads = width(q) / cache.width;
  for (const auto* perhead : {&form.slopes, &form.sinks})
    if (!perhead->empty() && int(perhead->size()) != heads)
      refuse("attention: " + std::to_string(perhead->size()) + " slopes or sinks for " + std::to_string(heads) + " heads");
  cache_blocks_ = std::min(cache_blocks_, cache.block_count);
  auto store = std::make_unique<StoreCache>();
  store->reads = {k, v};
  store->cache = cache;
  store->writes = new_value(0, Domain::tokens, 0);
  const int stored = append(std::move(store));
  auto op = make<Attend>({q, stored}, width(q));
  op->cache = cache;
  op->heads = heads;
  op->form = std::move(form);
  return append(std::move(op));
}

int Program::gelu(int x, bool exact) {
  auto op = make<Gelu>({x}, width(x));
  op->exact = exact;
  return append(std::move(op));
}

int Program::scale(int x, float factor) {
  auto op = make<Scale>({x}, width(x));
  op->factor = factor;
  return append(std::move(op));
}

int Program::multiply(int x, int y) {
  if (width(x) != width(y) || values_[size_t(x)].domain != values_[size_t(y)].domain)
    refuse("multiply: rows of " + std::to_string(width(x)) + " and " + std::to_string(width(y)) + " values");
  return append(make<Multiply>({x, y}, width(x)));
}

int Program::columns(int x, int start, int stop) {
  if (start < 0 || start >= stop || stop > width(x))
    refuse("columns: " + std::to_string(start) + " to " + std::to_string(stop) + " of " + std::to_string(width(x)));
  auto op = make<Columns>({x}, stop - start);
  op->start = start;
  return append(std::move(op));
}

int Program::soft_cap(int x, float cap) {
  if (!(cap > 0)) refuse("soft_cap: cap of " + std::to_string(cap) + ", expected a number above 0");
  auto op = make<SoftCap>({x}, width(x));
  op->cap = cap;
  return append(std::move(op));
}

int Program::clamped_swiglu(int gate, int up, float alpha, float limit) {
  if (width(gate) != width(up) || values_[size_t(gate)].domain != values_[size_t(up)].domain)
    refuse("clamped_swiglu: rows of " + std::to_string(width(gate)) + " and " + std::to_string(width(up)) + " values");
  auto op = make<ClampedSwiglu>({gate, up}, width(gate));
  op->alpha = alpha;
  op->limit = limit;
  return append(std::move(op));
}

int Program::route(int scores, int slots) {
  if (slots < 1 || slots > width(scores))
    refuse("route: " + std::to_string(slots) + " of " + std::to_string(width(scores)) + " experts");
  return append(make<Route>({scores}, 2 * slots));
}

int Program::slots_of(int routing, const char* operation) const {
  if (width(routing) < 2 || width(routing) % 2) refuse(std::string(operation) + ": that value is no routing");
  return width(routing) / 2;
}

int Program::expert_matmul(int x, int routing, int type, Weight weight, int rows, int experts) {
  const int slots = slots_of(routing, "expert_matmul");
  if (!section_.few[type]) refuse("expert_matmul: no kernel for tensor type " + std::to_string(type));
  if (experts < 1 || rows % experts)
    refuse("expert_matmul: " + std::to_string(rows) + " rows for " + std::to_string(experts) + " experts");
  if ((width(x) != weight.width && width(x) != slots * weight.width) ||
      values_[size_t(x)].domain != values_[size_t(routing)].domain)
    refuse("expert_matmul: activations of " + std::to_string(width(x)) + " values, the weight's rows have " +
           std::to_string(weight.width));
  const Rounding rounding = rounding_of(type);
  const int input = rounding == Rounding::none ? x : rounded(x, rounding);
  auto op = make<ExpertMatmul>({input, routing}, slots * (rows / experts));
  op->type = type;
  op->weight = weight;
  op->rounding = rounding;
  op->rows = rows / experts;
  op->experts = experts;
  op->slots = slots;
  op->tile = section_.tile_rows;
  op->input_width = width(x);
  return append(std::move(op));
}

int Program::expert_bias(int x, int routing, std::vector<float> bias, int experts) {
  const int slots = slots_of(routing, "expert_bias");
  if (width(x) % slots || experts < 1 || bias.size() != size_t(experts) * size_t(width(x) / slots))
    refuse("expert_bias: bias of " + std::to_string(bias.size()) + " values for " + std::to_string(experts) +
           " experts, rows of " + std::to_string(width(x)) + " for " + std::to_string(slots) + " slots");
  auto op = make<ExpertBias>({x, routing}, width(x));
  op->bias = std::move(bias);
  return append(std::move(op));
}

int Program::expert_sum(int x, int routing) {
  const int slots = slots_of(routing, "expert_sum");
  if (width(x) % slots) refuse("expert_sum: rows of " + std::to_string(width(x)) + " for " + std::to_string(slots) + " slots");
  return append(make<ExpertSum>({x, routing}, width(x) / slots));
}

}  // namespace homezoo
