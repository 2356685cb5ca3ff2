// x86-64 with AVX-512 and its byte dot products (VNNI; 2019 and later).
// Compiled with those flags; called only where the CPU and the system allow them.
#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "section.h"

#define HOMEZOO_X86_ROWS
#define HOMEZOO_VNNI
#define HOMEZOO_AVX512

namespace homezoo {
namespace avx512 {
#include "simd_x86.h"

#include "kernels.h"
}  // namespace avx512

const Section* section_avx512() {
  static const Section section = avx512::make_section("avx512", 6, avx512::kChunkRows);
  return &section;
}
}  // namespace homezoo
