"""A page in a real Chromium without a window: what it drew, what it complained of, what it asked the network for.

``python tests/browser.py REPORT.html FOLDER`` makes the pictures of a report that the README shows.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# Debian's and Ubuntu's names, then Google's.
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
DRAWN_S = 60


def executable() -> str:
    """The installed browser; where there is none, the test fails in CI and is skipped elsewhere."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        reason = f"no Chromium is installed (looked for {', '.join(NAMES)})"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@dataclass
class Shown:
    """An open page with what happened on it so far: console errors, uncaught exceptions, and requests."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def quiet(self, file: Path) -> None:
        """Fail if the page complained, or asked for anything but its own file."""
        assert self.complaints == [], self.complaints
        # A saved plot is a blob or data address that the page makes itself.
        outside = [url for url in self.requests if url != file.as_uri() and not url.startswith(("data:", "blob:"))]
        assert outside == [], outside

    def until(self, script: str, argument: Any = None) -> None:
        """Wait until the script answers true.

        The browser driver's own waiting evaluates texts inside the page, which the page's policy forbids.
        """
        for _ in range(DRAWN_S * 20):
            if self.page.evaluate(script, argument):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"not within {DRAWN_S} s: {script}")

    def overflow(self) -> list[str]:
        """The elements that make the page wider than its window; empty if it does not scroll sideways."""
        found: list[str] = self.page.evaluate(_OVERFLOW)
        return found


_OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide) return [];
  return [...document.querySelectorAll("body *")]
    .filter((e) => e.getBoundingClientRect().right > wide && !e.parentElement.closest(".scroll"))
    .map((e) => `${e.tagName}.${e.className} ${Math.round(e.getBoundingClientRect().right)}`).slice(0, 10)
    .concat(`the page is ${document.documentElement.scrollWidth} px wide`);
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser, started once for many pages."""
    path = executable()
    from playwright.sync_api import sync_playwright

    # Chromium's own sandbox can't be had as root, as CI is; the page is ours.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, file: Path, *, width: int = 1280, height: int = 900, scheme: str = "light",
           touch: bool = False, drawn: bool = True) -> Iterator[Shown]:  # fmt: skip
    """A report in a window of its own, with every plot drawn."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=touch, offline=True,
        reduced_motion="reduce",
    )  # fmt: skip
    try:
        shown = Shown(context.new_page())
        shown.page.on("console", lambda message: _heard(shown, message))
        shown.page.on("pageerror", lambda error: shown.complaints.append(f"uncaught: {error}"))
        shown.page.on("request", lambda request: shown.requests.append(request.url))
        shown.page.goto(file.as_uri())
        if drawn:
            shown.page.wait_for_selector("html[data-drawn=all]", state="attached", timeout=DRAWN_S * 1000)
        yield shown
    finally:
        context.close()


def _heard(shown: Shown, message: Any) -> None:
    if message.type in ("error", "warning"):
        shown.complaints.append(f"{message.type}: {message.text}")


def pictures(file: Path, folder: Path) -> None:
    """The plot to choose from and the distributions on a wide light page, and the page on a dark phone."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    wanted = (("report", 1100, "light", "#pareto"), ("report-phone", 360, "dark", "#pareto"))  # fmt: skip
    with chromium() as browser:
        for name, width, scheme, part in wanted:
            with opened(browser, file, width=width, scheme=scheme) as shown:
                target = folder / f"{name}.png"
                shown.page.locator(part).screenshot(path=str(target))
                Image.open(target).convert("RGB").save(target, optimize=True)
                print(f"{target}: {target.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    pictures(Path(sys.argv[1]), Path(sys.argv[2]))
