// A small pool of threads that run one function together.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace homezoo {

// Spins for a few microseconds, the usual wait inside a step, and then sleeps, so that a neighbour on the same core is
// not starved. Whoever makes the value the wanted one must notify it.
void wait_until(const std::atomic<int>& value, int wanted);

class Threads {
 public:
  explicit Threads(int count);  // 1 to 256; throws std::invalid_argument
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return count_; }
  void run(const std::function<void(int)>& work);  // work(thread) on every thread; the caller is thread 0
  std::mutex& in_use() { return in_use_; }         // held by whoever runs: one program at a time

 private:
  void serve(int thread);

  const int count_;
  std::mutex in_use_;
  std::vector<std::thread> workers_;
  const std::function<void(int)>* work_ = nullptr;
  std::atomic<uint32_t> round_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace homezoo
