// LiteRT: the first signature of a .tflite on the CPU by CompiledModel (XNNPACK, LiteRT's default there).
#include <cstdlib>
#include <cstring>

#include "engine.h"
#include "failure.h"
#include "litert_api.h"
#include "litert_profile.h"

namespace edgekit {
namespace {

using litert::Api;
using litert::Handle;

struct NumberedType {
  int number;
  const char* name;
};
// LiteRtElementType, of the types that numpy has.
constexpr NumberedType kTypes[] = {{1, "float32"}, {2, "int32"},    {3, "uint8"},    {4, "int64"},
                                   {6, "bool"},    {7, "int16"},    {9, "int8"},     {10, "float16"},
                                   {11, "float64"}, {13, "uint64"}, {16, "uint32"}, {17, "uint16"}};

const ElementType* element_of(int number) {
  for (const NumberedType& row : kTypes) {
    if (row.number == number) return element_type(row.name);
  }
  return nullptr;
}

std::vector<std::int64_t> shape_of(const litert::TensorType& type) {
  return {type.sizes, type.sizes + std::min<unsigned>(type.rank, 8)};
}

// Handles of one model, released in reverse order.
class Model {
 public:
  Model(const Api& api, Handle environment, const std::string& path, int threads, bool profiling)
      : api_(api), environment_(environment) {
    try {
      open(path, threads, profiling);
    } catch (...) {
      close();
      throw;
    }
  }
  ~Model() { close(); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  std::vector<InputSpec> specs;

  void fill(std::size_t index, const Array& value) const {
    std::size_t size = 0;
    void* address = nullptr;
    api_.buffer_size(inputs_[index], &size);
    if (size < value.data.size()) {
      throw std::runtime_error("its input buffer holds " + std::to_string(size) + " bytes, the input has " +
                               std::to_string(value.data.size()) + ".");
    }
    api_.lock(inputs_[index], &address, litert::kLockWrite);
    std::memcpy(address, value.data.data(), value.data.size());
    api_.unlock(inputs_[index]);
  }

  void run() {
    api_.run(compiled_, std::size_t{0}, inputs_.size(), inputs_.data(), outputs_.size(), outputs_.data());
  }

  std::vector<Array> outputs() const {
    std::vector<Array> found;
    for (Handle buffer : outputs_) found.push_back(read(buffer));
    return found;
  }

  std::vector<litert::ProfilerEvent> profiled(int runs) {
    Handle profiler = nullptr;
    api_.get_profiler(compiled_, &profiler);
    api_.reset_profiler(profiler);
    api_.start_profiler(profiler);
    for (int i = 0; i < runs; ++i) run();
    api_.stop_profiler(profiler);
    int count = 0;
    api_.num_events(profiler, &count);
    if (count < 0 || static_cast<std::size_t>(count) > kMaxEvents) {
      throw std::runtime_error("there were more than a million events; ask for fewer runs.");
    }
    std::vector<litert::Event> raw(static_cast<std::size_t>(count));
    if (count > 0) api_.get_events(profiler, count, raw.data());
    return copied(raw);
  }

 private:
  static std::vector<litert::ProfilerEvent> copied(const std::vector<litert::Event>& raw) {
    std::vector<litert::ProfilerEvent> events;
    // A type that LiteRT does not have shows another layout; then nothing else in the array may be followed.
    for (const litert::Event& event : raw) {
      if (!litert::is_known_type(event.type)) return {{"", 0, 0}};
    }
    for (const litert::Event& event : raw) {
      events.push_back({event.tag == nullptr ? "" : event.tag, event.type, event.elapsed_us});
    }
    return events;
  }

  void open(const std::string& path, int threads, bool profiling) {
    api_.create_model(environment_, path.c_str(), &model_);
    api_.create_options(&options_);
    api_.set_accelerators(options_, litert::kCpuAccelerator);
    if (profiling) add_options("runtime_options_string", "enable_profiling = true\n");
    add_options("xnnpack", "num_threads = " + std::to_string(threads) + "\n");
    api_.create_compiled(environment_, model_, options_, &compiled_);
    Handle signature = nullptr;
    api_.get_signature(model_, std::size_t{0}, &signature);
    std::size_t count = 0;
    api_.num_inputs(signature, &count);
    for (std::size_t i = 0; i < count; ++i) add_input(signature, i);
    api_.num_outputs(signature, &count);
    for (std::size_t i = 0; i < count; ++i) add_output(signature, i);
  }

  void add_options(const char* kind, const std::string& payload) {
    Handle made = nullptr;
    // The options own the text and free it by the function given here.
    void (*const release)(void*) = std::free;
    api_.create_opaque(kind, static_cast<void*>(strdup(payload.c_str())), release, &made);
    api_.add_opaque(options_, made);
  }

  litert::TensorType type_of(Handle tensor, const std::string& name) const {
    litert::TensorType type{};
    api_.ranked_type(tensor, &type);
    if (type.rank > 8 || element_of(type.element_type) == nullptr) {
      throw std::runtime_error(name + " has more than 8 axes or a type that numpy lacks.");
    }
    return type;
  }

  void add_input(Handle signature, std::size_t index) {
    const char* name = nullptr;
    Handle tensor = nullptr, wants = nullptr, buffer = nullptr;
    api_.input_name(signature, index, &name);
    api_.input_tensor(signature, index, &tensor);
    const litert::TensorType type = type_of(tensor, name);
    specs.push_back({name, shape_of(type), element_of(type.element_type)->name});
    api_.input_requirements(compiled_, std::size_t{0}, index, &wants);
    api_.create_buffer(environment_, &type, wants, &buffer);
    inputs_.push_back(buffer);
  }

  void add_output(Handle signature, std::size_t index) {
    Handle tensor = nullptr, wants = nullptr, buffer = nullptr;
    api_.output_tensor(signature, index, &tensor);
    const litert::TensorType type = type_of(tensor, "output " + std::to_string(index));
    api_.output_requirements(compiled_, std::size_t{0}, index, &wants);
    api_.create_buffer(environment_, &type, wants, &buffer);
    outputs_.push_back(buffer);
  }

  Array read(Handle buffer) const {
    litert::TensorType type{};
    api_.buffer_type(buffer, &type);
    Array value{element_of(type.element_type), shape_of(type), {}};
    std::size_t size = 0;
    api_.buffer_size(buffer, &size);
    const auto bytes = value.type == nullptr ? std::nullopt : bytes_of(value.shape, value.type->bytes);
    if (!bytes || *bytes > size) throw std::runtime_error("an output has no fixed shape.");
    void* address = nullptr;
    api_.lock(buffer, &address, litert::kLockRead);
    const auto* from = static_cast<const std::uint8_t*>(address);
    value.data.assign(from, from + *bytes);
    api_.unlock(buffer);
    return value;
  }

  void close() {
    for (Handle buffer : outputs_) api_.destroy_buffer.release(buffer);
    for (Handle buffer : inputs_) api_.destroy_buffer.release(buffer);
    if (compiled_ != nullptr) api_.destroy_compiled.release(compiled_);
    if (options_ != nullptr) api_.destroy_options.release(options_);
    if (model_ != nullptr) api_.destroy_model.release(model_);
  }

  const Api& api_;
  Handle environment_, model_ = nullptr, options_ = nullptr, compiled_ = nullptr;
  std::vector<Handle> inputs_, outputs_;
};

class LiteRt final : public Engine {
 public:
  // The environment is set up here, outside the timed load.
  LiteRt() : api_(Api::open()) {
    api_.create_environment(0, static_cast<const void*>(nullptr), &environment_);
  }

  void load(const std::string& path, int threads) override {
    model_.reset();
    path_ = path, threads_ = threads;
    calling("load the model", [&] { model_ = std::make_unique<Model>(api_, environment_, path, threads, false); });
  }

  std::vector<InputSpec> specs() override { return model_->specs; }

  void bind(const std::vector<Array>& inputs) override {
    inputs_ = inputs;
    fill();
  }

  void run() override {
    calling("run the model", [&] { model_->run(); });
  }

  std::vector<Array> outputs() override {
    std::vector<Array> found;
    calling("run the model", [&] { found = model_->outputs(); });
    return found;
  }

  OpProfile profile(int runs) override {
    OpProfile found;
    calling("profile the model", [&] {
      model_.reset();
      model_ = std::make_unique<Model>(api_, environment_, path_, threads_, true);
      fill();
      for (int i = 0; i < kProfileWarmup; ++i) model_->run();
      found = litert::read_events(model_->profiled(runs));
    });
    return found;
  }

 private:
  // Turn the API's failures into the typed one: "could not `what`".
  template <typename Action>
  void calling(const char* what, const Action& action) const {
    try {
      action();
    } catch (const Failure&) {
      throw;
    } catch (const std::exception& error) {
      throw runtime(what, error.what(), path_);
    }
  }

  void fill() {
    calling("take the inputs", [&] {
      for (std::size_t i = 0; i < inputs_.size(); ++i) model_->fill(i, inputs_[i]);
    });
  }

  Api api_;
  Handle environment_ = nullptr;
  std::string path_;
  int threads_ = 1;
  std::vector<Array> inputs_;
  std::unique_ptr<Model> model_;
};

}  // namespace
}  // namespace edgekit

extern "C" edgekit::Engine* edgekit_create_engine() { return new edgekit::LiteRt(); }
