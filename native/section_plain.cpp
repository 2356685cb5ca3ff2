// The section that runs on any processor.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "section.h"

namespace homezoo {
namespace plain {
#include "simd_plain.h"

#include "kernels.h"
}  // namespace plain

const Section* section_plain() {
  static const Section section = plain::make_section("plain", 1 << 30, 32);
  return &section;
}
}  // namespace homezoo
