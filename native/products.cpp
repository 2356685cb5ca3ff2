#include "products.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace homezoo {
namespace {

constexpr size_t kLine = 64;  // bytes of a cache line

// Memory that begins on a cache line and is not cleared.
class Memory {
 public:
  explicit Memory(size_t bytes) : bytes_(new uint8_t[bytes + kLine]) {}
  uint8_t* data() const { return bytes_.get() + (kLine - reinterpret_cast<uintptr_t>(bytes_.get()) % kLine) % kLine; }

 private:
  std::unique_ptr<uint8_t[]> bytes_;
};

size_t to_line(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

// work(task, scratch) for tasks 0 .. count - 1, each thread with its own scratch.
void share(Threads& threads, int count, size_t scratch_bytes, const std::function<void(int, uint8_t*)>& work) {
  const size_t each = to_line(scratch_bytes);
  const Memory scratch(each * size_t(threads.count()));
  threads.share(count, [&](int task, int thread) { work(task, scratch.data() + size_t(thread) * each); });
}

// Rows of activations rounded for a format: codes, scales and sums one array after another.
class Rounded {
 public:
  Rounded(int tokens, int width, Rounding rounding)
      : rounding_(rounding), block_(rounding == Rounding::per32 ? 32 : 256),
        memory_(size_t(tokens) * (size_t(width) + size_t(width / block_) * 4 + size_t(width / 32) * 2 +
                                  (rounding == Rounding::per32 ? 0 : size_t(width / 16) * 2))) {
    const size_t k = size_t(width), t = size_t(tokens);
    view_.width = width;
    codes_ = reinterpret_cast<int8_t*>(memory_.data());
    scales_ = reinterpret_cast<float*>(memory_.data() + t * k);
    sum32_ = reinterpret_cast<int16_t*>(scales_ + t * (k / size_t(block_)));
    sum16_ = sum32_ + t * (k / 32);
    view_.codes = codes_, view_.scales = scales_, view_.sum32 = sum32_, view_.sum16 = sum16_;
  }
  void round(const Section& section, const float* x, int token) {
    const size_t t = size_t(token), k = size_t(view_.width);
    int8_t* codes = codes_ + t * k;
    float* scales = scales_ + t * (k / size_t(block_));
    if (rounding_ == Rounding::per32) section.round32(x, view_.width, codes, scales, sum32_ + t * (k / 32));
    else section.round256(x, view_.width, codes, scales, sum16_ + t * (k / 16), sum32_ + t * (k / 32));
  }
  const Activations& view() const { return view_; }

 private:
  Rounding rounding_;
  int block_;
  Memory memory_;
  Activations view_{};
  int8_t* codes_;
  float* scales_;
  int16_t *sum32_, *sum16_;
};

constexpr int kTokenRun = 16;  // tokens of a task that goes token by token

void matmul_rounded(Threads& threads, const Section& section, int type, const Weight& w, int rows, const float* x,
                    int tokens, float* y) {
  Activations activations{};
  activations.values = x;
  activations.width = w.width;
  std::unique_ptr<Rounded> rounded;
  if (rounding_of(type) != Rounding::none) {
    rounded = std::make_unique<Rounded>(tokens, w.width, rounding_of(type));
    share(threads, (tokens + kTokenRun - 1) / kTokenRun, 0, [&](int task, uint8_t*) {
      for (int t = task * kTokenRun; t < std::min(tokens, (task + 1) * kTokenRun); t++)
        rounded->round(section, x + size_t(t) * size_t(w.width), t);
    });
    activations = rounded->view();
  }
  const MatmulKernel kernel = tokens >= section.many_from ? section.many[type] : section.few[type];
  const int tile = section.tile_rows;
  const size_t scratch = size_t(tile) * size_t(w.width) * 2 + 16 * size_t(w.width) + 4096;
  share(threads, (rows + tile - 1) / tile, scratch, [&](int task, uint8_t* own) {
    kernel(w, task * tile, std::min(rows, (task + 1) * tile), activations, tokens, y, size_t(rows), own);
  });
}

// Rows become floats once; tokens pass by in groups that stay in the second-level cache.
void matmul_floats(Threads& threads, const Section& section, int type, const Weight& w, int rows, const float* x,
                   int tokens, float* y) {
  constexpr int kRows = 16, kGroupBytes = 128 * 1024;
  const size_t width = size_t(w.width), floats = width * sizeof(float);
  const int group = std::max(12, int(size_t(kGroupBytes) / floats) / 3 * 3);
  share(threads, (rows + kRows - 1) / kRows, kRows * floats, [&](int task, uint8_t* own) {
    const int begin = task * kRows, count = std::min(rows - begin, kRows);
    for (int r = 0; r < count; r++) {
      float* row = reinterpret_cast<float*>(own + size_t(r) * floats);
      section.dequantize[type](w.data + size_t(begin + r) * w.row_bytes, row, w.width);
    }
    const Weight part{own, floats, w.width};
    for (int t = 0; t < tokens; t += group) {
      Activations some{};
      some.values = x + size_t(t) * width;
      some.width = w.width;
      section.few[kF32](part, 0, count, some, std::min(group, tokens - t), y + size_t(t) * size_t(rows) + begin,
                        size_t(rows), nullptr);
    }
  });
}

// dy rounded to int8 along the rows of W, in parts of kTurnedRows of them, with zeros up to a whole block.
std::vector<Rounded> round_parts(Threads& threads, const Section& section, const float* dy, int tokens, int rows) {
  std::vector<Rounded> parts;
  for (int begin = 0; begin < rows; begin += kTurnedRows)
    parts.emplace_back(tokens, (std::min(kTurnedRows, rows - begin) + 31) / 32 * 32, Rounding::per32);
  share(threads, (tokens + kTokenRun - 1) / kTokenRun, 0, [&](int task, uint8_t*) {
    for (int t = task * kTokenRun; t < std::min(tokens, (task + 1) * kTokenRun); t++)
      for (size_t p = 0; p < parts.size(); p++) {
        const int begin = int(p) * kTurnedRows, count = std::min(kTurnedRows, rows - begin);
        float padded[kTurnedRows];
        const float* x = dy + size_t(t) * size_t(rows) + begin;
        if (count % 32) {
          std::memset(padded, 0, sizeof padded);
          std::memcpy(padded, x, sizeof(float) * size_t(count));
          x = padded;
        }
        parts[p].round(section, x, t);
      }
  });
  return parts;
}

}  // namespace

void matmul(Threads& threads, const Section& section, int type, const Weight& weight, int rows, const float* x,
            int tokens, bool exact, float* y) {
  const std::lock_guard<std::mutex> alone(threads.in_use());
  const auto product = exact ? matmul_floats : matmul_rounded;
  product(threads, section, type, weight, rows, x, tokens, y);
}

namespace {

// How tokens are shared where strips are few for the threads; each group of them fills the strip again.
struct TokenGroups {
  int count, each;
  TokenGroups(int strips, int tokens, int threads) {
    constexpr int kFewestTokens = 128;
    const int wanted = threads == 1 ? 1 : (3 * threads + strips - 1) / strips;
    count = std::max(1, std::min(wanted, tokens / kFewestTokens));
    each = (tokens + count - 1) / count;
  }
};

}  // namespace

void input_gradient(Threads& threads, const Section& section, int type, const Weight& w, int rows, const float* dy,
                    int tokens, bool int8, float* dx) {
  const std::lock_guard<std::mutex> alone(threads.in_use());
  std::vector<Rounded> parts;
  if (int8) parts = round_parts(threads, section, dy, tokens, rows);
  const int strips = (w.width + kStripColumns - 1) / kStripColumns;
  const TokenGroups groups(strips, tokens, threads.count());
  const size_t blocks = size_t(kStripColumns / block_size_of(type)) * size_t(block_bytes_of(type));
  share(threads, strips * groups.count, gradient_scratch(int8, groups.each), [&](int task, uint8_t* scratch) {
    const int strip = task / groups.count, first = task % groups.count * groups.each, column = strip * kStripColumns;
    GradientStrip s{};
    s.weight = w.data + size_t(strip) * blocks;
    s.row_bytes = w.row_bytes;
    s.rows = rows;
    s.columns = std::min(kStripColumns, w.width - column);
    s.strip_bytes = s.columns / block_size_of(type) * block_bytes_of(type);
    s.dequantize = section.dequantize[type];
    s.dy = dy + size_t(first) * size_t(rows);
    s.dy_stride = size_t(rows);
    s.tokens = std::min(groups.each, tokens - first);
    if (s.tokens <= 0) return;
    s.dx = dx + size_t(first) * size_t(w.width) + column;
    s.dx_stride = size_t(w.width);
    std::vector<Activations> views;
    for (const Rounded& part : parts) {
      Activations a = part.view();
      a.codes += size_t(first) * size_t(a.width);
      a.scales += size_t(first) * size_t(a.width / 32);
      a.sum32 += size_t(first) * size_t(a.width / 32);
      views.push_back(a);
    }
    s.rounded = views.data();
    (int8 ? section.gradient_int8 : section.gradient_exact)(s, scratch);
  });
}

void multiply(Threads& threads, const Section& section, const FloatMatrix& a, const FloatMatrix& b, bool add, float* c) {
  const std::lock_guard<std::mutex> alone(threads.in_use());
  const int strips = (b.width() + kStripColumns - 1) / kStripColumns;
  const TokenGroups groups(strips, a.height(), threads.count());
  share(threads, strips * groups.count, gradient_scratch(false, groups.each), [&](int task, uint8_t* scratch) {
    const size_t strip = size_t(task / groups.count), first = size_t(task % groups.count * groups.each);
    const size_t column = strip * kStripColumns;
    GradientStrip s{};
    s.weight = reinterpret_cast<const uint8_t*>(b.data + column * (b.turned ? size_t(b.columns) : 1));
    s.row_bytes = size_t(b.columns) * sizeof(float);
    s.rows = b.height();
    s.columns = std::min(kStripColumns, b.width() - int(column));
    s.dequantize = section.dequantize[kF32];
    s.strip_bytes = s.columns * int(sizeof(float));
    s.dy = a.data + first * (a.turned ? 1 : size_t(a.columns));
    s.dy_stride = size_t(a.columns);
    s.tokens = std::min(groups.each, a.height() - int(first));
    if (s.tokens <= 0) return;
    s.dx = c + first * size_t(b.width()) + column;
    s.dx_stride = size_t(b.width());
    s.add = add, s.turned_dy = a.turned, s.turned_weight = b.turned;
    section.gradient_exact(s, scratch);
  });
}

}  // namespace homezoo
