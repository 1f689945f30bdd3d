"""The picture of the arena: well-formed, self-contained, and each box where the plan says."""

from __future__ import annotations

import dataclasses
import re
from xml.etree import ElementTree

import pytest

from edgekit.convert.mcu import picture
from edgekit.convert.mcu.plan import plan, working_set
from tests.unit.mcu import networks
from tests.unit.mcu.programs import chain, program, step

SVG = "{http://www.w3.org/2000/svg}"


def drawn(p, made, **options):
    root = ElementTree.fromstring(picture.svg(p, made, **options))
    titles = {
        rect.findtext(f"{SVG}title"): rect for rect in root.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None
    }
    return root, titles


def texts(root):
    return [text.text for text in root.iter(f"{SVG}text")]


def test_every_buffer_and_scratch_is_a_box_with_its_bytes_and_place():
    p = chain([400, 800, 200], scratch=16)
    made = plan(p)
    _, boxes = drawn(p, made)
    expected = {f"b{i}: {size} bytes at {made.offsets[i]:,}" for i, size in enumerate((400, 800, 200))}
    expected |= {f"scratch of s{i}: 16 bytes at {made.scratch[i]:,}" for i in range(2)}
    assert set(boxes) == expected


def test_boxes_are_to_scale():
    p = chain([400, 800, 200])
    _, boxes = drawn(p, plan(p))
    by_name = {title.split(":")[0]: rect for title, rect in boxes.items()}
    height = {name: float(rect.get("height")) for name, rect in by_name.items()}
    width = {name: float(rect.get("width")) + 1 for name, rect in by_name.items()}
    assert height["b1"] == pytest.approx(2 * height["b0"], abs=0.2) == pytest.approx(4 * height["b2"], abs=0.2)
    assert width["b0"] == pytest.approx(width["b1"], abs=0.2)  # start and step 0; steps 0 and 1
    assert float(by_name["b1"].get("x")) - float(by_name["b0"].get("x")) == pytest.approx(width["b0"] / 2, abs=0.2)


def test_shared_memory_is_hatched():
    p = chain([400, 800], distance=0)
    _, boxes = drawn(p, plan(p))
    hatched = [title for title, rect in boxes.items() if rect.get("fill") == "url(#shared)"]
    assert hatched == ["400 bytes shared by b0 and b1"] or hatched == ["400 bytes shared by b1 and b0"]
    apart = chain([400, 800])
    assert not [r for r in drawn(apart, plan(apart))[1].values() if r.get("fill") == "url(#shared)"]


def test_peak_arena_and_budget_are_told():
    p = chain([400, 800, 200])
    root, _ = drawn(p, plan(p), budget_bytes=1000)
    told = texts(root)
    assert "PEAK" in told and "budget 1.0 KB" in told
    assert "arena 1,200 bytes, proved the smallest; budget 1,000: 200 TOO MUCH" in told
    assert [t.text for t in root.iter(f"{SVG}text") if t.get("font-weight") == "700"] == ["PEAK", "s0"]


def test_a_gap_and_room_are_told():
    p = chain([400, 800, 200])
    made = dataclasses.replace(plan(p), lower_bound_bytes=1100)
    root, _ = drawn(p, made, budget_bytes=320_000)
    assert "arena 1,200 bytes, at most 100 bytes above the smallest; budget 320,000: 318,800 left" in texts(root)
    assert "budget 320.0 KB (above)" in texts(root)


def test_hostile_names_stay_text():
    evil = '</title><script>alert("x")</script>&\x00\x1b[2J\ud800\ufffe' + "long" * 100
    p = program([400, 800], [step(evil, [0], [1], 8)], [0], [1], name=evil)
    p = dataclasses.replace(p, buffers=tuple(dataclasses.replace(b, name=evil) for b in p.buffers))
    page = picture.html(p, plan(p), budget_bytes=2000)
    page.encode()
    assert "<script" not in page and "\x00" not in page and "\x1b" not in page
    ElementTree.fromstring(picture.svg(p, plan(p)))
    assert all(len(text or "") <= 100 for text in texts(drawn(p, plan(p))[0]))


@pytest.mark.parametrize("make", [networks.mobilenet_v2, networks.vit_block])
def test_networks_are_self_contained_and_small(make):
    p = make()
    made = plan(p)
    page = picture.html(p, made, budget_bytes=320_000)
    assert len(page) < 150_000
    assert not re.search(r"<script|<link|<img|src=|href=|@import|url\((?!#shared)", page)
    assert re.findall(r"https?://[^\s\"]+", page) == ["http://www.w3.org/2000/svg"]
    peak = p.steps[made.peak_step].name
    assert f"At the peak, {peak}:" in page
    for piece in working_set(p, made, made.peak_step).pieces:
        row = f"{piece.maker}<br><small>{piece.name}</small></td><td>{piece.bytes:,}</td><td>{piece.offset:,}</td>"
        assert row in page


def test_labels_lie_inside_the_picture():
    p = networks.vit_block()
    root, _ = drawn(p, plan(p))
    width, height = float(root.get("width")), float(root.get("height"))
    for text in root.iter(f"{SVG}text"):
        assert 0 <= float(text.get("x")) <= width and 0 <= float(text.get("y")) <= height


def test_no_steps():
    p = program([40, 20], [], [0, 1], [0])
    assert set(drawn(p, plan(p))[1]) == {"b0: 40 bytes at 0", "b1: 20 bytes at 40"}
