// x86-64 with AVX2, FMA and F16C (2013 and later). Compiled with those flags; called only where the CPU has them.
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "section.h"

#define HOMEZOO_X86_ROWS

namespace homezoo {
namespace avx2 {
#include "simd_x86.h"

#include "kernels.h"
}  // namespace avx2

const Section* section_avx2() {
  // From six tokens on, unpacking a tile costs less than reading the rows again for every four tokens.
  static const Section section = avx2::make_section("avx2", 6, 32);
  return &section;
}
}  // namespace homezoo
