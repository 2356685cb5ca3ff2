// 64-bit Arm with byte dot products (ARMv8.2 and later: Raspberry Pi 5, Apple M1).
// Compiled with those flags; called only where the CPU has them.
#include <arm_neon.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "section.h"

#define HOMEZOO_NEON_ROWS
#define HOMEZOO_DOTPROD

namespace homezoo {
namespace neon_dotprod {
#include "simd_neon.h"

#include "kernels.h"
}  // namespace neon_dotprod

const Section* section_neon_dotprod() {
  static const Section section = neon_dotprod::make_section("neon_dotprod", 4, 32);
  return &section;
}
}  // namespace homezoo
