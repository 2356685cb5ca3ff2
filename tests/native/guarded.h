// Memory whose end touches a page that nothing may read: a kernel that reads past its array crashes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>

class Guarded {
 public:
  explicit Guarded(size_t bytes) : size_(bytes) {
    const size_t page = size_t(sysconf(_SC_PAGESIZE)), used = (bytes + page - 1) / page * page;
    mapped_ = used + page;
    start_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start_ == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<uint8_t*>(start_) + used - bytes;
    if (mprotect(static_cast<uint8_t*>(start_) + used, page, PROT_NONE)) throw std::bad_alloc();
  }
  ~Guarded() { munmap(start_, mapped_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  size_t size_, mapped_;
  void* start_;
  uint8_t* data_;
};

#else  // without such pages: plain memory

class Guarded {
 public:
  explicit Guarded(size_t bytes) : bytes_(bytes) {}
  uint8_t* data() const { return const_cast<uint8_t*>(bytes_.data()); }
  size_t size() const { return bytes_.size(); }

 private:
  std::vector<uint8_t> bytes_;
};

#endif
