// ExecuTorch: the method `forward` of a .pte, by the C++ libraries in runner/runtime (XNNPACK, optimized and quantized
// kernels). Built against the headers in the executorch wheel of the same version.
#include <executorch/extension/data_loader/mmap_data_loader.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/runtime.h>

#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "ek_engine.h"

// The wheel ships the library but not the header of its thread pool (extension/threadpool/threadpool.h).
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  std::size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(std::uint32_t new_thread_count);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

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
    {ScalarType::Byte, "uint8"},    {ScalarType::Char, "int8"},      {ScalarType::Short, "int16"},
    {ScalarType::Int, "int32"},     {ScalarType::Long, "int64"},     {ScalarType::Half, "float16"},
    {ScalarType::Float, "float32"}, {ScalarType::Double, "float64"}, {ScalarType::Bool, "bool"}};

bool is_type(ScalarType type, const char* dtype) {
  for (const NamedType& row : kTypes) {
    if (row.type == type) return std::strcmp(row.name, dtype) == 0;
  }
  return false;
}

template <typename Sizes>
bool has_shape(const Sizes& sizes, const ek_tensor& tensor) {
  bool equal = sizes.size() == tensor.rank;
  for (std::size_t i = 0; equal && i < tensor.rank; ++i) equal = sizes[i] == tensor.shape[i];
  return equal;
}

// The facts of one input that its tensor points to; the data is the caller's.
struct Input {
  explicit Input(const ek_tensor& tensor)
      : sizes(tensor.shape, tensor.shape + tensor.rank), order(sizes.size()), strides(sizes.size()) {
    for (std::size_t i = sizes.size(), step = 1; i-- > 0; step *= static_cast<std::size_t>(sizes[i])) {
      order[i] = static_cast<std::uint8_t>(i);
      strides[i] = static_cast<std::int32_t>(step);
    }
  }
  std::vector<std::int32_t> sizes;
  std::vector<std::uint8_t> order;
  std::vector<std::int32_t> strides;
  ScalarType type = ScalarType::Undefined;
  std::unique_ptr<TensorImpl> impl;
};

// One loaded method with everything it points into, destroyed in reverse order.
struct Loaded {
  Loaded(MmapDataLoader&& from, const ek_contract& contract_) : contract(contract_), loader(std::move(from)) {}
  const ek_contract& contract;
  MmapDataLoader loader;
  std::unique_ptr<et::Program> program;
  std::vector<std::vector<std::uint8_t>> arenas, output_storage;
  std::vector<et::Span<std::uint8_t>> spans;
  std::unique_ptr<et::HierarchicalAllocator> planned;
  MallocMemoryAllocator kept, temporary;
  std::unique_ptr<et::MemoryManager> memory;
  std::unique_ptr<et::Method> method;
  std::vector<std::unique_ptr<Input>> inputs;
};

int refused(const char* what, et::Error error) {
  return ek_fail(EK_REFUSED, "ExecuTorch could not %s (%s).", what, et::to_string(error));
}

// The process has one pool of threads, which every ExecuTorch model in it shares.
int set_threads(int threads) {
  auto* pool = executorch::extension::threadpool::get_threadpool();
  const auto wanted = static_cast<std::size_t>(threads);
  if (pool != nullptr && pool->get_thread_count() != wanted) {
    pool->_unsafe_reset_threadpool(static_cast<std::uint32_t>(threads));
  }
  if (pool != nullptr && pool->get_thread_count() == wanted) return EK_OK;
  return ek_fail(EK_REFUSED, "ExecuTorch does not run with %d threads here.", threads);
}

int plan_memory(Loaded& made, const et::MethodMeta& meta) {
  for (std::size_t i = 0; i < meta.num_memory_planned_buffers(); ++i) {
    const auto bytes = meta.memory_planned_buffer_size(i);
    if (!bytes.ok() || *bytes < 0) return ek_fail(EK_REFUSED, "The file's memory plan is wrong.");
    made.arenas.emplace_back(static_cast<std::size_t>(*bytes));
    made.spans.emplace_back(made.arenas.back().data(), made.arenas.back().size());
  }
  made.planned = std::make_unique<et::HierarchicalAllocator>(
      et::Span<et::Span<std::uint8_t>>(made.spans.data(), made.spans.size()));
  made.memory = std::make_unique<et::MemoryManager>(&made.kept, made.planned.get(), &made.temporary);
  return EK_OK;
}

int check_tensors(Loaded& made, const et::MethodMeta& meta) {
  const ek_contract& contract = made.contract;
  if (meta.num_inputs() != contract.input_count || meta.num_outputs() != contract.output_count) {
    return ek_fail(EK_REFUSED, "The file has other numbers of inputs or outputs than the bundle says.");
  }
  for (std::size_t i = 0; i < contract.input_count + contract.output_count; ++i) {
    const bool is_input = i < contract.input_count;
    const std::size_t k = is_input ? i : i - contract.input_count;
    const ek_tensor& tensor = is_input ? contract.inputs[k] : contract.outputs[k];
    const auto info = is_input ? meta.input_tensor_meta(k) : meta.output_tensor_meta(k);
    if (!info.ok() || !is_type(info->scalar_type(), tensor.dtype) || !has_shape(info->sizes(), tensor)) {
      return ek_fail(EK_REFUSED, "The file's tensor %s has another type or shape than the bundle says.", tensor.name);
    }
    if (!is_input) continue;
    made.inputs.push_back(std::make_unique<Input>(tensor));
    made.inputs.back()->type = info->scalar_type();
  }
  return EK_OK;
}

// Outputs that are not in the arena need memory from us.
int give_storage(Loaded& made, const et::MethodMeta& meta) {
  for (std::size_t k = 0; k < meta.num_outputs(); ++k) {
    const auto info = meta.output_tensor_meta(k);
    if (!info.ok() || info->is_memory_planned() || info->nbytes() == 0) continue;
    made.output_storage.emplace_back(info->nbytes());
    std::vector<std::uint8_t>& storage = made.output_storage.back();
    const et::Error error = made.method->set_output_data_ptr(storage.data(), storage.size(), k);
    if (error != et::Error::Ok) return refused("give an output memory", error);
  }
  return EK_OK;
}

int open_file(const ek_load& load, std::unique_ptr<Loaded>& into) {
  auto loader = MmapDataLoader::from(load.path, MmapDataLoader::MlockConfig::UseMlockIgnoreErrors);
  if (!loader.ok()) return refused("map the file", loader.error());
  auto made = std::make_unique<Loaded>(std::move(*loader), *load.contract);
  auto program = et::Program::load(&made->loader, et::Program::Verification::InternalConsistency);
  if (!program.ok()) return refused("read the file", program.error());
  made->program = std::make_unique<et::Program>(std::move(*program));
  const auto meta = made->program->method_meta("forward");
  if (!meta.ok()) return refused("find its method forward", meta.error());
  int status = check_tensors(*made, *meta);
  if (status == EK_OK) status = plan_memory(*made, *meta);
  if (status != EK_OK) return status;
  auto method = made->program->load_method("forward", made->memory.get());
  if (!method.ok()) return refused("load its method forward", method.error());
  made->method = std::make_unique<et::Method>(std::move(*method));
  status = give_storage(*made, *meta);
  if (status == EK_OK) into = std::move(made);
  return status;
}

// The elements in row-major order, whatever order the model keeps them in.
int copy_out(const Tensor& tensor, const ek_tensor& expected, void* to) {
  if (!is_type(tensor.scalar_type(), expected.dtype) || !has_shape(tensor.sizes(), expected)) {
    return ek_fail(EK_REFUSED, "The output %s came in another shape than the bundle says.", expected.name);
  }
  const auto* from = static_cast<const std::uint8_t*>(tensor.const_data_ptr());
  const std::size_t width = tensor.element_size();
  std::int64_t index[EK_MAX_RANK] = {};
  for (std::size_t at = 0; at < expected.bytes; at += width) {
    std::int64_t offset = 0;
    for (std::size_t axis = 0; axis < expected.rank; ++axis) offset += index[axis] * tensor.strides()[axis];
    std::memcpy(static_cast<std::uint8_t*>(to) + at, from + static_cast<std::size_t>(offset) * width, width);
    for (std::size_t axis = expected.rank; axis-- > 0 && ++index[axis] == expected.shape[axis];) index[axis] = 0;
  }
  return EK_OK;
}

// No exception may leave this file: its callers are C. What can be thrown here is a lack of memory.
template <typename Action>
int guarded(const Action& action) {
  try {
    return action();
  } catch (const std::bad_alloc&) {
    return ek_fail(EK_NO_MEMORY, "There is no memory left.");
  } catch (...) {
    return ek_fail(EK_REFUSED, "ExecuTorch failed.");
  }
}

int open_model(const ek_load* load, void** made) {
  return guarded([&] {
    std::unique_ptr<Loaded> loaded;
    et::runtime_init();
    int status = set_threads(load->threads);
    if (status == EK_OK) status = open_file(*load, loaded);
    *made = loaded.release();
    return status;
  });
}

int run_model(void* made, const void* const* inputs, void* const* outputs) {
  return guarded([&] {
    Loaded& self = *static_cast<Loaded*>(made);
    std::vector<et::EValue> values;
    for (std::size_t k = 0; k < self.inputs.size(); ++k) {
      Input& input = *self.inputs[k];
      // The runtime only reads inputs, or copies them into its arena.
      input.impl = std::make_unique<TensorImpl>(input.type, input.sizes.size(), input.sizes.data(),
                                                const_cast<void*>(inputs[k]), input.order.data(), input.strides.data());
      values.emplace_back(Tensor(input.impl.get()));
    }
    et::Error error = self.method->set_inputs({values.data(), values.size()});
    if (error == et::Error::Ok) error = self.method->execute();
    if (error != et::Error::Ok) return refused("run the model", error);
    int status = EK_OK;
    for (std::size_t k = 0; status == EK_OK && k < self.contract.output_count; ++k) {
      status = copy_out(self.method->get_output(k).toTensor(), self.contract.outputs[k], outputs[k]);
    }
    return status;
  });
}

void close_model(void* made) { delete static_cast<Loaded*>(made); }

}  // namespace

extern "C" const ek_engine ek_executorch = {"executorch", open_model, run_model, close_model};
