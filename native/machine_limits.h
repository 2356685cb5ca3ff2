// What this machine can do at best: memory reads, int8 and fp32 multiply-adds, all threads together.
#pragma once
#include "section.h"
#include "threads.h"

namespace homezoo {

struct Limits {
  double read_bytes;  // per second, summing a buffer far larger than any cache
  double int8;        // multiply-adds per second
  double fp32;        // multiply-adds per second
};

// Best of several short runs, about `seconds` in all. Allocates 1 GB while it runs.
Limits measure_limits(Threads& threads, const Section& section, double seconds);

}  // namespace homezoo
