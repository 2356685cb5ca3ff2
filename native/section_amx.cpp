// x86-64 with AVX-512 and its byte dot products (VNNI; 2019 and later) and AMX tiles (Sapphire Rapids and later).
// Compiled with those flags; called only where the CPU and the system allow them.
#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "section.h"

#define HOMEZOO_X86_ROWS
#define HOMEZOO_VNNI
#define HOMEZOO_AVX512
#define HOMEZOO_AMX

namespace homezoo {
namespace amx {
#include "simd_x86.h"

#include "kernels.h"
}  // namespace amx

const Section* section_amx() {
  static const Section section = amx::make_section("amx", 6, 32);
  return &section;
}
}  // namespace homezoo
