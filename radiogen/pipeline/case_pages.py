"""`radiogen report`: one page per case of a study, with every map that the study has of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.cohort.case import CaseImages, read_case, read_case_mask
from radiogen.cohort.nifti import read_grid, read_image, read_labels
from radiogen.cohort.table import present_sequences, read_cohort
from radiogen.errors import CohortError, ImageError
from radiogen.registry import did_you_mean
from radiogen.report.case_page import (
    CaseFacts,
    CasePrediction,
    call_words,
    place_from_mask,
    place_words,
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
from radiogen.segment.cohort import entropy_path, mask_path
from radiogen.types import ED, LabelVolume

log = logging.getLogger(__name__)

STAGE = "case-pages"
FOLDER = "cases"
ALL, NONE = "all", "none"

_LAYOUT = 1
"""Raised when a page looks different, so that pages are made again."""
_STILL_WIDTH_PX = 900
_LOBE_END = "_fraction"


@dataclass(frozen=True)
class CaseMap:
    """A file that can lie over a case's slices.

    Args:
        path: NIfTI on the case's voxels.
        title: what it is.
        kind: `habitats` (labels) or what is measured, for the scale.
    """

    path: Path
    title: str
    kind: str


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
    flags = _flags(study / "quality.csv")
    maps = maps_of_cases(study, cases)
    items: dict[str, _Item] = {
        case: (_row(cohort, case), predictions.get(case, ()), flags.get(case, ()), maps.get(case, ())) for case in cases
    }
    work = _Page(study, synthetic)
    done, failures = run_cases(work, items, stage=STAGE, jobs=jobs, dask=dask, progress=progress)
    write_failures(study / "failed.csv", failures, stages=[STAGE])
    listed = [str(case) for case in cohort.index if page_path(study, str(case)).is_file()]
    if listed:
        rows = index_rows(cohort.loc[listed], predictions)
        write_case_index(study / FOLDER / "index.html", rows, synthetic=synthetic)
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


def maps_of_cases(study: Path, cases: Sequence[str]) -> dict[str, tuple[CaseMap, ...]]:
    """Return case -> maps of it that stand anywhere in a study: explanations, habitats, disconnected weight, uncertainty.

    Args:
        study: study folder.
        cases: whose maps.
    """
    found: dict[str, list[CaseMap]] = {case: [] for case in cases}
    for listing in sorted(study.rglob("explanations.csv")):
        table = pd.read_csv(listing, dtype={"case": str, "network": str, "map": str})
        for row in table[table["case"].isin(cases)].itertuples():
            title = f"What the classifier on images looks at ({row.network})"
            found[str(row.case)].append(CaseMap(listing.parent / str(row.map), title, "importance, no unit"))
    for facts in sorted(study.rglob("habitats.json")):
        for case in cases:
            found[case].append(CaseMap(facts.parent / "maps" / f"{case}.nii.gz", "Habitats", "habitats"))
    folders = sorted({path.parent for path in study.rglob("*_disconnected.nii.gz")})
    for case in cases:
        for folder in folders:
            path = folder / f"{case}_disconnected.nii.gz"
            found[case].append(CaseMap(path, "Disconnected weight of the network", "connection weight, no unit"))
        found[case].append(CaseMap(entropy_path(study, case), "Uncertainty of the mask", "entropy, bits"))
    return {case: tuple(each for each in maps if each.path.is_file()) for case, maps in found.items()}


_Item = tuple[pd.Series, tuple[CasePrediction, ...], tuple[str, ...], tuple[CaseMap, ...]]


@dataclass(frozen=True)
class _Page:
    study: Path
    synthetic: bool

    def __call__(
        self,
        case: str,
        item: _Item,
    ) -> None:
        """Write the page of one case, unless the page of exactly this is there."""
        row, predictions, flags, maps = item
        page, sidecar = page_path(self.study, case), read_sidecar(mask_path(self.study, case))
        has_mask = isinstance(row.get("mask"), str)
        files = {**present_sequences(row), **({"mask": row["mask"]} if has_mask else {})}
        files |= {each.path.relative_to(self.study).as_posix(): each.path for each in maps}
        drawn = self.study / "qc" / f"{case}.png"  # of `radiogen segment`: the same picture, drawn already
        files |= {"picture": drawn}
        place = _place_from_table(self.study, case)
        links = _links(self.study, case)
        told = {"mask": _told(sidecar), "predictions": [vars(each) for each in predictions], "flags": list(flags)}
        settings = {"layout": _LAYOUT, "synthetic": self.synthetic, "place": place, "links": links, **told}
        provenance = Provenance(STAGE, settings, hash_inputs(files))
        if provenance.is_current([page]):
            return
        images = read_case(row)
        labels = read_case_mask(row, images.grid) if has_mask else None
        content, notes = _content(images, labels, maps, drawn)
        if not place and labels is not None:
            place = place_from_mask(labels, next(iter(images.images.values())))
        facts = CaseFacts(
            case, _told(sidecar), images.missing, place, tuple(flags), tuple(predictions), tuple(notes), links
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


@lru_cache(maxsize=2)
def _location_table(path: Path, changed_ns: int) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"case": str}).set_index("case")


def _place_from_table(study: Path, case: str) -> str:
    path = study / "features" / "location.csv"
    if not path.is_file():
        return ""
    table = _location_table(path, path.stat().st_mtime_ns)
    start = "location_wt_"
    if case not in table.index or pd.isna(_row(table, case).get(f"{start}left_fraction", np.nan)):
        return ""
    row = _row(table, case)
    tissues = {"left", "right", "grey_matter", "white_matter", "ventricle", "unlabelled", "largest_lesion"}
    lobes = {
        name.removeprefix(start).removesuffix(_LOBE_END): float(row[name])
        for name in table.columns
        if name.startswith(start) and name.endswith(_LOBE_END) and pd.notna(row[name])
    }
    named = {lobe: share for lobe, share in lobes.items() if lobe not in tissues}
    return place_words(float(row[f"{start}left_fraction"]), "by registration to MNI152", named)


def _links(study: Path, case: str) -> dict[str, str]:
    links = {"All cases": "index.html", "The study's report": "../report.html"}
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
