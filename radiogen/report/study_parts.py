"""Parts of the study's report: cohort, masks with their pictures, features, failures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter
from PIL import Image

from radiogen.report import style
from radiogen.report.page import Figure, Picture, Section, Table
from radiogen.report.style import INK, QUIET, REGION_WORDS, VERMILLION, new_figure, quiet_axes
from radiogen.report.words import count, number, target_words
from radiogen.run.quarantine import read_failures, without_folders
from radiogen.types import REGIONS, SEQUENCES

MOST_PICTURES = 60
PICTURE_BUDGET_BYTES = 3_000_000
"""All pictures of cases together, before base64 (which adds a third)."""

_WIDTHS_PX = (560, 480, 400, 320, 240)
_LABELS = {"idh": "idh", "mgmt": "mgmt", "codeletion": "codeletion_1p19q"}


def cohort_section(cohort: pd.DataFrame | None) -> list[Section]:
    """Return what the cohort is: cases, sites, sequences, labels, age, survival.

    Args:
        cohort: as `read_cohort` returns it, or None.
    """
    if cohort is None:
        return []
    n = len(cohort)
    rows = [
        ("patients", str(cohort["patient"].nunique()), ""),
        (
            "sites",
            str(cohort["site"].nunique()) if cohort["site"].notna().any() else "unknown",
            ", ".join(_counts(cohort["site"])),
        ),
        *((name, str(int(cohort[name].notna().sum())), _missing(cohort[name])) for name in SEQUENCES),
    ]
    for name, column in _LABELS.items():
        values = cohort[column].dropna()
        words = target_words(name)
        rows.append(
            (
                words.name,
                str(len(values)),
                f"{int((values == 1).sum())} {words.positive}, {int((values == 0).sum())} {words.negative}"
                if len(values)
                else "",
            )
        )
    rows.append(
        (
            "WHO grade",
            str(int(cohort["grade"].notna().sum())),
            ", ".join(_counts(cohort["grade"].map("{:g}".format, na_action="ignore"))),
        )
    )
    rows.append(("age, years", str(int(cohort["age"].notna().sum())), _spread(cohort["age"], 0)))
    rows.append(("sex", str(int(cohort["sex"].notna().sum())), ", ".join(_counts(cohort["sex"]))))
    followed = cohort[["os_days", "os_event"]].dropna()
    deaths = (
        f"{int(followed['os_event'].sum())} died; follow-up {_spread(followed['os_days'], 0)} days"
        if len(followed)
        else ""
    )
    rows.append(("survival", str(len(followed)), deaths))
    table = pd.DataFrame(rows, columns=["what", "number", "details"])
    return [
        Section(
            "Cohort",
            tables=[Table(table, f"{count(n, 'case')} with a mask, and for how many of them each fact is known.")],
        )
    ]


def masks_section(study: Path) -> list[Section]:
    """Return tumour volumes and one small picture per case; empty where there are neither.

    Args:
        study: folder with `volumes.csv` and `qc/`.
    """
    tables, figures, text = [], [], []
    if (study / "volumes.csv").is_file():
        volumes = pd.read_csv(study / "volumes.csv", dtype={"case": str})
        tables.append(Table(_volume_table(volumes), f"Tumour volumes over {count(len(volumes), 'case')}."))
        if (volumes[[f"{name}_ml" for name in REGIONS if f"{name}_ml" in volumes]] > 0).any(axis=None):
            figures.append(
                Figure(
                    volume_figure(volumes),
                    "Tumour volume of every case (dots) with median and quartiles; empty regions stand at 0.01 ml.",
                )
            )
        if "method" in volumes:
            text.append(f"Masks come from: {', '.join(_counts(volumes['method']))}.")
    files = sorted(study.glob("qc/*.png"))
    pictures = case_pictures(files)
    if len(files) > len(pictures):
        text.append(
            f"Pictures of the first {len(pictures)} of {len(files)} cases are shown; the others are in the folder qc."
        )
    if not tables and not pictures:
        return []
    sections = [Section("Tumour masks", text, figures=figures, tables=tables)]
    if pictures:
        look = [
            "Look at every mask: nothing above is better than the masks it was computed from. "
            "Select a picture for the case's slices, where it has a page, or for its full size."
        ]
        links = {"All cases": "cases/index.html"} if (study / "cases" / "index.html").is_file() else {}
        sections.append(Section("Masks, case by case", look, pictures=pictures, links=links))
    return sections


def volume_figure(volumes: pd.DataFrame) -> Canvas:
    """Draw the volumes of every case per region on a logarithmic axis.

    Args:
        volumes: columns `wt_ml tc_ml et_ml` as far as they are there, millilitres.
    """
    regions = [name for name in REGIONS if f"{name}_ml" in volumes.columns and (volumes[f"{name}_ml"] > 0).any()]
    least = 0.01
    with style.drawing():
        figure = new_figure(5.2, 1.1 + 0.75 * max(len(regions), 1))
        axes = figure.add_subplot()
        for place, name in enumerate(regions):
            values = pd.to_numeric(volumes[f"{name}_ml"], errors="coerce").dropna().to_numpy(dtype=float)
            if len(values) == 0:
                continue
            spread = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else np.zeros(1)
            axes.plot(
                np.maximum(values, least), place + spread, "o", color=QUIET, markersize=3, alpha=0.6, markeredgewidth=0
            )
            low, middle, high = np.maximum(np.quantile(values, [0.25, 0.5, 0.75]), least)
            axes.plot([low, high], [place, place], color=VERMILLION, linewidth=3.5, solid_capstyle="butt")
            axes.plot([middle], [place], "D", color=INK, markersize=5.5)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlim(left=least * 0.8)
        axes.set_yticks(range(len(regions)), [REGION_WORDS[name] for name in regions])
        axes.set_ylim(len(regions) - 0.5, -0.5)
        axes.set_xlabel("Volume (ml)")
        quiet_axes(axes, grid="x")
        axes.tick_params(axis="y", length=0)
    return figure


def case_pictures(files: list[Path]) -> list[Picture]:
    """Return small JPEG copies of the pictures of at most 60 cases, all together within `PICTURE_BUDGET_BYTES`.

    Args:
        files: PNG files `qc/<case>.png`.
    """
    shown = files[:MOST_PICTURES]
    for width in _WIDTHS_PX:
        pictures = [shrunken_picture(file, file.stem, _page_or_picture(file), width) for file in shown]
        if sum(len(picture.content) for picture in pictures) <= PICTURE_BUDGET_BYTES:
            return pictures
    return pictures if shown else []


def _page_or_picture(file: Path) -> str:
    """Return where a case's small picture leads: to its page, or to the large picture where it has none."""
    page = file.parent.parent / "cases" / f"{file.stem}.html"
    return f"cases/{page.name}" if page.is_file() else f"qc/{file.name}"


def shrunken_picture(file: Path, caption: str, link: str, width_px: int, *, drawing: bool = False) -> Picture:
    """Return a picture file no wider than `width_px`: as JPEG, or as PNG of few colours where it is a drawing.

    Args:
        file: PNG file.
        caption: a few words.
        link: where a click leads, relative to the page.
        width_px: greatest width, pixels.
        drawing: lines and letters rather than an MR image.
    """
    if not drawing:
        return Picture(shrunken_jpeg(file.read_bytes(), width_px), caption, link)
    buffer = io.BytesIO()
    few = _shrunken(file.read_bytes(), width_px).quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(buffer, format="PNG", optimize=True)
    return Picture(buffer.getvalue(), caption, link)


def shrunken_jpeg(content: bytes, width_px: int) -> bytes:
    """Return a picture as JPEG, no wider than `width_px`.

    Args:
        content: bytes of a PNG or JPEG file.
        width_px: greatest width, pixels.
    """
    buffer = io.BytesIO()
    _shrunken(content, width_px).save(buffer, format="JPEG", quality=78, optimize=True)
    return buffer.getvalue()


def _shrunken(content: bytes, width_px: int) -> Image.Image:
    with Image.open(io.BytesIO(content)) as opened:
        picture = opened.convert("RGB")
    if picture.width <= width_px:
        return picture
    return picture.resize(
        (width_px, max(1, round(picture.height * width_px / picture.width))), Image.Resampling.LANCZOS
    )


def features_section(folder: Path) -> list[Section]:
    """Return how many features each branch gave for how many cases.

    Args:
        folder: with one `<branch>.csv` per branch.
    """
    rows = []
    for file in sorted(path for path in folder.glob("*.csv") if not path.stem.endswith("_dictionary")):
        table = pd.read_csv(file, dtype={"case": str}).set_index("case")
        unknown = float(table.isna().to_numpy().mean()) if table.size else 0.0
        rows.append(
            {
                "branch": file.stem,
                "cases": len(table),
                "features": table.shape[1],
                "unknown values": f"{100 * unknown:.1f} %",
            }
        )
    if not rows:
        return []
    return [Section("Features", tables=[Table(pd.DataFrame(rows), "Feature tables, one row per case each.")])]


def failures_section(path: Path) -> list[Section]:
    """Return the cases that were left out, each with its reason and what to do about it.

    Args:
        path: the study's failed.csv.
    """
    failures = read_failures(path)
    if failures.empty:
        return []
    shown = failures.assign(cause=failures["cause"].map(without_folders), fix=failures["fix"].map(without_folders))
    return [
        Section(
            f"{count(failures['case'].nunique(), 'case')} failed",
            tables=[Table(shown, "Failed cases are in none of the results after the stage they failed in.")],
        )
    ]


def _volume_table(volumes: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for name in REGIONS:
        if f"{name}_ml" not in volumes:
            continue
        values = pd.to_numeric(volumes[f"{name}_ml"], errors="coerce").dropna()
        empty = int((values == 0).sum())
        words = _spread(values, 1) if empty < len(values) else "in none of the masks" if len(values) else "unknown"
        unknown = len(volumes) - len(values)
        rows.append(
            {
                "region": REGION_WORDS[name],
                "volume, ml": words,
                "empty in": count(empty, "case"),
                "unknown in": count(unknown, "case"),
            }
        )
    return pd.DataFrame(rows, columns=["region", "volume, ml", "empty in", "unknown in"])


def _spread(values: pd.Series, digits: int) -> str:
    found = values.dropna()
    if found.empty:
        return ""
    low, middle, high = (number(float(end), digits) for end in found.quantile([0.25, 0.5, 0.75]))
    return f"median {middle} (quartiles {low} to {high}), {number(float(found.min()), digits)} to {number(float(found.max()), digits)}"


def _counts(values: pd.Series, most: int = 12) -> list[str]:
    found = values.dropna().astype(str).value_counts()
    ordered = sorted(found.items(), key=lambda item: (-int(item[1]), str(item[0])))
    more = [f"{len(ordered) - most} more"] if len(ordered) > most else []
    return [*(f"{name} ({size})" for name, size in ordered[:most]), *more]


def _missing(values: pd.Series) -> str:
    return f"missing in {int(values.isna().sum())}" if values.isna().any() else ""
