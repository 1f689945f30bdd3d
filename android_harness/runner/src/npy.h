// .npy stacks of samples: a leading axis over the samples, then one sample's own shape.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "array.h"
#include "files.h"

namespace edgekit {

// What the header of a .npy file says.
struct NpyHeader {
  const ElementType* type = nullptr;
  std::vector<std::int64_t> shape;
};

// Parse the dictionary of a header. Throws std::invalid_argument with what is wrong: no dictionary of this form, a
// type that is not one plain number, another byte order, or Fortran order.
NpyHeader parse_npy_header(std::string_view text);

// The beginning of a file of format version 1.0 up to the first element, byte by byte as numpy writes it.
std::string npy_head(const ElementType& type, const std::vector<std::int64_t>& shape);

// A stack that is read sample by sample.
class InputStack {
 public:
  // Throws Failure ("usage") unless it is a whole .npy file with at least one axis.
  explicit InputStack(const std::string& path);
  std::int64_t count() const { return count_; }
  // Throws Failure ("usage") if the file has become shorter meanwhile.
  Array sample(std::int64_t index) const;

 private:
  std::string path_;
  OpenFile file_;
  const ElementType* type_ = nullptr;
  std::int64_t count_ = 0;
  std::vector<std::int64_t> shape_;
  std::size_t bytes_ = 0;
  off_t begin_ = 0;
};

// Stacks of equally many samples, at least one. Throws Failure ("usage").
std::vector<std::unique_ptr<InputStack>> open_inputs(const std::vector<std::string>& paths);

// output_K.npy under construction: FOLDER/output_K.npy.part until finish().
class OutputStack {
 public:
  // Reserves the room for every sample at once. Throws Failure ("usage"), also from the other calls.
  OutputStack(const std::string& folder, std::size_t k, std::int64_t count, const Array& like);
  bool fits(const Array& value) const { return value.type == type_ && value.shape == shape_; }
  void write(std::int64_t index, const Array& value);
  // The path of the finished file.
  std::string finish();

 private:
  std::string path_;
  OpenFile file_;
  const ElementType* type_;
  std::vector<std::int64_t> shape_;
  off_t begin_ = 0;
};

// Make a directory and those above it. Throws Failure ("usage").
void make_folders(const std::string& path);

}  // namespace edgekit
