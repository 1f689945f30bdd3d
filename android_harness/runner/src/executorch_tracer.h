// Collects ExecuTorch's profiling events in memory, as they end.
#pragma once

#include <executorch/runtime/core/event_tracer.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine.h"

namespace edgekit {

class Tracer final : public executorch::runtime::EventTracer {
 public:
  Tracer() { set_event_tracer_profiling_level(executorch::runtime::EventTracerProfilingLevel::kProfileAllEvents); }

  // Forget what was collected so far.
  void clear();
  // Per-operator times by run and by place within the run. Throws Failure ("runtime") if there were too many events.
  OpProfile profile(const std::string& where) const;

  void create_event_block(const char*) override {}
  executorch::runtime::EventTracerEntry start_profiling(const char* name, executorch::runtime::ChainID chain,
                                                        executorch::runtime::DebugHandle handle) override;
  void end_profiling(executorch::runtime::EventTracerEntry entry) override;
  executorch::runtime::EventTracerEntry start_profiling_delegate(
      const char* name, executorch::runtime::DelegateDebugIntId index) override;
  void end_profiling_delegate(executorch::runtime::EventTracerEntry entry, const void*, std::size_t) override;
  void log_profiling_delegate(const char* name, executorch::runtime::DelegateDebugIntId index,
                              et_timestamp_t start_time, et_timestamp_t end_time, const void*, std::size_t) override;

  // Memory and intermediate values are not looked at.
  void track_allocation(executorch::runtime::AllocatorID, std::size_t) override {}
  executorch::runtime::AllocatorID track_allocator(const char*) override { return 0; }
  executorch::runtime::Result<bool> log_evalue(const executorch::runtime::EValue&,
                                               executorch::runtime::LoggedEValueType) override {
    return false;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(const char*,
                                                                     executorch::runtime::DelegateDebugIntId,
                                                                     const executorch::aten::Tensor&) override {
    return false;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(
      const char*, executorch::runtime::DelegateDebugIntId,
      const executorch::runtime::ArrayRef<executorch::aten::Tensor>) override {
    return false;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(const char*,
                                                                     executorch::runtime::DelegateDebugIntId,
                                                                     const int&) override {
    return false;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(const char*,
                                                                     executorch::runtime::DelegateDebugIntId,
                                                                     const bool&) override {
    return false;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(const char*,
                                                                     executorch::runtime::DelegateDebugIntId,
                                                                     const double&) override {
    return false;
  }
  void set_delegation_intermediate_output_filter(executorch::runtime::EventTracerFilterBase*) override {}

 private:
  struct Event {
    std::string name;
    std::int64_t ns;
    bool delegated;
  };

  std::int64_t begin(const char* name, bool delegated);
  void end(std::int64_t id, et_timestamp_t start);

  std::vector<Event> events_;
  bool overflowed_ = false;
};

}  // namespace edgekit
