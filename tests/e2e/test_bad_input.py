"""Every kind of bad input: the exit code, what, where and what next, one JSON document, and nothing half-written.

The commands do not depend on each other, so they are run two at a time before the first test looks at one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
import zoo
from command import ZOO, Done, edgekit
from torch import nn

from tests import mcu_models


@dataclass(frozen=True)
class Bad:
    """A command that must fail: with this code and kind, and these words in its message, where and next step."""

    arguments: Sequence[str]
    code: int
    kind: str
    message: str
    where: str = ""
    next_step: str = ""
    hidden: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


PICKLED = """
import torch
from torch import nn

class Own(nn.Sequential):
    pass

def make():
    return Own(nn.Conv2d(3, 4, 3))
"""


def write_inputs(folder: Path) -> None:
    torch.manual_seed(0)
    module, example = zoo.tiny()
    torch.save(module.state_dict(), folder / "weights.pt")
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), folder / "pickled.pt")
    torch.export.save(torch.export.export(module, example), folder / "good.pt2")
    for name in ("weights.pt", "good.pt2"):
        content = (folder / name).read_bytes()
        (folder / f"cut_{name}").write_bytes(content[: len(content) // 2])
    noise = np.random.default_rng(0).bytes(5000)
    for suffix in ("pt", "pt2", "pth", "safetensors", "pte", "tflite", "onnx"):
        (folder / f"noise.{suffix}").write_bytes(noise)
    (folder / "empty.pt").touch()
    (folder / "text.txt").write_text("not a model")
    (folder / "broken.py").write_text("import nothing_that_exists\n")
    (folder / "raises.py").write_text("def make():\n    raise KeyError('no weights here')\n")
    (folder / "no_inputs").mkdir()
    (folder / "wrong_inputs").mkdir()
    (folder / "wrong_inputs/a.npy").write_bytes(noise)
    (folder / "small.tflite").write_bytes(mcu_models.small())
    (folder / "file").write_text("a file")
    np.savez(folder / "data.npz", inputs=np.zeros((2, 3, 32, 32), np.float32), labels=np.zeros(3, np.int64))


def commands(folder: Path) -> dict[str, Bad]:
    f = str(folder)
    model = f"{ZOO}:tiny"
    out = ("-o", f"{f}/out")
    return {
        # models that can't be loaded
        "missing file": Bad(["convert", f"{f}/wieghts.pt", *out], 10, "model", "There is no file", "wieghts.pt",
                            "Did you mean"),
        "missing module": Bad(["convert", f"{f}/broken.py:make", *out], 10, "model", "nothing_that_exists"),
        "factory raises": Bad(["convert", f"{f}/raises.py:make", *out], 10, "model", "no weights here", "raises.py:2"),
        "no such factory": Bad(["convert", f"{ZOO}:tinny", *out], 10, "model", "tinny"),
        "not a model": Bad(["convert", f"{f}/text.txt", *out], 10, "model", "no kind of model", "text.txt"),
        "empty name": Bad(["convert", "", *out], 10, "model", "model spec is empty"),
        "empty file": Bad(["convert", f"{f}/empty.pt", *out], 10, "model", "", "empty.pt"),
        "cut state dict": Bad(["convert", f"{f}/cut_weights.pt", "--arch", model, *out], 10, "model", "",
                              "cut_weights.pt"),
        "cut archive": Bad(["convert", f"{f}/cut_good.pt2", *out], 10, "model", "", "cut_good.pt2"),
        "random .pt": Bad(["convert", f"{f}/noise.pt", *out], 10, "model", "", "noise.pt"),
        "random .pth": Bad(["convert", f"{f}/noise.pth", "--trust-pickle", *out], 10, "model", "", "noise.pth"),
        "random .pt2": Bad(["convert", f"{f}/noise.pt2", *out], 10, "model", "", "noise.pt2"),
        "random .safetensors": Bad(["convert", f"{f}/noise.safetensors", "--arch", model, *out], 10, "model", "",
                                   "noise.safetensors"),
        "pickled module": Bad(["convert", f"{f}/pickled.pt", "--input-shape", "1,3,8,8", *out], 10, "model", "",
                              "pickled.pt", "--trust-pickle"),
        "no arch": Bad(["convert", f"{f}/weights.pt", *out], 10, "model", "", "weights.pt", "--arch"),
        "wrong arch": Bad(["convert", f"{f}/weights.pt", "--arch", f"{ZOO}:two_inputs_two_outputs", *out], 10,
                          "model", "missing", "", ""),
        "unknown timm name": Bad(["convert", "timm:mobilenetv2_10", *out], 10, "model", "mobilenetv2_10", "timm:",
                                 "mobilenetv2_100"),
        "unknown zoo name": Bad(["convert", "zoo:no-such-model-at-all", *out], 10, "model", "no-such-model-at-all"),
        "converted file": Bad(["convert", f"{f}/noise.tflite", *out], 10, "model", "is a converted litert file", "",
                              "deploy"),
        "wrong input shape": Bad(["convert", model, "--input-shape", "1,4,32,32", *out], 10, "model",
                                 "expects 3 input channels and got 4", "stem.0 (Conv2d)", "--input-shape"),
        "wrong number of inputs": Bad(["convert", model, "--input-shape", "1,3,32,32;1,2", *out], 10, "model", ""),
        # models that can't be exported or checked
        "control flow": Bad(["convert", f"{ZOO}:data_dependent", *out], 11, "export", "control flow depends",
                            f"{ZOO}:", "torch.where"),
        "shape of an output": Bad(["convert", f"{ZOO}:gives_nonzero", *out], 11, "export",
                                  "shape of output 1 depends", "output 1", "mask"),
        "state": Bad(["convert", f"{ZOO}:counts_calls", *out], 11, "export", "its own buffer 'calls'"),
        "nan": Bad(["convert", f"{ZOO}:gives_nan", *out], 12, "parity", "is NaN or infinite", "output 0",
                   "--no-parity"),
        "constant": Bad(["convert", f"{ZOO}:gives_constant", *out], 12, "parity", "is the same for all 8 golden inputs",
                        "all outputs", "--inputs"),
        # requests that make no sense
        "unknown format": Bad(["convert", model, "--to", "litert,tensorrt", *out], 2, "usage",
                              "no format 'tensorrt'", "--to", "litert"),
        "no format": Bad(["convert", model, "--to", ",", *out], 2, "usage", "names no format", "--to"),
        "unknown precision": Bad(["convert", model, "--to", "litert", "--precision", "int3", *out], 2, "usage",
                                 "no precision 'int3'", "--precision", "fp32"),
        "unknown flag": Bad(["convert", model, "--fast"], 2, "usage", "--fast", "edgekit convert", "--help"),
        "unknown command": Bad(["convrt", model], 2, "usage", "convrt", "edgekit", "--help"),
        "no model": Bad(["convert"], 2, "usage", "MODEL", "edgekit convert", "--help"),
        "not a shape": Bad(["convert", model, "--input-shape", "a,b", *out], 2, "usage", "'a,b' is not a shape",
                           "--input-shape", "1,3,224,224"),
        "not a size": Bad(["convert", model, "--memory-limit", "lots", *out], 2, "usage", "'lots' is not a size",
                          "--memory-limit", "8GiB"),
        "no golden folder": Bad(["convert", model, "--inputs", f"{f}/nowhere", *out], 2, "usage", "", "nowhere"),
        "empty golden folder": Bad(["convert", model, "--inputs", f"{f}/no_inputs", *out], 2, "usage", "", "no_inputs"),
        "broken golden input": Bad(["convert", model, "--inputs", f"{f}/wrong_inputs", *out], 2, "usage", "", "a.npy"),
        # places that take no files
        "output below a file": Bad(["convert", model, "-o", f"{f}/file/out"], 2, "usage", "Can't write here",
                                   f"{f}/file", "--output"),
        "output in /proc": Bad(["convert", model, "-o", "/proc/out"], 2, "usage", "Can't write here", "/proc/out",
                               "--output"),
        "cache below a file": Bad(["convert", model, *out], 2, "usage", "Can't write here", f"{f}/file",
                                  "EDGEKIT_CACHE", env={"EDGEKIT_CACHE": f"{f}/file/cache"}),
        "store in /proc": Bad(["results"], 16, "store", "", "/proc/x", env={"EDGEKIT_STORE": "sqlite:////proc/x/y"}),
        "store of another kind": Bad(["results"], 16, "store", "not a database", "noise.pt",
                                     env={"EDGEKIT_STORE": f"sqlite:///{f}/noise.pt"}),
        "results to a strange file": Bad(["results", "--export", f"{f}/results.doc"], 2, "usage", "results.doc",
                                         "--export"),
        "results since a strange time": Bad(["results", "--since", "yesterdayish"], 2, "usage", "yesterdayish"),
        # devices and their runtimes
        "unknown device": Bad(["deploy", model, "--device", "hots"], 13, "device", "no device 'hots'", "hots", "host"),
        "device of another form": Bad(["deploy", model, "-d", "ios:x"], 13, "device", "iPhones", "ios:x"),
        "no such port": Bad(["deploy", model, "-d", "serial:/dev/x"], 13, "device", "can't be opened", "/dev/x"),
        "no such board": Bad(["deploy", model, "-d", "virtual:cortex-m9"], 13, "device", "no board", "cortex-m9"),
        "no such phone": Bad(["deploy", model, "-d", "adb:123"], 13, "device", "no Android device 123", "123"),
        "no phone of that profile": Bad(["deploy", model, "-d", "pixel7"], 13, "device", "no Android device is"),
        "no such address": Bad(["deploy", model, "-d", "adb:here:x"], 13, "device", "no HOST:PORT", "here:x"),
        "no virtual phone runs": Bad(["deploy", model, "-d", "virtual:x"], 13, "device", "is not running", "virtual:x"),
        "python on a phone": Bad(["deploy", model, "-d", "adb:1", "--engine", "python"], 2, "usage", "native runner"),
        "nothing to clean": Bad(["devices", "clean", "host"], 2, "usage", "keeps nothing on host"),
        "core ml on the host": Bad(["deploy", f"{f}/some.mlpackage"], 10, "model", "There is no file"),
        "random .tflite": Bad(["deploy", f"{f}/noise.tflite"], 13, "runtime", "", "noise.tflite"),
        "random .pte": Bad(["deploy", f"{f}/noise.pte"], 13, "runtime", "", "noise.pte"),
        "random .onnx": Bad(["profile", f"{f}/noise.onnx"], 13, "runtime", "", "noise.onnx"),
        "contradictory plan": Bad(["deploy", model, "--to", "onnx", "--min-secs", "3", "--max-secs", "1"], 2, "usage",
                                  "max_seconds must not be below min_seconds", "plan"),
        "data that do not fit": Bad(["evaluate", model, "--data", f"{f}/data.npz"], 2, "usage", "",
                                    "data.npz"),
        "no data": Bad(["evaluate", model, "--data", f"{f}/nowhere.npz"], 2, "usage", "nowhere.npz", "--data"),
        # packages that are not installed
        "no coremltools": Bad(["convert", model, "--to", "coreml", *out], 11, "missing-converter",
                              "needs the package coremltools", "coreml", 'pip install "edgekit[coreml]"',
                              hidden=("coremltools",)),
        "no torch": Bad(["convert", model, "--to", "litert", *out], 11, "missing-converter", "needs the package torch",
                        "litert", 'pip install "edgekit[litert]"', hidden=("torch",)),
        "no timm": Bad(["convert", "timm:mobilenetv2_100", "--to", "onnx", *out], 10, "missing-extra", "timm", "timm",
                       'pip install "edgekit[zoo]"', hidden=("timm",)),
        "no runtime at all": Bad(["deploy", model], 13, "device", "No runtime is installed for host", "host",
                                 'pip install "edgekit[executorch,litert,onnx]"',
                                 hidden=("executorch", "ai_edge_litert", "onnxruntime")),
        "no runtime to bundle with": Bad(["bundle", f"{f}/small.tflite", "--for", "android", *out], 10, "missing-extra",
                                         "The runtime litert can't be imported", "ai_edge_litert",
                                         'pip install "edgekit[litert]"', hidden=("ai_edge_litert",)),
    }  # fmt: skip


NAMES = list(commands(Path()))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bad")
    write_inputs(made)
    return made


@pytest.fixture(scope="session")
def results(folder: Path, without: object) -> dict[str, tuple[Bad, Future[Done]]]:
    assert callable(without)
    pool = ThreadPoolExecutor(max_workers=2)

    def run(bad: Bad) -> Done:
        return edgekit(*bad.arguments, "--json", "-q", env={**bad.env, **(without(*bad.hidden) if bad.hidden else {})})

    def quiet(bad: Bad) -> Done:
        # Without a command there is no --quiet.
        return edgekit(*bad.arguments, "--json", env=bad.env)

    made = {}
    for name, bad in commands(folder).items():
        made[name] = (bad, pool.submit(quiet if bad.arguments[0] == "convrt" else run, bad))
    return made


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_reported(results: dict[str, tuple[Bad, Future[Done]]], folder: Path, name: str) -> None:
    bad, future = results[name]
    error = future.result().failed(bad.code, bad.kind)
    assert bad.message in error["message"]
    assert bad.where in error["where"]
    assert bad.next_step in error["next_step"]
    assert not os.path.exists(folder / "out") or list((folder / "out").iterdir()) == []


def test_reasons_are_facts_for_programs(results: dict[str, tuple[Bad, Future[Done]]]) -> None:
    def fact(name: str, key: str) -> object:
        return results[name][1].result().json()["error"][key]

    assert fact("nan", "reason") == "nan"
    assert fact("constant", "reason") == "constant"
    assert fact("unknown format", "known") == ["coreml", "executorch", "litert", "mcu", "onnx"]
    assert fact("no coremltools", "missing") == ["coremltools"]
    assert fact("wrong input shape", "expected_channels") == 3


def test_the_line_of_data_dependent_control_flow_is_named(results: dict[str, tuple[Bad, Future[Done]]]) -> None:
    where = results["control flow"][1].result().json()["error"]["where"]
    number = int(where.removeprefix(f"{ZOO}:").split()[0])
    assert "if y.sum() > 0" in Path(ZOO).read_text().splitlines()[number - 1]


def test_no_entry_of_a_failed_request_is_half_written(
    results: dict[str, tuple[Bad, Future[Done]]], own_places: Path
) -> None:
    for _, future in results.values():
        future.result()
    assert not list((own_places / "cache").rglob("*.partial"))


@pytest.fixture(scope="session")
def lacking(own_places: Path) -> Done:
    return edgekit("convert", f"{ZOO}:lacks_operator", "--json", "-o", str(own_places / "lacking"))


@pytest.mark.parametrize("format_name", ["executorch", "litert", "coreml", "onnx"])
def test_an_operator_that_a_format_lacks_is_named_with_module_and_line(lacking: Done, format_name: str) -> None:
    lacking.failed(11, "convert")
    (failure,) = (f for f in lacking.json()["failures"] if f["format"] == format_name)
    assert failure["op"] == "aten.linalg_svdvals.default"
    assert failure["module"] == "spectrum (Spectrum)"
    number = int(failure["source"].removeprefix(f"{ZOO}:").split()[0])
    assert "torch.linalg.svdvals" in Path(ZOO).read_text().splitlines()[number - 1]
    where = f"where: aten.linalg_svdvals.default in spectrum (Spectrum) at {ZOO}:{number} in forward"
    assert lacking.err.count(where) == 4
    assert f"edgekit: {format_name} could not convert the operator aten.linalg_svdvals.default" in lacking.err


def test_nothing_is_delivered_for_it(lacking: Done, own_places: Path) -> None:
    assert lacking.json()["artifacts"] == []
    assert list((own_places / "lacking").iterdir()) == []


def test_one_format_that_fails_does_not_stop_the_others(own_places: Path) -> None:
    out = own_places / "partly"
    done = edgekit("convert", f"{ZOO}:branches", "--to", "litert,onnx", "--json", "-o", str(out))
    error = done.failed(11, "convert")
    assert (error["format"], error["op"]) == ("litert", "cond")
    assert [a["format"] for a in done.json()["artifacts"]] == ["onnx"]
    assert [p.name for p in out.iterdir()] == ["zoo_branches_onnx_fp32.onnx"]


def test_a_pickled_module_works_once_it_is_trusted(folder: Path) -> None:
    out = folder / "trusted"
    done = edgekit("convert", f"{folder}/pickled.pt", "--trust-pickle", "--input-shape", "1,3,8,8", "--to", "onnx",
                   "--json", "-o", str(out))  # fmt: skip
    assert done.code == 0, done.err
    assert done.json()["artifacts"][0]["parity"]["passed"] is True


def test_the_librarys_own_report_is_printed_on_request() -> None:
    done = edgekit("convert", f"{ZOO}:data_dependent", "--traceback", "-q")
    assert done.code == 11 and done.out == ""
    assert "Traceback (most recent call last)" in done.err and "GuardOnDataDependentSymNode" in done.err


def test_without_its_runtime_a_format_is_converted_but_not_checked(without: object, own_places: Path) -> None:
    assert callable(without)
    done = edgekit("convert", f"{ZOO}:tiny", "--to", "onnx", "--json", "-o", str(own_places / "unchecked"),
                   env=without("onnxruntime"))  # fmt: skip
    assert done.code == 0, done.err
    (artifact,) = done.json()["artifacts"]
    assert artifact["parity"]["passed"] is None
    assert artifact["parity"]["reason"] == "the runtime onnxruntime is not installed"
