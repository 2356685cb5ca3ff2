// All kernels of one section, and the function that hands out its table.
// Included by section_*.cpp inside the section's namespace, after its vector operations.
#include "blocks.h"
#include "elementwise.h"
#include "attention.h"
#include "matmul_float.h"
#include "low_rank.h"
#if defined(HOMEZOO_NEON_ROWS)
#include "matmul_rows_neon.h"
#include "matmul_few.h"
#include "matmul_tiles_neon.h"
#include "matmul_many.h"
#elif !defined(HOMEZOO_X86_ROWS)
#include "matmul_plain.h"
#else
#include "matmul_rows_x86.h"
#ifdef HOMEZOO_AVX512
#include "matmul_rows_512.h"
#endif
#include "matmul_few.h"
#if defined(HOMEZOO_AMX)
#include "matmul_tiles_amx.h"
#elif defined(HOMEZOO_AVX512)
#include "matmul_tiles_avx512.h"
#else
#include "matmul_tiles_x86.h"
#endif
#include "matmul_many.h"
#endif

#include "elementwise_gradient.h"
#include "input_gradient.h"
#include "input_gradient_int8.h"
#include "whole_attention.h"
#include "peaks.h"

template <class F>
static void offer(Section& s, int type) {
#if defined(HOMEZOO_X86_ROWS) || defined(HOMEZOO_NEON_ROWS)
  s.few[type] = matmul_few<F>;
  s.many[type] = matmul_many<F>;
#else
  s.few[type] = s.many[type] = matmul_plain<F>;
#endif
  s.dequantize[type] = dequantize_row<F>;
}

template <class F>
static void offer_float(Section& s, int type) {
  s.few[type] = matmul_float_few<F>;
  s.many[type] = matmul_float_many<F>;
  s.dequantize[type] = dequantize_float_row<F>;
}

static Section make_section(const char* name, int many_from, int tile_rows) {
  Section s{};
  s.name = name;
  s.many_from = many_from;
  s.tile_rows = tile_rows;
  offer_float<F32>(s, kF32);
  offer_float<F16>(s, kF16);
  offer_float<BF16>(s, kBF16);
  offer<Q4_0>(s, kQ4_0);
  offer<Q4_1>(s, kQ4_1);
  offer<Q5_0>(s, kQ5_0);
  offer<Q5_1>(s, kQ5_1);
  offer<Q8_0>(s, kQ8_0);
  offer<Q2_K>(s, kQ2_K);
  offer<Q3_K>(s, kQ3_K);
  offer<Q4_K>(s, kQ4_K);
  offer<Q5_K>(s, kQ5_K);
  offer<Q6_K>(s, kQ6_K);
  offer<IQ4_NL>(s, kIQ4_NL);
  offer<IQ4_XS>(s, kIQ4_XS);
  offer<MXFP4>(s, kMXFP4);
  s.round32 = round32;
  s.round256 = round256;
  s.attend = attend;
  s.store = store_cache_row;
  s.rms_norm = rms_norm;
  s.layer_norm = layer_norm;
  s.silu_mul = silu_mul;
  s.add_low_rank = add_low_rank;
  s.gelu = gelu;
  s.gelu_erf = gelu_erf;
  s.soft_cap = soft_cap;
  s.clamped_swiglu = clamped_swiglu;
  s.gradient_exact = gradient_exact;
  s.gradient_int8 = gradient_int8;
  s.silu_mul_gradient = silu_mul_gradient;
  s.rms_norm_gradient = rms_norm_gradient;
  s.rotate = rotate;
  s.attend_whole = attend_whole;
  s.attend_whole_gradient = attend_whole_gradient;
  s.read_all = read_all;
  s.peak_int8 = peak_int8;
  s.peak_fp32 = peak_fp32;
  return s;
}
