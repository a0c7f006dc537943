from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from radiogen.errors import OutputError
from radiogen.report import style


def drawn() -> Figure:
    with style.drawing():
        figure = style.new_figure(3.0, 2.0)
        axes = figure.add_subplot()
        axes.plot([0, 1, 2], [0, 4, 1], label="line")
        axes.set_xlabel("Months")
        style.quiet_axes(axes)
    return figure


def test_svg_and_png_are_the_same_bytes_every_time() -> None:
    assert style.svg(drawn()) == style.svg(drawn())
    assert style.png(drawn()) == style.png(drawn())


def test_no_date_and_no_software_name_in_the_files() -> None:
    text = style.svg(drawn())
    assert "<dc:date>" not in text
    assert "matplotlib.org" not in text
    assert b"Software" not in style.png(drawn())


def test_the_users_matplotlib_settings_are_untouched_and_without_effect() -> None:
    plain = style.svg(drawn())
    with matplotlib.rc_context(
        {"svg.hashsalt": "other", "svg.fonttype": "none", "font.sans-serif": ["Nowhere"], "font.size": 33}
    ):
        before = {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
        assert style.svg(drawn()) == plain
        assert {name: matplotlib.rcParams[name] for name in before} == before


def test_save_png_is_a_picture_of_the_asked_size_and_leaves_nothing_else(tmp_path: Path) -> None:
    style.save_png(drawn(), tmp_path / "new" / "a.png")
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert picture.size == (3 * style.PICTURE_DPI, 2 * style.PICTURE_DPI)
        assert np.asarray(picture.convert("L")).std() > 5
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.png"]


def test_save_png_onto_a_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError):
        style.save_png(drawn(), tmp_path / "a.png")
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.1."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("ink", "paper"), [(style.INK, style.PAPER), (style.QUIET, style.PAPER),
                                            (style.DARK_INK, style.DARK_PAPER), (style.DARK_QUIET, style.DARK_PAPER)])  # fmt: skip
def test_letters_have_the_contrast_that_wcag_asks_for(ink: str, paper: str) -> None:
    assert contrast(ink, paper) >= 4.5


@pytest.mark.parametrize("colour", style.REGION_COLOURS.values())
def test_outlines_stand_out_on_the_dark_ground(colour: str) -> None:
    assert contrast(colour, style.DARK_PAPER) >= 3.0
