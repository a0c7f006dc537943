"""BIDS out: preprocessed cases as a derivatives data set."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen import __version__
from radiogen.cohort.bids_layout import TUMOUR_LABELS_TSV
from radiogen.cohort.masks import read_mask
from radiogen.cohort.nifti import read_image, read_labels, write_labels
from radiogen.cohort.table import CLINICAL_COLUMNS, LABEL_COLUMNS, SURVIVAL_COLUMNS, present_sequences
from radiogen.errors import CohortError
from radiogen.run.atomic import write_json, write_text, writing

BIDS_VERSION = "1.10.0"
MNI_SPACE = "MNI152NLin2009aSym"
"""BIDS name of the template that comes with radiogen."""

_SUFFIX = {"t1n": ("", "T1w"), "t1c": ("_ce-gadolinium", "T1w"), "t2w": ("", "T2w"), "t2f": ("", "FLAIR")}
_STANDARD_SPACES = re.compile(r"MNI152NLin2009[a-c](Sym|Asym)|MNI152Lin|MNI152NLin6(Sym|Asym)|orig|individual")
_ENTITIES = ("sub", "ses", "ce", "space", "desc")
_NAME = re.compile(r"sub-[A-Za-z0-9]+(?:_[a-z]+-[A-Za-z0-9]+)*_(T1w|T2w|FLAIR|mask|dseg)\.(nii\.gz|json|tsv)")


def write_bids_derivatives(
    study: Path, cohort: pd.DataFrame, output: Path, *, space: str = MNI_SPACE, space_reference: str = ""
) -> list[Path]:
    """Write preprocessed images and masks as a BIDS derivatives data set.

    Images are `sub-<label>[_ses-<label>][_ce-gadolinium]_space-<space>_desc-preproc_{T1w,T2w,FLAIR}.nii.gz`, brains `desc-brain_mask`, tumours
    `desc-tumor_dseg` with the table of their labels. A patient with several cases gets one session per case.

    Args:
        study: the study folder; the brain of a case is `preprocessed/<case>/brain.nii.gz` below it.
        cohort: the preprocessed cases, as `radiogen preprocess` writes them in its cohort table.
        output: folder of the data set.
        space: BIDS name of the space that the images are in.
        space_reference: where the template of a space without a BIDS name can be found.

    Returns:
        The image and mask files written.

    Raises:
        CohortError: a case has no brain mask, two patients would have one BIDS label, or the space has no BIDS name and no reference.
        ImageError: a mask cannot be used.

    Source: BIDS specification 1.10.0, Derivatives: Imaging data types (preprocessed volumes, masks, discrete segmentations) and Entities (order).
    """
    names = _names(cohort)
    _refuse(study, cohort, space, space_reference)
    reference = {} if not space_reference else {"SpatialReference": space_reference}
    written: list[Path] = []
    for case, row in cohort.iterrows():
        prefix = names[str(case)]
        folder = output.joinpath(*prefix.split("_"), "anat")
        brain_path = _brain(study, str(case))
        for name, source in present_sequences(row).items():
            contrast, suffix = _SUFFIX[name]
            target = folder / f"{prefix}{contrast}_space-{space}_desc-preproc_{suffix}.nii.gz"
            _copy(Path(source), target)
            _describe(target, {"SkullStripped": _is_stripped(source, brain_path), **reference})
            written.append(target)
        written.append(_write_brain(brain_path, folder / f"{prefix}_space-{space}_desc-brain_mask.nii.gz", reference))
        if isinstance(row.get("mask"), str):
            written.append(_write_tumour(row, folder / f"{prefix}_space-{space}_desc-tumor_dseg.nii.gz", reference))
    _write_top(cohort, names, output)
    problems = [problem for path in written for problem in name_problems(path.relative_to(output))]
    if problems:
        raise CohortError("Names are not of the BIDS specification:", problems=problems)
    return written


def bids_label(text: str) -> str:
    """Return an id as a BIDS label: letters and digits only.

    Example:
        >>> bids_label("BraTS-GLI-00000-000")
        'BraTSGLI00000000'
    """
    return re.sub(r"[^A-Za-z0-9]", "", text)


def name_problems(path: Path) -> list[str]:
    """Return what is wrong with the name of an image, mask or sidecar of a derivatives data set.

    Args:
        path: relative to the folder of the data set.

    Source: BIDS specification 1.10.0, Common principles (file names, folders) and Entities (order).

    Example:
        >>> name_problems(Path("sub-1/anat/sub-1_ce-gadolinium_space-MNI152Lin_desc-preproc_T1w.nii.gz"))
        []
        >>> name_problems(Path("sub-1/anat/sub-1_desc-preproc_space-MNI152Lin_T1w.nii.gz"))
        ['sub-1_desc-preproc_space-MNI152Lin_T1w.nii.gz: its entities are not in the order sub ses ce space desc']
    """
    if _NAME.fullmatch(path.name) is None:
        return [f"{path.name}: not entities with letters and digits, a suffix and an extension"]
    parts = dict(part.split("-", 1) for part in path.name.split(".")[0].split("_")[:-1])
    keys = list(parts)
    problems = []
    if unknown := sorted(set(keys) - set(_ENTITIES)):
        problems.append(f"{path.name}: {', '.join(unknown)} is not used here")
    elif keys != [key for key in _ENTITIES if key in keys]:
        problems.append(f"{path.name}: its entities are not in the order {' '.join(_ENTITIES)}")
    wanted = [f"{key}-{parts[key]}" for key in ("sub", "ses") if key in parts]
    if list(path.parts[:-1]) != [*wanted, "anat"]:
        problems.append(f"{path.name}: it lies in {path.parent.as_posix()}, not in {'/'.join([*wanted, 'anat'])}")
    return problems


def _names(cohort: pd.DataFrame) -> dict[str, str]:
    several = cohort["patient"].value_counts() > 1
    names = {
        str(case): f"sub-{bids_label(patient.removeprefix('sub-'))}"
        + (f"_ses-{bids_label(_own_part(str(case), patient))}" if several[patient] else "")
        for case, patient in cohort["patient"].items()
    }
    owners: dict[str, set[str]] = {}
    for case, patient in cohort["patient"].items():
        owners.setdefault(names[str(case)].split("_")[0], set()).add(patient)
    problems = [f"{label}: {', '.join(sorted(who))}" for label, who in owners.items() if len(who) > 1]
    problems += [f"{name}: {count} cases" for name, count in pd.Series(names).value_counts().items() if count > 1]
    problems += [f"{case}: no letter or digit" for case, name in names.items() if re.search(r"-(_|$)", name)]
    if problems:
        raise CohortError(
            "Cases cannot have BIDS labels, which hold letters and digits only:", problems=problems, hint="Rename them."
        )
    return names


def _own_part(case: str, patient: str) -> str:
    own = case.removeprefix(patient).removeprefix("_ses-")
    return own if bids_label(own) else case


def _refuse(study: Path, cohort: pd.DataFrame, space: str, space_reference: str) -> None:
    without = [str(case) for case in cohort.index if not _brain(study, str(case)).is_file()]
    if without:
        raise CohortError(
            f"{len(without)} case(s) have no brain mask in {study}, so they are not preprocessed: {', '.join(without[:3])}.",
            hint="Run radiogen preprocess first, and give its study folder and its cohort table.",
        )
    if bids_label(space) != space or not (space_reference or _STANDARD_SPACES.fullmatch(space)):
        raise CohortError(
            f"'{space}' is not a space that BIDS has a name for.",
            hint=f"Use {MNI_SPACE}, or say where the template is.",
        )


def _brain(study: Path, case: str) -> Path:
    return study / "preprocessed" / case / "brain.nii.gz"


def _is_stripped(image_path: str, brain_path: Path) -> bool:
    outside = read_image(image_path).data[read_labels(brain_path)[0] == 0]
    return outside.size == 0 or bool(np.ptp(outside) == 0)


def _copy(source: Path, target: Path) -> None:
    with writing(target) as beside:
        if source.name.endswith(".gz"):
            shutil.copyfile(source, beside)
        else:
            beside.write_bytes(gzip.compress(source.read_bytes(), mtime=0))


def _write_brain(brain_path: Path, target: Path, reference: Mapping[str, str]) -> Path:
    _copy(brain_path, target)
    return _describe(target, {"Type": "Brain", **reference})


def _write_tumour(row: pd.Series, target: Path, reference: Mapping[str, str]) -> Path:
    scheme = row.get("mask_labels")
    labels, grid = read_mask(row["mask"], scheme if isinstance(scheme, str) and scheme else "auto")
    write_labels(target, labels, grid)
    write_text(target.with_name(target.name.replace(".nii.gz", ".tsv")), TUMOUR_LABELS_TSV)
    return _describe(target, reference)


def _describe(image: Path, facts: Mapping[str, Any]) -> Path:
    write_json(image.with_name(image.name.replace(".nii.gz", ".json")), facts)
    return image


def _write_top(cohort: pd.DataFrame, names: Mapping[str, str], output: Path) -> None:
    write_json(
        output / "dataset_description.json",
        {
            "Name": "Cases preprocessed by radiogen",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "radiogen", "Version": __version__}],
        },
    )
    columns = [name for name in [*LABEL_COLUMNS, *CLINICAL_COLUMNS, *SURVIVAL_COLUMNS] if name in cohort.columns]
    first = cohort.groupby("patient", sort=False)[columns].first()
    first.index = [names[str(cohort.index[cohort["patient"] == patient][0])].split("_")[0] for patient in first.index]
    table = first.rename_axis("participant_id").sort_index()
    write_text(output / "participants.tsv", table.to_csv(sep="\t", na_rep="n/a", lineterminator="\n"))
    write_json(output / "participants.json", {name: {"Description": _MEANING[name]} for name in columns})


_MEANING = {
    "mgmt": "MGMT promoter: 1 methylated, 0 unmethylated",
    "idh": "IDH1 or IDH2: 1 mutated, 0 wild-type",
    "codeletion_1p19q": "1p/19q: 1 co-deleted, 0 intact",
    "grade": "WHO grade, 1 to 4",
    "age": "Age in years",
    "sex": "F or M",
    "kps": "Karnofsky performance score",
    "eor": "Extent of resection: GTR, STR or biopsy",
    "os_days": "Overall survival in days",
    "os_event": "1 died, 0 alive at last contact",
}
