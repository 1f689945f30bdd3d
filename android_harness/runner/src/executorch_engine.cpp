// ExecuTorch: .pte files by the C++ libraries of the executorch wheel (XNNPACK, optimized and quantized kernels).
#include <executorch/extension/data_loader/mmap_data_loader.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/runtime.h>

#include <cstring>

#include "engine.h"
#include "executorch_tracer.h"
#include "failure.h"

// The wheel ships the library but not the header of its thread pool (extension/threadpool/threadpool.h).
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  std::size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(std::uint32_t new_thread_count);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace edgekit {
namespace {

namespace et = executorch::runtime;
using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;
using executorch::extension::MallocMemoryAllocator;
using executorch::extension::MmapDataLoader;

struct NamedType {
  ScalarType type;
  const char* name;
};
constexpr NamedType kTypes[] = {
    {ScalarType::Byte, "uint8"},   {ScalarType::Char, "int8"},     {ScalarType::Short, "int16"},
    {ScalarType::Int, "int32"},    {ScalarType::Long, "int64"},    {ScalarType::Half, "float16"},
    {ScalarType::Float, "float32"}, {ScalarType::Double, "float64"}, {ScalarType::Bool, "bool"}};

const ElementType* element_of(ScalarType type) {
  for (const NamedType& row : kTypes) {
    if (row.type == type) return element_type(row.name);
  }
  return nullptr;
}

ScalarType scalar_of(const ElementType& type) {
  for (const NamedType& row : kTypes) {
    if (std::strcmp(row.name, type.name) == 0) return row.type;
  }
  throw usage(std::string("ExecuTorch has no type ") + type.name + ".", "inputs", "Give inputs of the model's types.");
}

// One loaded method with everything it points into, destroyed in reverse order.
struct Loaded {
  Loaded(MmapDataLoader&& from) : loader(std::move(from)) {}
  MmapDataLoader loader;
  std::unique_ptr<et::Program> program;
  std::vector<std::vector<std::uint8_t>> arenas, output_storage;
  std::vector<et::Span<std::uint8_t>> spans;
  std::unique_ptr<et::HierarchicalAllocator> planned;
  MallocMemoryAllocator kept, temporary;
  std::unique_ptr<et::MemoryManager> memory;
  std::unique_ptr<et::Method> method;
};

// A tensor that points into its own copy of the data.
struct BoundInput {
  explicit BoundInput(const Array& value)
      : data(value.data), sizes(value.shape.begin(), value.shape.end()), order(sizes.size()), strides(sizes.size()) {
    for (std::size_t i = sizes.size(), step = 1; i-- > 0; step *= static_cast<std::size_t>(sizes[i])) {
      order[i] = static_cast<std::uint8_t>(i);
      strides[i] = static_cast<std::int32_t>(step);
    }
    impl = std::make_unique<TensorImpl>(scalar_of(*value.type), sizes.size(), sizes.data(), data.data(), order.data(),
                                        strides.data());
  }
  std::vector<std::uint8_t> data;
  std::vector<std::int32_t> sizes;
  std::vector<std::uint8_t> order;
  std::vector<std::int32_t> strides;
  std::unique_ptr<TensorImpl> impl;
};

// The elements in row-major order, whatever order the model keeps them in.
Array copy_of(const Tensor& tensor, const ElementType* type) {
  Array value{type, {tensor.sizes().begin(), tensor.sizes().end()}, {}};
  const auto* from = static_cast<const std::uint8_t*>(tensor.const_data_ptr());
  const auto strides = tensor.strides();
  value.data.resize(static_cast<std::size_t>(tensor.numel()) * type->bytes);
  std::vector<std::int64_t> index(value.shape.size(), 0);
  for (std::size_t to = 0; to < value.data.size(); to += type->bytes) {
    std::int64_t offset = 0;
    for (std::size_t axis = 0; axis < index.size(); ++axis) offset += index[axis] * strides[axis];
    std::memcpy(value.data.data() + to, from + static_cast<std::size_t>(offset) * type->bytes, type->bytes);
    for (std::size_t axis = index.size(); axis-- > 0 && ++index[axis] == value.shape[axis];) index[axis] = 0;
  }
  return value;
}

class Executorch final : public Engine {
 public:
  Executorch() { et::runtime_init(); }

  void load(const std::string& path, int threads) override {
    loaded_.reset();
    path_ = path;
    auto* pool = executorch::extension::threadpool::get_threadpool();
    const auto wanted = static_cast<std::size_t>(threads);
    if (pool != nullptr && pool->get_thread_count() != wanted) {
      pool->_unsafe_reset_threadpool(static_cast<std::uint32_t>(threads));
    }
    if (pool == nullptr || pool->get_thread_count() != wanted) {
      throw runtime("load the model", "it does not run with " + std::to_string(threads) + " threads here.", path);
    }
    open(nullptr);
  }

  std::vector<InputSpec> specs() override {
    const et::MethodMeta meta = loaded_->method->method_meta();
    std::vector<InputSpec> found;
    for (std::size_t i = 0; i < meta.num_inputs(); ++i) {
      const auto info = meta.input_tensor_meta(i);
      const ElementType* type = info.ok() ? element_of(info->scalar_type()) : nullptr;
      if (type == nullptr) {
        throw usage("Input " + std::to_string(i) + " of the model is no tensor of a type that numpy has.", path_,
                    "Convert a model whose inputs are tensors.");
      }
      found.push_back({"input " + std::to_string(i), {info->sizes().begin(), info->sizes().end()}, type->name});
    }
    return found;
  }

  void bind(const std::vector<Array>& inputs) override {
    inputs_.clear();
    values_.clear();
    for (const Array& value : inputs) {
      inputs_.push_back(std::make_unique<BoundInput>(value));
      values_.emplace_back(Tensor(inputs_.back()->impl.get()));
    }
  }

  // Hands over the inputs and executes, as an app's call of `forward` does. Inputs that were planned into the arena
  // are copied by the runtime on every run: later operators may overwrite them.
  void run() override {
    check(loaded_->method->set_inputs({values_.data(), values_.size()}), "run the model", "its inputs were refused");
    check(loaded_->method->execute(), "run the model", "execution failed");
  }

  std::vector<Array> outputs() override {
    std::vector<Array> found;
    for (std::size_t k = 0; k < loaded_->method->outputs_size(); ++k) {
      const et::EValue& value = loaded_->method->get_output(k);
      const ElementType* type = value.isTensor() ? element_of(value.toTensor().scalar_type()) : nullptr;
      if (type == nullptr) {
        throw runtime("run the model", "output " + std::to_string(k) + " is no tensor that numpy could hold.", path_);
      }
      found.push_back(copy_of(value.toTensor(), type));
    }
    return found;
  }

  OpProfile profile(int runs) override {
    tracer_.clear();
    open(&tracer_);
    for (int i = 0; i < kProfileWarmup; ++i) run();
    tracer_.clear();
    for (int i = 0; i < runs; ++i) run();
    return tracer_.profile(path_);
  }

 private:
  void check(et::Error error, const char* what, const std::string& detail) const {
    if (error != et::Error::Ok) throw runtime(what, detail + " (" + et::to_string(error) + ").", path_);
  }

  void open(et::EventTracer* tracer) {
    loaded_.reset();
    auto loader = MmapDataLoader::from(path_.c_str(), MmapDataLoader::MlockConfig::UseMlockIgnoreErrors);
    check(loader.error(), "load the model", "the file can't be mapped");
    auto made = std::make_unique<Loaded>(std::move(*loader));
    auto program = et::Program::load(&made->loader, et::Program::Verification::InternalConsistency);
    check(program.error(), "load the model", "it is no program of this runtime");
    made->program = std::make_unique<et::Program>(std::move(*program));
    const auto meta = made->program->method_meta("forward");
    check(meta.error(), "load the model", "it has no method forward");
    plan_memory(*made, *meta);
    auto method = made->program->load_method("forward", made->memory.get(), tracer);
    check(method.error(), "load the model", "its method forward can't be loaded");
    made->method = std::make_unique<et::Method>(std::move(*method));
    give_storage(*made, *meta);
    loaded_ = std::move(made);
  }

  void plan_memory(Loaded& made, const et::MethodMeta& meta) const {
    for (std::size_t i = 0; i < meta.num_memory_planned_buffers(); ++i) {
      const auto bytes = meta.memory_planned_buffer_size(i);
      check(bytes.error(), "load the model", "its memory plan is wrong");
      if (*bytes < 0) throw runtime("load the model", "its memory plan is wrong.", path_);
      made.arenas.emplace_back(static_cast<std::size_t>(*bytes));
      made.spans.emplace_back(made.arenas.back().data(), made.arenas.back().size());
    }
    made.planned = std::make_unique<et::HierarchicalAllocator>(
        et::Span<et::Span<std::uint8_t>>(made.spans.data(), made.spans.size()));
    made.memory = std::make_unique<et::MemoryManager>(&made.kept, made.planned.get(), &made.temporary);
  }

  // Outputs that are not in the arena need memory from us.
  void give_storage(Loaded& made, const et::MethodMeta& meta) const {
    for (std::size_t k = 0; k < meta.num_outputs(); ++k) {
      const auto info = meta.output_tensor_meta(k);
      if (!info.ok() || info->is_memory_planned() || info->nbytes() == 0) continue;
      made.output_storage.emplace_back(info->nbytes());
      std::vector<std::uint8_t>& storage = made.output_storage.back();
      const et::Error error = made.method->set_output_data_ptr(storage.data(), storage.size(), k);
      check(error, "load the model", "output " + std::to_string(k) + " takes no memory");
    }
  }

  std::string path_;
  std::vector<std::unique_ptr<BoundInput>> inputs_;
  std::vector<et::EValue> values_;
  Tracer tracer_;
  std::unique_ptr<Loaded> loaded_;  // after what it points to
};

}  // namespace
}  // namespace edgekit

extern "C" edgekit::Engine* edgekit_create_engine() { return new edgekit::Executorch(); }
