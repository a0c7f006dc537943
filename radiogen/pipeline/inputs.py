"""What `classify` and `predict` start from: feature tables with labels, or a cohort with images."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from radiogen.branches.clinical import ClinicalBranch
from radiogen.branches.names import BRANCHES
from radiogen.cohort.identifiers import identify
from radiogen.cohort.join import join_labels, match_rows
from radiogen.cohort.labels import Labels, read_labels_file
from radiogen.cohort.overlaps import Patients
from radiogen.cohort.table import read_cohort
from radiogen.config.base import StageSettings
from radiogen.config.embedding import EmbeddingSettings
from radiogen.config.features import ClinicalSettings, RadiomicsSettings
from radiogen.config.location import LocationSettings
from radiogen.config.network import NetworkSettings
from radiogen.errors import CohortError, ConfigError, InputError
from radiogen.fusion.tables import read_feature_table, with_volume
from radiogen.pipeline.features import run_features
from radiogen.registry import did_you_mean
from radiogen.resources import sha256_file
from radiogen.run.quarantine import Failure

log = logging.getLogger(__name__)

CLINICAL = "clinical"
_FILE_KEYS = ("atlas", "atlas_names", "params", "template", "tract_names", "tracts", "weights")
_FOLDER_KEYS = ("graphs", "preprocessed")
_SETTINGS: dict[str, type[StageSettings]] = {
    "clinical": ClinicalSettings,
    "embedding": EmbeddingSettings,
    "location": LocationSettings,
    "network": NetworkSettings,
    "radiomics": RadiomicsSettings,
}


@dataclass(frozen=True)
class Inputs:
    """Branch tables and the labels that go with them.

    Args:
        features: branch name -> table indexed by case.
        cohort: rows with `patient`, `site`, labels and clinical facts, indexed by case.
        settings: branch -> settings with which its features were made, where radiogen made them.
        failures: cases whose features could not be made.
    """

    features: dict[str, pd.DataFrame]
    cohort: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def from_tables(tables: Sequence[Path], labels: Labels | None, branches: Sequence[str] | None = None) -> Inputs:
    """Return feature tables joined with labels.

    Args:
        tables: feature tables; each is a branch by its file's name.
        labels: as `read_labels` returns them; None where there are none.
        branches: which of the tables to use, and whether `clinical` (age, sex) is one of them; all, and clinical where known, by default.

    Raises:
        InputError: a branch is neither a table nor `clinical`, or no case has a label.
        CohortError: a table cannot be read.
    """
    features: dict[str, pd.DataFrame] = {}
    for path in tables:
        name = path.name.split(".")[0]
        features[name if name not in features else f"{name}_{len(features) + 1}"] = read_feature_table(path)
    cases = list(dict.fromkeys(case for table in features.values() for case in table.index))
    cohort = _unlabelled(cases) if labels is None else match_labels(cases, labels)
    if CLINICAL not in features and _is_known(cohort):
        features[CLINICAL] = ClinicalBranch(ClinicalSettings(volumes=False)).transform(cohort)
    cohort = with_volume(cohort, features)
    if branches is not None:
        features = {name: features[_checked(name, list(features))] for name in branches}
    return Inputs(features, cohort)


def from_cohort(
    path: Path,
    out: Path,
    branches: Sequence[str] | None = None,
    *,
    labels: Labels | None = None,
    settings: dict[str, Any] | None = None,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> Inputs:
    """Return the branches' features of a cohort with images and masks; they are kept in `out/features`.

    Args:
        path: `cohort.csv`.
        out: study folder.
        branches: registered branches; clinical and radiomics by default.
        labels: fills what the cohort does not know.
        settings: branch -> settings; defaults otherwise.
        jobs: cases worked on at the same time.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show progress bars.

    Raises:
        InputError: a branch is unknown, or no case has a mask.
        CohortError: the cohort table is wrong.
    """
    cohort = read_cohort(path)
    if labels is not None:
        cohort, _ = join_labels(cohort, [labels])
    chosen = [_checked(name, BRANCHES.names()) for name in branches or ("clinical", "radiomics")]
    without = int(cohort["mask"].isna().sum())
    if without == len(cohort) and chosen != [CLINICAL]:
        raise CohortError(
            f"None of the {len(cohort)} cases of {path} has a mask, which features are computed in.",
            hint="Make masks with `radiogen segment`, do all in one with `radiogen run`, or give --features TABLE.",
        )
    if without:
        log.warning("%d of %d cases have no mask; they get no image features.", without, len(cohort))
    features: dict[str, pd.DataFrame] = {}
    failures: list[Failure] = []
    used: dict[str, Any] = {}
    for name in chosen:
        stage = settings_of_branch(name, (settings or {}).get(name, {}))
        features[name], failed = run_features(name, cohort, out, stage, jobs=jobs, dask=dask, progress=progress)
        failures += failed
        used[name] = card_settings(stage)
    if CLINICAL not in chosen:
        # Without the branch its volume must still race: a model of other branches could be nothing but the tumour's size.
        facts = ClinicalBranch(ClinicalSettings(), jobs=jobs, on_failure="skip").extract(cohort).features
        return Inputs(features, with_volume(cohort, {CLINICAL: facts}), used, failures)
    return Inputs(features, with_volume(cohort, features), used, failures)


def settings_of_branch(name: str, values: Mapping[str, Any]) -> StageSettings:
    """Return the settings of a registered branch, ours or another package's.

    Args:
        name: of the branch.
        values: what is set.

    Raises:
        ConfigError: the branch is unknown, or a setting is.

    Example:
        >>> settings_of_branch("clinical", {"volumes": False}).volumes
        False
    """
    known = _SETTINGS.get(name) or BRANCHES.load(name).settings_class
    return known.parse(dict(values))


def card_settings(settings: StageSettings) -> dict[str, Any]:
    """Return a branch's settings as a model card keeps them: what was set, and name and hash of a file instead of its path.

    Folders that belong to the cases, and not to the model, are left out: transforms of `radiogen preprocess`, and where graphs are written.

    Args:
        settings: of one branch.
    """
    values = settings.model_dump(mode="json", exclude_unset=True, exclude=set(_FOLDER_KEYS))
    for name in _FILE_KEYS:
        # Names, such as those of installed weights or `aal`, stay names.
        if values.get(name) and Path(values[name]).is_file():
            values[name] = {"file": Path(values[name]).name, "sha256": sha256_file(values[name])}
    return values


def settings_from_card(
    recorded: Mapping[str, Any], params: Path | None, given: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the branch settings with which a model's features were made.

    Args:
        recorded: branch -> what `card_settings` gave.
        params: PyRadiomics parameter file, where the model needs one.
        given: branch -> setting -> path of a file that the model needs, or of a folder that belongs to the new cases.

    Raises:
        ConfigError: something else is given than files and folders.
        InputError: a file that the model needs is missing or is another one; all of them are listed.
    """
    settings = {name: dict(values) for name, values in recorded.items()}
    settings.setdefault("radiomics", {})
    files = _given_files(given or {}, set(settings))
    if params is not None:
        files.setdefault("radiomics", {})["params"] = str(params)
    problems = []
    for branch, values in settings.items():
        for name, value in list(values.items()):
            wanted = _wanted(name, value)
            if wanted is None:
                continue
            file = files.get(branch, {}).get(name)
            if file is None or not Path(file).is_file() or sha256_file(file) != wanted["sha256"]:
                called = f"{wanted['file']}, " if wanted["file"] else ""
                problems.append(
                    f"{branch}: {name} ({called}SHA-256 {wanted['sha256'][:12]}...); "
                    f"{'none was given' if file is None else f'{file} is another one'}"
                )
    if problems:
        raise InputError(
            "The model's features were made with files that are needed again:", problems=problems,
            hint="Give the same files: the PyRadiomics parameters with --params, others with --config FILE.yaml (branch: {setting: path}).",
        )  # fmt: skip
    return {name: {**values, **files.get(name, {})} for name, values in settings.items()}


def _wanted(name: str, value: Any) -> dict[str, str] | None:
    """Return name and hash of the file that a card's value stands for; cards of older models have the hash of `params` alone."""
    if isinstance(value, Mapping) and set(value) == {"file", "sha256"}:
        return {key: str(text) for key, text in value.items()}
    return {"file": "", "sha256": str(value)} if name == "params" and value else None


def _given_files(given: Mapping[str, Mapping[str, Any]], branches: set[str]) -> dict[str, dict[str, str]]:
    accepted = {*_FILE_KEYS, *_FOLDER_KEYS}
    problems = [f"unknown branch '{name}'" for name in given if name not in branches]
    problems += [
        f"'{branch}' is not a mapping of settings to paths"
        if not isinstance(values, Mapping)
        else f"'{name}' of {branch} is not the path of a file or folder"
        for branch, values in given.items()
        for name in (values if isinstance(values, Mapping) else [""])
        if name not in accepted
    ]
    if problems:
        raise ConfigError(
            f"The model's settings are those of its training; accepted are paths, per branch ({', '.join(sorted(branches))}): "
            f"{', '.join(sorted(accepted))}.",
            problems=problems,
        )
    return {branch: {name: str(path) for name, path in values.items()} for branch, values in given.items()}


def read_labels(path: Path) -> Labels:
    """Return a label table, or a cohort table, in the cohort's columns; what was not understood is logged.

    Raises:
        CohortError: it cannot be read.
    """
    labels = read_labels_file(path)
    for line in labels.problems:
        log.warning("%s: %s", labels.name, line)
    for line in labels.notes:
        log.info("%s: %s", labels.name, line)
    return labels


def match_labels(cases: list[str], labels: Labels) -> pd.DataFrame:
    """Return the label rows of the cases, indexed by the cases' own ids; ids are matched whatever their spelling.

    Args:
        cases: ids of the feature tables.
        labels: as `read_labels` returns them.

    Raises:
        CohortError: no id matches; ids of both sides are shown.

    Example:
        >>> from radiogen.cohort.labels import normalise_labels
        >>> labels = normalise_labels(pd.DataFrame({"ID": ["UCSF-PDGM-0004"], "IDH": ["wildtype"]}))
        >>> match_labels(["UCSF-PDGM-004"], labels)["idh"].tolist()
        [0.0]
    """
    found = match_rows(_unlabelled(cases), labels, Patients())
    if not found:
        raise CohortError(
            f"None of the {len(cases)} cases of the features ({', '.join(map(str, cases[:3]))}, ...) has a row in {labels.name}, whose ids are "
            f"{', '.join(map(str, labels.table.index[:3]))}, ...",
            hint="Check that both tables spell the case ids alike.",
        )
    if len(found) < len(cases):
        log.warning(
            "%d of %d cases of the features have no row in %s.", len(cases) - len(found), len(cases), labels.name
        )
    rows = [row for row, _ in found.values()]
    return labels.table.loc[rows].set_axis(pd.Index(list(found), dtype=object, name="case"))


def _unlabelled(cases: list[str]) -> pd.DataFrame:
    patients = [identify(str(case)).patient for case in cases]
    return pd.DataFrame({"patient": patients, "site": None}, index=pd.Index(cases, dtype=object, name="case"))


def _is_known(cohort: pd.DataFrame) -> bool:
    return any(name in cohort.columns and bool(cohort[name].notna().any()) for name in ("age", "sex"))


def _checked(name: str, accepted: list[str]) -> str:
    if name not in accepted:
        raise InputError(
            f"'{name}' is not a branch here; there are: {', '.join(accepted)}.", hint=did_you_mean(name, accepted)
        )
    return name
