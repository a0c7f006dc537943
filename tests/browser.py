"""The system's browser for tests: Chromium, Chrome or Edge through Playwright, without network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
WIDE, NARROW = (1280, 900), (390, 844)
"""A laptop and a phone, CSS pixels."""


def started_browser() -> Iterator[Browser]:
    """Start the system's browser, give it away, close it; skips where Playwright or a browser is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install 'radiogen[test]'")
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser on the PATH: {', '.join(BROWSERS)}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, path: Path, size: tuple[int, int] = WIDE) -> tuple[Page, list[str]]:
    """Open a file offline; return its page and the list that collects what its scripts complain about.

    Args:
        browser: of the fixture `browser`.
        path: an HTML file.
        size: width and height of the window, CSS pixels.
    """
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, has_touch=size == NARROW)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(("file:", "data:", "blob:")) else complaints.append(asked.url),
    )
    page.goto(path.resolve().as_uri())
    return page, complaints


def axe_findings(page: Page) -> list[str]:
    """Return what axe-core finds serious or critical on an open page, one line each.

    Args:
        page: an open page.

    Source:
        axe-core's default rules, which cover WCAG 2.1 A and AA and best practice (deque.com/axe).
    """
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed: pip install 'radiogen[test]'"
    )
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['target']}"
        for rule in found
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"][:3]
    ]


def sideways_scroll_px(page: Page) -> int:
    """Return by how many CSS pixels the body is wider than the window; 0 for a page that fits."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
