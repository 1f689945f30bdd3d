// Job documents, read strictly: a harness must not guess what an unknown field was meant to change.
#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "documents.h"
#include "failure.h"
#include "json.h"

namespace edgekit {
namespace {

using json::Type;
using json::Value;

Failure invalid(const std::string& what) { return usage("The job is not valid: " + what, "job"); }

// The members of one object; every one that is asked for is ticked off, and what is left at the end is refused.
class Fields {
 public:
  Fields(const Value& object, std::string name) : object_(object), name_(std::move(name)) {
    if (object.type != Type::Object) throw invalid(name_ + " is not an object.");
  }

  const Value* optional(const char* field) {
    known_.emplace_back(field);
    return object_.find(field);
  }

  const Value& required(const char* field) {
    const Value* found = optional(field);
    if (found == nullptr) throw invalid("it lacks the field " + of(field) + ".");
    return *found;
  }

  void end() const {
    for (const auto& [field, value] : object_.members) {
      if (std::find(known_.begin(), known_.end(), field) == known_.end()) {
        throw invalid("it has the unknown field " + of(field) + ".");
      }
    }
  }

  std::string of(const std::string& field) const { return name_.empty() ? field : name_ + "." + field; }

  std::string text(const char* field) { return text_of(required(field), of(field)); }

  static std::string text_of(const Value& value, const std::string& name) {
    if (value.type != Type::String) throw invalid(name + " is not a string.");
    if (value.text.find('\0') != std::string::npos) throw invalid(name + " holds a zero byte.");
    return value.text;
  }

  std::string one_of(const char* field, std::initializer_list<const char*> allowed) {
    std::string found = text(field);
    if (std::find(allowed.begin(), allowed.end(), found) == allowed.end()) {
      throw invalid(of(field) + " is " + found + ", which this harness does not know.");
    }
    return found;
  }

  void integer(const char* field, std::int64_t& into) {
    const Value* found = optional(field);
    if (found != nullptr) into = integer_of(*found, of(field));
  }

  static std::int64_t integer_of(const Value& value, const std::string& name) {
    if (value.type != Type::Int) throw invalid(name + " is not an integer.");
    return value.integer;
  }

  void number(const char* field, double& into) {
    const Value* found = optional(field);
    if (found == nullptr) return;
    if (found->type != Type::Int && found->type != Type::Float) throw invalid(of(field) + " is not a number.");
    into = found->number;
  }

  const std::vector<Value>& array(const Value& value, const char* field) const {
    if (value.type != Type::Array) throw invalid(of(field) + " is not an array.");
    return value.items;
  }

 private:
  const Value& object_;
  std::string name_;
  std::vector<std::string> known_;
};

Plan read_plan(const Value& value) {
  Plan plan;
  Fields fields(value, "plan");
  fields.integer("warmup_min_runs", plan.warmup_min_runs);
  fields.number("warmup_min_seconds", plan.warmup_min_seconds);
  fields.number("warmup_max_seconds", plan.warmup_max_seconds);
  fields.integer("min_runs", plan.min_runs);
  fields.number("min_seconds", plan.min_seconds);
  fields.number("max_seconds", plan.max_seconds);
  fields.integer("repeats", plan.repeats);
  fields.end();
  return plan;
}

void check_version(const Value& document, const std::string& version) {
  const Value* found = document.find("harness_version");
  if (found == nullptr || found->type != Type::String) {
    throw usage("The job is not a job document: it names no harness_version.", "job");
  }
  if (found->text != version) {
    throw device("The job is for harness " + found->text + ", but this harness is " + version + ".", "harness",
                 "Install the same version of edgekit on both sides.");
  }
}

void read_places(Fields& fields, Job& job) {
  for (const Value& input : fields.array(fields.required("inputs"), "inputs")) {
    job.inputs.push_back(Fields::text_of(input, "inputs"));
  }
  const Value* folder = fields.optional("outputs_dir");
  if (folder != nullptr && folder->type != Type::Null) job.outputs_dir = Fields::text_of(*folder, "outputs_dir");
  const Value* cores = fields.optional("affinity");
  if (cores != nullptr && cores->type != Type::Null) {
    job.affinity.emplace();
    for (const Value& core : fields.array(*cores, "affinity")) {
      job.affinity->push_back(Fields::integer_of(core, "affinity"));
    }
  }
}

}  // namespace

Job read_job(std::string_view text, const std::string& version) {
  Value document;
  try {
    document = json::parse(text);
  } catch (const json::ParseError& error) {
    throw usage(std::string("The job is not a job document: ") + error.what(), "job");
  }
  check_version(document, version);
  Fields fields(document, "");
  Job job;
  std::int64_t schema = 1;
  fields.integer("schema", schema);
  if (schema != 1) throw invalid("schema is " + std::to_string(schema) + ", which this harness does not know.");
  fields.required("harness_version");
  job.mode = fields.one_of("mode", {"describe", "outputs", "measure", "memory", "profile"});
  job.engine = fields.one_of("engine", {"executorch", "litert", "onnxruntime"});
  job.artifact = fields.text("artifact");
  job.artifact_sha256 = fields.text("artifact_sha256");
  read_places(fields, job);
  fields.integer("threads", job.threads);
  const Value* plan = fields.optional("plan");
  if (plan != nullptr) job.plan = read_plan(*plan);
  fields.end();
  return job;
}

}  // namespace edgekit
