// Every failure that the runner reports: the fields of edgekit.job.JobFailure.
#pragma once

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace edgekit {

// `kind` is one of edgekit.errors' kinds; the runner itself raises "usage", "device" and "runtime".
struct Failure : std::runtime_error {
  Failure(std::string kind_, const std::string& message, std::string where_, std::string next_step_ = "")
      : std::runtime_error(message),
        kind(std::move(kind_)),
        where(std::move(where_)),
        next_step(std::move(next_step_)) {}
  std::string kind, where, next_step;
};

// The request is wrong: a job, an input file, a place that can't be written.
inline Failure usage(const std::string& message, const std::string& where, const std::string& next_step = "") {
  return {"usage", message, where, next_step};
}

// The two sides don't fit each other, or a part of the runner is missing.
inline Failure device(const std::string& message, const std::string& where, const std::string& next_step) {
  return {"device", message, where, next_step};
}

// A runtime refused a file or failed on it.
inline Failure runtime(const std::string& what, const std::string& detail, const std::string& where) {
  return {"runtime", "The runtime could not " + what + ": " + detail, where,
          "Convert the model again with this edgekit, and check that the file was copied completely."};
}

inline std::string last_error() { return std::strerror(errno); }

}  // namespace edgekit
