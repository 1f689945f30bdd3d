"""The memory planner: held against trying everything on tiny programs, and against known answers on larger ones."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.convert.mcu.plan import over_budget, plan, verify, working_set
from edgekit.convert.mcu.planning import check
from edgekit.convert.mcu.steps import Plan
from edgekit.errors import ConvertError, MissingConverterError, RegressedError
from tests.unit.mcu import networks
from tests.unit.mcu.brute import smallest
from tests.unit.mcu.programs import chain, program, step, tiny

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("start", range(0, 240, 40))
def test_tiny_random_programs_get_the_smallest_arena_and_its_proof(start):
    for seed in range(start, start + 40):
        made = plan(tiny(seed), workers=1)
        assert (made.arena_bytes, made.optimal) == (smallest(tiny(seed)), True), f"seed {seed}"


def test_the_tiny_programs_are_worth_planning():
    programs = [tiny(seed) for seed in range(100)]
    plans = [plan(p, workers=1) for p in programs]
    naive = [sum(-(-b.bytes // 8) * 8 for b in p.buffers) for p in programs]
    assert sum(made.order != tuple(range(len(made.order))) for made in plans) > 4
    without = [plan(_without_overlaps(p), workers=1).arena_bytes for p in programs]
    assert sum(made.arena_bytes < apart for made, apart in zip(plans, without, strict=True)) > 15
    assert sum(made.arena_bytes < size for made, size in zip(plans, naive, strict=True)) > 50


def _without_overlaps(p):
    return dataclasses.replace(p, steps=tuple(dataclasses.replace(s, overlaps=()) for s in p.steps))


def test_chain():
    made = plan(chain([400, 800, 200, 600]))
    assert made.arena_bytes == 1200 and made.optimal and made.peak_step == 0


@pytest.mark.parametrize("distance, arena", [(0, 800), (100, 500 + 300), (500, 900), (None, 800)])
def test_an_output_over_its_input(distance, arena):
    """800 bytes over 400: equal starts need 800; trailing by d needs d + 400 if that is more."""
    assert plan(chain([400, 800], distance=distance)).arena_bytes == arena


def test_no_overlap_while_the_input_is_needed_later():
    steps = [step("a", [0], [1], overlaps=[(0, 1, 0)]), step("b", [0, 1], [2], overlaps=[(0, 2, 0), (1, 2, 0)])]
    assert plan(program([400, 400, 400], steps, [0], [2])).arena_bytes == 800
    assert plan(program([400, 400, 400], steps, [0], [0, 1, 2])).arena_bytes == 1200  # all stay to the end


def test_no_overlap_with_an_output_that_is_already_there():
    """A concatenation: its second copy may not go over its own input, for the first part lies in the output."""
    steps = [
        step("make", [0], [1]),
        step("left", [0], [2], overlaps=[(0, 2, 0)]),
        step("right", [1], [2], overlaps=[(1, 2, 0)]),
    ]
    made = plan(program([40, 40, 80], steps, [0], [2]))
    assert made.arena_bytes == smallest(program([40, 40, 80], steps, [0], [2])) == 120


def test_scratch_lives_only_in_its_step_and_is_aligned():
    made = plan(chain([20, 20, 20], scratch=104))
    assert made.arena_bytes == 20 + 20 + 104 and made.optimal
    assert all(offset % 8 == 0 for offset in made.scratch)


def test_branches_are_put_into_an_order_that_needs_less():
    """Two wide branches that each end narrow: one after the other, not side by side as given."""
    steps = [
        step("wide1", [0], [1]), step("wide2", [0], [2]), step("narrow1", [1], [3]), step("narrow2", [2], [4]),
        step("join", [3, 4], [5]),
    ]  # fmt: skip
    made = plan(program([100, 1000, 1000, 40, 40, 40], steps, [0], [5]))
    assert made.order in ((0, 2, 1, 3, 4), (1, 3, 0, 2, 4))
    assert made.arena_bytes == made.lower_bound_bytes == 1140


def test_the_given_order_stays_where_none_is_better():
    steps = [step("one", [0], [1]), step("two", [0], [2]), step("join", [1, 2], [3])]
    assert plan(program([40, 40, 40, 40], steps, [0], [3])).order == (0, 1, 2)


def test_writers_of_one_buffer_keep_their_order_and_readers_come_after_all():
    steps = [step("fill", [], [1]), step("copy", [0], [1]), step("use", [1], [2]), step("again", [2], [1]),
             step("last", [1], [3])]  # fmt: skip
    assert plan(program([40, 80, 40, 40], steps, [0], [3])).order == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    "make, arena, seconds",
    [(networks.visual_wake_words, 42_248, 2), (networks.mobilenet_v2, 256_108, 8), (networks.vit_block, 59_520, 2)],
)
def test_networks_are_proved_optimal(make, arena, seconds):
    made = plan(make())
    assert made.optimal and made.arena_bytes == arena and made.seconds < seconds


def test_the_same_program_gets_the_same_plan():
    first, second = (plan(networks.mobilenet_v2()) for _ in range(2))
    assert dataclasses.replace(first, seconds=0) == dataclasses.replace(second, seconds=0)


def test_out_of_time_gives_a_right_plan_with_its_gap():
    made = plan(networks.irregular(seed=3, steps=60), time_limit_s=1)
    assert made.seconds < 5
    assert made.lower_bound_bytes < made.arena_bytes < 1.3 * made.lower_bound_bytes and not made.optimal


def test_inputs_only():
    made = plan(program([40, 20], [], [0, 1], [0]))
    assert made.arena_bytes == made.lower_bound_bytes == 60 and made.order == ()


def test_a_buffer_that_nothing_has_written_is_refused():
    with pytest.raises(ConvertError, match="s0 reads 'b1'"):
        plan(program([40, 40, 40], [step("s0", [0, 1], [2])], [0], [2]))
    with pytest.raises(ConvertError, match="end reads 'b1'"):
        plan(program([40, 40], [], [0], [1]))


def test_solver_is_imported_only_when_there_is_a_gap():
    code = (
        "import sys; from edgekit.convert.mcu.plan import plan; from tests.unit.mcu.programs import chain\n"
        "assert plan(chain([400, 800, 200])).optimal and 'ortools' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_the_solver_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    with pytest.raises(MissingConverterError, match="OR-Tools") as caught:
        plan(networks.mobilenet_v2())
    assert "edgekit[mcu]" in caught.value.next_step


RESIDUAL = program(
    [64, 64, 64],
    [step("a", [0], [1], 16, [(0, 1, 0)]), step("b", [0, 1], [2], 0, [(0, 2, 8), (1, 2, None)])],
    [0],
    [2],
)


def right_plan() -> Plan:
    made = plan(RESIDUAL)
    assert list(check.faults(RESIDUAL, made)) == []
    return made


@pytest.mark.parametrize(
    "changes, fault",
    [
        ({"order": (1, 0)}, "after the writes"),
        ({"order": (0, 0)}, "permutation"),
        ({"offsets": (0, 64)}, "one offset per buffer"),
        ({"offsets": (0, 60, 60)}, "'b1' and 'b0' overlap"),  # b0 is needed by the second step
        ({"offsets": (0, 64, 0)}, "'b2' and 'b0' overlap"),  # nearer than 8 bytes
        ({"offsets": (128, 0, 4)}, "'b2' and 'b1' overlap"),  # not at the same address
        ({"offsets": (2, 68, 68)}, "misaligned"),
        ({"offsets": (0, 84, 84)}, "outside"),
        ({"scratch": (68, 0)}, "misaligned"),
        ({"scratch": (64, 0)}, "'scratch of a' and 'b1' overlap"),
        ({"arena_bytes": 140}, "outside"),
        ({"lower_bound_bytes": 1000}, "lower bound"),
    ],
)
def test_the_check_finds(changes, fault):
    base = dataclasses.replace(right_plan(), offsets=(0, 64, 64), scratch=(128, 0), arena_bytes=144)
    assert list(check.faults(RESIDUAL, base)) == []
    broken = dataclasses.replace(base, **changes)
    assert any(fault in found for found in check.faults(RESIDUAL, broken))
    with pytest.raises(ConvertError, match="memory plan is wrong"):
        verify(RESIDUAL, broken)


def test_over_budget_names_the_peak_and_its_buffers():
    made = plan(chain([400, 800, 200, 600], scratch=16))
    assert over_budget(chain([400, 800, 200, 600], scratch=16), made, made.arena_bytes, "board") is None
    error = over_budget(chain([400, 800, 200, 600], scratch=16), made, 1000, "stm32")
    assert isinstance(error, RegressedError) and error.code == 1
    assert "216 more than stm32 has (1,000)" in error.message and "No order and placement needs less" in error.message
    assert error.where == "step 1 of 3, s0: output of s0 800, input 400, scratch 16 bytes"
    assert [piece["bytes"] for piece in error.facts["peak_buffers"]] == [800, 400, 16]


def test_a_working_set_counts_shared_bytes_once():
    p = chain([400, 800], distance=0)
    assert working_set(p, plan(p), 0).bytes == 800


_INTERRUPTED = """
import os, signal, sys, time
from edgekit.convert.mcu.planning import exact
from ortools.sat.python import cp_model

model = cp_model.CpModel()  # a pigeonhole, which no solver of this kind settles in a minute
literals = [[model.NewBoolVar("") for _ in range(14)] for _ in range(15)]
for row in literals:
    model.AddBoolOr(row)
for column in zip(*literals):
    for first in range(15):
        for second in range(first):
            model.AddBoolOr([column[first].Not(), column[second].Not()])
solver = cp_model.CpSolver()
solver.parameters.max_time_in_seconds = 60
solver.parameters.num_workers = 1
solver.parameters.cp_model_presolve = False
solver.parameters.symmetry_level = 0
solver.parameters.catch_sigint_signal = False
signal.setitimer(signal.ITIMER_REAL, 1.0)
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
began = time.monotonic()
try:
    exact._interruptibly(solver, model)
    print("solved")
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - began < 20)
"""
_PLANNED = """
import os, signal, time
from edgekit.convert.mcu.plan import plan
from edgekit.convert.mcu.planning import exact
from tests.unit.mcu.programs import tiny

solved, solve = [], exact._interruptibly
exact._interruptibly = lambda *given: solved.append(solve(*given)) or solved[-1]
seed = 0
while not solved:
    plan(tiny(seed))
    seed += 1
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    print("clean", len(solved) > 0)
"""


@pytest.mark.parametrize(("code", "said"), [(_INTERRUPTED, "interrupted True"), (_PLANNED, "clean True")])
def test_ctrl_c_during_and_after_a_search(code, said):
    """OR-Tools' own handling would let the search go on, and leave Ctrl-C ending Python without any clean-up."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr
