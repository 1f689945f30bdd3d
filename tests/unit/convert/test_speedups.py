from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.convert import speedups

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def lowered() -> dict[str, list[list[object]]]:
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, str(HERE / "lower_both_ways.py")]
    child = subprocess.run(command, env=env, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr[-3000:]
    found: dict[str, list[list[object]]] = json.loads(child.stdout)
    return found


@pytest.mark.parametrize("model", ["resize", "attention", "tiny"])
def test_the_speed_ups_change_no_byte_and_no_delegation(lowered: dict[str, list[list[object]]], model: str) -> None:
    plain, fast = lowered[model]
    assert plain == fast
    assert plain[1]  # something was delegated


def test_the_resize_is_delegated_whole(lowered: dict[str, list[list[object]]]) -> None:
    assert lowered["resize"][1][1:] == [1, []]


def test_optional_imports_are_hidden_only_meanwhile() -> None:
    sys.modules.pop("colorsys", None)
    with speedups.without_optional_imports("colorsys", "json"):
        with pytest.raises(ImportError):
            __import__("colorsys")
        __import__("json")  # loaded before: left alone
    assert __import__("colorsys")
    with pytest.raises(ValueError, match="inside"), speedups.without_optional_imports("no_such_thing"):
        raise ValueError("inside")
    assert "no_such_thing" not in sys.modules


def test_a_library_whose_inside_has_moved_is_left_alone() -> None:
    speedups._replace("no.such.module", "attribute", None)
    speedups._replace("json", "no_such_attribute", None)
    assert not hasattr(json, "no_such_attribute")
