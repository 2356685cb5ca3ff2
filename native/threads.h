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
  using Work = std::function<void(int)>;
  void run(const Work& work);  // work(thread) on every thread; the caller is thread 0
  // work(task, thread) for tasks 0 .. tasks - 1, each taken by whoever is free. Threads that come when all are taken are
  // not waited for: beside other programs a sleeping thread may get its core only milliseconds later.
  void share(int tasks, const std::function<void(int, int)>& work);
  std::mutex& in_use() { return in_use_; }         // held by whoever runs: one program at a time

 private:
  void serve(int thread);
  void begin(const Work& work);
  bool join(uint32_t round);  // whether a worker still takes part in this round

  const int count_;
  std::mutex in_use_;
  std::vector<std::thread> workers_;
  const Work* work_ = nullptr;
  std::atomic<uint32_t> round_{0};  // what workers wait for
  std::atomic<uint64_t> gate_{0};   // the round, a bit that says whether it is closed, and how many workers joined it
  std::atomic<int> left_{0};        // workers that joined it and are done
  std::atomic<bool> stop_{false};
};

}  // namespace homezoo
