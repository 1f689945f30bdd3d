from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.errors import ExportError, ParityError
from edgekit.export import golden

PAIR = [np.arange(24, dtype=np.float32).reshape(4, 1, 6)]


def refused(outputs: Sequence[np.ndarray]) -> ParityError:
    with pytest.raises(ParityError) as caught:
        golden.check_meaningful(outputs, "net")
    assert caught.value.code == 12
    assert "net" in caught.value.message and "--no-parity" in caught.value.next_step
    return caught.value


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_refused(bad: float) -> None:
    outputs = [PAIR[0].copy(), PAIR[0].copy()]
    outputs[1][2, 0, 3] = bad
    error = refused(outputs)
    assert error.facts["reason"] == "nan"
    assert "output 1" in error.where and "1 of 24" in error.where


def test_outputs_that_do_not_depend_on_the_input_are_refused() -> None:
    assert refused([np.tile(PAIR[0][:1], (4, 1, 1))]).facts["reason"] == "constant"
    assert refused([np.zeros((4, 1, 6), np.float32)]).facts["reason"] == "constant"
    almost = np.tile(PAIR[0][:1], (4, 1, 1))
    almost[3] *= 1 + 1e-6
    assert refused([almost]).facts["reason"] == "constant"


def test_outputs_that_tell_something_pass() -> None:
    golden.check_meaningful(PAIR, "net")
    constant = np.ones((4, 1, 6), np.float32)
    golden.check_meaningful([constant, *PAIR], "net")  # one output may be constant, not all of them
    golden.check_meaningful([np.arange(4).reshape(4, 1)], "net")  # classes are whole numbers
    golden.check_meaningful([constant[:1]], "net")  # a single sample can't tell


def test_outputs_are_the_models_sample_by_sample() -> None:
    inputs = [np.random.default_rng(0).normal(size=(3, 1, 4)).astype(np.float32), np.ones((3, 1, 4), np.float32)]
    outputs = golden.golden_outputs(lambda a, b: {"sum": a + b, "more": [a * 2]}, inputs)
    assert [o.shape for o in outputs] == [(3, 1, 4), (3, 1, 4)]
    np.testing.assert_array_equal(outputs[0], inputs[0] + 1)
    np.testing.assert_array_equal(outputs[1], inputs[0] * 2)


def test_a_model_that_writes_into_its_input_leaves_the_golden_inputs_alone() -> None:
    inputs = [np.ones((2, 1, 4), np.float32)]
    golden.golden_outputs(lambda x: x.mul_(5), inputs)
    np.testing.assert_array_equal(inputs[0], 1)


def test_a_result_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(ExportError, match="not a tensor"):
        golden.golden_outputs(lambda x: (x, 3), PAIR)
    with pytest.raises(ExportError, match="not a tensor"):
        golden.golden_outputs(lambda x: (), PAIR)


def test_the_digest_names_the_values() -> None:
    first = golden.digest(PAIR, PAIR)
    assert first == golden.digest([PAIR[0].copy()], [PAIR[0].copy()])
    assert len(first) == 64
    changed = PAIR[0].copy()
    changed[0, 0, 0] += 1
    others = [
        golden.digest([changed], PAIR), golden.digest(PAIR, [changed]), golden.digest(PAIR, [PAIR[0].astype(np.int64)]),
        golden.digest(PAIR, [PAIR[0].reshape(4, 6)]), golden.digest([*PAIR, *PAIR], []),
    ]  # fmt: skip
    assert len({first, *others}) == 6
    assert golden.digest([PAIR[0].transpose(2, 1, 0).copy().transpose(2, 1, 0)], PAIR) == first  # not the memory layout


def test_what_is_written_is_what_is_described(tmp_path: Path) -> None:
    golden.write_golden(tmp_path, PAIR, [torch.ones(4, 2).numpy()])
    record = golden.describe(tmp_path, "abc", PAIR, [np.ones((4, 2))], "here")
    assert (record.sha256, record.count, record.source) == ("abc", 4, "here")
    np.testing.assert_array_equal(np.load(record.inputs[0]), PAIR[0])
    np.testing.assert_array_equal(np.load(record.outputs[0]), 1)
