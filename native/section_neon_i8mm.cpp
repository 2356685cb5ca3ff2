// 64-bit Arm with byte dot products and byte matrix products (ARMv8.6 and later: Apple M2, Graviton 3).
// Compiled with those flags; called only where the CPU has them.
#include <arm_neon.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "section.h"

#define HOMEZOO_NEON_ROWS
#define HOMEZOO_DOTPROD
#define HOMEZOO_I8MM

namespace homezoo {
namespace neon_i8mm {
#include "simd_neon.h"

#include "kernels.h"
}  // namespace neon_i8mm

const Section* section_neon_i8mm() {
  static const Section section = neon_i8mm::make_section("neon_i8mm", 4, 32);
  return &section;
}
}  // namespace homezoo
