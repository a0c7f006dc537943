"""One page per case: the slices, the tumour's size and place, what the classifiers said without having seen it, and what speaks against all that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.report.page import STATUS_WORDS, Section, Table, link_cell, write_page
from radiogen.report.slices import foreground
from radiogen.report.style import REGION_WORDS, SEQUENCE_WORDS
from radiogen.report.viewer import ViewerContent, viewer
from radiogen.report.words import DASH, count, known, label, number, target_words
from radiogen.run.quarantine import without_folders
from radiogen.types import REGIONS, LabelVolume, Volume

_MIDLINE_SHARE = 0.05


@dataclass(frozen=True)
class CasePrediction:
    """What a classifier said of a case that it had not seen in training.

    Args:
        target: `idh`, `mgmt`, `codeletion` or `grade`.
        probability: of the positive class, mean over the repeats.
        lowest: of all repeats.
        highest: of all repeats.
        calls: conformal set of every repeat (`positive`, `negative`, `both`, `none`); empty where no sets were made.
        truth: 1 positive, 0 negative, None unknown.
        unusual: the case was flagged as unlike the training cases.
        verdict: of the classifier as a whole, a key of `page.STATUS_WORDS`.
        trained_on: whether a saved model had the patient in its training; None for an out-of-fold prediction, which never had.
    """

    target: str
    probability: float
    lowest: float
    highest: float
    calls: tuple[str, ...] = ()
    truth: int | None = None
    unusual: bool = False
    verdict: str = "undetermined"
    trained_on: bool | None = None


@dataclass(frozen=True)
class CaseFacts:
    """What is told of a case beside its pictures.

    Args:
        case: case id; nothing else that names a person.
        mask: sidecar of the mask: `wt_ml tc_ml et_ml`, `method`, `notes`, `quality`, `confidence`, `flagged`, `flag_reason`; empty without one.
        missing: sequences that the case does not have.
        place: sentence on where the tumour lies; empty where it is not known.
        flags: what preprocessing found wrong with the images.
        predictions: of the study's classifiers, or of a saved one.
        risk: sentences on what a saved survival model says; empty without one.
        notes: what else a reader must know, such as maps that could not be shown.
        links: words -> file, relative to the page.
    """

    case: str
    mask: Mapping[str, Any] = field(default_factory=dict)
    missing: Sequence[str] = ()
    place: str = ""
    flags: Sequence[str] = ()
    predictions: Sequence[CasePrediction] = ()
    risk: Sequence[str] = ()
    notes: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)


def write_case_page(
    path: str | Path,
    facts: CaseFacts,
    content: ViewerContent,
    *,
    provenance: Mapping[str, Any] | None = None,
    synthetic: bool = False,
) -> None:
    """Write the page of one case as one self-contained HTML file, atomically.

    Args:
        path: the page.
        facts: what is told of it.
        content: what the viewer shows.
        provenance: settings and input hashes for the page's foot.
        synthetic: the patient is made up.

    Raises:
        OutputError: the page cannot be written.
    """
    sections = [
        Section("Slices", widgets=[viewer(content)]),
        *_size_section(facts),
        *_prediction_section(facts.predictions),
        *([Section("What the survival model says", facts.risk)] if facts.risk else []),
        *_doubt_section(facts),
    ]
    if facts.links:
        sections.append(Section("Other pages of this study", links=facts.links))
    write_page(
        path,
        f"Case {facts.case}",
        sections,
        lead=case_lead(facts),
        status="look at this" if _worries(facts) else "neutral",
        provenance=provenance,
        synthetic=synthetic,
    )


def case_lead(facts: CaseFacts) -> str:
    """Return the case in one or two sentences.

    Args:
        facts: what is known of it.

    Example:
        >>> case_lead(CaseFacts("7", mask={"wt_ml": 40.21, "tc_ml": 12.0, "et_ml": None}, place="It lies on the left."))
        'Whole tumour 40.2 ml, tumour core 12.0 ml. It lies on the left.'
    """
    volumes = {name: facts.mask.get(f"{name}_ml") for name in REGIONS}
    sizes = [f"{REGION_WORDS[name]} {number(volume, 1)} ml" for name, volume in volumes.items() if known(volume)]
    words = ", ".join(sizes)
    told = [f"{words[0].upper()}{words[1:]}." if words else "There is no mask of the tumour."]
    told += [facts.place] if facts.place else []
    worries = _worries(facts)
    return " ".join([*told, *([f"Look at this case: {worries[0]}."] if worries else [])])


def place_from_mask(labels: LabelVolume, image: Volume) -> str:
    """Return on which side a tumour lies, told from the image alone.

    Args:
        labels: mask in radiogen's labels, RAS.
        image: any sequence on the same voxels; the middle between the sides of the head stands for the midline.

    Example:
        >>> head, labels = np.zeros((10, 4, 4), np.float32), np.zeros((10, 4, 4), np.uint8)
        >>> head[1:9], labels[6:8] = 1.0, 2
        >>> place_from_mask(labels, head)
        'It lies in the right half of the head (100 % of it, by the middle of the image of the head; not registered to an atlas).'
    """
    filled = np.flatnonzero(foreground(image).any(axis=(1, 2)))
    middle = (int(filled[0]) + int(filled[-1])) / 2
    across = np.nonzero(labels)[0]
    if not len(across):
        return ""
    left = float(np.mean(np.where(across == middle, 0.5, across < middle)))
    return place_words(left, "by the middle of the image of the head; not registered to an atlas")


def place_words(left_share: float, source: str, lobes: Mapping[str, float] | None = None) -> str:
    """Return on which side, and in which lobes, a tumour lies.

    Args:
        left_share: share of the tumour on the patient's left, 0 to 1.
        source: how it is known.
        lobes: lobe -> share of the tumour in it; those below 10 % are not named.

    Example:
        >>> place_words(0.97, "by registration to MNI152", {"frontal": 0.8, "insula": 0.15, "limbic": 0.05})
        'It lies in the left half of the head (97 % of it, by registration to MNI152), in the lobes frontal 80 %, insula 15 %.'
    """
    share = max(left_share, 1 - left_share)
    side = "left" if left_share >= 0.5 else "right"
    told = f"It lies in the {side} half of the head ({100 * share:.0f} % of it, {source})"
    if 1 - share >= _MIDLINE_SHARE:
        told = f"It lies on both sides of the head ({100 * left_share:.0f} % left, {100 * (1 - left_share):.0f} % right, {source})"
    named = sorted(((share, lobe) for lobe, share in (lobes or {}).items() if share >= 0.1), reverse=True)
    where = ", ".join(f"{lobe.replace('_', ' ')} {100 * share:.0f} %" for share, lobe in named)
    return f"{told}, in the lobes {where}." if where else f"{told}."


def call_words(prediction: CasePrediction) -> str:
    """Return the call: a class, 'no call', or a dash where no sets were made.

    Example:
        >>> call_words(CasePrediction("idh", 0.9, 0.8, 0.95, ("positive", "positive")))
        'IDH-mutated'
        >>> call_words(CasePrediction("idh", 0.5, 0.5, 0.5, ("both",)))
        'no call (both classes are plausible)'
        >>> call_words(CasePrediction("idh", 0.5, 0.2, 0.8, ("negative", "positive")))
        'no call (the repeats disagree)'
    """
    words = target_words(prediction.target)
    found = set(prediction.calls)
    if not found:
        return DASH
    if len(found) > 1:
        return "no call (the repeats disagree)"
    reasons = {"both": "both classes are plausible", "none": "neither class is plausible"}
    only = found.pop()
    return {"positive": words.positive, "negative": words.negative}.get(only) or f"no call ({reasons.get(only, only)})"


def _worries(facts: CaseFacts) -> list[str]:
    flag = str(facts.mask.get("flag_reason") or "") if facts.mask.get("flagged") else ""
    return [without_folders(text).rstrip(".") for text in (flag, *facts.flags) if text]


def _size_section(facts: CaseFacts) -> list[Section]:
    if not facts.mask:
        return []
    confidence = facts.mask.get("confidence") or {}
    quality = facts.mask.get("quality") or {}
    rows = []
    for name in REGIONS:
        volume = facts.mask.get(f"{name}_ml")
        spread = (confidence.get(name) or {}).get("volume_variation")
        around = "not measured"
        if volume is not None and known(spread):
            around = f"\u00b1 {number(volume * spread, 1)} (SD over the network's answers)"
        rows.append(
            {
                "region": REGION_WORDS[name],
                "volume, ml": number(volume, 1) if known(volume) else "unknown",
                "uncertainty, ml": around,
                **({"expected Dice": number(quality.get(name), 2)} if quality else {}),
            }
        )
    text = [f"The mask comes from: {facts.mask.get('method', 'unknown')}.", *([facts.place] if facts.place else [])]
    return [Section("Size and place", text, tables=[Table(pd.DataFrame(rows), "Volumes of the tumour's regions.")])]


def _prediction_section(predictions: Sequence[CasePrediction]) -> list[Section]:
    if not predictions:
        return []
    saved = [each for each in predictions if each.trained_on is not None]
    worth = (
        "A probability is worth no more than its classifier: "
        "where that is no better than chance or than trivial facts, do not read it as a finding."
    )
    if any(each.trained_on for each in saved):
        origin = "This patient was in the training of the model: its answer proves nothing."
    elif saved:
        origin = "The probability below is that of a saved model, which was not trained on this patient."
    else:
        origin = "Every probability below was given by models that had not seen this patient in training."
    rows = []
    for each in predictions:
        words = target_words(each.target)
        truth = {1: words.positive, 0: words.negative}.get(-1 if each.truth is None else each.truth, "unknown")
        between = f"{number(each.lowest, 2)} to {number(each.highest, 2)}" if each.highest > each.lowest else DASH
        rows.append(
            {
                "target": words.name,
                "probability": f"{number(each.probability, 2)} ({words.positive})",
                "range over repeats": between,
                "call": call_words(each),
                "known from tissue": truth,
                "unlike the training cases": "yes" if each.unusual else "no",
                "the classifier is": STATUS_WORDS.get(each.verdict, each.verdict).lower(),
            }
        )
    caption = "Predictions of a saved model." if saved else "Out-of-fold predictions."
    caption += " A call is made where a conformal set holds one class only; its coverage is on the classifier's page."
    return [Section("What the classifiers said", [f"{origin} {worth}"], tables=[Table(pd.DataFrame(rows), caption)])]


def _doubt_section(facts: CaseFacts) -> list[Section]:
    missing = [f"Missing sequence: {SEQUENCE_WORDS.get(name, label(name))} ({name})." for name in facts.missing]
    flags = [f"Look at this: {text}." for text in _worries(facts)]
    notes = [without_folders(str(note)) for note in (*facts.mask.get("notes", []), *facts.notes)]
    if facts.mask.get("quality_note"):
        notes.append(without_folders(str(facts.mask["quality_note"])))
    told = [*flags, *missing, *notes]
    return [Section("What else must be known", told or ["Nothing was flagged."])]


def write_case_index(path: str | Path, rows: pd.DataFrame, *, of_study: bool = True, synthetic: bool = False) -> None:
    """Write the list of all case pages, which stands in the same folder.

    Args:
        path: the page.
        rows: index `case`; columns as they are to be shown.
        of_study: the cases are those of a study with a report; else those that a saved model was applied to.
        synthetic: the patients are made up.

    Raises:
        OutputError: the page cannot be written.
    """
    table = rows.reset_index()
    table["case"] = [link_cell(str(case), f"{case}.html") for case in table["case"]]
    lead = f"{count(len(rows), 'case')}, one page each. Research use only: look at every mask before a number is used."
    caption = "Select a case for its slices. "
    if of_study:
        caption += "Probabilities are out of fold: by models that had not seen the patient."
        around = Section("The study", links={"The study's report": "../report.html"})
    else:
        caption += "What the saved model says; what speaks against it is on the case's page and in predictions.csv."
        around = Section("The table", links={"predictions.csv": "../predictions.csv"})
    sections = [Section("Cases", tables=[Table(table, caption)]), around]
    write_page(
        path,
        "Cases of the study" if of_study else "Cases and what the model says",
        sections,
        lead=lead,
        synthetic=synthetic,
    )
