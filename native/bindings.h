// What both files of bindings share: the kinds of arrays, and the checks of weights.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "section.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace homezoo;

namespace bindings {

using Rows = nb::ndarray<const uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;  // [N, row bytes]
using Floats = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Doubles = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Ids = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Pages = nb::ndarray<uint8_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;  // [blocks, G, 64, row bytes]
using NewMatrix = nb::ndarray<nb::numpy, float, nb::ndim<2>>;

// An argument that must be of the type already: programs keep pointers, and a converted copy would not outlive the call.
inline auto array(const char* name) { return nb::arg(name).noconvert(); }

inline Weight weight_of(const Rows& rows, int type, int width) {
  if (type < 0 || type >= kTypes || !block_size_of(type))
    throw std::invalid_argument("no kernel for tensor type " + std::to_string(type));
  if (width < 1 || width % block_size_of(type))
    throw std::invalid_argument("a width of " + std::to_string(width) + " is no whole number of blocks");
  const size_t expected = size_t(width / block_size_of(type)) * size_t(block_bytes_of(type));
  if (rows.shape(1) != expected)
    throw std::invalid_argument("rows of " + std::to_string(rows.shape(1)) + " bytes, expected " +
                                std::to_string(expected) + " for " + std::to_string(width) + " values");
  return {rows.data(), rows.shape(1), width};
}

inline Weight weight_of(const Matrix& m) {
  return {reinterpret_cast<const uint8_t*>(m.data()), m.shape(1) * sizeof(float), int(m.shape(1))};
}

inline std::vector<float> copy_of(const Floats& a) { return {a.data(), a.data() + a.shape(0)}; }

inline NewMatrix new_matrix(size_t rows, size_t width) {
  float* data = new float[rows * width ? rows * width : 1];
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<float*>(p); });
  return NewMatrix(data, {rows, width}, owner);
}

void bind_training(nb::module_& m);

}  // namespace bindings
