from __future__ import annotations

import os
import signal
import sys

import pytest

from edgekit.doctor.aside import Aside
from edgekit.errors import ConvertError

both = pytest.mark.parametrize("wait", [False, True])


@both
def test_the_result_is_there_when_it_is_asked_for(wait: bool) -> None:
    aside = Aside(lambda: {"pid": os.getpid()}, wait=wait)
    assert (aside.result()["pid"] == os.getpid()) is wait
    assert aside.result() == aside.result()


def test_the_copy_sees_what_was_there_when_it_started() -> None:
    seen = ["before"]
    aside = Aside(lambda: list(seen), wait=False)
    seen.append("after")
    assert aside.result() == ["before"]


def test_more_than_a_pipe_holds_comes_through() -> None:
    assert len(Aside(lambda: b"x" * 1_000_000, wait=False).result()) == 1_000_000


def test_what_the_work_raises_is_raised_for_who_asks() -> None:
    def fails() -> None:
        raise KeyError("gone")

    with pytest.raises(RuntimeError, match="KeyError"):
        Aside(fails, wait=False).result()


def test_a_copy_that_is_killed_is_an_error_in_words() -> None:
    aside = Aside(lambda: os.kill(os.getpid(), signal.SIGKILL), wait=False)
    with pytest.raises(ConvertError, match="was killed by SIGKILL"):
        aside.result()


@both
def test_running_out_of_memory_stays_what_it_is(wait: bool) -> None:
    def fails() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        Aside(fails, wait=wait).result()


def test_leaving_the_copy_does_not_leave_the_caller() -> None:
    with pytest.raises(ConvertError, match="process died"):
        Aside(lambda: sys.exit(0), wait=False).result()
