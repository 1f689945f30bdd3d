// An array in memory, and the element types that numpy and the runtimes share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace edgekit {

// `code` is numpy's: a letter for the kind, then the bytes of one element.
struct ElementType {
  const char* name;
  const char* code;
  std::size_t bytes;
};

constexpr ElementType kElementTypes[] = {
    {"bool", "b1", 1},    {"uint8", "u1", 1},   {"int8", "i1", 1},    {"uint16", "u2", 2},
    {"int16", "i2", 2},   {"uint32", "u4", 4},  {"int32", "i4", 4},   {"uint64", "u8", 8},
    {"int64", "i8", 8},   {"float16", "f2", 2}, {"float32", "f4", 4}, {"float64", "f8", 8}};

// The row of a numpy dtype name; null if there is none.
inline const ElementType* element_type(const std::string& name) {
  for (const ElementType& row : kElementTypes) {
    if (name == row.name) return &row;
  }
  return nullptr;
}

// Row-major elements in the machine's byte order (little-endian on every machine that this is built for).
struct Array {
  const ElementType* type = nullptr;
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> data;
};

// Bytes of that many elements; empty if a size is negative or the product does not fit.
inline std::optional<std::size_t> bytes_of(const std::vector<std::int64_t>& shape, std::size_t element) {
  std::size_t bytes = element;
  for (const std::int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<std::size_t>(size), &bytes)) return std::nullopt;
  }
  // An object larger than this can't exist; offsets in files are signed too.
  return bytes > static_cast<std::size_t>(PTRDIFF_MAX) ? std::nullopt : std::optional(bytes);
}

}  // namespace edgekit
