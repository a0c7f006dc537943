"""What stands of a case anywhere in a study: maps that can lie over its slices, and its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from radiogen.report.case_page import place_words
from radiogen.segment.cohort import entropy_path

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
    # A fit writes both, a model that was applied the table only.
    for folder in sorted({path.parent for path in study.rglob("habitats.*") if path.suffix in {".json", ".csv"}}):
        for case in cases:
            found[case].append(CaseMap(folder / "maps" / f"{case}.nii.gz", "Habitats", "habitats"))
    folders = sorted({path.parent for path in study.rglob("*_disconnected.nii.gz")})
    for case in cases:
        for folder in folders:
            path = folder / f"{case}_disconnected.nii.gz"
            found[case].append(CaseMap(path, "Disconnected weight of the network", "connection weight, no unit"))
        found[case].append(CaseMap(entropy_path(study, case), "Uncertainty of the mask", "entropy, bits"))
    return {case: tuple(each for each in maps if each.path.is_file()) for case, maps in found.items()}


@lru_cache(maxsize=2)
def _location_table(path: Path, changed_ns: int) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"case": str}).set_index("case")


def place_from_table(study: Path, case: str) -> str:
    """Return where the tumour lies by the study's location table; empty where it does not know.

    Args:
        study: study folder.
        case: case id.
    """
    path = study / "features" / "location.csv"
    if not path.is_file():
        return ""
    table = _location_table(path, path.stat().st_mtime_ns)
    start = "location_wt_"
    if case not in table.index or pd.isna(table.loc[[case]].iloc[0].get(f"{start}left_fraction", np.nan)):
        return ""
    row = table.loc[[case]].iloc[0]
    tissues = {"left", "right", "grey_matter", "white_matter", "ventricle", "unlabelled", "largest_lesion"}
    lobes = {
        name.removeprefix(start).removesuffix(_LOBE_END): float(row[name])
        for name in table.columns
        if name.startswith(start) and name.endswith(_LOBE_END) and pd.notna(row[name])
    }
    named = {lobe: share for lobe, share in lobes.items() if lobe not in tissues}
    return place_words(float(row[f"{start}left_fraction"]), "by registration to MNI152", named)
