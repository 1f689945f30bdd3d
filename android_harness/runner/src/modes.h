// What the runner does for a job: describe, outputs, measure, memory and profile, as edgekit/harness/modes.py.
#pragma once

#include "documents.h"
#include "engine.h"

namespace edgekit {

// Do the job with an engine that is loaded but has no model yet. `blank` holds the fields that every mode answers.
// Throws Failure: "usage" if the inputs can't be read or don't fit the model, "runtime" if the runtime refused.
JobResult run_mode(const Job& job, Engine& engine, const JobResult& blank);

// Bind this process, and the threads it starts from now on, to these cores. Throws Failure ("usage").
void pin(const std::vector<std::int64_t>& affinity);

// The time now as ISO 8601 in UTC, to the millisecond.
std::string now_utc();

// Compare inputs with what the model expects, before a runtime reads memory by them. Throws Failure ("usage").
void check_inputs(const std::vector<InputSpec>& specs, const std::vector<Array>& inputs);

// Medians over the runs; `share` is of the whole run, what the runtime spends between operators included.
std::vector<OpTime> op_times(const OpProfile& found);

}  // namespace edgekit
