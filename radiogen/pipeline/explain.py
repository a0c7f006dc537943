"""Pictures of what a classifier on images looks at: maps as NIfTI on the case's own grid, overlays, and the checks of such maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from radiogen.branches.embedding.explain import (
    METHODS,
    Sanity,
    check_method,
    grad_cam,
    on_case,
    sanity_checks,
    shown_of,
)
from radiogen.branches.embedding.model import ImageClassifier, Member
from radiogen.cohort.case import CaseImages, read_case, read_case_mask
from radiogen.cohort.nifti import write_image
from radiogen.report.slices import PLANES, intensity_window, plane_slice, slices_to_show
from radiogen.report.style import DARK_INK, DARK_QUIET, drawing, new_figure, save_png
from radiogen.run.atomic import write_json
from radiogen.types import LabelVolume, Volume

_FAINTEST = 0.25
"""Share of a map's largest value below which it is not drawn."""


@dataclass(frozen=True)
class Explained:
    """What was found for one case and one network.

    Args:
        map: on the case's canonical voxels.
        sanity: how much the map depends on what was learned.
        probability: of the positive class, by the whole classifier.
        in_tumour: share of the map's sum that lies in the tumour; NaN without a mask.
        tumour_share: share of what the network saw (voxels that are not 0) that lies in the tumour: what a map that says nothing would give.
    """

    map: Volume
    sanity: Sanity
    probability: float
    in_tumour: float = float("nan")
    tumour_share: float = float("nan")


def explain_cases(
    classifier: ImageClassifier,
    table: pd.DataFrame,
    out: Path,
    method: str = "integrated-gradients",
    *,
    shuffled: ImageClassifier | None = None,
) -> dict[str, Explained]:
    """Write `<case>_<network>.nii.gz`, `.png` and `.json` for every case and network of a trained classifier.

    Args:
        classifier: trained.
        table: cohort rows to explain.
        out: folder for the outputs.
        method: `integrated-gradients` or `grad-cam`.
        shuffled: a classifier of the same settings that was trained with shuffled labels (see `with_shuffled_labels`); None: that check is left out.

    Returns:
        `<case>_<network>` -> map and checks.

    Raises:
        ConfigError: the method is unknown, or not for this network.
        CaseError: a case cannot be prepared.
        OutputError: the folder cannot be written.
    """
    check_methods(classifier, method)
    found: dict[str, Explained] = {}
    for case in table.index:
        found |= explain_case(classifier, table.loc[[case]], Path(out), method, shuffled=shuffled)
    return found


def check_methods(classifier: ImageClassifier, method: str) -> None:
    """Raise where a way of explaining is unknown, or not for every network of a classifier, before any work is done.

    Args:
        classifier: trained.
        method: `integrated-gradients` or `grad-cam`.

    Raises:
        ConfigError: the method is unknown, or not for this network.
    """
    check_method(method)
    if method == "grad-cam":
        for member in classifier.members_:
            grad_cam(member.network, torch.ones(len(member.sequences), *classifier.spec_.shape))


def explain_case(
    classifier: ImageClassifier, row: pd.DataFrame, out: Path, method: str, *, shuffled: ImageClassifier | None = None
) -> dict[str, Explained]:
    """Write the map, picture and facts of every network for one case.

    Args:
        classifier: trained.
        row: one cohort row.
        out: folder for the outputs.
        method: one that `check_methods` lets through.
        shuffled: as for `explain_cases`.

    Raises:
        CaseError: the case cannot be prepared.
        OutputError: the folder cannot be written.
    """
    probability = float(classifier.predict_proba(row)[0, 1])
    images = read_case(row.iloc[0])
    has_mask = isinstance(row["mask"].iloc[0], str) if "mask" in row.columns else False
    labels = read_case_mask(row.iloc[0], images.grid) if has_mask else None
    found = {}
    for number, member in enumerate(classifier.members_):
        if set(member.sequences) & set(images.images):
            other = None if shuffled is None else shuffled.members_[number]
            explained = _explain(classifier, member, other, images, labels, method, probability)
            name = f"{images.case}_{'-'.join(member.sequences)}"
            _write(out, name, explained, images, labels, member, method)
            found[name] = explained
    return found


def with_shuffled_labels(classifier: ImageClassifier, table: pd.DataFrame, y: np.ndarray) -> ImageClassifier:
    """Return a classifier of the same settings that is trained with shuffled labels; patients keep one label each.

    Args:
        classifier: whose settings are taken.
        table: the rows that it was trained on.
        y: their labels.

    Source: Adebayo et al., NeurIPS 2018, arXiv:1810.03292, section 3.2.
    """
    patients, first, row_of = np.unique(table["patient"].astype(str), return_index=True, return_inverse=True)
    order = np.random.default_rng([classifier.settings.seed, 7]).permutation(len(patients))
    wrong = np.asarray(y)[first][order][row_of]
    other = ImageClassifier(classifier.settings, cache_folder=classifier.cache_folder, jobs=classifier.jobs)
    return other.fit(table, wrong)


def _explain(
    classifier: ImageClassifier,
    member: Member,
    other: Member | None,
    images: CaseImages,
    labels: LabelVolume | None,
    method: str,
    probability: float,
) -> Explained:
    mask = labels if classifier.spec_.centre == "tumour" else None
    shown = shown_of(images, mask, member.sequences, classifier.spec_, classifier.settings)
    way = METHODS[method]
    sanity = sanity_checks(
        member.network, shown.volumes, way, seed=classifier.settings.seed, shuffled=other.network if other else None
    )
    found = on_case(way(member.network, shown.volumes), shown)
    if labels is None:
        return Explained(found, sanity, probability)
    seen = on_case(np.ones(shown.volumes.shape[1:], np.float32), shown) > 0
    seen &= np.any([images.images[name] != 0 for name in member.sequences if name in images.images], axis=0)
    total = max(float(found.sum(dtype=np.float64)), 1e-12)
    inside = float(found[labels > 0].sum(dtype=np.float64)) / total
    return Explained(found, sanity, probability, inside, float((seen & (labels > 0)).sum() / max(1, seen.sum())))


def _write(
    out: Path, name: str, explained: Explained, images: CaseImages, labels: LabelVolume | None, member: Member, method: str
) -> None:  # fmt: skip
    write_image(out / f"{name}.nii.gz", explained.map, images.grid)
    facts: dict[str, Any] = {
        "method": method,
        "sequences": list(member.sequences),
        "probability": explained.probability,
        "sanity_rank_correlation": explained.sanity.as_dict(),
        "share_in_tumour": explained.in_tumour,
        "share_of_seen_in_tumour": explained.tumour_share,
        "note": "A map that keeps its order when the network forgets what it learned shows the image, not the network. Research use only.",
    }
    write_json(out / f"{name}.json", facts)
    sequence = next(name for name in reversed(member.sequences) if name in images.images)
    overlay(
        out / f"{name}.png", images.images[sequence], explained.map, labels, images.grid.voxel_size_mm,
        title=f"{images.case}: {method} over {sequence}, probability {explained.probability:.2f}", words=explained.sanity.words(),
    )  # fmt: skip


def overlay(
    path: Path,
    image: Volume,
    found: Volume,
    labels: LabelVolume | None,
    voxel_size_mm: tuple[float, float, float],
    *,
    title: str,
    words: str,
) -> None:
    """Draw a map over an image in three planes, with the checks of the map below.

    Args:
        path: PNG.
        image: RAS.
        found: the map on the same voxels; what is below a quarter of its largest value is not drawn.
        labels: the tumour, or None: where to cut.
        voxel_size_mm: size of the voxels along the RAS axes, mm.
        title: written on top.
        words: written below.

    Raises:
        OutputError: the picture cannot be written.
    """
    index = slices_to_show({"image": image}, labels)
    low, high = intensity_window(image)
    most = float(found.max())
    with drawing():
        figure = new_figure(9.6, 4.0, dark=True)
        figure.set_layout_engine("none")
        for column, (plane, axis) in enumerate(PLANES.items()):
            axes = figure.add_axes((0.01 + column * 0.33, 0.12, 0.32, 0.74))
            picture, heat = plane_slice(image, plane, index[axis]), plane_slice(found, plane, index[axis])
            across, up = [size for other, size in enumerate(voxel_size_mm) if other != axis]
            aspect = up / across
            axes.imshow(picture, cmap="gray", vmin=low, vmax=high, aspect=aspect)
            axes.imshow(
                np.ma.masked_less(heat, _FAINTEST * most) if most > 0 else np.ma.masked_all_like(heat),
                cmap="inferno", vmin=0, vmax=most or 1, alpha=0.6, aspect=aspect, interpolation="nearest",
            )  # fmt: skip
            axes.set_axis_off()
            axes.set_title(f"{plane} {index[axis] + 1}/{image.shape[axis]}", fontsize=8, color=DARK_QUIET)
        figure.text(0.5, 0.95, title, ha="center", va="center", fontsize=10, color=DARK_INK)
        figure.text(0.5, 0.05, words, ha="center", va="center", fontsize=8, color=DARK_INK)
        save_png(figure, path)
