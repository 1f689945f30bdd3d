"""The gate, through the console command, on real files: what passes, what fails, and what can't be compared."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import TIMEOUT_S, Done, edgekit

from edgekit.device.mcu import boards
from edgekit.device.mcu.images import images_dir
from edgekit.device.mcu.virtual import QEMU

BUILD = Path(boards.__file__).resolve().parents[3] / "mcu/build_boards.py"

# Slow has four times the layers of fast under the same interface: no timing noise hides that.
NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(32, 32, 3, padding=1) for _ in range(depth))
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.body:
            x = x + torch.relu(layer(x))
        return self.head(x.mean((2, 3)))

def make(depth, seed=0, side=64):
    torch.manual_seed(seed)
    return Net(depth).eval(), (torch.zeros(1, 3, side, side),)

def fast(): return make(3)
def slow(): return make(14)
def retrained(): return make(3, seed=1)
def larger_input(): return make(3, side=72)
def board(): return make(1, side=24)
def deep_board(): return make(2, side=24)
def broken(): raise RuntimeError("no weights today")
"""
BUDGET = """
{top}
[[model]]
name = "net"
spec = "nets.py:{factory}"
format = "{format}"
{model}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a baseline of the fast net."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "nets.py").write_text(NETS)
    _write_data(folder)
    done = gate(folder, "--set-baseline", "--json", model='data = "val.npz"\n')
    assert done.code == 0, done.err
    (entry,) = done.json()["baseline"]["models"]
    assert entry["parity"]["passed"] is True and entry["measurement"]["p50_ms"] > 0
    assert entry["measurement"]["repeats"] == [] and entry["artifact"]["path"] == ""
    assert entry["evaluations"][0]["value"] == 1.0
    return folder


def _write_data(folder: Path) -> None:
    """Samples whose labels are what the fast net answers."""
    import importlib.util

    import torch

    spec = importlib.util.spec_from_file_location("gate_nets", folder / "nets.py")
    assert spec is not None and spec.loader is not None
    nets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nets)
    images = torch.randn(120, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        answers = nets.fast()[0](images)
    # Close calls may turn by rounding.
    two = answers.topk(2).values
    sure = (two[:, 0] - two[:, 1] > 1e-3).numpy()
    np.savez(folder / "val.npz", inputs=images.numpy()[sure], labels=answers.argmax(1).numpy()[sure])
    np.savez(folder / "less.npz", inputs=images.numpy()[:50], labels=answers.argmax(1).numpy()[:50])


def gate(folder: Path, *arguments: str, top: str = "", factory: str = "fast", model: str = "", form: str = "litert",
         env: dict[str, str] | None = None) -> Done:  # fmt: skip
    path = folder / "budget.toml"
    path.write_text(BUDGET.format(top=top, factory=factory, model=model, format=form))
    return edgekit("check", "--budget", str(path), *arguments, env=env)


def lines(done: Done) -> dict[tuple[str, bool], dict[str, Any]]:
    """The lines of the only model, by quantity and whether it is a limit."""
    (model,) = done.json()["models"]
    return {(line["quantity"], line["limit"] is not None): line for line in model["lines"]}


def test_the_same_file_passes_without_being_measured(home: Path) -> None:
    done = gate(home, "--json", model='data = "val.npz"\n')
    assert done.code == 0, done.err
    found = done.json()
    assert found["passed"] is True and found["models"][0]["same_file"] is True and "error" not in found
    results = {line["quantity"]: line["result"] for line in found["models"][0]["lines"]}
    assert results == {"parity": "ok", "size": "same-file", "top1": "same-file", "latency": "same-file",
                       "peak_rss": "same-file"}  # fmt: skip
    assert "round 1" not in done.err and "memory" not in done.err


def test_limits_are_checked_on_the_same_file_too(home: Path) -> None:
    limits = '[model.limits]\np50_ms = 10000\npeak_rss_bytes = "4GB"\nsize_bytes = "1MB"\n'
    done = gate(home, model=limits)
    assert done.code == 0, done.err
    assert "byte by byte" in done.out and max(len(line) for line in done.out.splitlines()[:9]) <= 80
    for row in ("≤ 10000 ms  ok", "≤ 4.00 GB  ok", "≤ 1.0 MB  ok"):
        assert row in done.out, done.out


def test_a_size_over_its_limit_fails(home: Path) -> None:
    done = gate(home, "--json", model="[model.limits]\nsize_bytes = 1000\n")
    error = done.failed(1, "regressed")
    assert error["quantities"] == ["size"] and error["where"] == "model net" and done.json()["passed"] is False
    assert lines(done)["size", True]["result"] == "over-budget"


def test_a_latency_over_its_limit_is_measured_again_before_it_fails(home: Path) -> None:
    done = gate(home, "--json", model="[model.limits]\np50_ms = 0.0001\n")
    assert done.failed(1, "regressed")["quantities"] == ["p50"]
    line = lines(done)["p50", True]
    assert (line["result"], line["passes"]) == ("over-budget", 2) and "pass 2" in done.err


def test_a_slower_larger_and_less_accurate_model_fails_and_is_kept(home: Path, tmp_path: Path) -> None:
    store = {"EDGEKIT_STORE": f"sqlite:///{tmp_path / 'results.sqlite'}"}
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    done = gate(home, "--json", "--markdown", str(summary), factory="slow", model='data = "val.npz"\n', env=store)
    error = done.failed(1, "regressed")
    assert {"size", "top1", "latency", "p50"} <= set(error["quantities"])
    found = lines(done)
    latency, top1 = found["latency", False], found["top1", False]
    assert latency["result"] == "regressed" and latency["passes"] == 2 and latency["rounds"] >= 10
    assert latency["change"] > 1 and latency["ci95"][0] > 0.5 and latency["now"] > latency["baseline"] > 0
    assert top1["baseline"] == 1.0 and top1["now"] < 0.9 and top1["ci95"][1] < 0
    kept = done.json()["models"][0]["measurements"]
    stored = edgekit("results", "--json", env=store).json()["measurements"]
    assert [m["id"] for m in stored] == kept[::-1] or sorted(m["id"] for m in stored) == sorted(kept)
    assert all(m["plan"]["repeats"] >= 20 and m["peak_rss_bytes"] > 0 for m in stored)
    text = summary.read_text()
    assert text.startswith("before\n## edgekit: failed (exit 1)") and "| latency |" in text and "REGRESSED" in text


def test_another_model_of_the_same_shape_is_less_accurate_and_not_slower(home: Path) -> None:
    off = '[model.regression]\nlatency = "50%"\npeak_rss = "50%"\np50 = "off"\n'
    done = gate(home, "--json", factory="retrained", model='data = "val.npz"\n' + off)
    assert done.failed(1, "regressed")["quantities"] == ["top1"]
    found = lines(done)
    assert found["latency", False]["result"] == "ok" and found["size", False]["result"] == "ok"
    assert ("p50", False) not in found


def test_a_file_that_does_not_compute_what_its_model_does_fails_parity(home: Path) -> None:
    (file,) = (home / "baseline").glob("files/*/*.tflite")
    shutil.copy(file, home / "stale.tflite")
    done = gate(home, "--json", factory="retrained", model='file = "stale.tflite"\n')
    done.failed(12, "parity")
    good = gate(home, "--json", model='file = "stale.tflite"\n')
    assert good.code == 0, good.err
    assert lines(good)["parity", False]["result"] == "ok"


def test_a_converted_file_alone_has_nothing_to_be_proved_against(home: Path) -> None:
    (file,) = (home / "baseline").glob("files/*/*.tflite")
    path = home / "budget.toml"
    path.write_text(f'[[model]]\nname = "net"\nfile = "{file.relative_to(home)}"\n')
    done = edgekit("check", "--budget", str(path), "--json")
    # Its precision is not known without its model, so that the baseline is not of its kind.
    assert "precision" in done.failed(2, "incomparable")["message"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"form": "onnx"}, "format litert, now onnx"),
        ({"factory": "larger_input"}, "1x3x64x64"),
        ({"top": 'clocks = "pinned"'}, "pin the clocks"),
        ({"model": 'data = "less.npz"\n[model.limits]\ntop1 = 0.1\n'}, "not those that its baseline"),
        ({"top": 'baseline = "elsewhere"'}, "no baseline"),
        ({"model": '[[model]]\nname = "second"\nspec = "nets.py:fast"\nformat = "litert"\n'}, "no model 'second'"),
    ],
)
def test_what_cannot_be_compared_exits_2(home: Path, change: dict[str, str], what: str) -> None:
    done = gate(home, "--json", **change)  # type: ignore[arg-type]
    assert done.code == 2, done.err
    assert what in done.json()["error"]["message"] and done.json()["error"]["next_step"]


def test_a_file_has_to_be_a_converted_one(home: Path) -> None:
    error = gate(home, "--json", model='file = "nets.py"\n').failed(2, "usage")
    assert error["where"] == "model net: file"


def test_a_summary_that_cannot_be_written_is_refused_before_anything_is_made(home: Path) -> None:
    done = gate(home, "--json", "--markdown", str(home))
    assert "can't be written" in done.failed(2, "usage")["message"] and "convert" not in done.err


def test_an_unknown_key_is_named_with_the_nearest_one(home: Path) -> None:
    error = gate(home, "--json", model="[model.limits]\np50 = 3\n").failed(2, "usage")
    assert "'p50'" in error["message"] and "Did you mean p50_ms?" in error["next_step"]


def test_a_baseline_that_was_changed_is_refused(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(home, copy)
    (file,) = (copy / "baseline").glob("files/*/*.tflite")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "sha256" in gate(copy, "--json").failed(2, "incomparable")["message"]
    (copy / "baseline" / "baseline.json").write_text("{")
    assert gate(copy, "--json").failed(2, "incomparable")["where"].endswith("baseline.json")


def test_a_baseline_of_another_device_is_refused_unless_the_budget_allows_it(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(home, copy)
    path = copy / "baseline" / "baseline.json"
    document = json.loads(path.read_text())
    document["device"]["name"] = "Another CPU"
    path.write_text(json.dumps(document))
    assert "Another CPU" in gate(copy, "--json").failed(2, "incomparable")["message"]
    assert gate(copy, "--json", top="same_device = false").code == 0


def test_a_model_that_breaks_does_not_hide_the_others(home: Path) -> None:
    second = '[[model]]\nname = "broken"\nspec = "nets.py:broken"\nformat = "litert"\n'
    copy = json.loads((home / "baseline" / "baseline.json").read_text())
    done = gate(home, "--json", model="[model.limits]\nsize_bytes = 1000\n" + second)
    # The baseline lacks it, which is found before it is loaded.
    assert done.code == 1 and [model["name"] for model in done.json()["models"]] == ["net"]
    assert [entry["name"] for entry in copy["models"]] == ["net"]
    assert "no model 'broken'" in done.err and "over its budget in size" in done.err


def test_a_failed_set_baseline_leaves_the_old_one(home: Path) -> None:
    before = (home / "baseline" / "baseline.json").read_bytes()
    second = '[[model]]\nname = "broken"\nspec = "nets.py:broken"\nformat = "litert"\n'
    gate(home, "--set-baseline", "--json", model=second).failed(10, "model")
    assert (home / "baseline" / "baseline.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("model.pt", "a.tflite", "--budget", "b.toml"), "model.pt"),
        (("--budget", "b.toml", "--arch", "net.py:net"), "--arch"),
        (("model.pt", "a.tflite", "--set-baseline"), "--set-baseline"),
        (("model.pt", "a.tflite", "--strict"), "--strict"),
        ((), "MODEL"),
        (("model.pt",), "FILE"),
    ],
)
def test_the_two_forms_do_not_mix(arguments: tuple[str, ...], what: str) -> None:
    error = edgekit("check", *arguments, "--json").failed(2, "usage")
    assert what in error["message"]
    if arguments and len(arguments) > 1:
        assert "--budget FILE checks what a budget file lists" in error["next_step"]


@pytest.mark.skipif(not all(map(shutil.which, ("arm-none-eabi-gcc", QEMU))), reason="no virtual boards here")
def test_instructions_on_a_virtual_board_are_compared_exactly(home: Path, tmp_path: Path) -> None:
    build = [sys.executable, str(BUILD), "--board", "virtual-cortex-m4", "--out", str(images_dir())]
    assert subprocess.run(build, capture_output=True, timeout=TIMEOUT_S).returncode == 0
    shutil.copy(home / "nets.py", tmp_path)
    top, small = 'device = "virtual:cortex-m4"', {"form": "mcu", "model": 'calibration = "synthetic"\n'}
    done = gate(tmp_path, "--set-baseline", "--json", top=top, factory="board", **small)
    assert done.code == 0, done.err
    counted = done.json()["baseline"]["models"][0]["measurement"]["instructions"]
    same = gate(tmp_path, "--json", top=top, factory="board", **small)
    assert same.code == 0, same.err
    line = lines(same)["instructions", False]
    assert (line["result"], line["now"]) == ("same-file", counted) and same.json()["models"][0]["notes"] == []
    worse = gate(tmp_path, "--json", top=top, factory="deep_board", **small)
    assert {"instructions", "size", "flash"} <= set(worse.failed(1, "regressed")["quantities"])
    line = lines(worse)["instructions", False]
    assert line["baseline"] == counted < line["now"] and line["passes"] == 1
    refused = gate(tmp_path, "--json", top=top, factory="board", form="mcu",
                   model='calibration = "synthetic"\n[model.limits]\nflash_bytes = 1000\n')  # fmt: skip
    assert refused.failed(1, "regressed")["quantities"] == ["flash"]
