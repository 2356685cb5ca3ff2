// What Python sees of training: products, rows and sequences, one operation at a time.
#include "bindings.h"

#include "products.h"
#include "rows.h"
#include "sequences.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace bindings {
namespace {

// dy or x: float32 [T, width], of which the weight wants `expected`.
void check_width(const Matrix& x, size_t expected, const char* what) {
  if (x.shape(1) != expected)
    throw std::invalid_argument(std::string(what) + " of " + std::to_string(x.shape(1)) + " values, the weight has " +
                                std::to_string(expected));
}

NewMatrix product(const Matrix& x, const Rows& rows, int type, int width, Threads& threads, bool exact) {
  const Weight w = weight_of(rows, type, width);
  check_width(x, size_t(width), "matmul: activations");
  NewMatrix out = new_matrix(x.shape(0), rows.shape(0));
  float* y = out.data();
  nb::gil_scoped_release release;
  matmul(threads, active_section(), type, w, int(rows.shape(0)), x.data(), int(x.shape(0)), exact, y);
  return out;
}

NewMatrix transposed_product(const Matrix& dy, const Rows& rows, int type, int width, Threads& threads, bool int8) {
  const Weight w = weight_of(rows, type, width);
  check_width(dy, rows.shape(0), "input_gradient: gradients");
  if (int8 && rounding_of(type) == Rounding::none)
    throw std::invalid_argument("input_gradient: int8 is for quantised weights, tensor type " + std::to_string(type) +
                                " has floats");
  NewMatrix out = new_matrix(dy.shape(0), size_t(width));
  float* dx = out.data();
  nb::gil_scoped_release release;
  input_gradient(threads, active_section(), type, w, int(rows.shape(0)), dy.data(), int(dy.shape(0)), int8, dx);
  return out;
}

using Result = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;  // written to

FloatMatrix floats_of(const Matrix& m, bool turned) {
  return {m.data(), int(m.shape(0)), int(m.shape(1)), turned};
}

// a b, into a new matrix or added to what `into` has.
std::optional<NewMatrix> multiplied(const Matrix& a, const Matrix& b, Threads& threads, bool a_turned, bool b_turned,
                                    const std::optional<Result>& into) {
  const FloatMatrix left = floats_of(a, a_turned), right = floats_of(b, b_turned);
  if (left.width() != right.height() || right.height() < 1)
    throw std::invalid_argument("multiply: sums over " + std::to_string(left.width()) + " and " +
                                std::to_string(right.height()) + " values");
  if (into && (into->shape(0) != size_t(left.height()) || into->shape(1) != size_t(right.width())))
    throw std::invalid_argument("multiply: a result of another shape");
  std::optional<NewMatrix> out;
  if (!into) out = new_matrix(size_t(left.height()), size_t(right.width()));
  float* c = into ? into->data() : out->data();
  nb::gil_scoped_release release;
  multiply(threads, active_section(), left, right, into.has_value(), c);
  return out;
}

void same_shape(const Matrix& a, const Matrix& b, const char* what) {
  if (a.shape(0) != b.shape(0) || a.shape(1) != b.shape(1))
    throw std::invalid_argument(std::string(what) + " differ in shape");
}

NewMatrix normed(const Matrix& x, const Floats& weight, float eps, Threads& threads, const std::optional<Matrix>& dy) {
  check_width(x, weight.shape(0), "rms_norm: rows");
  if (dy) same_shape(x, *dy, "rms_norm: x and dy");
  NewMatrix out = new_matrix(x.shape(0), x.shape(1));
  const float* gradient = dy ? dy->data() : nullptr;
  float* y = out.data();
  nb::gil_scoped_release release;
  rms_norm(threads, active_section(), gradient, x.data(), weight.data(), eps, int(x.shape(0)), int(x.shape(1)), y);
  return out;
}

NewMatrix gated(const Matrix& gate, const Matrix& up, Threads& threads) {
  same_shape(gate, up, "silu_mul: gate and up");
  NewMatrix out = new_matrix(gate.shape(0), gate.shape(1));
  float* y = out.data();
  nb::gil_scoped_release release;
  silu_mul(threads, active_section(), gate.data(), up.data(), gate.size(), y);
  return out;
}

std::pair<NewMatrix, NewMatrix> gated_gradient(const Matrix& dy, const Matrix& gate, const Matrix& up,
                                               Threads& threads) {
  same_shape(gate, up, "silu_mul_gradient: gate and up");
  same_shape(gate, dy, "silu_mul_gradient: gate and dy");
  NewMatrix d_gate = new_matrix(gate.shape(0), gate.shape(1)), d_up = new_matrix(gate.shape(0), gate.shape(1));
  float *first = d_gate.data(), *second = d_up.data();
  nb::gil_scoped_release release;
  silu_mul_gradient(threads, active_section(), dy.data(), gate.data(), up.data(), gate.size(), first, second);
  return {std::move(d_gate), std::move(d_up)};
}

NewMatrix turned(const Matrix& x, const Matrix& cosine, const Matrix& sine, int head_width, bool halves, bool back,
                 Threads& threads) {
  same_shape(cosine, sine, "rotate: cosine and sine");
  const size_t pairs = cosine.shape(1);
  if (cosine.shape(0) != x.shape(0) || head_width < 1 || x.shape(1) % size_t(head_width) ||
      2 * pairs > size_t(head_width))
    throw std::invalid_argument("rotate: angles [" + std::to_string(cosine.shape(0)) + ", " + std::to_string(pairs) +
                                "] for heads of " + std::to_string(head_width) + " values in [" +
                                std::to_string(x.shape(0)) + ", " + std::to_string(x.shape(1)) + "]");
  NewMatrix out = new_matrix(x.shape(0), x.shape(1));
  float* y = out.data();
  const Turn turn{cosine.data(), sine.data(), int(pairs), head_width, halves, back};
  nb::gil_scoped_release release;
  rotate(threads, active_section(), x.data(), turn, int(x.shape(0)), int(x.shape(1)), y);
  return out;
}

// What the arrays say together; raises when they do not fit.
Sequences sequences_of(const Matrix& q, const Matrix& k, const Matrix& v, const Ids& starts, int width, float scale,
                       int window, const std::optional<Floats>& slopes) {
  same_shape(k, v, "attention: k and v");
  const auto whole = [&](const Matrix& x) { return width > 0 && x.shape(1) > 0 && x.shape(1) % size_t(width) == 0; };
  if (!whole(q) || !whole(k) || q.shape(1) % k.shape(1) || q.shape(0) != k.shape(0))
    throw std::invalid_argument("attention: q of " + std::to_string(q.shape(1)) + " and k of " +
                                std::to_string(k.shape(1)) + " values for heads of " + std::to_string(width));
  const size_t count = starts.shape(0), tokens = q.shape(0);
  bool good = count > 0 && starts(0) == 0 && size_t(starts(count - 1)) == tokens;
  for (size_t s = 1; s < count; s++) good = good && starts(s - 1) <= starts(s);
  if (!good) throw std::invalid_argument("attention: starts must rise from 0 to " + std::to_string(tokens));
  const int heads = int(q.shape(1)) / width;
  if (slopes && slopes->shape(0) != size_t(heads)) throw std::invalid_argument("attention: a slope for each head");
  return {starts.data(), int(count) - 1, heads, int(k.shape(1)) / width, width, scale, window,
          slopes ? slopes->data() : nullptr};
}

std::pair<NewMatrix, NewMatrix> attended(const Matrix& q, const Matrix& k, const Matrix& v, const Ids& starts,
                                         int width, float scale, int window, Threads& threads,
                                         const std::optional<Floats>& slopes) {
  const Sequences form = sequences_of(q, k, v, starts, width, scale, window, slopes);
  NewMatrix out = new_matrix(q.shape(0), q.shape(1)), stats = new_matrix(q.shape(0), 2 * size_t(form.heads));
  SequenceArrays arrays{};
  arrays.q = q.data(), arrays.k = k.data(), arrays.v = v.data(), arrays.out = out.data(), arrays.stats = stats.data();
  nb::gil_scoped_release release;
  attend_sequences(threads, active_section(), form, arrays, false);
  return {std::move(out), std::move(stats)};
}

std::vector<NewMatrix> attended_gradient(const Matrix& dy, const Matrix& q, const Matrix& k, const Matrix& v,
                                         const Matrix& out, const Matrix& stats, const Ids& starts, int width,
                                         float scale, int window, Threads& threads,
                                         const std::optional<Floats>& slopes) {
  const Sequences form = sequences_of(q, k, v, starts, width, scale, window, slopes);
  same_shape(q, dy, "attention_gradient: q and dy");
  same_shape(q, out, "attention_gradient: q and y");
  check_width(stats, 2 * size_t(form.heads), "attention_gradient: statistics");
  std::vector<NewMatrix> found;
  for (int i = 0; i < 3; i++) found.push_back(new_matrix(q.shape(0), q.shape(1)));
  SequenceArrays arrays{};
  arrays.q = q.data(), arrays.k = k.data(), arrays.v = v.data(), arrays.d_out = dy.data();
  arrays.out = const_cast<float*>(out.data()), arrays.stats = const_cast<float*>(stats.data());  // only read
  arrays.d_q = found[0].data(), arrays.d_k = found[1].data(), arrays.d_v = found[2].data();
  nb::gil_scoped_release release;
  attend_sequences(threads, active_section(), form, arrays, true);
  return found;
}

// Whether freed memory stays with this process. Passes free and take the same gigabytes again and again; pages that went
// back to the system in between would be cleared and mapped anew each time. Only the main heap is kept: 32 MB is the
// most that glibc lets blocks of it have. Without `keep` all goes back, now and later, as glibc does by itself once a
// block of 32 MB was freed.
void keep_freed_memory(bool keep) {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, keep ? -1 : 64 << 20);
  if (!keep) malloc_trim(0);
#else
  (void)keep;
#endif
}

}  // namespace

void bind_training(nb::module_& m) {
  m.def("matmul", &product, array("x"), array("weight"), "type"_a, "width"_a, "threads"_a, "exact"_a = false,
        "x [T, K] times rows of blocks [N, row bytes], transposed; exact: x is not rounded.");
  m.def("input_gradient", &transposed_product, array("dy"), array("weight"), "type"_a, "width"_a, "threads"_a,
        "int8"_a = false, "dy [T, N] times rows of blocks [N, row bytes]; int8: both are rounded.");
  m.def("multiply", &multiplied, array("a"), array("b"), "threads"_a, "a_turned"_a = false, "b_turned"_a = false,
        array("into") = nb::none(), "Float matrices a [M, R] (turned: [R, M]) times b [R, N] (turned: [N, R]).");
  m.def("rms_norm", &normed, array("x"), array("weight"), "eps"_a, "threads"_a, array("dy") = nb::none(),
        "Rows of x normed, or with dy the gradient for x.");
  m.def("silu_mul", &gated, array("gate"), array("up"), "threads"_a, "silu(gate) * up.");
  m.def("silu_mul_gradient", &gated_gradient, array("dy"), array("gate"), array("up"), "threads"_a,
        "Its gradients for gate and up.");
  m.def("rotate", &turned, array("x"), array("cosine"), array("sine"), "head_width"_a, "halves"_a, "back"_a,
        "threads"_a, "Pairs of each head of x [T, width] turned by the token's angles [T, pairs], or back.");
  m.def("attention", &attended, array("q"), array("k"), array("v"), array("starts"), "head_width"_a, "scale"_a,
        "window"_a, "threads"_a, array("slopes") = nb::none(),
        "q [T, H E] in whole sequences that begin at starts: values [T, H E] and statistics [T, 2 H].");
  m.def("attention_gradient", &attended_gradient, array("dy"), array("q"), array("k"), array("v"), array("y"),
        array("statistics"), array("starts"), "head_width"_a, "scale"_a, "window"_a, "threads"_a,
        array("slopes") = nb::none(), "Its gradients for q, k and v, of k and v for each query head: [T, H E] each.");
  m.def("keep_freed_memory", &keep_freed_memory, "keep"_a,
        "Whether freed memory stays with this process, to be used again (glibc only).");
}

}  // namespace bindings
