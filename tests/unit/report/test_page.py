from __future__ import annotations

import json
import os
import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from edgekit.errors import MissingExtraError, UsageError
from edgekit.report import page, sections, write
from edgekit.report.data import ReportData
from tests.unit.report.examples import HOSTILE


@pytest.fixture(scope="module")
def html(everything: ReportData) -> str:
    return page.report_page(everything)


class Elements(HTMLParser):
    """Start tags with their attributes, and ids."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_same_data_give_the_same_page(everything: ReportData, html: str) -> None:
    again = msgspec.json.decode(msgspec.json.encode(everything), type=ReportData)
    assert page.report_page(again) == html


def test_nothing_is_loaded_and_only_named_scripts_run(html: str) -> None:
    assert html.startswith("<!doctype html>")
    found = Elements(html)
    policy = next(a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy and "http" not in policy
    for tag, attributes in found.tags:
        assert not {"src", "srcset", "data", "action", "onerror", "onload", "onclick"} & set(attributes), (
            tag,
            attributes,
        )
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert attributes.get("href", "#").startswith("#")  # type: ignore[union-attr]


def test_ids_are_unique_and_links_lead_somewhere(html: str) -> None:
    found = Elements(html)
    ids = [a["id"] for _, a in found.tags if "id" in a]
    assert len(set(ids)) == len(ids)
    for _, attributes in found.tags:
        targets = [(attributes.get("href") or "#main")[1:], attributes.get("aria-labelledby"), attributes.get("for")]
        assert all(target in ids for target in targets if target), attributes


def test_hostile_names_stay_text(html: str) -> None:
    assert HOSTILE not in html and "<img" not in html
    data = re.search(r'<script type="application/json" id="plots-data">(.*?)</script>', html, re.DOTALL)
    assert data is not None and "<" not in data[1] and "\u2028" not in data[1]
    assert "onerror" in json.dumps(json.loads(data[1]))


def test_everything_that_is_known_is_said(everything: ReportData, html: str) -> None:
    for words in ("wrong_net", "add_3 (aten.add) in blocks.3, net.py:7", "Repeat 2 became 12.0% slower.", "photographs",
                  "Bench machine", "Example CPU", "emulated: not a device"):  # fmt: skip
        assert page.need("markupsafe").escape(words) in html, words
    assert "FAILED" in html and "2026-02-01 08:30 UTC" in html


def test_a_choice_has_its_reasons_and_what_was_left_out(chosen: ReportData) -> None:
    made = page.report_page(chosen)
    assert chosen.choice is not None
    for words in (*chosen.choice.reasons, *(one.reason for one in chosen.excluded)):
        assert str(page.need("markupsafe").escape(words)) in made
    for words in ("no such operator: &lt;frob &amp; co&gt;", "does not fit into 320 KB", "not finished yet"):
        assert words in made


def test_a_limit_is_shown_as_it_was_given(chosen: ReportData) -> None:
    assert chosen.choice is not None
    bound = msgspec.structs.replace(chosen.choice.constraints[0], limit=8.9996)
    choice = msgspec.structs.replace(chosen.choice, constraints=(bound,))
    facts = [fact for section in sections.page(msgspec.structs.replace(chosen, choice=choice)).sections
             for fact in section.facts]  # fmt: skip
    assert ("Constraint", "median latency ≤ 8.9996 ms") in facts


def test_what_is_unknown_is_said_with_what_to_do(everything: ReportData) -> None:
    board = [msgspec.structs.replace(c, group=0, accuracy=None) for c in everything.candidates if c.group == 2]
    bare = msgspec.structs.replace(everything, evaluations=(), profiles=(), metric=None, groups=everything.groups[2:],
                                   candidates=tuple(board))  # fmt: skip
    unknown = " ".join(words for section in sections.page(bare).sections for words in section.unknown)
    for words in ("No accuracy is stored", "edgekit evaluate", "No profile is stored", "edgekit profile",
                  "tells neither temperature"):  # fmt: skip
        assert words in unknown
    assert page.report_page(bare).count('class="unknown"') >= 4


def test_a_page_of_failed_cells_alone_is_a_page(chosen: ReportData) -> None:
    bare = msgspec.structs.replace(chosen, candidates=(), groups=(), choice=None, excluded=(), evaluations=(),
                                   profiles=(), metric=None)  # fmt: skip
    assert "no such operator" in page.report_page(bare)


def test_long_tables_say_what_they_leave_out(chosen: ReportData) -> None:
    many = tuple(msgspec.structs.replace(cell, state="failed", reason="no") for cell in chosen.cells * 100)
    made = page.report_page(msgspec.structs.replace(chosen, cells=many))
    assert f"{len(many) - 500:,} more rows are left out of this table." in made


def test_a_script_that_could_end_its_element_is_refused() -> None:
    with pytest.raises(ValueError, match="can't stand"):
        page._script("x = '</SCRIPT>'")
    assert page._script("a\r\nb\rc") == "a\nb\nc"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, everything: ReportData) -> None:
    monkeypatch.setitem(__import__("sys").modules, "plotly", None)
    with pytest.raises(MissingExtraError, match="plotly") as caught:
        page.report_page(everything)
    assert "edgekit[report]" in caught.value.next_step


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    write.check_target(target)
    assert write.write(target, "né") == 3
    assert target.read_text(encoding="utf-8") == "né"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_target_that_can_not_be_is_refused_before_the_work(tmp_path: Path) -> None:
    for target, words in ((tmp_path, "is a directory"), (tmp_path / "no" / "r.html", "no folder")):
        with pytest.raises(UsageError, match=words):
            write.check_target(target)
    with pytest.raises(UsageError, match="can't be written"):
        write.write(tmp_path / ("x" * 300), "page")
    assert list(tmp_path.iterdir()) == []
