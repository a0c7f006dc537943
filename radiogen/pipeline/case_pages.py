"""`radiogen report`: one page per case of a study, with every map that the study has of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.cohort.case import CaseImages, read_case, read_case_mask
from radiogen.cohort.masks import region_volumes_ml
from radiogen.cohort.nifti import read_grid, read_image, read_labels
from radiogen.cohort.table import present_sequences, read_cohort
from radiogen.errors import CohortError, ImageError
from radiogen.pipeline.case_maps import CaseMap, maps_of_cases, place_from_table
from radiogen.registry import did_you_mean
from radiogen.report.case_page import (
    CaseFacts,
    CasePrediction,
    call_words,
    place_from_mask,
    write_case_index,
    write_case_page,
)
from radiogen.report.habitats import HABITAT_COLOURS
from radiogen.report.images import case_picture
from radiogen.report.study import read_results
from radiogen.report.study_parts import shrunken_jpeg
from radiogen.report.style import png
from radiogen.report.viewer import HeatLayer, LabelLayer, ViewerContent
from radiogen.report.words import number, target_words
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, hash_inputs, read_sidecar
from radiogen.run.quarantine import Failure, write_failures
from radiogen.segment.cohort import mask_path
from radiogen.types import ED, LabelVolume

log = logging.getLogger(__name__)

STAGE = "case-pages"
FOLDER = "cases"
ALL, NONE = "all", "none"

_LAYOUT = 1
"""Raised when a page looks different, so that pages are made again."""
_STILL_WIDTH_PX = 900


def chosen_cases(asked: str, cohort: pd.DataFrame) -> list[str]:
    """Return which cases get a page.

    Args:
        asked: `all`, `none`, or ids with commas between them.
        cohort: the study's cohort.

    Raises:
        CohortError: an id is not in the cohort; all of them are named.

    Example:
        >>> chosen_cases("b", pd.DataFrame({"t1c": ["x", "y"]}, index=["a", "b"]))
        ['b']
    """
    known = [str(case) for case in cohort.index]
    if asked.strip().lower() in {ALL, NONE}:
        return known if asked.strip().lower() == ALL else []
    wanted = list(dict.fromkeys(name.strip() for name in asked.split(",") if name.strip()))
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        problems = [f"{name}: not in the cohort. {did_you_mean(name, known)}".strip() for name in unknown]
        hint = "Give case ids as in cohort.csv with commas between them, or 'all', or 'none'."
        raise CohortError(f"{len(unknown)} case(s) of --cases are not known:", problems=problems, hint=hint)
    return wanted


def run_case_pages(
    study: Path,
    asked: str = ALL,
    *,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
    synthetic: bool = False,
) -> tuple[list[str], list[Failure]]:
    """Write `cases/<case>.html` for the chosen cases of a study, and `cases/index.html`, which lists every page that is there.

    A page that is there and still true is kept.

    Args:
        study: study folder with `cohort.csv`.
        asked: `all`, `none`, or ids with commas between them.
        jobs: cases worked on at the same time.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show a progress bar.
        synthetic: the patients are made up.

    Returns:
        Cases with a page, and those that failed.

    Raises:
        CohortError: there is no cohort, or a case is not in it.
        OutputError: the folder cannot be written.
    """
    study = Path(study)
    table = study / "cohort.csv"
    if not table.is_file():
        raise CohortError(
            f"There is no cohort.csv in {study}.",
            hint="Give the output folder of `radiogen run` or `radiogen segment`.",
        )
    cohort = read_cohort(table)
    cases = chosen_cases(asked, cohort)
    predictions = predictions_of_cases(study)
    told = {case: CaseFacts(case, predictions=predictions.get(case, ())) for case in cases}
    return write_pages(study, cohort, told, jobs=jobs, dask=dask, progress=progress, synthetic=synthetic)


def write_pages(
    folder: Path,
    cohort: pd.DataFrame,
    told: Mapping[str, CaseFacts],
    *,
    of_study: bool = True,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
    synthetic: bool = False,
) -> tuple[list[str], list[Failure]]:
    """Write `cases/<case>.html` and `cases/index.html` below a folder; volumes, place, flags and maps are taken from what stands in it.

    Args:
        folder: study folder, or that of the predictions of a saved model.
        cohort: rows with images.
        told: case -> what models said of it.
        of_study: the folder has a report to go back to.
        jobs: cases worked on at the same time.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show a progress bar.
        synthetic: the patients are made up.

    Returns:
        Cases with a page, and those that failed.

    Raises:
        OutputError: the folder cannot be written.
    """
    flags = _flags(folder / "quality.csv")
    maps = maps_of_cases(folder, list(told))
    items: dict[str, _Item] = {
        case: (_row(cohort, case), facts, flags.get(case, ()), maps.get(case, ())) for case, facts in told.items()
    }
    work = _Page(folder, of_study, synthetic)
    done, failures = run_cases(work, items, stage=STAGE, jobs=jobs, dask=dask, progress=progress)
    write_failures(folder / "failed.csv", failures, stages=[STAGE])
    listed = [str(case) for case in cohort.index if page_path(folder, str(case)).is_file()]
    if listed:
        rows = index_rows(cohort.loc[listed], {case: facts.predictions for case, facts in told.items()})
        write_case_index(folder / FOLDER / "index.html", rows, of_study=of_study, synthetic=synthetic)
    log.info("case pages: %d written or kept, %d failed", len(done), len(failures))
    return list(done), failures


def page_path(study: Path, case: str) -> Path:
    """Return where the page of a case stands.

    Example:
        >>> page_path(Path("study"), "007").as_posix()
        'study/cases/007.html'
    """
    return Path(study) / FOLDER / f"{case}.html"


def predictions_of_cases(study: Path) -> dict[str, tuple[CasePrediction, ...]]:
    """Return case -> what every classifier of the study said of it, from `classify/<target>/predictions.csv`.

    Args:
        study: study folder.
    """
    found: dict[str, list[CasePrediction]] = {}
    for target, metrics in read_results(study).items():
        path = study / "classify" / target / "predictions.csv"
        if not path.is_file():
            continue
        table = pd.read_csv(path, dtype={"case": str, "prediction_set": str})
        for case, rows in table.groupby("case", sort=False):
            found.setdefault(str(case), []).append(_prediction(target, rows, str(metrics.get("verdict"))))
    return {case: tuple(each) for case, each in found.items()}


def _prediction(target: str, rows: pd.DataFrame, verdict: str) -> CasePrediction:
    probability = rows["y_prob"].to_numpy(dtype=float)
    truth = rows["y_true"].dropna() if "y_true" in rows else pd.Series(dtype=float)
    sets = rows["prediction_set"].dropna() if "prediction_set" in rows else pd.Series(dtype=object)
    unusual = bool((rows["out_of_distribution"] == 1).any()) if "out_of_distribution" in rows else False
    return CasePrediction(
        target,
        float(probability.mean()),
        float(probability.min()),
        float(probability.max()),
        tuple(str(each) for each in sets),
        int(truth.iloc[0]) if len(truth) else None,
        unusual,
        verdict,
    )


def _flags(path: Path) -> dict[str, tuple[str, ...]]:
    if not path.is_file():
        return {}
    table = pd.read_csv(path, dtype=str, keep_default_na=False).set_index("case")
    return {str(case): (text,) for case, text in table["flags"].items() if text} if "flags" in table else {}


_Item = tuple[pd.Series, CaseFacts, tuple[str, ...], tuple[CaseMap, ...]]


@dataclass(frozen=True)
class _Page:
    study: Path
    of_study: bool
    synthetic: bool

    def __call__(
        self,
        case: str,
        item: _Item,
    ) -> None:
        """Write the page of one case, unless the page of exactly this is there."""
        row, said, flags, maps = item
        page, sidecar = page_path(self.study, case), read_sidecar(mask_path(self.study, case))
        has_mask = isinstance(row.get("mask"), str)
        files = {**present_sequences(row), **({"mask": row["mask"]} if has_mask else {})}
        files |= {each.path.relative_to(self.study).as_posix(): each.path for each in maps}
        drawn = self.study / "qc" / f"{case}.png"  # of `radiogen segment`: the same picture, drawn already
        files |= {"picture": drawn}
        place = place_from_table(self.study, case)
        links = _links(self.study, case, self.of_study)
        told = {"mask": _told(sidecar), "predictions": [vars(each) for each in said.predictions], "flags": list(flags)}
        told |= {"risk": list(said.risk), "notes": list(said.notes)}
        settings = {"layout": _LAYOUT, "synthetic": self.synthetic, "place": place, "links": links, **told}
        provenance = Provenance(STAGE, settings, hash_inputs(files))
        if provenance.is_current([page]):
            return
        images = read_case(row)
        labels = read_case_mask(row, images.grid) if has_mask else None
        content, notes = _content(images, labels, maps, drawn)
        if not place and labels is not None:
            place = place_from_mask(labels, next(iter(images.images.values())))
        measured = _told(sidecar)
        if not measured and labels is not None:
            measured = {**region_volumes_ml(labels, images.grid), "method": "given"}
        facts = replace(
            said,
            mask=measured,
            missing=images.missing,
            place=place,
            flags=flags,
            notes=(*said.notes, *notes),
            links=links,
        )
        foot = {"stage": STAGE, "inputs": dict(provenance.inputs)}
        write_case_page(page, facts, content, provenance=foot, synthetic=self.synthetic)
        provenance.record([page])


def _row(table: pd.DataFrame, case: str) -> pd.Series:
    return table.loc[[case]].iloc[0]


def _told(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "wt_ml",
        "tc_ml",
        "et_ml",
        "method",
        "notes",
        "quality",
        "quality_note",
        "confidence",
        "flagged",
        "flag_reason",
    )
    return {name: sidecar[name] for name in names if name in sidecar}


def _content(
    images: CaseImages, labels: LabelVolume | None, maps: Sequence[CaseMap], drawn: Path
) -> tuple[ViewerContent, list[str]]:
    """Return what the viewer shows, and what had to be left out."""
    label_layers, heat_layers, notes = [], [], []
    for each in maps:
        if not read_grid(each.path).same_space(images.grid):
            notes.append(f"{each.title}: the map lies on other voxels than the images and is not shown.")
        elif each.kind == "habitats":
            label_layers.append(_habitats(each))
        else:
            values = np.maximum(np.nan_to_num(read_image(each.path).data), np.float32(0))
            heat_layers.append(HeatLayer(each.title, values, each.kind))
    size_mm = images.grid.voxel_size_mm
    picture = drawn.read_bytes() if drawn.is_file() else png(case_picture(images.images, labels, size_mm, images.case))
    still = shrunken_jpeg(picture, _STILL_WIDTH_PX)
    content = ViewerContent(
        images.images,
        size_mm,
        labels,
        label_layers,
        heat_layers,
        still,
        whole_only=labels is not None and set(np.unique(labels).tolist()) <= {0, ED},
    )
    return content, notes


def _habitats(each: CaseMap) -> LabelLayer:
    labels, _ = read_labels(each.path)
    most = int(labels.max(initial=0))
    if most > len(HABITAT_COLOURS):
        raise ImageError(f"{each.path.name} holds habitat {most}; {len(HABITAT_COLOURS)} are accepted.")
    numbers = range(1, most + 1)
    colours = {habitat: HABITAT_COLOURS[habitat - 1] for habitat in numbers}
    return LabelLayer(each.title, labels, colours, {habitat: f"habitat {habitat}" for habitat in numbers})


def _links(study: Path, case: str, of_study: bool) -> dict[str, str]:
    links = {"All cases": "index.html", **({"The study's report": "../report.html"} if of_study else {})}
    for path in sorted(study.rglob(f"{case}_disconnected.nii.gz")):
        if path.with_name(f"{case}.html").is_file():
            links["What the tumour disconnects"] = f"../{path.parent.relative_to(study).as_posix()}/{case}.html"
    return links


def index_rows(cohort: pd.DataFrame, predictions: Mapping[str, Sequence[CasePrediction]]) -> pd.DataFrame:
    """Return the list of cases as the index shows it.

    Args:
        cohort: rows of the cases with a page.
        predictions: case -> what the classifiers said.
    """
    rows = []
    for case, row in cohort.iterrows():
        told = {"whole tumour, ml": number(row.get("wt_ml"), 1), "look at this": _reason(row)}
        for each in predictions.get(str(case), ()):
            told[target_words(each.target).name] = f"{number(each.probability, 2)}; {call_words(each)}"
        rows.append(told)
    return pd.DataFrame(rows, index=pd.Index([str(case) for case in cohort.index], name="case"))


def _reason(row: pd.Series) -> str:
    reason = row.get("flag_reason")
    return reason if isinstance(reason, str) and str(row.get("flagged")) == "True" else ""
