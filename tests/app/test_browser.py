"""The app as a user meets it: `radiogen app` in a real browser, from dropped files to the downloaded mask."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from radiogen.app.session import PREFIX
from radiogen.cli.app import ADDRESS
from tests.app.data import phantom, phantom_files
from tests.browser import NARROW, WIDE, axe_findings, sideways_scroll_px
from tests.cli.test_app import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("streamlit", reason="Streamlit is not installed: pip install 'radiogen[app]'")
MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def address(browser: Browser, temporary: Path) -> Iterator[str]:
    """The running app; stopped at the end as a user stops it."""
    port = free_port()
    command = [sys.executable, "-m", "radiogen", "app", "--no-browser", "--port", str(port)]
    program = subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(temporary)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        _wait_for(f"http://{ADDRESS}:{port}/_stcore/health", program)
        yield f"http://{ADDRESS}:{port}"
    finally:
        program.send_signal(signal.SIGINT)
        said = program.communicate(timeout=30)[0].decode()
    assert "Traceback" not in said
    assert list(temporary.glob(f"{PREFIX}*")) == []


def _wait_for(address: str, program: subprocess.Popen[bytes]) -> None:
    end = monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            if program.poll() is not None or monotonic() > end:
                raise
            sleep(0.2)


def _made(browser: Browser, address: str, files: list[Path]) -> tuple[Page, list[str]]:
    """Drop files, make the mask, and return the page and every address that it asked."""
    page = browser.new_page(viewport={"width": WIDE[0], "height": WIDE[1]}, accept_downloads=True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.goto(address)
    page.get_by_text("Research use only").first.wait_for(timeout=MINUTE_MS)
    page.locator("input[type=file]").set_input_files([str(path) for path in files])
    page.get_by_role("button", name="Make the mask").click(timeout=MINUTE_MS)
    page.get_by_role("button", name="Download everything").wait_for(timeout=2 * MINUTE_MS)
    return page, asked


def _downloaded_mask(page: Page, folder: Path) -> nib.Nifti1Image:
    with page.expect_download() as started:
        page.get_by_role("button", name="Download everything").click()
    started.value.save_as(folder / "case.zip")
    with zipfile.ZipFile(folder / "case.zip") as archive:
        assert "case-1/report.html" in archive.namelist()
        archive.extract("case-1/mask.nii.gz", folder)
    return nib.load(folder / "case-1" / "mask.nii.gz")


def test_a_made_up_patient_from_drop_to_download(
    browser: Browser, address: str, temporary: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"x_{name}.nii.gz" for name in phantom_files()]
    for path, content in zip(files, phantom_files().values(), strict=True):
        path.write_bytes(content)
    page, asked = _made(browser, address, files)
    shown = page.get_by_role("img", name="axial slice").first
    before = shown.get_attribute("src"), shown.get_attribute("alt")
    slider = page.get_by_role("slider", name="Axial slice")
    slider.press("ArrowRight")
    page.wait_for_function("old => document.querySelector('img[alt^=\"axial slice\"]').alt !== old", arg=before[1])
    assert page.get_by_role("img", name="axial slice").first.get_attribute("src") != before[0]
    page.get_by_text("Show the mask").click()
    page.get_by_role("img", name="mask hidden").first.wait_for()

    mask = _downloaded_mask(page, tmp_path)
    assert mask.shape == phantom().grid.shape
    assert np.allclose(mask.affine, phantom().grid.affine)
    assert axe_findings(page) == []
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    assert sideways_scroll_px(page) == 0
    assert {url.split("/")[2] for url in asked if url.startswith(("http", "ws"))} == {address.removeprefix("http://")}

    assert len(list(temporary.glob(f"{PREFIX}*"))) == 1
    page.close()


@pytest.mark.real_data
def test_a_real_case_from_drop_to_download(browser: Browser, address: str, shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "mri" / "lgg" / "TCGA_HT_7860_19960513"
    files = [path for path in sorted(folder.glob("*.nii.gz")) if "mask" not in path.name]
    page, _ = _made(browser, address, files)
    assert page.get_by_role("img", name="sagittal slice").first.is_visible()
    mask, scan = _downloaded_mask(page, tmp_path), nib.load(next(path for path in files if "t1c" in path.name))
    page.close()
    assert mask.shape == scan.shape
    assert np.allclose(mask.affine, scan.affine)
    assert np.asarray(mask.dataobj).any()
