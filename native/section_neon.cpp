// 64-bit Arm as it began (ARMv8.0: Raspberry Pi 3 and 4).
// Compiled with those flags; called only where the CPU has them.
#include <arm_neon.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "section.h"

#define HOMEZOO_NEON_ROWS

namespace homezoo {
namespace neon {
#include "simd_neon.h"

#include "kernels.h"
}  // namespace neon

const Section* section_neon() {
  // From four tokens on, unpacking a tile costs less than reading the rows again for every pair of tokens.
  static const Section section = neon::make_section("neon", 4, 32);
  return &section;
}
}  // namespace homezoo
