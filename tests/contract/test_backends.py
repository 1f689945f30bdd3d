"""One suite for every backend: what any of them must do, on real files and real runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from command import ZOO, Done, edgekit

from edgekit.convert import judge
from edgekit.convert.backend import BACKENDS
from edgekit.convert.cache import Cache
from edgekit.convert.convert import convert
from edgekit.convert.launch import Outcome
from edgekit.convert.parity import TOLERANCES
from edgekit.convert.request import ConvertRequest
from edgekit.export.inputs import golden_inputs
from edgekit.harness.content import bytes_of, sha256_of
from edgekit.model.load import load
from edgekit.model.request import LoadRequest
from edgekit.records import Artifact

# Quantised formats have tests of their own.
FLOAT = tuple(name for name, info in BACKENDS.items() if not info.calibrated)

MISCOMPILED = str(Path(__file__).parent / "miscompiled")
TIMM = "timm:mobilenetv2_035"
TIMM_SHAPE = ((1, 3, 96, 96),)
JUDGED = [name for name in FLOAT if judge.hindrance(name) is None]

every_backend = pytest.mark.parametrize("backend", FLOAT)
every_judged = pytest.mark.parametrize("backend", JUDGED)


def converted(cache: Path, load: LoadRequest, formats: list[str] | None = None) -> Outcome:
    events: list[Any] = []
    request = ConvertRequest(load=load, formats=tuple(formats or FLOAT), cache=str(cache))
    outcome = convert(request, events.append)
    assert outcome.errors == {}
    return outcome


def by_format(outcome: Outcome) -> dict[str, Artifact]:
    return {artifact.format: artifact for artifact in outcome.artifacts}


@pytest.fixture(scope="session")
def cache(own_places: Path) -> Path:
    return own_places / "cache"


@pytest.fixture(scope="session")
def tiny(cache: Path) -> dict[str, Artifact]:
    return by_format(converted(cache, LoadRequest(spec=f"{ZOO}:tiny")))


@pytest.fixture(scope="session")
def two(cache: Path) -> dict[str, Artifact]:
    return by_format(converted(cache, LoadRequest(spec=f"{ZOO}:two_inputs_two_outputs")))


@pytest.fixture(scope="session")
def timm(cache: Path) -> dict[str, Artifact]:
    return by_format(converted(cache, LoadRequest(spec=TIMM, input_shape=TIMM_SHAPE), JUDGED))


def miscompiled(model: str, weight: str, *options: str) -> Done:
    """A conversion by backends that get one weight, ``tensor:index``, wrong."""
    env = {"PYTHONPATH": MISCOMPILED, "EDGEKIT_TEST_WEIGHT": weight}
    return edgekit("convert", model, "--to", ",".join(JUDGED), "--json", *options, env=env)


def check_file(artifact: Artifact) -> None:
    path, info = Path(artifact.path), BACKENDS[artifact.format]
    assert path.name.endswith(f"_{info.label}_fp32{info.suffix}")
    assert artifact.sha256 == sha256_of(path) and artifact.bytes == bytes_of(path) > 500
    for package in info.packages:
        assert f"{package} " in artifact.converter
    assert artifact.convert_seconds is not None and artifact.convert_seconds > 0
    assert artifact.convert_peak_rss_bytes is not None and artifact.convert_peak_rss_bytes > 50 << 20


def check_parity(artifact: Artifact) -> None:
    parity = artifact.parity
    if judge.hindrance(artifact.format) is not None:
        # What could not be run is never said to have passed.
        assert (parity.passed, parity.reason) == (None, judge.hindrance(artifact.format))
        assert (parity.max_abs, parity.samples, parity.tolerance) == (None, 0, None)
        return
    assert parity.passed is True and parity.reason is None and parity.first_divergence is None
    assert parity.samples == 8 and parity.tolerance == TOLERANCES["fp32"]
    assert parity.golden_sha256 is not None
    assert parity.max_abs is not None and parity.cosine is not None and parity.psnr_db is not None
    assert 0 <= parity.max_abs < 1e-3 and parity.cosine > 0.99999 and parity.psnr_db > 80


@every_backend
def test_a_small_model_converts_and_is_right(tiny: dict[str, Artifact], backend: str) -> None:
    check_file(tiny[backend])
    check_parity(tiny[backend])
    delegated = ("delegated_mean×1",) if backend == "executorch" else ()
    assert tiny[backend].rewrites == ("fold_batch_norm×3", *delegated)
    assert tiny[backend].exported_sha256 == tiny["onnx"].exported_sha256  # one export for all of them


@every_backend
def test_a_model_with_two_inputs_and_two_outputs_converts_and_is_right(two: dict[str, Artifact], backend: str) -> None:
    check_file(two[backend])
    check_parity(two[backend])


@every_backend
def test_delegation_is_told_where_the_format_has_delegates(tiny: dict[str, Artifact], backend: str) -> None:
    artifact = tiny[backend]
    outside = None if artifact.undelegated_ops is None else [(op.op, op.count) for op in artifact.undelegated_ops]
    assert (artifact.partitions, outside) == {"executorch": (1, []), "litert": (1, [])}.get(backend, (None, None))
    assert artifact.undelegated_macs_share == (None if outside is None else 0.0)
    assert artifact.placement_note  # says where the figures come from, or why there are none


@every_backend
def test_size_is_told_for_every_format(tiny: dict[str, Artifact], backend: str) -> None:
    artifact = tiny[backend]
    assert artifact.operators is not None
    if backend == "executorch":  # the mean that XNNPACK takes has a reshape on either side
        assert artifact.operators == 15
    else:
        assert 11 <= artifact.operators <= 12
    assert artifact.weight_bytes is not None and 2000 < artifact.weight_bytes < artifact.bytes


@pytest.fixture(scope="session")
def again(cache: Path, tiny: dict[str, Artifact], two: dict[str, Artifact]) -> dict[str, Artifact]:
    """The same request once more; a process for converting would have said something."""

    def silent(event: object) -> None:
        raise AssertionError(f"something was converted: {event}")

    load = LoadRequest(spec=f"{ZOO}:tiny")
    return by_format(convert(ConvertRequest(load=load, formats=FLOAT, cache=str(cache)), silent))


@every_backend
def test_an_unchanged_model_is_not_converted_again(
    tiny: dict[str, Artifact], again: dict[str, Artifact], backend: str
) -> None:
    assert again[backend] == msgspec.structs.replace(tiny[backend], cached=True)
    assert tiny[backend].cached is False


@pytest.fixture(scope="session")
def damaged(cache: Path, again: dict[str, Artifact]) -> dict[str, tuple[Artifact, str, Artifact]]:
    """Every file with one byte of its weights changed, then converted again: before, the damage's sha256, after."""
    spoiled = {}
    for name, artifact in again.items():
        path = Path(artifact.path)
        file = path if path.is_file() else next(path.rglob("weight.bin"))
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0x10
        file.write_bytes(content)
        spoiled[name] = (artifact, sha256_of(path))
    made = by_format(converted(cache, LoadRequest(spec=f"{ZOO}:tiny")))
    return {name: (before, bad, made[name]) for name, (before, bad) in spoiled.items()}


@every_backend
def test_a_damaged_file_in_the_cache_is_made_again(damaged: dict[str, Any], backend: str) -> None:
    before, bad, after = damaged[backend]
    assert after.cached is False
    assert after.sha256 == sha256_of(Path(after.path)) != bad
    check_parity(after)
    if backend != "coreml":  # its packages hold a fresh identifier each time
        assert after.sha256 == before.sha256


def test_nothing_but_whole_entries_is_in_the_cache(
    cache: Path, damaged: dict[str, Any], two: dict[str, Artifact]
) -> None:
    for kind in ("sources", "programs", "golden", "artifacts", "parity"):
        entries = list((cache / kind).iterdir())
        assert entries
        for entry in entries:
            assert Cache(cache).lookup(kind, entry.name) == entry


@pytest.fixture(scope="session")
def wrong(own_places: Path, tiny: dict[str, Artifact]) -> Done:
    return miscompiled(f"{ZOO}:tiny", "blocks.1.pointwise.weight:0", "-o", str(own_places / "wrong"))


@every_judged
def test_one_wrong_weight_of_the_last_block_fails_parity_and_is_located(wrong: Done, backend: str) -> None:
    document = wrong.json()
    (artifact,) = (a for a in document["artifacts"] if a["format"] == backend)
    check_wrong(artifact["parity"], "blocks.1.pointwise (Conv2d)", ZOO)
    (failure,) = (f for f in document["failures"] if f["format"] == backend)
    first = artifact["parity"]["first_divergence"]
    assert failure["where"] == f"{first['tensor']} ({first['op']}) in {first['module']} at {first['source']}"
    assert failure["message"].startswith(f"{backend} failed parity: output 0: max_abs")


def test_wrong_files_are_exit_12_and_are_not_delivered(wrong: Done, own_places: Path) -> None:
    wrong.failed(12, "parity")
    assert list((own_places / "wrong").iterdir()) == []


def check_wrong(parity: dict[str, Any], module: str, source: str) -> None:
    assert parity["passed"] is False
    assert "max_abs" in parity["reason"] and "could not be located" not in parity["reason"]
    first = parity["first_divergence"]
    assert (first["module"], first["op"]) == (module, "aten.conv2d.default")
    assert first["source"].startswith(source) and first["max_abs"] > 0


@every_judged
def test_a_timm_network_converts_and_is_right(timm: dict[str, Artifact], backend: str) -> None:
    check_file(timm[backend])
    check_parity(timm[backend])


def live_weight(name: str) -> str:
    """A weight of that tensor that matters: some feed a ReLU6 that is zero for every golden input."""
    model = load(LoadRequest(spec=TIMM, input_shape=TIMM_SHAPE))
    (stack,), _ = golden_inputs(model.inputs, directory=None, preprocess=model.preprocess, count=8, seed=0)
    pictures = torch.from_numpy(stack[:, 0])
    assert model.module is not None
    weight = model.module.get_parameter(name)
    row = weight[0].numel()
    with torch.no_grad():
        reference = model.module(pictures)
        for index in range(0, weight.numel(), row):
            right = weight.view(-1)[index].clone()
            weight.view(-1)[index] += 0.5 * weight.abs().max()
            moved = float((model.module(pictures) - reference).abs().max() / reference.abs().max())
            weight.view(-1)[index] = right
            if moved > 5e-3:
                return f"{name}:{index}"
    raise AssertionError(f"no weight of {name} matters")


@pytest.fixture(scope="session")
def wrong_timm(own_places: Path, timm: dict[str, Artifact]) -> Done:
    options = ("--input-shape", "1,3,96,96", "-o", str(own_places / "wrong_timm"))
    return miscompiled(TIMM, live_weight("blocks.6.0.conv_pw.weight"), *options)


@every_judged
def test_one_wrong_weight_of_a_timm_network_fails_parity_and_is_located(wrong_timm: Done, backend: str) -> None:
    wrong_timm.failed(12, "parity")
    (artifact,) = (a for a in wrong_timm.json()["artifacts"] if a["format"] == backend)
    check_wrong(artifact["parity"], "blocks.6.0.conv_pw (Conv2d)", "timm/models/")
