"""Pictures and the report of tumour habitats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from radiogen.branches.habitats.model import HabitatModel
from radiogen.branches.habitats.optimise import Evaluation
from radiogen.report.page import Figure, Picture, Section, Table, write_page
from radiogen.report.slices import PLANES, VoxelSize, head_box, intensity_window, plane_slice, slice_size_mm
from radiogen.report.style import (
    BLUE,
    COLOURS,
    DARK_INK,
    DARK_QUIET,
    GREEN,
    ORANGE,
    PURPLE,
    QUIET,
    SKY,
    VERMILLION,
    YELLOW,
    drawing,
    new_figure,
    quiet_axes,
)
from radiogen.types import LabelVolume, Volume

HABITAT_COLOURS = (
    BLUE,
    YELLOW,
    VERMILLION,
    SKY,
    GREEN,
    PURPLE,
    ORANGE,
    "#FFFFFF",
    "#999999",
    "#7F3C8D",
    "#80BA5A",
    "#A5AA99",
)
"""Colour of habitat 1, 2, ... over grey anatomy."""

_EDGES = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}


def habitat_picture(
    anatomy: Volume, habitats: LabelVolume, voxel_size_mm: VoxelSize, k: int, title: str = ""
) -> Canvas:
    """Draw habitats in colour over the anatomy: three planes through the tumour's largest slices, each beside the bare anatomy.

    Args:
        anatomy: one map, RAS.
        habitats: 0 outside, 1 to k inside, on the same voxels.
        voxel_size_mm: voxel size along the RAS axes, mm.
        k: habitats.
        title: written on top.

    Example:
        >>> brain = np.random.default_rng(0).random((12, 14, 10), dtype=np.float32)
        >>> labels = np.zeros((12, 14, 10), np.uint8)
        >>> labels[4:8, 4:8, 4:8] = 2
        >>> len(habitat_picture(brain, labels, (1.0, 1.0, 1.0), 3).axes)
        6
    """
    box = head_box({"anatomy": anatomy}, habitats, voxel_size_mm)
    low, high = intensity_window(anatomy)
    seen = {plane: slice_size_mm(box, voxel_size_mm, plane) for plane in PLANES}
    with drawing():
        figure = new_figure(7.2, 5.0, dark=True)
        figure.set_layout_engine("none")  # its many passes would take longer than the fit of a small cohort
        edges = {"left": 0.02, "right": 0.98, "bottom": 0.09, "top": 0.88, "wspace": 0.04, "hspace": 0.04}
        rows = figure.subplots(2, 3, width_ratios=[seen[plane][0] for plane in PLANES], gridspec_kw=edges)
        for column, (plane, axis) in enumerate(PLANES.items()):
            area = (habitats > 0).sum(axis=tuple(other for other in range(3) if other != axis))
            index = int(np.argmax(area))
            across, down = seen[plane]
            extent = (0.0, across, down, 0.0)
            pixels = plane_slice(anatomy[box], plane, index - box[axis].start)
            coloured = plane_slice(habitats[box], plane, index - box[axis].start)
            for row in range(2):
                axes = rows[row, column]
                axes.imshow(pixels, cmap="gray", vmin=low, vmax=high, extent=extent)
                axes.set(xticks=[], yticks=[], facecolor="none")
                for spine in axes.spines.values():
                    spine.set_visible(False)
            rows[1, column].imshow(
                np.ma.masked_equal(coloured, 0), cmap=ListedColormap(list(HABITAT_COLOURS[:k])), vmin=0.5, vmax=k + 0.5,
                extent=extent, interpolation="nearest", alpha=0.85,
            )  # fmt: skip
            rows[0, column].set_title(f"{plane} {index + 1}/{anatomy.shape[axis]}", fontsize=8, color=DARK_QUIET)
            for x, letter, side in ((0.02, _EDGES[plane][0], "left"), (0.98, _EDGES[plane][1], "right")):
                rows[0, column].text(
                    x,
                    0.98,
                    letter,
                    transform=rows[0, column].transAxes,
                    fontsize=8,
                    color=DARK_QUIET,
                    ha=side,
                    va="top",
                )
        figure.suptitle(title[:90], fontsize=10, color=DARK_INK, parse_math=False)
        handles = [
            Line2D([], [], marker="s", linestyle="", color=HABITAT_COLOURS[each], label=f"habitat {each + 1}")
            for each in range(k)
        ]
        figure.legend(
            handles=handles, loc="lower center", ncols=min(k, 6), frameon=False, fontsize=8, labelcolor=DARK_INK
        )
    return figure


def convergence_figure(evaluations: Sequence[Evaluation]) -> Canvas:
    """Draw every evaluation's loss in the order in which it was made, and the lowest so far, as the paper's Fig. 2.

    Args:
        evaluations: one or more.
    """
    steps = np.arange(1, len(evaluations) + 1)
    losses = np.array([each.loss for each in evaluations])
    kinds = {"random": ("o", COLOURS[0]), "improvement": ("^", COLOURS[1]), "surrogate": ("s", COLOURS[2])}
    words = {
        "random": "random start",
        "improvement": "largest expected improvement",
        "surrogate": "surrogate's optimum",
    }
    with drawing():
        figure = new_figure(6.8, 4.0)
        axes = figure.add_subplot()
        for kind, (marker, colour) in kinds.items():
            own = np.array([each.found_by == kind for each in evaluations])
            if own.any():
                axes.plot(steps[own], losses[own], marker, color=colour, markersize=5, label=words[kind])
        axes.step(steps, np.minimum.accumulate(losses), where="post", color=QUIET, linewidth=1.5, label="lowest so far")
        axes.set(xlabel="Evaluation", ylabel="Joint loss (lower is better)")
        quiet_axes(axes, grid="y")
        axes.legend(frameon=False, fontsize=8.5)
    return figure


def write_habitat_report(
    path: Path,
    result: Mapping[str, Any],
    evaluations: Sequence[Evaluation],
    clusters: pd.DataFrame,
    pictures: Mapping[str, bytes],
    *,
    provenance: Mapping[str, Any],
) -> None:
    """Write the page: what was found or refused, how it was looked for, and what it looks like.

    Args:
        path: the page.
        result: content of `habitats.json`.
        evaluations: of the optimisation.
        clusters: one row per number of habitats.
        pictures: case id -> PNG over its anatomy.
        provenance: settings and inputs.
    """
    sections = [
        Section("Result", text=[*_refusal(result), *_survival(result), *result["notes"]]),
        Section(
            "How many habitats",
            text=[
                "A number of habitats stands where between every two of them voxels are rare (the column valley: how dense they are "
                "half-way, beside the thinner of the two peaks; 0.65 or less), where less than a fifth of the voxels depends on whom it is "
                "learned from, and where its division is more stable (or its loss is below 0.02) and its clusters are tighter by a tenth "
                "than in every structureless data set: one Gaussian cloud per patient, with that patient's own mean and covariance. "
                "Numbers that fall by the data alone are not clustered in structureless data; their cells are blank."
            ],
            tables=[Table(_shown(clusters), "Each number at the best quantile filter that was tried.")],
        ),
        Section(
            "The search",
            figures=[Figure(convergence_figure(evaluations), f"Joint loss over {len(evaluations)} evaluations.")],
        ),
    ]
    sections[1:1] = [*_again(result), *_encoders(result)]
    sections += _maps(pictures)
    write_page(path, "Tumour habitats", sections, lead=str(result["summary"]), provenance=provenance)


def write_application_page(
    path: Path,
    model: HabitatModel,
    features: pd.DataFrame,
    pictures: Mapping[str, bytes],
    failed: Sequence[str],
    *,
    provenance: Mapping[str, Any],
) -> None:
    """Write the page of a frozen model on new cases.

    Args:
        path: the page.
        model: that divided them.
        features: one row per case.
        pictures: case id -> PNG over its anatomy.
        failed: cases that were left out, with the cause.
        provenance: settings and inputs.
    """
    fractions = features.filter(regex=r"^habitat_fraction_|^habitat_high_risk$")
    fractions.columns = [name.removeprefix("habitat_").replace("_", " ") for name in fractions.columns]
    lead = (
        f"A frozen model of {model.k} habitats (maps {', '.join(model.maps)}, region {model.region}), learned from "
        f"{model.facts.get('n_training_patients', 'an unknown number of')} patients, divided {len(features)} case(s); it learned nothing here."
    )
    table = Table(fractions.round(3), "Part of the region that each habitat takes.")
    cases = Section("Cases", text=[f"Left out: {one}" for one in failed], tables=[table])
    write_page(path, "Tumour habitats of new cases", [cases, *_maps(pictures)], lead=lead, provenance=provenance)


def _shown(clusters: pd.DataFrame) -> pd.DataFrame:
    """Return the table of numbers as the page shows it."""
    names = {
        "stands": "stands", "valley": "valley", "stability_loss": "stability loss", "reference_stability_min": "without structure",
        "spread_left": "spread left", "reference_spread_min": "without structure, spread", "silhouette": "silhouette",
        "calinski_harabasz": "Calinski-Harabasz", "gap": "gap",
    }  # fmt: skip
    told = clusters.set_index("habitats").assign(stands=clusters["stands"].map({True: "yes", False: "no"}).to_numpy())
    return told[list(names)].rename(columns=names)


def _maps(pictures: Mapping[str, bytes]) -> list[Section]:
    shown = [Picture(content, name, f"pictures/{name}.png") for name, content in pictures.items()]
    text = ["Habitats are numbered from dark to bright over all maps."]
    return [Section("Maps", text=text, pictures=shown, large_pictures=True)] if shown else []


def _again(result: Mapping[str, Any]) -> list[Section]:
    """Return what came of fitting the model again."""
    if not result["refits"]:
        return []
    words = {"site": "without site {}", "seed": "with seed {}"}
    rows = [
        {
            "fitted again": words[each["kind"]].format(each["name"]), "patients compared": each["n_patients"],
            "voxels that change": f"{each['mismatch']:.1%}", "adjusted Rand": round(each["adjusted_rand"], 3),
            **{f"Dice {number}": value for number, value in enumerate(each["dice"], 1)},
        }
        for each in result["refits"]
    ]  # fmt: skip
    text = [
        "Scaling, encoder and habitats were learned again without each site, whose own voxels are then divided by both models, and with "
        "other seeds. Habitats are matched so that most voxels agree; Dice is of each habitat with its match. Above 20 % of the voxels "
        "the number is refused."
    ]
    if result["across"]["site"] is None:
        text.append("Sites were not compared: fewer than two are named in the cohort.")
    table = pd.DataFrame(rows).set_index("fitted again").round(3)
    return [Section("Without a site, with another seed", text=text, tables=[Table(table, "Beside the model itself.")])]


def _encoders(result: Mapping[str, Any]) -> list[Section]:
    if not result["encoders"]:
        return []
    rows = [
        {
            "encoder": each["encoder"], "stability loss": f"{each['stability_loss']:.4f}",
            "95 % interval": "[{:.4f}, {:.4f}]".format(*each["stability_ci"]),
            "adjusted Rand between repeats": round(each["adjusted_rand"], 3), "valley": round(each["valley"], 3),
        }
        for each in result["encoders"]
    ]  # fmt: skip
    text = [
        f"The same training patients, quantile filter and number of habitats, learned {result['encoders'][0]['n_repeats']} times with each "
        f"encoder; this model uses '{result['encoder']}'. Lower is better, but for the adjusted Rand index."
    ]
    table = Table(pd.DataFrame(rows).set_index("encoder"), "Means over the repeats.")
    return [Section("Encoders", text=text, tables=[table])]


def _refusal(result: Mapping[str, Any]) -> list[str]:
    if result["habitats"] is not None:
        return [
            f"{result['habitats']} habitats from the maps {', '.join(result['maps'])} in the region {result['region']}; encoder "
            f"{result['encoder']}, quantile filter {result['gamma']:.3f}."
        ]
    return ["No number of habitats that was tried stands, so none is reported and no model is written."]


def _survival(result: Mapping[str, Any]) -> list[str]:
    held_out = result["held_out"]
    if held_out is None or held_out["p"] is None:
        return []
    return [
        f"Risk groups: the p value of the training patients ({result['training_p']:.3g}) was optimised and is too small by "
        f"construction. On {held_out['n_patients']} held-out patients ({held_out['n_died']} died; {held_out['n_high']} high risk, "
        f"{held_out['n_low']} low), which the search never saw, p = {held_out['p']:.3g}. A group of fewer than a tenth counts as p = 1.",
        f"Stability on the held-out patients: loss {held_out['stability_loss']:.3f} between the model's division and one learned "
        "from them.",
    ]
