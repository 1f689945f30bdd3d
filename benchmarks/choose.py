"""Whether the figures that decide can be trusted: four questions, one table.

- **intervals**: how often fresh cold starts agree with the stated 95% interval of a measurement's median. Many repeats
  of several candidates are made interleaved, by the default plan; three of them at a time state an interval, and the
  median of all the others is the truth that it should contain.
- **gate**: how often ``edgekit check --budget`` fails equal files, and how often it catches a 5% slowdown. Interleaved
  rounds of a file against itself are made by the gate's plan; a trial replays a stretch of them through the gate's own
  decision, the second pass on the rounds that follow. The slowdown multiplies the candidate's real samples by 1.05.
  Trials begin at different rounds of the same series, so they overlap.
- **choice**: two independent sweeps of zoo models on this machine; 100 random questions are put to each. A question is
  answered alike if both choose the same candidate, or if either one says that it can't tell the two apart.
- **store**: benchmarks/store_scale.py, a store with a million measurements.

``python benchmarks/choose.py [intervals gate choice store] [--rounds N] [--sweep-a NAME --sweep-b NAME]``
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from common import EDGEKIT, ROOT, table

from edgekit import paths, prepare
from edgekit.choose.ask import ChooseRequest, answer
from edgekit.convert.request import ConvertRequest
from edgekit.device import lease
from edgekit.device.host import HostDevice
from edgekit.errors import EdgekitError
from edgekit.gate.budget import Regression
from edgekit.gate.decide import Round, decide
from edgekit.gate.rounds import PLAN as GATE_PLAN
from edgekit.gate.speed import changes
from edgekit.measure.plan import Candidate
from edgekit.measure.session import Session
from edgekit.measure.stats import bootstrap_interval, median_interval
from edgekit.model.request import LoadRequest
from edgekit.records import Plan, Repeat
from edgekit.selection import Choice, Constraint, Objective, Standing
from edgekit.store.query import CandidateQuery
from edgekit.store.store import Store

PARTS = ("intervals", "gate", "choice", "store")
# Small, and of different kinds: what a cold start costs differs with the runtime.
POOL = (("mobilenetv3_small_100", "litert"), ("mobilenetv3_small_100", "onnx"), ("mobilenetv2_100", "litert"),
        ("mobilenetv2_100", "onnx"))  # fmt: skip
MODELS = (
    "tinynet_e", "mobilenetv3_small_075", "mobilenetv3_small_100", "mobilenetv2_035", "mobilenetv2_050",
    "tv_mnasnet0_5", "ghostnet_100", "tv_shufflenet_v2_x1_0", "mobilenetv3_large_075", "mobilenetv4_conv_small",
    "mobilenetv3_large_100", "semnasnet_075", "mobileone_s0", "mobilenetv2_100", "spnasnet_100", "fasternet_t0",
    "efficientnet_lite0", "efficientnet_b0", "starnet_s1", "hardcorenas_a", "mobilenetv1_100", "mobilevig_ti",
    "repvit_m0_9", "efficientformerv2_s0",
)  # fmt: skip
SLOWDOWN = 1.05
TRIALS = 200
QUESTIONS = 100
ACCURATE, FAST = Objective(quantity="top1", direction="maximize"), Objective(quantity="p50_ms", direction="minimize")
Row = list[str]


def main() -> None:
    """Run the parts that were asked for and print their rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), help="all by default")
    parser.add_argument("--rounds", type=int, default=60, help="interleaved rounds of intervals and of the gate")
    parser.add_argument("--sweep-a", help="take this stored sweep instead of making one")
    parser.add_argument("--sweep-b")
    asked = parser.parse_args()
    parts = asked.parts or PARTS
    rows: list[Row] = []
    if "intervals" in parts:
        rows += intervals(asked.rounds)
    if "gate" in parts:
        rows += gate(asked.rounds)
    if "choice" in parts:
        rows += choices(asked.sweep_a or sweep("choose-a"), asked.sweep_b or sweep("choose-b"))
    if rows:
        table("Choosing and guarding, on this machine", ("what", "target", "found", "from"), rows)
    if "store" in parts:
        subprocess.run([sys.executable, str(ROOT / "benchmarks" / "store_scale.py")], check=True)


def candidates(names: Sequence[tuple[str, str]]) -> dict[str, Candidate]:
    """Converted files of zoo models, by model and format."""
    found = {}
    for model in dict.fromkeys(model for model, _ in names):
        formats = tuple(format for name, format in names if name == model)
        request = ConvertRequest(load=LoadRequest(spec=f"zoo:{model}"), formats=formats, cache=str(paths.cache_dir()))
        outcome = prepare.convert(request, None, lambda event: None)
        if outcome.errors or outcome.exported is None:
            raise SystemExit(f"{model} was not converted: {outcome.errors}")
        for artifact in outcome.artifacts:
            found[f"{model} {artifact.format}"] = Candidate(artifact, outcome.exported.golden.inputs)
    return found


def interleaved(named: dict[str, Candidate], plan: Plan, rounds: int) -> dict[str, list[Repeat]]:
    """Repeats of every candidate, in rounds over all of them."""
    device = HostDevice()
    sessions = {name: Session(one, device.info(), plan, 1) for name, one in named.items()}
    made: dict[str, list[Repeat]] = {name: [] for name in named}
    with lease.hold("host", wait_s=60), device.conditions(1, "free") as conditions:
        for number in range(rounds):
            for name, session in sessions.items():
                session.repeat(device, conditions, lambda text: None)
                made[name].append(session.repeats.pop())
            print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return made


def intervals(rounds: int) -> list[Row]:
    """Coverage of the stated intervals, and of the bootstrap alone for comparison."""
    plan = Plan()
    pool = interleaved(candidates(POOL), msgspec.structs.replace(plan, repeats=rounds), rounds)
    generator = random.Random(0)
    stated, alone, widths = [], [], []
    for repeats in pool.values():
        samples = [np.asarray(repeat.samples_ns, dtype=np.float64) / 1e6 for repeat in repeats]
        medians = [float(np.median(values)) for values in samples]
        for trial in range(TRIALS):
            drawn = generator.sample(range(rounds), plan.repeats)
            truth = statistics.median(value for index, value in enumerate(medians) if index not in drawn)
            low, high = median_interval([samples[index] for index in drawn], seed=trial)
            stated.append(low <= truth <= high)
            widths.append((high - low) / 2 / truth)
            low, high = bootstrap_interval([samples[index] for index in drawn], seed=trial)
            alone.append(low <= truth <= high)
    spread = [statistics.stdev(np.log([float(np.median(r.samples_ns)) for r in some])) for some in pool.values()]
    basis = f"{len(pool)} candidates × {rounds} cold starts, {len(stated)} draws of {plan.repeats}"
    return [
        ["95% interval contains fresh starts", "90-97%", f"{statistics.fmean(stated):.1%}", basis],
        ["the bootstrap alone would", "", f"{statistics.fmean(alone):.1%}", "the same draws"],
        ["half the interval, median", "", f"{statistics.median(widths):.1%}",
         f"cold starts differ by {min(spread):.1%} to {max(spread):.1%} (standard deviation)"],
    ]  # fmt: skip


def gate(rounds: int) -> list[Row]:
    """Alarms on equal files and on a slowdown of 5%, replayed from real rounds."""
    named = candidates(POOL[:1] + POOL[3:])
    alarms: dict[float, list[bool]] = {1.0: [], SLOWDOWN: []}
    used: list[int] = []
    for name, one in named.items():
        made = interleaved({f"{name} a": one, f"{name} b": one}, GATE_PLAN, 2 * rounds)
        first, second = made.values()
        pairs = [(a, b) if number % 2 else (b, a) for number, (a, b) in enumerate(zip(first, second, strict=True))]
        for factor, found in alarms.items():
            for trial in range(TRIALS // len(named)):
                state, count = replay(pairs, trial * len(pairs) // (TRIALS // len(named)), factor)
                found.append(state == "regressed")
                used.append(count)
    basis = f"{len(named)} candidates × {2 * rounds} real rounds, {len(alarms[1.0])} overlapping trials"
    return [
        ["gate: alarms on equal files", "≤ 2%", f"{statistics.fmean(alarms[1.0]):.1%}", basis],
        ["gate: a 5% slowdown is caught", "≥ 95%", f"{statistics.fmean(alarms[SLOWDOWN]):.1%}", "the same rounds"],
        ["gate: rounds until decided", "", f"{statistics.median(used):.0f} (up to {max(used)})", "both together"],
    ]


def replay(pairs: Sequence[tuple[Repeat, Repeat]], start: int, factor: float) -> tuple[str, int]:
    """The gate's decision on a stretch of real rounds, with the candidate slowed down; and how many it took."""
    stream = itertools.islice(itertools.cycle(pairs), start, None)
    used = 0

    def begin() -> Iterator[Round]:
        nonlocal used
        for baseline, candidate in itertools.islice(stream, len(pairs)):
            used += 1
            slowed = tuple(round(value * factor) for value in candidate.samples_ns)
            yield baseline, msgspec.structs.replace(candidate, samples_ns=slowed)

    states = [decision.state for decision in decide(changes(Regression()), begin)]
    return "regressed" if "regressed" in states else "passed", used


def sweep(name: str) -> str:
    """A sweep of its own over the models, by the command that a user types."""
    models = [f"zoo:{model}" for model in MODELS]
    subprocess.run([*EDGEKIT, "sweep", *models, "--to", "litert,onnx", "--device", "host", "--name", name, "--new"],
                   check=True, cwd=ROOT)  # fmt: skip
    return name


@dataclass(frozen=True)
class Question:
    """One random question: objectives and constraints."""

    constraints: tuple[Constraint, ...]
    objectives: tuple[Objective, ...]


def questions(low_ms: float, high_ms: float, sizes: Sequence[int]) -> list[Question]:
    """Half bound the latency and want accuracy, half bound the accuracy and want speed; some bound the size too."""
    generator = random.Random(0)
    found = []
    for number in range(QUESTIONS):
        bounds = []
        if number % 2:
            limit = low_ms * (high_ms / low_ms) ** generator.random()
            bounds.append(Constraint(quantity="p50_ms", sense="<=", limit=limit))
            wanted = [
                Objective(quantity="top1", direction="maximize"),
                Objective(quantity="p50_ms", direction="minimize"),
            ]
        else:
            bounds.append(Constraint(quantity="top1", sense=">=", limit=generator.uniform(0.60, 0.78)))
            wanted = [FAST]
        if generator.random() < 0.5:
            bounds.append(Constraint(quantity="size_bytes", sense="<=", limit=float(generator.choice(sizes))))
        found.append(Question(tuple(bounds), tuple(wanted)))
    return found


def choices(a: str, b: str) -> list[Row]:
    """How often two sweeps answer alike."""
    with Store.open() as store:
        rows = store.standings(CandidateQuery(sweep_id=store.sweep(a).id))
        times = [one.measurement.p50_ms for one in rows if one.measurement.p50_ms]
        sizes = sorted({one.artifact.bytes for one in rows})
        outcomes = [_alike(question, a, b, store) for question in questions(min(times), max(times), sizes)]
        models = {one.measurement.model for one in rows}
    equal = [outcome == "same" for outcome in outcomes]
    alike = [outcome in ("same", "tie") for outcome in outcomes]
    basis = f"2 sweeps of {len(rows)} candidates ({len(models)} models), {len(outcomes)} random questions"
    return [
        ["two sweeps choose alike, or say that it is a tie", "≥ 95%", f"{statistics.fmean(alike):.0%}", basis],
        ["of these, choose the very same", "", f"{statistics.fmean(equal):.0%}", json.dumps(_counts(outcomes))],
    ]


def _counts(outcomes: Sequence[str]) -> dict[str, int]:
    return {kind: outcomes.count(kind) for kind in sorted(set(outcomes))}


def _alike(question: Question, a: str, b: str, store: Store) -> str:
    first, second = (_ask(question, name, store) for name in (a, b))
    if _name(first.choice) == _name(second.choice):
        return "same"
    if _name(second.choice) in _unsure(first) or _name(first.choice) in _unsure(second):
        return "tie"
    return "different"


def _ask(question: Question, sweep_name: str, store: Store) -> Choice:
    request = ChooseRequest(devices=("host",), constraints=question.constraints, objectives=question.objectives,
                            accuracy="published", sweep=sweep_name)  # fmt: skip
    try:
        return answer(request, store)
    except EdgekitError as error:
        raise SystemExit(f"{sweep_name}: {error.message} {error.next_step}") from error


def _name(standing: Standing | None) -> str | None:
    return None if standing is None else standing.candidate.label


def _unsure(choice: Choice) -> set[str | None]:
    """What the answer says it can't tell from its choice; a choice that may not exist is one of them."""
    named: set[str | None] = {_name(one) for one in (*choice.ties, *choice.undecided)}
    return named | ({None} if choice.status == "none" and choice.undecided else set())


if __name__ == "__main__":
    main()
