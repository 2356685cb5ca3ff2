// Proves a section against the plain one on noise, before it is used.
#pragma once
#include "section.h"

namespace homezoo {

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

// True when both sections give the same bits for this format, few tokens and many.
bool agrees(const Section& fast, const Section& plain, const Layout& layout);

// The same for gradients, of a product in one format (they take rows that are floats already) and of attention.
bool gradients_agree(const Section& fast, const Section& plain);

}  // namespace homezoo
