"""The link's bookkeeping against a scripted port; lines to the real agent are in tests/e2e/test_mcu_agent.py."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import serial

from edgekit.device.mcu.frames import Decoder, Frame, Kind, encode
from edgekit.device.mcu.link import Link, Patience
from edgekit.errors import DeadlineError, DeviceError, LinkLostError

Script = Callable[[Frame, int], list[Frame]]


class Port:
    """Answers every frame by a script: (frame, how many arrived before it) -> answers. A fault no real board makes."""

    def __init__(self, script: Script) -> None:
        self._script, self._decoder = script, Decoder()
        self._out = b""
        self.frames: list[Frame] = []
        self.fails = False

    def read(self, size: int) -> bytes:
        if self.fails:
            raise serial.SerialException("the device is gone")
        out, self._out = self._out[:size], self._out[size:]
        return out

    def write(self, data: bytes) -> int:
        for frame in self._decoder.feed(data):
            self._out += b"".join(map(encode, self._script(frame, len(self.frames))))
            self.frames.append(frame)
        return len(data)

    def close(self) -> None:
        pass


def answer(frame: Frame, payload: bytes = b"") -> Frame:
    return Frame(frame.type | 0x80, frame.session, frame.sequence, (frame.sequence + 1) & 0xFFFF, payload)


def link_to(script: Script) -> tuple[Link, Port]:
    port = Port(script)
    return Link(port, "board", patience=Patience(silence_s=1.0, stuck_s=2.0)), port


def test_a_request_is_answered() -> None:
    link, port = link_to(lambda frame, _: [answer(frame, b"hello")])
    assert link.start() == b"hello"
    assert link.request(Kind.RUN, b"x") == b"hello"
    assert [frame.type for frame in port.frames] == [Kind.IDENTIFY, Kind.RUN]
    assert port.frames[1].sequence == (port.frames[0].sequence + 1) & 0xFFFF
    assert port.frames[0].session == port.frames[1].session != 0


def test_a_lost_request_is_sent_again_unchanged() -> None:
    link, port = link_to(lambda frame, number: [answer(frame)] if number != 1 else [])
    link.start()
    link.request(Kind.RUN)
    assert port.frames[1] == port.frames[2] and link.resent == 1


def test_the_window_is_kept_and_refilled() -> None:
    held: list[Frame] = []
    most = 0

    def script(frame: Frame, number: int) -> list[Frame]:
        nonlocal most
        if number == 0 or number > 10:  # the last three are only answered when they are sent again
            return [answer(frame)]
        held.append(frame)
        most = max(most, len(held))
        return [answer(held.pop(0))] if len(held) == 4 else []

    link, port = link_to(script)
    link.start()
    link.widen(4)
    seen: list[int] = []
    link.bulk(Kind.LOAD_DATA, (bytes([n]) for n in range(10)), seen.append)
    assert most == 4
    assert seen == list(range(1, 11))
    assert [frame.payload[0] for frame in port.frames[1:]] == [*range(10), 7, 8, 9]


def test_one_answer_acknowledges_all_before_it() -> None:
    link, _ = link_to(lambda frame, number: [answer(frame)] if number in (0, 4) else [])
    link.start()
    link.widen(4)
    began = time.monotonic()
    link.bulk(Kind.LOAD_DATA, [b"1", b"2", b"3", b"4"])
    assert link.resent == 0 and time.monotonic() - began < 0.2


def test_go_back_to_what_is_missing() -> None:
    def script(frame: Frame, number: int) -> list[Frame]:
        if number == 2:  # the second piece is lost; its follower tells
            return []
        if number == 3:
            missing = (frame.sequence - 1) & 0xFFFF
            return [Frame(Kind.RESEND, frame.session, missing, missing)]
        return [answer(frame)]

    link, port = link_to(script)
    link.start()
    link.widen(4)
    began = time.monotonic()
    link.bulk(Kind.LOAD_DATA, [b"1", b"2", b"3"])
    assert time.monotonic() - began < 0.2
    assert [frame.payload for frame in port.frames[1:]] == [b"1", b"2", b"3", b"2", b"3"]


def test_a_single_request_needs_its_own_answer() -> None:
    def script(frame: Frame, number: int) -> list[Frame]:
        following = (frame.sequence + 1) & 0xFFFF
        return [Frame(Kind.RESEND, frame.session, following, following)] if number == 1 else [answer(frame, b"own")]

    link, _ = link_to(script)
    link.start()
    assert link.request(Kind.RUN) == b"own"


def test_answers_of_other_sessions_and_earlier_requests_are_ignored() -> None:
    def script(frame: Frame, number: int) -> list[Frame]:
        other = Frame(frame.type | 0x80, frame.session ^ 1, frame.sequence, 0, b"wrong")
        early = Frame(frame.type | 0x80, frame.session, (frame.sequence - 1) & 0xFFFF, frame.sequence, b"wrong")
        error = Frame(Kind.ERROR, frame.session, (frame.sequence - 1) & 0xFFFF, frame.sequence, bytes(8))
        return [other, early, error, frame, answer(frame, b"right")]

    link, _ = link_to(script)
    assert link.start() == b"right"
    assert link.request(Kind.RUN) == b"right"


def test_silence_ends() -> None:
    link, _ = link_to(lambda frame, number: [answer(frame)] if number == 0 else [])
    link.start()
    began = time.monotonic()
    with pytest.raises(LinkLostError, match="no answer to RUN"):
        link.request(Kind.RUN)
    assert 0.9 < time.monotonic() - began < 2


def test_talk_without_progress_ends() -> None:
    def script(frame: Frame, number: int) -> list[Frame]:
        return [answer(frame)] if number == 0 else [Frame(Kind.ERROR, frame.session, 0xFFFF ^ frame.sequence, 0)]

    link, _ = link_to(script)
    link.start()
    with pytest.raises(LinkLostError, match="did not get through"):
        link.request(Kind.RUN)


def test_endless_demands_to_send_again_end() -> None:
    def script(frame: Frame, number: int) -> list[Frame]:
        return [answer(frame)] if number == 0 else [Frame(Kind.RESEND, frame.session, 0, frame.sequence)] * 9

    link, port = link_to(script)
    link.start()
    with pytest.raises(LinkLostError, match="did not get through"):
        link.request(Kind.RUN)
    assert len(port.frames) < 100  # and do not flood the line until then


def test_work_has_a_limit_of_its_own() -> None:
    def script(frame: Frame, number: int) -> list[Frame]:
        return [answer(frame)] if number == 0 else [Frame(Kind.WORKING, frame.session, frame.sequence, 0)]

    link, _ = link_to(script)
    link.start()
    began = time.monotonic()
    with pytest.raises(DeadlineError, match="RUN within 1.5 s"):
        link.request(Kind.RUN, limit_s=1.5)
    assert 1.4 < time.monotonic() - began < 3


def test_an_unknown_error_and_a_malformed_one() -> None:
    payload = b"\xff\x7f\0\0\0\0\0\0"
    link, _ = link_to(lambda frame, _: [Frame(Kind.ERROR, frame.session, frame.sequence, 0, payload)])
    with pytest.raises(DeviceError, match="unknown error 32767"):
        link.start()
    link, _ = link_to(lambda frame, _: [Frame(Kind.ERROR, frame.session, frame.sequence, 0, b"x")])
    with pytest.raises(DeviceError, match="malformed error"):
        link.start()


def test_a_port_that_fails_is_a_lost_link() -> None:
    link, port = link_to(lambda frame, _: [answer(frame)])
    link.start()
    port.fails = True
    with pytest.raises(LinkLostError, match="the device is gone"):
        link.request(Kind.RUN)
