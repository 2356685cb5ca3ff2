// A small pool of threads that run one function together and meet at barriers.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace homezoo {

// Threads meet here. They spin for a few microseconds, the usual wait inside a step, and then sleep, so that a
// neighbour on the same core is not starved.
class Barrier {
 public:
  explicit Barrier(int count) : count_(count) {}
  void wait();

 private:
  const int count_;
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> phase_{0};
};

class Threads {
 public:
  explicit Threads(int count);  // 1 to 256; throws std::invalid_argument
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return count_; }
  Barrier& barrier() { return barrier_; }
  void run(const std::function<void(int)>& work);  // work(thread) on every thread; the caller is thread 0
  std::mutex& in_use() { return in_use_; }         // held by whoever runs: one program at a time

 private:
  void serve(int thread);

  const int count_;
  Barrier barrier_;
  std::mutex in_use_;
  std::vector<std::thread> workers_;
  const std::function<void(int)>* work_ = nullptr;
  std::atomic<uint32_t> round_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace homezoo
