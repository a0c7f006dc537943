"""Made-up glioma patients with known truth: the example of `radiogen demo` and the test patients of everything.

No patient, real or derived, is in them: the anatomy is the public MNI152 average brain under a random deformation, tumour and images are computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from radiogen.cohort.masks import region_masks
from radiogen.cohort.nifti import Grid, write_image, write_labels
from radiogen.cohort.phantom_anatomy import Deformation, build_anatomy, grid_affine, grid_shape, load_template
from radiogen.cohort.phantom_contrast import SCANNERS, Look, Scanner, render
from radiogen.cohort.phantom_design import cohort_design
from radiogen.cohort.phantom_tumour import draw_traits, grow_tumour, volume_quantile
from radiogen.cohort.table import COLUMNS, write_cohort
from radiogen.config.phantoms import PhantomSettings
from radiogen.errors import ConfigError, IncompleteError
from radiogen.run.atomic import write_csv, writing
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, read_sidecar
from radiogen.types import SEQUENCES, LabelVolume, Volume

_README = """SYNTHETIC DATA: {n_cases} made-up glioma patients (seed {seed}). No patient, real or derived, is in here.

The brains are random deformations of the public MNI152 average brain (ICBM 2009a, as nilearn carries it); tumours, images, labels, ages and survival
times are computed by radiogen. The truth is known: IDH status shapes the tumours' looks, MGMT status is to be seen nowhere.

cohort.csv       one row per patient; the true masks are deliberately not in its column 'mask'
images/          four sequences per patient; sites store their files in different orientations, as sites do
truth/           the true masks (1 necrotic or non-enhancing core, 2 oedema, 3 enhancing tumour) and how each tumour was made

For learning and for testing software only. Results on these images say nothing about patients.
"""


@dataclass(frozen=True)
class Phantom:
    """One made-up patient.

    Args:
        images: sequence name -> canonical float32 image.
        labels: the true mask, canonical (1 NCR, 2 ED, 3 ET).
        grid: the grid the site stores its files on.
        truth: JSON-able facts: status, traits, volumes.
    """

    images: Mapping[str, Volume]
    labels: LabelVolume
    grid: Grid
    truth: dict[str, Any]


def make_phantom(
    settings: PhantomSettings,
    *,
    seed: int,
    idh: int,
    mgmt: int,
    grade: int = 3,
    volume_ml: float | None = None,
    scanner: Scanner = SCANNERS[0],
) -> Phantom:
    """Make one patient; the same arguments give the same bytes.

    Args:
        settings: resolution, signal and artefacts.
        seed: of everything random in this patient; anatomy and place of the tumour do not depend on `idh`.
        idh: 1 mutated, 0 wild type; shapes the tumour.
        mgmt: 1 methylated, 0 unmethylated; noted in the truth and nowhere to be seen in the images.
        grade: WHO grade 2, 3 or 4.
        volume_ml: whole-tumour volume aimed at, ml; drawn between the settings' limits by default.
        scanner: the site's scanner.

    Raises:
        ConfigError: `idh` or `mgmt` is not 0 or 1, or `grade` is not 2, 3 or 4.

    Example:
        >>> phantom = make_phantom(PhantomSettings(spacing_mm=4), seed=1, idh=0, mgmt=1)
        >>> sorted(phantom.images), phantom.labels.shape
        (['t1c', 't1n', 't2f', 't2w'], (49, 58, 49))
    """
    _check(idh, mgmt, grade)
    # Separate streams: what one step draws never shifts another, so patients stay comparable across settings.
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)]
    in_traits, in_anatomy, in_place, in_growth, in_scan = streams
    if volume_ml is None:
        volume_ml = volume_quantile(settings, float(in_place.random()))
    traits = draw_traits(
        in_traits,
        idh=idh,
        grade=grade,
        idh_effect=settings.idh_effect,
        multifocal_fraction=settings.multifocal_fraction,
        volume_ml=volume_ml,
    )
    template = load_template(settings.spacing_mm)
    deformation = Deformation(in_anatomy, settings.spacing_mm, settings.anatomy_variation)
    seeds = _place_seeds(
        deformation.sample(template.seeds, template, order=0), traits.n_foci, settings.spacing_mm, in_place
    )
    radius_mm = (volume_ml * 1000 * traits.core_fraction * 0.24) ** (1 / 3)
    centre_mm = deformation.world_mm[(slice(None), *seeds[0])]
    deformation.push(centre_mm, 1.4 * radius_mm, min(0.22 * radius_mm, 4.0))
    anatomy = build_anatomy(deformation, template, in_anatomy)
    tumour = grow_tumour(anatomy, traits, seeds, in_growth)
    look = Look(settings.noise, settings.bias_field, settings.skull)
    images = render(anatomy, tumour, traits, scanner, look, in_scan)
    voxel_ml = settings.spacing_mm**3 / 1000
    truth = {
        "idh": idh,
        "mgmt": mgmt,
        "grade": grade,
        "site": scanner.site,
        **traits.facts(),
        **{f"{name}_ml": float(mask.sum() * voxel_ml) for name, mask in region_masks(tumour.labels).items()},
        "centre_mm": [float(value) for value in centre_mm],
    }
    return Phantom(images, tumour.labels, stored_grid(settings.spacing_mm, scanner.orientation), truth)


def write_phantom_cohort(
    folder: str | Path,
    n_cases: int = 60,
    *,
    seed: int = 0,
    settings: PhantomSettings | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> Path:
    """Write a cohort of made-up patients: images, true masks and the cohort table.

    Patient `n` is the same whatever `n_cases` and `jobs` are. What already stands and was made with the same settings is kept.

    Args:
        folder: gets `images/<case>/<case>_<sequence>.nii.gz`, `truth/<case>.nii.gz` (the true mask, kept out of the table's `mask` column) with
            a sidecar of facts, `truth/truth.csv`, `cohort.csv` and `README.txt`.
        n_cases: patients, at least 1.
        seed: of everything random.
        settings: resolution, sites, signal; the defaults when None.
        jobs: patients made at the same time.
        progress: show a progress bar.

    Returns:
        Path of `cohort.csv`.

    Raises:
        ConfigError: `n_cases` is less than 1 or `seed` is negative.
        IncompleteError: some patients could not be made; no table is written then.
        OutputError: the folder cannot be written.
    """
    if n_cases < 1 or seed < 0:
        raise ConfigError(
            f"{n_cases} cases with seed {seed} were asked for; at least 1 case and a seed of 0 or more are accepted."
        )
    folder, settings = Path(folder), settings or PhantomSettings.parse({})
    design = cohort_design(n_cases, seed=seed, settings=settings)
    items = {
        str(case): _Item(folder, settings, case_seed(seed, index), {str(name): value for name, value in row.items()})
        for index, (case, row) in enumerate(design.iterrows())
    }
    truths, failures = run_cases(_write_phantom, items, stage="phantoms", jobs=jobs, progress=progress)
    if failures:
        raise IncompleteError(
            f"{len(failures)} of {n_cases} phantoms could not be made; the first: {failures[0].case}: {failures[0].cause}",
            hint=failures[0].fix,
        )
    table = design.drop(columns="volume_ml")
    for name in SEQUENCES:
        table[name] = [str((folder / _image_path(str(case), name)).resolve()) for case in table.index]
    write_csv(folder / "truth" / "truth.csv", pd.DataFrame.from_dict(truths, orient="index").rename_axis("case"))
    with writing(folder / "README.txt") as beside:
        beside.write_text(_README.format(n_cases=n_cases, seed=seed), encoding="utf-8")
    write_cohort(table[[name for name in COLUMNS if name in table.columns]], folder / "cohort.csv")
    return folder / "cohort.csv"


def case_seed(seed: int, index: int) -> int:
    """Return the seed of patient number `index` of a cohort; it depends on nothing else.

    Example:
        >>> case_seed(0, 1) == case_seed(0, 1), case_seed(0, 1) == case_seed(1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence([seed, 4, index]).generate_state(1, np.uint64)[0])


@dataclass(frozen=True)
class _Item:
    folder: Path
    settings: PhantomSettings
    seed: int
    row: dict[str, Any]


def _image_path(case: str, name: str) -> Path:
    return Path("images", case, f"{case}_{name}.nii.gz")


def _write_phantom(case: str, item: _Item) -> dict[str, Any]:
    mask = item.folder / "truth" / f"{case}.nii.gz"
    outputs = [mask, *(item.folder / _image_path(case, name) for name in SEQUENCES)]
    asked = {
        "seed": item.seed,
        "idh": int(item.row["idh"]),
        "mgmt": int(item.row["mgmt"]),
        "grade": int(item.row["grade"]),
        "volume_ml": item.row["volume_ml"],
    }
    provenance = Provenance("phantoms", {**item.settings.model_dump(), **asked, "site": item.row["site"]})
    if provenance.is_current(outputs):
        truth = read_sidecar(mask)["truth"]
    else:
        scanner = next(scanner for scanner in SCANNERS if scanner.site == item.row["site"])
        phantom = make_phantom(item.settings, scanner=scanner, **asked)
        write_labels(mask, phantom.labels, phantom.grid)
        for name, path in zip(SEQUENCES, outputs[1:], strict=True):
            write_image(path, phantom.images[name], phantom.grid)
        truth = phantom.truth
        provenance.record(outputs, synthetic=True, truth=truth)
    return {name: value for name, value in truth.items() if name != "centre_mm"}


def _check(idh: int, mgmt: int, grade: int) -> None:
    problems = [
        f"{name} is {value}; 0 or 1 is accepted"
        for name, value in (("idh", idh), ("mgmt", mgmt))
        if value not in (0, 1)
    ]
    if grade not in (2, 3, 4):
        problems.append(f"grade is {grade}; 2, 3 or 4 is accepted")
    if problems:
        raise ConfigError("This phantom cannot be made:", problems=problems)


def stored_grid(spacing_mm: float, orientation: str) -> Grid:
    """Return the grid of a file stored in the given axis codes, covering the phantom's voxels.

    Example:
        >>> stored_grid(2.0, "LPS").affine.diagonal().tolist()
        [-2.0, -2.0, 2.0, 1.0]
    """
    shape, affine = grid_shape(spacing_mm), grid_affine(spacing_mm)
    turn = nib.orientations.axcodes2ornt(tuple(orientation))
    there = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt(("R", "A", "S")), turn)
    stored = [0, 0, 0]
    for axis, target in enumerate(there[:, 0].astype(int)):
        stored[target] = shape[axis]
    return Grid((stored[0], stored[1], stored[2]), affine @ nib.orientations.inv_ornt_aff(there, shape))


def _place_seeds(allowed: Volume, n_foci: int, spacing_mm: float, rng: np.random.Generator) -> np.ndarray:
    candidates = np.argwhere(allowed > 0.5)
    first = candidates[rng.integers(len(candidates))]
    middle = allowed.shape[0] // 2
    apart_mm = spacing_mm * np.linalg.norm(candidates - first, axis=1)
    same_side = (candidates[:, 0] > middle) == (first[0] > middle)
    others = candidates[(apart_mm > 24) & (apart_mm < 45) & same_side]
    pick = rng.integers(max(len(others), 1))
    return np.stack([first, others[pick]]) if n_foci > 1 and len(others) else first[None]
