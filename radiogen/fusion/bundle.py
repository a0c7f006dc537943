"""Model bundles: a folder with the fitted model (skops, never pickle), its card in JSON and plain language, and the training ranges.

The bytes of a bundle depend on the model alone: skops names things by memory address and stamps the time, so both are replaced.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radiogen.cohort.identifiers import identify
from radiogen.errors import InputError
from radiogen.fusion.base import FusedModel
from radiogen.fusion.card import card_text
from radiogen.fusion.context import row_context
from radiogen.fusion.doubt import Doubt, decision_from_card
from radiogen.fusion.familiarity import load_familiarity, save_familiarity
from radiogen.fusion.join import scanner_matters
from radiogen.fusion.reference import Reference, novelty
from radiogen.fusion.trust import dumped, read_trusted
from radiogen.resources import sha256_file
from radiogen.run.atomic import write_csv, write_json, write_text, writing

FORMAT = 2
FILES = ("model.skops", "features.csv", "card.json", "card.md")
FAMILIARITY_FILE = "familiarity.safetensors"
"""What training cases look like, where the bundle has a `Doubt`."""

TRUSTED_TYPES = (
    "radiogen.fusion.late.LateFusion",
    "radiogen.fusion.model.FusedClassifier",
    "radiogen.fusion.network.NetworkFusion",
    "radiogen.fusion.svm.CalibratedSvm",
    "radiogen.fusion.prepare.UsableColumns",
    "radiogen.fusion.prepare.MedianImputer",
    "radiogen.fusion.prepare.ClippedScaler",
    "radiogen.fusion.select.CorrelationPruning",
    "radiogen.fusion.harmonise.Combat",
    "radiogen.fusion.prepare.BestColumns",
    "radiogen.fusion.prepare.Preparation",
    "radiogen.fusion.reduce.EmbeddingReduction",
    "radiogen.fusion.select.Boruta",
    "radiogen.fusion.select.CorrelationClusters",
    "radiogen.fusion.select.Mrmr",
    "radiogen.fusion.select.StabilitySelection",
    "radiogen.fusion.select.StableColumns",
    "radiogen.fusion.prepare.SparseColumns",
    "sklearn.tree._tree.Tree",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
)
"""Types that a bundle may hold besides those skops trusts; a file with any other is refused before anything in it is built."""


@dataclass(frozen=True)
class ModelBundle:
    """A fitted model with everything needed to apply it and to doubt it.

    Args:
        model: fitted on every training case.
        reference: what the training cases looked like.
        card: JSON-able facts: target, features, training cases (hashed), measured performance, settings.
        doubt: calibration, threshold, conformal limits and likeness to the training cases; None in bundles made before there was one.
    """

    model: FusedModel
    reference: Reference
    card: dict[str, Any]
    doubt: Doubt | None = None
    needs: str = field(default="features", init=False)

    @property
    def stand_in(self) -> str:
        """Return in words what the model takes where a feature is missing."""
        settings = self.card.get("settings", {})
        skips = settings.get("fusion", "early") != "early" and settings.get("missing_branch", "skip") == "skip"
        return "for whole branches the others, for single features training medians" if skips else "training medians"

    @property
    def feature_names(self) -> list[str]:
        """Return the columns the model needs."""
        return [str(name) for name in self.model.feature_names_in_]


def save_model(folder: str | Path, bundle: ModelBundle) -> list[Path]:
    """Write a bundle and return its files, `model.skops` first.

    Args:
        folder: made where it is missing.
        bundle: what to write.

    Raises:
        InputError: the model holds a type that no bundle may hold, such as an outside classifier that its package did not register.
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    with writing(folder / "model.skops") as beside:
        beside.write_bytes(reproducible_skops(dumped(bundle.model, TRUSTED_TYPES)))
    hashed = list(FILES[:2])
    doubt: dict[str, Any] = {}
    if bundle.doubt is not None:
        save_familiarity(folder / FAMILIARITY_FILE, bundle.doubt.familiarity)
        hashed.append(FAMILIARITY_FILE)
        doubt = {"decision": bundle.doubt.decision.as_card(), "familiarity": list(bundle.doubt.familiarity.names)}
    write_card(folder, {**bundle.card, **doubt}, bundle.reference, hashed)
    return [folder / name for name in (*FILES, *hashed[2:])]


def write_card(
    folder: Path,
    card: Mapping[str, Any],
    reference: Reference,
    hashed: Sequence[str],
    text: Callable[[Mapping[str, Any]], str] = card_text,
) -> None:
    """Write what every bundle has beside its model: `features.csv`, then `card.json` with the hashes of its files, and `card.md`.

    Args:
        folder: holds the files already, but for `features.csv`.
        card: JSON-able facts.
        reference: what the training cases looked like.
        hashed: names of the files whose change is to be noticed, `features.csv` among them.
        text: what makes the card's Markdown.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_csv(folder / "features.csv", reference.ranges)
    facts = {
        "format": FORMAT,
        **card,
        "most_beyond": reference.most_beyond,
        "most_distant": reference.most_distant,
        "sha256": {name: sha256_file(folder / name) for name in hashed},
    }
    write_json(folder / "card.json", facts)
    write_text(folder / "card.md", text(facts))


def load_model(folder: str | Path) -> ModelBundle:
    """Read a bundle.

    Args:
        folder: as written by `save_model`.

    Raises:
        InputError: a file is missing, was changed, is of another format, or holds a type that is not trusted.
    """
    folder = Path(folder)
    card = read_card(folder, FORMAT, FILES[:3])
    model = _read_skops(folder / "model.skops")
    return ModelBundle(model, read_reference(folder, card), card, _read_doubt(folder, card))


def _read_doubt(folder: Path, card: dict[str, Any]) -> Doubt | None:
    decision = decision_from_card(card)
    if decision is None:
        return None
    return Doubt(decision, load_familiarity(folder / FAMILIARITY_FILE, tuple(map(str, card["familiarity"]))))


def read_card(folder: Path, accepted: int, needed: Sequence[str]) -> dict[str, Any]:
    """Return the card of a model's folder, after a look at its files.

    Args:
        folder: a model.
        accepted: format of the card.
        needed: files that have to be there.

    Raises:
        InputError: a file is missing, was changed, or the card is of another format.
    """
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder} is not a model of radiogen: {', '.join(missing)} missing.",
            hint="Give the folder `model` that `radiogen classify` wrote.",
        )
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{folder / 'card.json'} is not JSON: {error}") from error
    if not isinstance(card, dict) or card.get("format") != accepted:
        raise InputError(f"{folder} has a card of another format; format {accepted} is accepted.")
    changed = [name for name, digest in card["sha256"].items() if sha256_file(folder / name) != digest]
    if changed:
        raise InputError(
            f"{folder}: {', '.join(changed)} is not the file that the card describes.",
            hint="Copy the whole folder again.",
        )
    return card


def read_reference(folder: Path, card: Mapping[str, Any]) -> Reference:
    """Return what the training cases of a model looked like.

    Args:
        folder: a model.
        card: its card.
    """
    ranges = pd.read_csv(
        folder / "features.csv", index_col="feature", dtype={"branch": str}, float_precision="round_trip"
    )
    ranges["branch"] = ranges["branch"].fillna("")
    return Reference(ranges, float(card["most_beyond"]), float(card["most_distant"]))


def _read_skops(path: Path) -> FusedModel:
    model = read_trusted(path, TRUSTED_TYPES)
    if not isinstance(model, FusedModel):
        raise InputError(f"{path} holds a {type(model).__name__}; a model made by radiogen classify is accepted.")
    return model


def reproducible_skops(data: bytes) -> bytes:
    """Return a skops file whose bytes depend on its content only.

    Args:
        data: as `skops.io.dumps` returns it.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
        content = {name: archive.read(name) for name in archive.namelist() if name != "schema.json"}
    numbers = _Renumbering(set(content))
    schema = numbers.apply(schema)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for old, new in numbers.files.items():
            archive.writestr(zipfile.ZipInfo(new), content[old], zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo("schema.json"), json.dumps(schema, indent=1), zipfile.ZIP_DEFLATED)
    return out.getvalue()


class _Renumbering:
    """Gives objects and files of a skops schema consecutive numbers, in the order in which they occur."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.files: dict[str, str] = {}
        self.ids: dict[int, int] = {}
        self.count = 0

    def apply(self, node: Any) -> Any:
        if isinstance(node, dict):
            known = {key: self.apply(value) for key, value in node.items() if key != "__id__"}
            return {**known, "__id__": self._number(node)} if "__id__" in node else known
        if isinstance(node, list):
            return [self.apply(item) for item in node]
        if isinstance(node, str) and node in self.names:
            return self.files.setdefault(node, f"{len(self.files)}{Path(node).suffix}")
        return node

    def _number(self, node: dict[str, Any]) -> int:
        self.count += 1
        if node.get("__loader__") == "JsonNode":
            return self.count  # whether two equal strings are one object in memory is chance
        return self.ids.setdefault(node["__id__"], self.count)


def training_hashes(cases: Iterable[str], patients: Iterable[str], salt: str) -> list[str]:
    """Return salted hashes of case and patient ids, so that a bundle can recognise its training patients without naming them.

    Spellings of one public id count as one (`UCSF-PDGM-004`, `UCSF-PDGM-0004_FU001d`).

    Example:
        >>> training_hashes(["UCSF-PDGM-004"], ["UCSF-PDGM-0004"], "x") == training_hashes(["UCSF-PDGM-0004"], [], "x")
        True
    """
    keys = {identify(str(name)).key for name in [*cases, *patients]}
    return sorted(hashlib.sha256(f"{salt}:{key}".encode()).hexdigest()[:32] for key in keys)


def in_training(card: Mapping[str, Any], patient: pd.Series) -> list[bool]:
    """Return which cases, or whose patients, a model was trained on.

    Args:
        card: of the model.
        patient: patient id per case.
    """
    salt, hashes = str(card["salt"]), set(card["training_ids"])
    return [bool(hashes & set(training_hashes([str(case)], [str(who)], salt))) for case, who in patient.items()]


def asked_features(reference: Reference, features: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that a model was trained on, in its order; what is absent or infinite is missing.

    Args:
        reference: what the training cases looked like.
        features: one row per case.

    Raises:
        InputError: none of the model's features is there.
    """
    names = [str(name) for name in reference.ranges.index]
    if not any(name in features.columns for name in names):
        raise InputError(
            f"None of the model's {len(names)} features is there; it needs {', '.join(names[:3])}, ...",
            hint="Make the features with the same program and settings as in training.",
        )
    return features.reindex(columns=names).astype(float).replace([np.inf, -np.inf], np.nan)


def doubts_of(
    card: Mapping[str, Any], reference: Reference, complete: pd.DataFrame, patient: pd.Series
) -> pd.DataFrame:
    """Return what speaks against trusting a model's answers, whatever it answers.

    Args:
        card: of the model.
        reference: what the training cases looked like.
        complete: as `asked_features` returns it.
        patient: patient id per case.

    Returns:
        Table indexed by case: `in_training, out_of_distribution, missing_features` (count), `beyond_range` (share of known features).
    """
    ever_known = reference.ranges.index[
        reference.ranges["missing_share"] < 1
    ]  # what no training case had is not missed
    strange = novelty(complete, reference)
    return pd.DataFrame(
        {
            "in_training": in_training(card, patient.loc[complete.index]),
            "out_of_distribution": strange["out_of_distribution"].to_numpy(dtype=bool),
            "missing_features": complete[ever_known].isna().sum(axis=1).to_numpy(),
            "beyond_range": strange["beyond_range"].to_numpy(dtype=float),
        },
        index=complete.index,
    )


def apply_model(
    bundle: ModelBundle, features: pd.DataFrame, patient: pd.Series, cohort: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the probability per case with everything that speaks against trusting it.

    Args:
        bundle: the model.
        features: one row per case; columns that the model needs and that are absent count as missing.
        patient: patient id per case.
        cohort: sites and covariates of the cases, where a model harmonises; without it every site is a new one.

    Returns:
        Table indexed by case: `y_prob, in_training, out_of_distribution, missing_features` (count), `beyond_range` (share of known features); where
        the bundle has a `Doubt` also `threshold, prediction_set, strangeness` (multiple of what is still familiar); where the fusion
        tells them, each branch's share.

    Raises:
        InputError: none of the model's features is there, or a site was not in training and the model refuses such.
    """
    complete = asked_features(bundle.reference, features)
    names = bundle.feature_names
    doubts = doubts_of(bundle.card, bundle.reference, complete, patient)
    branch_of = {str(name): str(branch) for name, branch in bundle.reference.ranges["branch"].items()}
    rows = pd.DataFrame(index=complete.index) if cohort is None else cohort.reindex(complete.index)
    context = row_context(rows, names, [scanner_matters(name, branch_of) for name in names])
    probability = bundle.model.predict_proba(complete, context)[:, 1]
    told = pd.DataFrame({"y_prob": probability}, index=complete.index)
    if bundle.doubt is not None:
        told = bundle.doubt.columns(probability, complete)
        doubts["out_of_distribution"] |= told.pop("out_of_distribution").to_numpy() == 1
        told["strangeness"] = np.round(bundle.doubt.familiarity.strangeness(complete), 4)
    found = pd.DataFrame({"y_prob": np.round(told.pop("y_prob").to_numpy(dtype=float), 8)}, index=complete.index)
    shares = bundle.model.branch_weights(complete, context).round(8)
    return pd.concat([found, doubts, told, shares], axis=1)
