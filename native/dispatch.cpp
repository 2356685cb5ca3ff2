// Chooses the section for this CPU at run time, and proves it against the plain one before it is used.
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

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

struct Layout {
  int type, size, bytes;
  Rounding rounding;
};
constexpr Layout kLayouts[] = {
    {kF32, 1, 4, Rounding::none},       {kF16, 1, 2, Rounding::none},       {kBF16, 1, 2, Rounding::none},
    {kQ4_0, 32, 18, Rounding::per32},   {kQ4_1, 32, 20, Rounding::per32},   {kQ5_0, 32, 22, Rounding::per32},
    {kQ5_1, 32, 24, Rounding::per32},   {kQ8_0, 32, 34, Rounding::per32},   {kIQ4_NL, 32, 18, Rounding::per32},
    {kMXFP4, 32, 17, Rounding::per32},  {kQ2_K, 256, 84, Rounding::per256}, {kQ3_K, 256, 110, Rounding::per256},
    {kQ4_K, 256, 144, Rounding::per256}, {kQ5_K, 256, 176, Rounding::per256}, {kQ6_K, 256, 210, Rounding::per256},
    {kIQ4_XS, 256, 136, Rounding::per256}};

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

// Numbers that look random and are the same everywhere (xorshift).
struct Noise {
  uint32_t state = 2463534242u;
  uint32_t next() {
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
  }
  float uniform() { return float(next() >> 8) * (2.0f / 16777216.0f) - 1.0f; }
};

// Valid blocks with noise for codes; half-precision scales are kept finite and small.
std::vector<uint8_t> noisy_rows(const Layout& l, int rows, int width, Noise& noise) {
  std::vector<uint8_t> data(size_t(rows) * size_t(width / l.size) * size_t(l.bytes));
  for (auto& byte : data) byte = uint8_t(noise.next() >> 11);
  // Wherever a scale may stand (first or last four bytes), keep the exponent bits of each half below infinity.
  for (size_t at = 0; at < data.size(); at += size_t(l.bytes))
    for (int i : {1, 3, l.bytes - 3, l.bytes - 1})
      if (i > 0 && i < l.bytes) data[at + size_t(i)] &= 0xbb;
  if (l.type == kMXFP4)
    for (size_t at = 0; at < data.size(); at += 17) data[at] = uint8_t(120 + data[at] % 8);
  return data;
}

// True when both sections give the same bits for this format, few tokens and many.
bool agrees(const Section& fast, const Section& plain, const Layout& l) {
  constexpr int kRows = 19, kTokens = 23, kWidth = 512;  // every tile, and remainders of rows and tokens
  Noise noise;
  const auto data = noisy_rows(l, kRows, kWidth, noise);
  const Weight weight{data.data(), data.size() / kRows, kWidth};
  std::vector<float> x(kTokens * kWidth), scales(kTokens * kWidth / 32), a(kTokens * kRows), b(kTokens * kRows);
  std::vector<int8_t> codes(kTokens * kWidth);
  std::vector<int16_t> sum16(kTokens * kWidth / 16), sum32(kTokens * kWidth / 32);
  for (auto& value : x) value = noise.uniform();
  for (int t = 0; t < kTokens; t++) {
    const float* row = x.data() + t * kWidth;
    if (l.rounding == Rounding::per32)
      plain.round32(row, kWidth, codes.data() + t * kWidth, scales.data() + t * kWidth / 32,
                    sum32.data() + t * kWidth / 32);
    else
      plain.round256(row, kWidth, codes.data() + t * kWidth, scales.data() + t * kWidth / 256,
                     sum16.data() + t * kWidth / 16, sum32.data() + t * kWidth / 32);
  }
  const Activations act{x.data(), codes.data(), scales.data(), sum16.data(), sum32.data(), kWidth};
  std::vector<uint8_t> scratch(64 * size_t(kWidth) * 2 + 64 * kWidth + 8192 + 64);
  uint8_t* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
  plain.few[l.type](weight, 0, kRows, act, kTokens, b.data(), kRows, aligned);
  for (const MatmulKernel kernel : {fast.few[l.type], fast.many[l.type]}) {
    std::fill(a.begin(), a.end(), 0.0f);
    kernel(weight, 0, kRows, act, kTokens, a.data(), kRows, aligned);
    if (std::memcmp(a.data(), b.data(), a.size() * sizeof(float))) return false;
  }
  return true;
}

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
