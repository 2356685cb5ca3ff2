// Chooses the section for this CPU at run time, and proves it against the plain one before it is used.
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "proof.h"
#include "section.h"

#if defined(_MSC_VER) && defined(_M_X64)
#include <immintrin.h>
#include <intrin.h>
#endif

#if defined(HOMEZOO_HAS_NEON) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(HOMEZOO_HAS_NEON) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(HOMEZOO_HAS_NEON) && defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#endif

#if defined(HOMEZOO_HAS_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace homezoo {

#if !defined(HOMEZOO_HAS_AVX2)
const Section* section_avx2() { return nullptr; }
#endif
#if !defined(HOMEZOO_HAS_AVX512)
const Section* section_avx512() { return nullptr; }
#endif
#if !defined(HOMEZOO_HAS_AMX)
const Section* section_amx() { return nullptr; }
#endif
#if !defined(HOMEZOO_HAS_NEON)
const Section* section_neon() { return nullptr; }
#endif
#if !defined(HOMEZOO_HAS_NEON_DOTPROD)
const Section* section_neon_dotprod() { return nullptr; }
#endif
#if !defined(HOMEZOO_HAS_NEON_I8MM)
const Section* section_neon_i8mm() { return nullptr; }
#endif

namespace {

const Layout* layout_of(int type) {
  for (const Layout& l : kLayouts)
    if (l.type == type) return &l;
  return nullptr;
}

struct Features {
  bool avx2 = false, avx512 = false, amx = false, neon = false, dotprod = false, i8mm = false;
};

#if defined(_MSC_VER) && defined(_M_X64)
Features features() {  // leaf 7 tells AVX2 and AVX-512; XGETBV whether the system saves the registers
  int leaf1[4], leaf7[4];
  __cpuidex(leaf1, 1, 0);
  __cpuidex(leaf7, 7, 0);
  Features f;
  if (!(leaf1[2] & 1 << 27)) return f;
  const unsigned long long saved = _xgetbv(0);
  const bool fma = leaf1[2] & 1 << 12, f16c = leaf1[2] & 1 << 29;
  f.avx2 = (saved & 6) == 6 && fma && f16c && (leaf7[1] & 1 << 5);
  const bool foundation = leaf7[1] & 1 << 16, dq = leaf7[1] & 1 << 17, bw = leaf7[1] & 1 << 30, vl = leaf7[1] & 1 << 31;
  f.avx512 = f.avx2 && (saved & 0xe6) == 0xe6 && foundation && dq && bw && vl && (leaf7[2] & 1 << 11);
  return f;
}
#elif defined(__x86_64__)
// AMX exists when CPUID says so and the system lets this process keep tile registers (Linux: asked for once).
bool tiles_allowed() {
#if defined(HOMEZOO_HAS_AMX)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  const bool tiles = d & 1u << 24, int8 = d & 1u << 25;
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return tiles && int8 && syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
#else
  return false;
#endif
}

Features features() {
  Features f;
  f.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  f.avx512 = f.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni");
  f.amx = f.avx512 && tiles_allowed();
  return f;
}
#elif defined(HOMEZOO_HAS_NEON)
#if defined(__APPLE__)
bool has(const char* feature) {  // "hw.optional.arm.FEAT_...": 1 where the CPU has it, unknown to older systems
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value == 1;
}
#endif

Features features() {
  Features f;
  f.neon = true;  // every 64-bit Arm has it
#if defined(__linux__)
  constexpr unsigned long kDotprod = 1ul << 20, kI8mm = 1ul << 13;  // HWCAP_ASIMDDP, HWCAP2_I8MM of the kernel's ABI
  f.dotprod = getauxval(AT_HWCAP) & kDotprod;
  f.i8mm = f.dotprod && (getauxval(AT_HWCAP2) & kI8mm);
#elif defined(__APPLE__)
  f.dotprod = has("hw.optional.arm.FEAT_DotProd");
  f.i8mm = f.dotprod && has("hw.optional.arm.FEAT_I8MM");
#elif defined(_WIN32)
  constexpr DWORD kDotprod = 43;  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE, unknown to older headers
  f.dotprod = IsProcessorFeaturePresent(kDotprod);
#endif
  return f;
}
#else
Features features() { return {}; }
#endif

struct Choice {
  const Section* section = nullptr;
  std::string notice;
};

Choice& choice() {
  static Choice c;
  return c;
}

bool proven(const Section& s, std::string& notice) {
  for (const Layout& l : kLayouts)
    if (!agrees(s, *section_plain(), l)) {
      notice = std::string("kernels for ") + s.name + " differ from the plain ones on tensor type " +
               std::to_string(l.type) + " on this CPU; using slower ones (please report this)";
      return false;
    }
  if (!gradients_agree(s, *section_plain())) {
    notice = std::string("kernels of gradients for ") + s.name +
             " differ from the plain ones on this CPU; using slower ones (please report this)";
    return false;
  }
  return true;
}

}  // namespace

Rounding rounding_of(int type) {
  const Layout* l = layout_of(type);
  return l ? l->rounding : Rounding::none;
}

int block_bytes_of(int type) {
  const Layout* l = layout_of(type);
  return l ? l->bytes : 0;
}

int block_size_of(int type) {
  const Layout* l = layout_of(type);
  return l ? l->size : 0;
}

int sections_here(const Section** out, int n) {
  const Features f = features();
  const Section* all[] = {section_plain(), f.avx2 ? section_avx2() : nullptr, f.avx512 ? section_avx512() : nullptr,
                          f.amx ? section_amx() : nullptr,
                          f.neon ? section_neon() : nullptr, f.dotprod ? section_neon_dotprod() : nullptr,
                          f.i8mm ? section_neon_i8mm() : nullptr};
  int count = 0;
  for (const Section* s : all)
    if (s && count < n) out[count++] = s;
  return count;
}

const Section& active_section() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (choice().section) return;  // chosen by name before
    const Section* all[8];
    for (int i = sections_here(all, 8) - 1; i >= 0 && !choice().section; i--)
      if (i == 0 || proven(*all[i], choice().notice)) choice().section = all[i];
  });
  return *choice().section;
}

void use_section(const char* name) {
  const Section* all[8];
  std::string known;
  const int count = sections_here(all, 8);
  for (int i = 0; i < count; i++) {
    known += (i ? ", " : "") + std::string(all[i]->name);
    if (!std::strcmp(all[i]->name, name)) {
      choice().section = all[i];
      return;
    }
  }
  throw std::invalid_argument(std::string("no kernels named ") + name + " on this CPU; there are: " + known);
}

const char* section_notice() { return choice().notice.c_str(); }

}  // namespace homezoo
