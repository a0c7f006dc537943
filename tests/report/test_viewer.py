"""The slice viewer: what it holds, and what it does in a real browser."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from radiogen.report.page import Section, write_page
from radiogen.report.slices import plane_slice
from radiogen.report.viewer import (
    LABEL_COLOURS,
    MOST_VOXELS_A_SIDE,
    HeatLayer,
    LabelLayer,
    ViewerContent,
    as_looked_at,
    mosaic,
    shown_voxel_mm,
    viewer,
)
from tests.browser import NARROW, axe_findings, opened, sideways_scroll_px
from tests.report.html_check import Page

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as BrowserPage

SHAPE = (20, 24, 16)
ED, ET = 2, 3


def content() -> ViewerContent:
    """A head that grows brighter towards the top, with a tumour on the patient's right, in front, high up."""
    inside = np.zeros(SHAPE, dtype=bool)
    inside[2:18, 2:22, 1:15] = True
    heights = np.broadcast_to(np.arange(SHAPE[2], dtype=np.float32), SHAPE)
    t1c = np.where(inside, 20 + heights, 0).astype(np.float32)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[13:17, 16:20, 10:14] = ED
    labels[14:16, 17:19, 11:13] = ET
    habitats = np.where(labels > 0, 1, 0).astype(np.uint8)
    return ViewerContent(
        {"t2f": t1c[:, :, ::-1].copy(), "t1c": t1c},
        (2.0, 2.0, 2.0),
        labels,
        labels=[LabelLayer("Habitats", habitats, {1: "#0072B2", 2: "#FFFFFF"}, {1: "habitat 1", 2: "habitat 2"})],
        heats=[HeatLayer("Attention </script>", (labels > 0).astype(np.float32), "importance, no unit")],
    )


def data_of(markup: str) -> dict[str, Any]:
    text = re.search(r'<script type="application/json" id="viewer-data">(.*?)</script>', markup, re.DOTALL)
    assert text is not None
    return dict(json.loads(text[1]))


def unpacked(layer: dict[str, Any], shape: list[int]) -> np.ndarray:
    raw = zlib.decompress(base64.b64decode(layer["bytes"]))
    return np.frombuffer(raw, np.uint8).reshape(shape[2], shape[1], shape[0])


def test_the_mask_in_the_page_is_the_mask_that_was_given() -> None:
    given = content()
    data = data_of(viewer(given).markup)
    shown = unpacked(data["layers"][0], data["shape"])
    assert given.mask is not None
    assert (
        np.bincount(shown.ravel(), minlength=5).tolist()[1:]
        == np.bincount(given.mask.ravel(), minlength=5).tolist()[1:]
    )
    k, row, column = np.argwhere(shown == ET).mean(axis=0)
    assert column < shown.shape[2] / 2  # the patient's right is on the left
    assert row < shown.shape[1] / 2  # the front on top
    assert k > shown.shape[0] / 2


def test_a_mask_of_the_whole_tumour_is_not_called_oedema() -> None:
    given = content()
    labels = np.where(given.mask == ET, ED, given.mask).astype(np.uint8)
    markup = viewer(ViewerContent(given.images, given.voxel_size_mm, labels, whole_only=True)).markup
    assert "whole tumour; its parts are not marked" in markup
    assert "oedema" not in markup


def test_it_starts_inside_the_tumour() -> None:
    data = data_of(viewer(content()).markup)
    column, row, k = data["start"]
    assert unpacked(data["layers"][0], data["shape"])[k, row, column] == ET
    assert [each["name"] for each in data["sequences"]][data["first"]] == "t1c"


def test_a_mosaic_holds_every_slice() -> None:
    volume = (np.indices((7, 18, 21)).sum(axis=0) * 5).astype(np.uint8)
    made = mosaic(volume)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(made["src"].split(",")[1]))).convert("L"))
    width, height = made["tile"]
    for k in range(7):
        top, left = k // made["across"] * height, k % made["across"] * width
        found = sheet[top : top + 18, left : left + 21].astype(int)
        assert np.abs(found - volume[k]).mean() < 4  # compressed, but the right one


def test_slices_are_seen_as_on_every_other_picture() -> None:
    volume = np.random.default_rng(0).integers(0, 255, (5, 6, 7)).astype(np.uint8)
    assert (as_looked_at(volume)[3] == plane_slice(volume, "axial", 3)).all()


@pytest.mark.parametrize(
    ("voxel_mm", "shape", "expected"),
    [
        ((1.0, 1.0, 1.0), (240, 160, 155), 1.5),
        ((0.9, 0.9, 5.5), (150, 150, 26), 0.9),
        ((4.0, 4.0, 4.0), (40, 40, 40), 4.0),
    ],
)
def test_what_is_shown_has_cubes_and_not_too_many(
    voxel_mm: tuple[float, float, float], shape: tuple[int, int, int], expected: float
) -> None:
    box = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
    size = shown_voxel_mm(box, voxel_mm)
    assert size == pytest.approx(expected)
    assert max(n * own / size for n, own in zip(shape, voxel_mm, strict=True)) <= MOST_VOXELS_A_SIDE + 1e-9


def test_thick_slices_are_stretched_and_labels_stay_labels() -> None:
    labels = np.zeros((40, 40, 6), dtype=np.uint8)
    labels[10:20, 10:20, 2:4] = ET
    image = np.pad(np.ones((36, 36, 4), np.float32), ((2, 2), (2, 2), (1, 1)))
    data = data_of(viewer(ViewerContent({"t1c": image}, (1.0, 1.0, 6.0), labels)).markup)
    shown = unpacked(data["layers"][0], data["shape"])
    assert set(np.unique(shown).tolist()) == {0, ET}
    assert (shown == ET).sum() * data["voxel_mm"] ** 3 == pytest.approx((labels == ET).sum() * 6.0, rel=0.02)


def test_the_same_content_gives_the_same_bytes_and_hostile_words_stay_words(tmp_path: Path) -> None:
    made = viewer(content())
    assert made == viewer(content())
    write_page(tmp_path / "page.html", "Case <7>", [Section("Slices", widgets=[made])])
    text = (tmp_path / "page.html").read_text()
    page = Page(text, scripts=True)
    assert page.problems == []
    assert text.count("</script>") == 2  # the data and the program: nothing in the data ends a script
    assert "script-src 'unsafe-inline'" in html.unescape(text)
    assert "default-src 'none'; img-src data:;" in html.unescape(text)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("viewer") / "page.html"
    write_page(path, "Case 7", [Section("Slices", widgets=[viewer(content())])])
    return path


def pixel(page: BrowserPage, plane: str, x_share: float, y_share: float) -> list[int]:
    script = """([plane, x, y]) => { const c = document.getElementById('viewer-' + plane);
        return Array.from(c.getContext('2d').getImageData(Math.floor(x * c.width), Math.floor(y * c.height), 1, 1).data).slice(0, 3); }"""
    return list(page.evaluate(script, [plane, x_share, y_share]))


def frame(page: BrowserPage) -> None:
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_the_viewer_in_a_browser(browser: Browser, page_file: Path) -> None:
    page, complaints = opened(browser, page_file)
    page.wait_for_selector("#viewer[data-ready]")
    label = page.locator("#viewer-axial").get_attribute("aria-label") or ""
    assert re.fullmatch(r"axial slice \d+ of \d+, T1 contrast \(t1c\), with Tumour mask", label)

    slider = page.locator("#viewer-axial-slice")
    first = int(slider.input_value())
    middle = [0.5, 0.75]
    low = pixel(page, "axial", *middle)
    slider.press("ArrowRight")  # the keyboard moves a slice
    frame(page)
    assert int(slider.input_value()) == first + 1
    assert page.locator("#viewer-axial-number").inner_text() == f"{first + 1} of {slider.get_attribute('max')}"
    assert pixel(page, "axial", *middle)[0] > low[0]  # higher up the made-up head is brighter

    mask = page.get_by_role("checkbox", name="Tumour mask")
    held = data_of(page.content())
    place = [(start + 0.5) / count for start, count in zip(held["start"], held["shape"], strict=True)]
    spot = [place[0], place[1] + 0.04]  # beside the cross
    coloured = pixel(page, "axial", *spot)
    assert len(set(coloured)) > 1
    mask.uncheck()
    frame(page)
    assert len(set(pixel(page, "axial", *spot))) == 1  # grey: nothing lies over it
    slider.press("m")
    frame(page)
    assert mask.is_checked()
    assert pixel(page, "axial", *spot) == coloured
    page.locator("#viewer-opacity").fill("0")
    frame(page)
    assert len(set(pixel(page, "axial", *spot))) == 1

    slider.press("2")  # the other sequence is upside down
    frame(page)
    assert "T2 FLAIR" in (page.locator("#viewer-axial").get_attribute("aria-label") or "")
    before = page.locator("#viewer-sagittal-slice").input_value()
    page.locator("#viewer-axial").click(position={"x": 12, "y": 12})
    frame(page)
    assert page.locator("#viewer-sagittal-slice").input_value() != before  # the cross moves all planes
    assert complaints == []
    assert axe_findings(page) == []
    page.close()


def test_the_viewer_fits_a_phone(browser: Browser, page_file: Path) -> None:
    page, complaints = opened(browser, page_file, NARROW)
    page.wait_for_selector("#viewer[data-ready]")
    assert sideways_scroll_px(page) == 0
    boxes = [page.locator(f"#viewer-{plane}").bounding_box() for plane in ("axial", "coronal", "sagittal")]
    tops = [box["y"] for box in boxes if box]
    assert tops == sorted(tops)
    assert len(set(tops)) == 3  # one below the other
    assert complaints == []
    page.close()


def test_without_scripts_a_still_picture_stands_there(browser: Browser, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, format="PNG")
    with_still = ViewerContent(content().images, (2.0, 2.0, 2.0), still=buffer.getvalue())
    write_page(tmp_path / "page.html", "Case 7", [Section("Slices", widgets=[viewer(with_still)])])
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("#viewer-still img").is_visible()
    assert not page.locator("#viewer").is_visible()
    context.close()


def test_every_label_has_a_colour_of_its_own() -> None:
    assert len(set(LABEL_COLOURS.values())) == len(LABEL_COLOURS) == 4
