// `runner JOB.json ENVELOPE.json`: do one job, write one answer, exit.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>

#include "build_facts.h"
#include "documents.h"
#include "engines.h"
#include "failure.h"
#include "files.h"
#include "json.h"
#include "modes.h"

namespace edgekit {
namespace {

constexpr char kUsage[] =
    "usage: runner [--die-with-parent] JOB.json ENVELOPE.json\n"
    "       runner --version\n";

void verify(const Job& job) {
  const std::string found = sha256_of(job.artifact);
  if (found != job.artifact_sha256) {
    throw device("The artifact's sha256 is " + found.substr(0, 16) + "…, but the job is for " +
                     job.artifact_sha256.substr(0, 16) + "….",
                 job.artifact, "The file changed since it was converted: convert it again.");
  }
  if (job.threads < 1 || job.threads > 1024 || (job.inputs.empty() && job.mode != "describe")) {
    throw usage("A job needs at least one input file and between 1 and 1024 threads.", job.artifact);
  }
}

JobResult execute(const std::string& job_file) {
  // One byte more than a job may have, so that a longer one is seen to be longer.
  const auto text = read_text(job_file, json::kMaxBytes + 1);
  if (!text) throw usage("The job can't be read: " + last_error(), job_file);
  const Job job = read_job(*text, kHarnessVersion);
  verify(job);
  if (job.affinity) pin(*job.affinity);
  // Never destroyed: unloading a runtime can take seconds, or crash, and can't change a number any more.
  Engine* engine = create_engine(job.engine).release();
  JobResult blank;
  blank.harness = "native";
  blank.harness_version = kHarnessVersion;
  blank.engine = job.engine;
  blank.runtime_version = engine_version(job.engine);
  blank.threads = job.threads;
  blank.started = now_utc();
  return run_mode(job, *engine, blank);
}

std::string answer(const std::string& job_file) {
  try {
    return encode(execute(job_file));
  } catch (const Failure& failure) {
    return encode(JobFailure{failure.kind, failure.what(), failure.where, failure.next_step});
  } catch (const std::exception& error) {
    // The process boundary: whatever else went wrong must reach the host as a document, not as a dead process.
    return encode(JobFailure{"runtime", std::string("The harness failed: ") + error.what(), "harness",
                             "Look whether the device is short of memory; if not, report this message."});
  }
}

void print_version() {
  std::string engines;
  for (const auto& [engine, version] : kEngineVersions) {
    engines += std::string(engines.empty() ? "" : ",") + '"' + engine + "\":\"" + version + '"';
  }
  printf("{\"harness\":\"native\",\"harness_version\":\"%s\",\"abi\":\"%s\",\"engines\":{%s}}\n", kHarnessVersion, kAbi,
         engines.c_str());
}

int main_of(int count, char** arguments) {
  if (count == 2 && std::string(arguments[1]) == "--version") {
    print_version();
    return 0;
  }
  const bool with_parent = count == 4 && std::string(arguments[1]) == "--die-with-parent";
  if (count != 3 && !with_parent) {
    fputs(kUsage, stderr);
    return 2;
  }
  // On the host an edgekit that is killed must not leave a measurement running that would disturb the next one. On a
  // device the parent is a shell, whose end may only mean that the link was lost for a moment.
  if (with_parent) prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string job_file = arguments[count - 2], envelope_file = arguments[count - 1];
  try {
    write_whole(envelope_file, answer(job_file));
  } catch (const Failure& failure) {
    fprintf(stderr, "runner: %s (%s)\n", failure.what(), failure.where.c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace edgekit

int main(int count, char** arguments) {
  const int code = edgekit::main_of(count, arguments);
  fflush(stdout);
  fflush(stderr);
  _exit(code);
}
