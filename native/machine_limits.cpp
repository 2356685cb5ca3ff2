#include "machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>

namespace homezoo {
namespace {

// Longest of all threads' times for one call of work(thread).
template <class Work>
double seconds_of(Threads& threads, Work work) {
  const auto start = std::chrono::steady_clock::now();
  threads.run([&](int thread) { work(thread); });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Limits measure_limits(Threads& threads, const Section& section, double seconds) {
  constexpr size_t kBytes = size_t(1) << 30;  // servers share last-level caches of hundreds of megabytes
  const size_t count = size_t(threads.count()), each = kBytes / count / 128 * 128;
  const std::unique_ptr<uint8_t[]> memory(new uint8_t[kBytes]);
  std::fill(memory.get(), memory.get() + kBytes, uint8_t(1));
  std::atomic<uint64_t> sink{0};
  Limits best{};
  const auto start = std::chrono::steady_clock::now();
  const int rounds = 200000;  // a few milliseconds: long against starting the threads
  do {
    const double read = seconds_of(
        threads, [&](int t) { sink.fetch_add(section.read_all(memory.get() + size_t(t) * each, each)); });
    best.read_bytes = std::max(best.read_bytes, double(each * count) / read);
    double done = section.peak_int8(1) * rounds * double(count);
    best.int8 = std::max(best.int8, done / seconds_of(threads, [&](int) { section.peak_int8(rounds); }));
    done = section.peak_fp32(1) * rounds * double(count);
    best.fp32 = std::max(best.fp32, done / seconds_of(threads, [&](int) { section.peak_fp32(rounds); }));
  } while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds);
  return best;
}

}  // namespace homezoo
