"""What a graph network looks at, on the page of its study: named connections, pictures, and whether any of it may be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from radiogen.evaluate.verdict import BEATS_BASELINES, NO_BETTER_THAN_BASELINES
from radiogen.report.page import Figure as PageFigure
from radiogen.report.page import Section, Table
from radiogen.report.words import count, known, number, target_words

TOO_ALIKE = 0.5
"""Rank correlation with a network that learned nothing from which on connections are said to depend too little on what was learned."""

CHECKS = {
    "shuffled_labels": "the same network trained on shuffled labels",
    "random_weights": "the same network with random weights",
}
"""Check -> what the importance is compared with."""


@dataclass(frozen=True)
class ExplainedClass:
    """What a graph network looks at in the cases of one class.

    Args:
        label: 0 or 1.
        connections: those that are kept, by name, the most important first.
        glass: the kept connections in the outline of a brain.
        slices: their density in axial slices.
    """

    label: int
    connections: pd.DataFrame
    glass: Figure
    slices: Figure


def explained_sections(
    metrics: Mapping[str, Any], checks: Mapping[str, float], classes: Sequence[ExplainedClass]
) -> list[Section]:
    """Return the sections on what a graph network looks at: what they are worth first, then one per class.

    Args:
        metrics: of `evaluate.audit`.
        checks: keys of `CHECKS` -> rank correlation of the importance with that of a network that learned nothing.
        classes: what is shown.
    """
    table = pd.DataFrame(
        [
            {
                "compared with": words,
                "rank correlation": number(checks.get(name), 2),
                "means": "-" if not known(checks.get(name)) else _meaning(float(checks[name])),
            }
            for name, words in CHECKS.items()
        ]
    )
    caption = (
        "Spearman's rank correlation of the importance of all connections; near 0: the connections come from what the network learned; "
        f"above {TOO_ALIKE:g}: they are much the same without it. Adebayo et al. 2018, NeurIPS."
    )
    first = Section(
        "What the network looks at, and whether to believe it",
        [explanation_words(metrics, checks)],
        tables=[Table(table, caption)],
    )
    return [first, *(_of_class(metrics, shown) for shown in classes)]


def explanation_words(metrics: Mapping[str, Any], checks: Mapping[str, float]) -> str:
    """Return in plain words what the named connections are worth.

    Args:
        metrics: of `evaluate.audit`; `verdict` and `verdict_reason` count.
        checks: as for `explained_sections`.

    Example:
        >>> explanation_words({"target": "idh", "verdict": "no-better-than-chance"}, {"shuffled_labels": 0.1, "random_weights": 0.0})[:75]
        'The network was not shown to be better than chance on cases that it did not'
    """
    name = target_words(str(metrics.get("target", ""))).name
    alike = [CHECKS[check] for check, value in checks.items() if known(value) and value > TOO_ALIKE]
    if not _above_chance(metrics):
        return (
            f"The network was not shown to be better than chance on cases that it did not see, so what follows says nothing about {name}: it shows "
            "which connections this network happened to weigh. Do not report these connections as a finding."
        )
    if alike:
        return (
            f"The network is better than chance, but its connections are much the same for {' and for '.join(alike)}. They follow the template, or "
            f"how patients differ at all, and must not be read as connections that matter for {name}."
        )
    told = f"The network is better than chance, and a network that learned nothing of {name} names other connections."
    if metrics.get("verdict") != BEATS_BASELINES:
        told += " It was not shown to be better than trivial facts: the connections may stand for a tumour's size or place, or for age or site."
    return f"{told} They are where this network looks, in these patients; that they cause anything is not shown."


def _above_chance(metrics: Mapping[str, Any]) -> bool:
    verdict, reason = metrics.get("verdict"), str(metrics.get("verdict_reason", ""))
    return verdict in {BEATS_BASELINES, NO_BETTER_THAN_BASELINES} or reason.startswith("above chance")


def _meaning(correlation: float) -> str:
    if correlation > TOO_ALIKE:
        return "much the same connections: not to be interpreted"
    return "other connections: this check is passed"


def _of_class(metrics: Mapping[str, Any], shown: ExplainedClass) -> Section:
    words = target_words(str(metrics.get("target", "")))
    name = words.positive if shown.label else words.negative
    text = (
        f"{count(len(shown.connections), 'connection is', 'connections are')} listed. Importance runs from 0 to 1 and is "
        "an average over cases that the explained network did not see. "
        f"All are in connections.csv, the map in tracts_{shown.label}.nii.gz."
    )
    glass = (
        "Kept connections, darker the more important; vermillion between the halves, blue within one. Discs: the larger, the more importance "
        "ends in a region. Here the patient's left is on the left."
    )
    slices = (
        "Summed importance of the kept connections, over MNI152. Radiological: the patient's right (R) is on the left."
    )
    return Section(
        f"Connections it weighs in {name} cases",
        [text],
        figures=[PageFigure(shown.glass, glass), PageFigure(shown.slices, slices)],
        tables=[Table(shown.connections, "The most important connections by name.")] if len(shown.connections) else [],
    )
