"""Reports in a real Chromium, and the command that writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.choose.ask import ChooseRequest, answer
from edgekit.compare.runs import compare_stored
from edgekit.report.collect import Asked, collect
from edgekit.report.compare import collect_comparison, compare_page
from edgekit.report.page import report_page
from edgekit.selection import Constraint, Objective
from edgekit.store.store import Store
from tests import browser
from tests.command import edgekit
from tests.unit.report import examples

CREATED = "2026-02-01T08:30:00+00:00"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def url(places: Path) -> str:
    made = f"sqlite:///{places / 'results.sqlite'}"
    with Store.open(made) as store:
        examples.fill(store)
    return made


@pytest.fixture(scope="module")
def everything(places: Path, url: str) -> Path:
    with Store.open(url) as store:
        made = report_page(collect(store, Asked(), CREATED))
    return _written(places / "everything.html", made)


@pytest.fixture(scope="module")
def chosen(places: Path, url: str) -> Path:
    request = ChooseRequest(
        devices=("host",), constraints=(Constraint(quantity="p50_ms", sense="<=", limit=9.0),),
        objectives=(Objective(quantity="top1", direction="maximize"),),
    )  # fmt: skip
    with Store.open(url) as store:
        data = collect(store, Asked(sweep="nightly <1>"), CREATED, answer(request, store))
    return _written(places / "chosen.html", report_page(data))


@pytest.fixture(scope="module")
def compared(places: Path, url: str) -> Path:
    made = examples.artifact("small_net", "executorch")
    with Store.open(url) as store:
        ids = []
        for number, median_ms in ((60, 2.0), (61, 2.6)):
            found = examples.measurement(made, examples.HOST, median_ms, number)
            store.save_measurement(found)
            ids.append(found.id)
        comparison = compare_stored(store, *ids)
        page = compare_page(collect_comparison(comparison, store, store, CREATED))
    return _written(places / "compared.html", page)


def _written(path: Path, page: str) -> Path:
    path.write_text(page, encoding="utf-8")
    assert path.stat().st_size < 10_000_000
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as opened:
        yield opened


@pytest.fixture(params=["everything", "chosen", "compared"])
def file(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_draws_itself_from_its_own_file_alone(chromium: Any, file: Path, width: int) -> None:
    with browser.opened(chromium, file, width=width) as shown:
        boxes = shown.page.locator(".plot")
        assert boxes.count() > 0
        assert shown.page.locator(".plot .main-svg").count() >= boxes.count()
        for scheme in ("light", "dark"):
            shown.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert shown.overflow() == []
        # Turned, or dragged to another width, while it is open.
        shown.page.set_viewport_size({"width": 768, "height": 900})
        fitted = "(e) => Math.abs(e._fullLayout.width - e.clientWidth) < 2"
        shown.until(f"[...document.querySelectorAll('.plot')].every({fitted})")
        assert shown.overflow() == []
        narrow = shown.page.locator(".plot .main-svg").first.bounding_box()["width"]
        assert 600 < narrow <= 768
        shown.quiet(file)


def test_the_policy_is_in_force(chromium: Any, chosen: Path) -> None:
    with browser.opened(chromium, chosen) as shown:
        page = shown.page
        page.evaluate("""() => {
          const script = document.createElement("script");
          script.textContent = "window.broken = 1";
          document.body.append(script);
          const image = document.createElement("img");
          image.src = "http://127.0.0.1:9/x.png";
          image.setAttribute("onerror", "window.broken = 2");
          document.body.append(image);
          return fetch("http://127.0.0.1:9/").catch(() => "refused");
        }""")

        def refused() -> int:
            return sum("Content Security Policy" in words for words in shown.complaints)

        for _ in range(100):  # the browser reports them when it comes to it
            if refused() >= 3:
                break
            page.wait_for_timeout(100)
        assert refused() >= 3, shown.complaints
        assert page.evaluate("window.broken") is None


def test_hostile_names_are_shown_and_do_nothing(chromium: Any, everything: Path) -> None:
    with browser.opened(chromium, everything) as shown:
        page = shown.page
        assert "broken" not in page.title()
        assert page.locator("img, .plot a, table a").count() == 0
        assert page.locator("th", has_text="onerror").count() > 0
        steps = page.locator("#pareto-0")
        steps.focus()
        page.keyboard.press("End")
        assert "onerror" in page.locator("#pareto-0-readout").inner_text()
        page.locator("#pareto-0 .hoverlayer .hovertext").first.wait_for()
        assert "<img src=x" in "".join(page.locator("#pareto-0 .hoverlayer text").all_text_contents())
        # The whole name, its colour-like end too, is in the table as it was given.
        assert page.evaluate("(name) => [...document.querySelectorAll('#candidates tbody th')]"
                             ".some((cell) => cell.textContent.includes(name))", examples.HOSTILE)  # fmt: skip
        shown.quiet(everything)


@pytest.mark.parametrize("width", [360, 1280])
def test_arrow_keys_step_through_every_plot(chromium: Any, everything: Path, width: int) -> None:
    with browser.opened(chromium, everything, width=width) as shown:
        page = shown.page
        for name in page.evaluate("[...document.querySelectorAll('.plot')].map((e) => e.id)"):
            box, readout = page.locator(f"#{name}"), page.locator(f"#{name}-readout")
            hover = page.locator(f"#{name} .hoverlayer .hovertext")
            box.focus()
            assert "step through" in readout.inner_text()
            said = []
            for key in ("ArrowRight", "ArrowRight", "End", "Home", "ArrowLeft"):
                page.keyboard.press(key)
                said.append(readout.inner_text())
                hover.first.wait_for(timeout=5000)  # plotly.js draws it some 50 ms later
            count = int(said[0].split()[2].rstrip(":"))
            second = min(2, count)
            assert [words.split(":")[0] for words in said] == [
                f"{place} of {count}" for place in (1, second, count, 1, 1)
            ]  # fmt: skip
            page.keyboard.press("Escape")
            hover.first.wait_for(state="hidden", timeout=5000)
        shown.quiet(everything)


def test_everything_is_reached_by_the_tab_key(chromium: Any, chosen: Path) -> None:
    with browser.opened(chromium, chosen) as shown:
        page = shown.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        reached = set()
        for _ in range(200):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
            if page.evaluate("document.activeElement === document.body"):
                break
            visible = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert visible != "none", page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        plots = page.evaluate("[...document.querySelectorAll('.plot')].map((e) => e.id)")
        assert set(plots) <= reached and {"SUMMARY", "BUTTON", "runs-pick"} <= reached


def test_tables_are_sorted_by_the_keyboard(chromium: Any, everything: Path) -> None:
    with browser.opened(chromium, everything) as shown:
        page = shown.page
        head = page.locator("#candidates thead th", has_text="p50")

        def values() -> list[str | None]:
            return page.evaluate(
                "[...document.querySelectorAll('#candidates tbody tr')].map((r) => r.cells[2].dataset.v)"
            )

        head.locator("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        rising = [float(value) for value in values() if value is not None]
        assert rising == sorted(rising) and len(rising) == 16
        page.keyboard.press("Space")
        assert head.get_attribute("aria-sort") == "descending"
        assert [float(value) for value in values() if value is not None] == rising[::-1]
        # What is not known comes last either way.
        accuracy = page.locator("#candidates thead th", has_text="Accuracy").locator("button")
        for _ in range(2):
            accuracy.click()
            cells = page.locator("#candidates tbody tr").last.locator("td").all_inner_texts()
            assert "–" in cells


def test_the_list_changes_both_plots_and_their_tables(chromium: Any, everything: Path) -> None:
    with browser.opened(chromium, everything) as shown:
        page = shown.page

        def drawn(name: str) -> Any:
            return page.evaluate(f"document.getElementById('{name}').data[0].x.slice(0, 3)")

        before = {name: drawn(name) for name in ("ecdf", "order")}
        table = page.locator("[data-table-of=ecdf]")
        old = table.inner_html()
        page.locator("#runs-pick").select_option("5")
        assert drawn("ecdf") != before["ecdf"] and table.inner_html() != old
        assert page.evaluate("document.getElementById('order').data[0].y[0]") > 0
        shown.quiet(everything)


def test_the_plots_follow_the_colour_scheme_at_once(chromium: Any, chosen: Path) -> None:
    with browser.opened(chromium, chosen, scheme="light") as shown:
        page = shown.page
        look = """() => [getComputedStyle(document.body).backgroundColor,
          document.querySelector('#pareto-0').layout.paper_bgcolor,
          document.querySelector('#boxes-0').layout.font.color]"""
        light = page.evaluate(look)
        page.emulate_media(color_scheme="dark")
        shown.until(f"(light) => ({look})().every((one, place) => one !== light[place])", light)
        dark = page.evaluate(look)
        assert all(one != other for one, other in zip(light, dark, strict=True)), (light, dark)
        assert not any(str(colour).startswith("$") for colour in (*light, *dark))
        shown.quiet(chosen)


def test_it_prints_on_white_paper(chromium: Any, chosen: Path) -> None:
    with browser.opened(chromium, chosen, scheme="dark") as shown:
        shown.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        shown.page.emulate_media(media="print")
        assert shown.page.evaluate("document.querySelector('#pareto-0').layout.paper_bgcolor") == "#ffffff"
        assert shown.page.locator("nav").is_hidden()
        pdf = shown.page.pdf()
        assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
        shown.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert shown.page.evaluate("document.querySelector('#pareto-0').layout.paper_bgcolor") != "#ffffff"
        shown.quiet(chosen)


def test_a_plot_zooms_and_is_saved_as_a_picture(chromium: Any, chosen: Path) -> None:
    with browser.opened(chromium, chosen) as shown:
        page = shown.page
        box = page.locator("#pareto-0")
        box.scroll_into_view_if_needed()
        box.hover()
        with page.expect_download() as download:
            page.locator("#pareto-0 .modebar-btn").first.click()
        assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
        before = page.evaluate("document.querySelector('#pareto-0').layout.xaxis.range.slice()")
        area = page.locator("#pareto-0 .nsewdrag").first.bounding_box()
        page.mouse.move(area["x"] + 100, area["y"] + 60)
        page.mouse.down()
        page.mouse.move(area["x"] + 400, area["y"] + 200, steps=5)
        page.mouse.up()
        shown.until("(old) => document.querySelector('#pareto-0').layout.xaxis.range[0] !== old", before[0])
        after = page.evaluate("document.querySelector('#pareto-0').layout.xaxis.range.slice()")
        assert before[0] < after[0] < after[1] < before[1]
        shown.quiet(chosen)


def test_without_scripts_the_tables_say_everything(chromium: Any, chosen: Path) -> None:
    context = chromium.new_context(java_script_enabled=False, offline=True)
    try:
        page = context.new_page()
        page.goto(chosen.as_uri())
        assert page.locator("noscript").inner_text()
        assert page.locator("#candidates tbody tr").count() == 12
        assert "small_net" in page.locator("#candidates tbody").inner_text()
    finally:
        context.close()


def test_a_finger_scrolls_the_page_over_a_plot(chromium: Any, chosen: Path) -> None:
    with browser.opened(chromium, chosen, width=360, touch=True) as shown:
        assert shown.page.evaluate("matchMedia('(pointer: coarse)').matches")
        modes = shown.page.evaluate("[...document.querySelectorAll('.plot')].map((e) => e.layout.dragmode)")
        assert set(modes) == {False}
        assert shown.page.locator(".modebar-btn").count() == 0


def test_a_missing_browser_fails_in_ci_and_is_skipped_by_name_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonesuch")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Chromium is installed"):
        browser.executable()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no Chromium is installed"):
        browser.executable()


def test_the_command_writes_a_page(url: str, tmp_path: Path) -> None:
    env = {"EDGEKIT_STORE": url}
    target = tmp_path / "page.html"
    target.write_text("an older report")
    done = edgekit("report", "--sweep", "nightly <1>", "--max-latency", "9ms", "--maximize", "top1", "-d", "host",
                   "-o", str(target), "--json", env=env)  # fmt: skip
    assert done.code == 0, done.err
    made = done.json()["report"]
    assert made["bytes"] == target.stat().st_size and made["candidates"] == 12 and made["cells"] == 15
    assert made["choice"] in ("chosen", "tie", "undecided")
    page = target.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "The choice" in page
    said = edgekit("report", "-o", str(target), env=env)
    assert (said.code, said.out.split(":")[0]) == (0, str(target)) and "16 candidates" in said.out


def test_the_command_refuses_what_can_not_be(url: str, tmp_path: Path) -> None:
    env = {"EDGEKIT_STORE": url}
    edgekit("report", "-o", str(tmp_path), "--json", env=env).failed(2, "usage")
    edgekit("report", "-o", str(tmp_path / "no" / "r.html"), "--json", env=env).failed(2, "usage")
    target = str(tmp_path / "r.html")
    error = edgekit("report", "-o", target, "--accuracy", "published", "--emulated", "--json", env=env).failed(
        2, "usage"
    )
    assert "--accuracy and --emulated" in error["message"]
    edgekit("report", "-o", target, "--sweep", "nonesuch", "--json", env=env).failed(2, "usage")
    edgekit("report", "-o", target, "--model", "nonesuch", "--json", env=env).failed(2, "usage")
    empty = {"EDGEKIT_STORE": f"sqlite:///{tmp_path / 'empty.sqlite'}"}
    edgekit("report", "-o", target, "--json", env=empty).failed(2, "usage")
    assert not Path(target).exists()
