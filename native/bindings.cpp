// This file and bindings_training.cpp are all that knows Python: they check shapes and types, then call.
// std::invalid_argument becomes ValueError.
#include "bindings.h"

#include "machine_limits.h"
#include "program.h"

using namespace bindings;

namespace {

CacheView cache_of(const Pages& keys, const Pages& values, int width, bool q8) {
  if (width < 1 || keys.shape(1) < 1) throw std::invalid_argument("cache without key-value heads, or of width 0");
  for (int i = 0; i < 4; i++)
    if (keys.shape(i) != values.shape(i)) throw std::invalid_argument("keys and values differ in shape");
  const size_t row = q8 ? size_t(width) / 32 * 34 : size_t(width) * 2;
  if (keys.shape(2) != 64 || keys.shape(3) != row)
    throw std::invalid_argument("cache blocks of " + std::to_string(keys.shape(2)) + " positions of " +
                                std::to_string(keys.shape(3)) + " bytes, expected 64 of " + std::to_string(row));
  return {keys.data(), values.data(), int(keys.shape(0)), int(keys.shape(1)), width, q8};
}

NewMatrix run(Program& program, const Ids& tokens, const Ids& positions, const Ids& sequences, const Table& blocks,
              const Ids& rows, const std::optional<Matrix>& strengths) {
  if (positions.shape(0) != tokens.shape(0) || sequences.shape(0) != tokens.shape(0))
    throw std::invalid_argument("tokens, positions and sequences differ in length");
  const BatchView batch{tokens.data(),          positions.data(),      sequences.data(),
                        blocks.data(),          rows.data(),           int(tokens.shape(0)),
                        int(blocks.shape(0)),   int(blocks.shape(1)),  int(rows.shape(0)),
                        strengths ? strengths->data() : nullptr,
                        strengths ? int(strengths->shape(1)) : 0};
  if (strengths && strengths->shape(1) && strengths->shape(0) != blocks.shape(0))
    throw std::invalid_argument("strengths of " + std::to_string(strengths->shape(0)) + " sequences, the page table has " +
                                std::to_string(blocks.shape(0)));
  const size_t count = program.output_by_row() ? rows.shape(0) : tokens.shape(0);
  NewMatrix out = new_matrix(count, size_t(program.output_width()));
  float* data = out.data();
  nb::gil_scoped_release release;
  program.run(batch, data);
  return out;
}

NewMatrix dequantize(const Rows& rows, int type, int width) {
  const Weight w = weight_of(rows, type, width);
  NewMatrix out = new_matrix(rows.shape(0), size_t(width));
  for (size_t n = 0; n < rows.shape(0); n++)
    active_section().dequantize[type](w.data + n * w.row_bytes, out.data() + n * size_t(width), width);
  return out;
}

std::vector<std::string> section_names() {
  const Section* all[8];
  std::vector<std::string> names;
  for (int i = 0, n = sections_here(all, 8); i < n; i++) names.push_back(all[i]->name);
  return names;
}

void bind_experts_and_adapters(nb::class_<Program>& program) {
  program.def("low_rank", [](Program& p, int x, int y, const Matrix& a, const Matrix& b, float scale, int adapter) {
        if (a.shape(0) != b.shape(0)) throw std::invalid_argument("low_rank: a and b differ in rank");
        return p.low_rank(x, y, weight_of(a), int(a.shape(0)), b.data(), int(b.shape(1)), scale, adapter);
      }, "x"_a, "y"_a, array("a"), array("b"), "scale"_a, "adapter"_a, nb::keep_alive<1, 4>(), nb::keep_alive<1, 5>())
      .def("route", &Program::route, "scores"_a, "slots"_a)
      .def("expert_matmul", [](Program& p, int x, int routing, const Rows& weight, int type, int width, int experts) {
        return p.expert_matmul(x, routing, type, weight_of(weight, type, width), int(weight.shape(0)), experts);
      }, "x"_a, "routing"_a, array("weight"), "type"_a, "width"_a, "experts"_a, nb::keep_alive<1, 4>())
      .def("expert_bias", [](Program& p, int x, int routing, const Floats& bias, int experts) {
        return p.expert_bias(x, routing, copy_of(bias), experts);
      }, "x"_a, "routing"_a, array("bias"), "experts"_a)
      .def("expert_sum", &Program::expert_sum, "x"_a, "routing"_a);
}

void bind_program(nb::module_& m) {
  nb::class_<Threads>(m, "Threads", "A pool of threads that programs share; one program runs at a time.")
      .def(nb::init<int>(), "count"_a)
      .def_prop_ro("count", &Threads::count);

  nb::class_<Program> program(m, "Program", "A recorded forward pass; values are numbered in the order they are made.");
  program.def("__init__", [](Program* self, std::shared_ptr<Threads> threads) {
        new (self) Program(std::move(threads), active_section());
      }, "threads"_a)
      .def("embed", [](Program& p, const Rows& table, int type, int width) {
        return p.embed(type, weight_of(table, type, width), int(table.shape(0)));
      }, array("table"), "type"_a, "width"_a, nb::keep_alive<1, 2>())
      .def("embed_positions", [](Program& p, const Rows& table, int type, int width) {
        return p.embed_positions(type, weight_of(table, type, width), int(table.shape(0)));
      }, array("table"), "type"_a, "width"_a, nb::keep_alive<1, 2>())
      .def("matmul", [](Program& p, int x, const Rows& weight, int type, int width) {
        return p.matmul(x, type, weight_of(weight, type, width), int(weight.shape(0)));
      }, "x"_a, array("weight"), "type"_a, "width"_a, nb::keep_alive<1, 3>())
      .def("matmul_float", [](Program& p, int x, const Matrix& weight) {
        return p.matmul(x, kF32, weight_of(weight), int(weight.shape(0)));
      }, "x"_a, array("weight"), nb::keep_alive<1, 3>())
      .def("rms_norm", [](Program& p, int x, const Floats& weight, float eps) {
        return p.rms_norm(x, copy_of(weight), eps, int(weight.shape(0)));
      }, "x"_a, array("weight"), "eps"_a)
      .def("layer_norm", [](Program& p, int x, const Floats& weight, const Floats& bias, float eps) {
        return p.layer_norm(x, copy_of(weight), copy_of(bias), eps);
      }, "x"_a, array("weight"), array("bias"), "eps"_a)
      .def("add", &Program::add, "x"_a, "y"_a, "scale"_a = 1.0f)
      .def("add_bias", [](Program& p, int x, const Floats& bias) { return p.add_bias(x, copy_of(bias)); }, "x"_a,
           array("bias"))
      .def("silu_mul", &Program::silu_mul, "gate"_a, "up"_a)
      .def("gelu", &Program::gelu, "x"_a, "exact"_a = false)
      .def("scale", &Program::scale, "x"_a, "factor"_a)
      .def("multiply", &Program::multiply, "x"_a, "y"_a)
      .def("columns", &Program::columns, "x"_a, "start"_a, "stop"_a)
      .def("soft_cap", &Program::soft_cap, "x"_a, "cap"_a)
      .def("clamped_swiglu", &Program::clamped_swiglu, "gate"_a, "up"_a, "alpha"_a, "limit"_a)
      .def("rope", [](Program& p, int x, const Doubles& frequencies, int head_width, bool halves, float magnitude) {
        const double* f = frequencies.data();
        return p.rope(x, {{f, f + frequencies.shape(0)}, magnitude}, head_width, halves);
      }, "x"_a, array("frequencies"), "head_width"_a, "halves"_a, "magnitude"_a)
      .def("attention", [](Program& p, int q, int k, int v, const Pages& keys, const Pages& values, int width, bool q8,
                           float scale, int window, float cap, bool causal, const std::optional<Floats>& slopes,
                           const std::optional<Floats>& sinks) {
        const auto copied = [](const std::optional<Floats>& a) { return a ? copy_of(*a) : std::vector<float>(); };
        return p.attention(q, k, v, cache_of(keys, values, width, q8),
                           {scale, window, cap, causal, copied(slopes), copied(sinks)});
      }, "q"_a, "k"_a, "v"_a, array("keys"), array("values"), "head_width"_a, "q8"_a, "scale"_a, "window"_a,
           "cap"_a = 0.0f, "causal"_a = true, array("slopes") = nb::none(), array("sinks") = nb::none(),
           nb::keep_alive<1, 5>(), nb::keep_alive<1, 6>())
      .def("select", &Program::select, "x"_a)
      .def("finish", &Program::finish, "output"_a)
      .def("width", &Program::width, "value"_a)
      .def("buffer_bytes", &Program::buffer_bytes, "tokens"_a, "rows"_a)
      .def_prop_ro("memory_bytes", &Program::memory_bytes)
      .def("run", &run, array("tokens"), array("positions"), array("sequences"), array("blocks"), array("rows"),
           array("strengths") = nb::none(), "The output for a batch: float32 [rows or tokens, width].");
  bind_experts_and_adapters(program);
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "homezoo's kernels. ops/ is their only user.";
  bind_program(m);
  bind_training(m);
  m.def("dequantize", &dequantize, array("rows"), "type"_a, "width"_a,
        "Rows of blocks [N, row bytes] as floats [N, width].");
  m.def("section", [] { return std::string(active_section().name); }, "The kernels in use on this CPU.");
  m.def("sections", &section_names, "All kernels that this CPU can execute, plain first.");
  m.def("use_section", [](const std::string& name) { use_section(name.c_str()); }, "name"_a,
        "Chooses kernels by name for programs made from now on.");
  m.def("limits", [](Threads& threads, double seconds) {
    nb::gil_scoped_release release;
    const std::lock_guard<std::mutex> alone(threads.in_use());
    const Limits l = measure_limits(threads, active_section(), seconds);
    return std::vector<double>{l.read_bytes, l.int8, l.fp32};
  }, "threads"_a, "seconds"_a = 1.0, "Bytes read, int8 and fp32 multiply-adds per second: the best of several runs.");
  m.def("section_notice", [] { return std::string(section_notice()); },
        "Why faster kernels stepped aside, or an empty string.");
}
