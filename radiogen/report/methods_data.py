"""Methods text on the data: cohort, preprocessing, masks and features, each sentence from what the folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import pandas as pd

from radiogen.config.features import RadiomicsSettings
from radiogen.errors import ConfigError
from radiogen.report.run_record import RunRecord, StageRun
from radiogen.report.statement import Statement, listed
from radiogen.report.words import count, number, target_words
from radiogen.types import SEQUENCES, Target

SEQUENCE_WORDS = {
    "t1n": "native T1-weighted",
    "t1c": "contrast-enhanced T1-weighted",
    "t2w": "T2-weighted",
    "t2f": "T2-FLAIR",
}
REGION_NAMES = {
    "wt": "whole tumour",
    "tc": "tumour core",
    "et": "enhancing tumour",
    "ncr": "necrotic or non-enhancing core",
    "ed": "oedema",
}
_LABELS = {Target.IDH: "idh", Target.MGMT: "mgmt", Target.CODELETION: "codeletion_1p19q"}
_MOST_SITES_NAMED = 10
_BRAINS: dict[str, tuple[str, tuple[str, ...]]] = {
    "template": (
        "with the template's brain, placed by affine registration and corrected by a mixture of tissues",
        ("ashburner2005",),
    ),
    "surface": ("with a deformable surface", ("smith2002",)),
    "hd-bet": ("with HD-BET", ("isensee2019",)),
    "synthstrip": ("with SynthStrip", ("hoopes2022",)),
}
_INTENSITIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "zscore": ("scaled to z-scores within the brain", ()),
    "clip": ("clipped at the 0.5th and 99.5th percentile of the brain", ()),
    "whitestripe": ("normalised to the white stripe", ("shinohara2014",)),
}
_CLASS_WORDS = {"firstorder": "first-order", "shape": "shape", "shape2D": "shape in 2D"}
_BRANCH_WORDS = {
    "clinical": "clinical facts",
    "embedding": "deep features",
    "location": "features of location",
    "network": "features of the disconnected brain network",
    "radiomics": "radiomic features",
}


def data_statements(record: RunRecord) -> list[Statement]:
    """Return the statements on cohort, preprocessing, masks and features.

    Args:
        record: of a folder.
    """
    found = _cohort(record)
    if record.preprocess is not None:
        found += _preprocess(record.preprocess)
    if record.segment is not None:
        found += _segment(record.segment)
    for branch, run in record.features.items():
        found += _features(branch, run, available_sequences(record))
    return [*found, *_silent(record)]


def _silent(record: RunRecord) -> list[Statement]:
    """Return what the reporting forms must know and nobody would write."""
    found, features = [], record.features
    links = tuple(run.link for run in features.values())
    if features and "radiomics" not in features:
        found.append(Statement("features.no-radiomics", "No hand-crafted features were computed.", links, said=False))
    used = set(features["radiomics"].settings.get("sequences", ())) if "radiomics" in features else set()
    only_radiomics = bool(used) and set(features) <= {"clinical", "radiomics"}
    if only_radiomics and len(used & set(available_sequences(record))) == 1:
        found.append(Statement("features.one-sequence", "Features were taken from one sequence.", links, said=False))
    return found


def available_sequences(record: RunRecord) -> list[str]:
    """Return the sequences that at least one case has, all four where no cohort table says.

    Args:
        record: of a folder.
    """
    if record.cohort is None:
        return list(SEQUENCES)
    return [name for name in SEQUENCES if record.cohort[name].notna().any()]


def _cohort(record: RunRecord) -> list[Statement]:
    table, source = record.cohort, "cohort.csv"
    if table is None:
        return []
    patients, sites = int(table["patient"].nunique()), table["site"].dropna().astype(str)
    found = [
        Statement(
            "cohort.size",
            f"The cohort comprised {count(len(table), 'case')} of {count(patients, 'patient')}.",
            (source,),
        )
    ]
    n_sites = int(sites.nunique())
    if n_sites:
        named = f" ({', '.join(f'{name}: {n}' for name, n in sites.value_counts(sort=False).sort_index().items())})"
        text = f"They came from {count(n_sites, 'site')}{named if 1 < n_sites <= _MOST_SITES_NAMED else ''}."
        found.append(
            Statement("cohort.sites-several" if n_sites > 1 else "cohort.sites-one", text, (f"{source}#site",))
        )
    found += [*_people(table, source), *_labels(table, source)]
    present = [
        f"{SEQUENCE_WORDS[name]} ({int(table[name].notna().sum())})" for name in SEQUENCES if table[name].notna().any()
    ]
    if present:
        found.append(Statement("cohort.sequences", f"Images (number of cases): {listed(present)}.", (source,)))
    return [*found, _exclusions(record.failures, source)]


def _exclusions(failures: pd.DataFrame | None, source: str) -> Statement:
    if failures is None or failures.empty:
        return Statement("cohort.exclusions", "The program left no case out.", (source,))
    stages = failures.groupby("stage", sort=True)["case"].nunique()
    where = listed([f"{n} at {stage}" for stage, n in stages.items()])
    text = (
        f"{count(int(failures['case'].nunique()), 'case')} could not be processed and went without that step ({where})."
    )
    return Statement("cohort.exclusions", text, ("failed.csv",))


def _people(table: pd.DataFrame, source: str) -> list[Statement]:
    age, sex = table["age"].dropna().astype(float), table["sex"].dropna().astype(str)
    parts = []
    if len(age):
        parts.append(
            f"Age was known for {len(age)} (median {age.median():.0f} years, range {age.min():.0f} to {age.max():.0f})"
        )
    if len(sex):
        parts.append(
            f"{'sex' if parts else 'Sex'} for {len(sex)} ({int((sex == 'F').sum())} female, {int((sex == 'M').sum())} male)"
        )
    return [Statement("cohort.people", f"{' and '.join(parts)}.", (f"{source}#age", f"{source}#sex"))] if parts else []


def _labels(table: pd.DataFrame, source: str) -> list[Statement]:
    parts = []
    for target, column in _LABELS.items():
        values, words = table[column].dropna(), target_words(target.value)
        if len(values):
            positive = int((values == 1).sum())
            parts.append(
                f"{words.name} for {len(values)} ({positive} {words.positive}, {len(values) - positive} {words.negative})"
            )
    grades = table["grade"].dropna().astype(int).value_counts().sort_index()
    if len(grades):
        parts.append(
            f"WHO grade for {int(grades.sum())} ({listed([f'{n} of grade {grade}' for grade, n in grades.items()])})"
        )
    return [Statement("cohort.labels", f"Labels were known: {'; '.join(parts)}.", (source,))] if parts else []


def _preprocess(run: StageRun) -> list[Statement]:
    chosen = run.settings
    template = "MNI152 template" if chosen.get("template") == "mni152" else "template given by the user"
    kind = "rigidly" if chosen.get("transform") == "rigid" else "by affine transforms"
    text = (
        f"The sequences of each case were registered to one another rigidly and to the {template} {kind}, by mutual information, and resampled once "
        f"to {number(float(chosen['spacing_mm']), 1)} mm isotropic voxels by {chosen.get('interpolation')} interpolation."
    )
    cites = (
        ("fonov2011", "mattes2003", "simpleitk") if chosen.get("template") == "mni152" else ("mattes2003", "simpleitk")
    )
    found = [Statement("preprocess.registration", text, (f"{run.link}#settings",), cites)]
    brain, works = _BRAINS.get(str(chosen.get("brain")), (f"by the method '{chosen.get('brain')}'", ()))
    skull = " The images were written with the skull." if chosen.get("keep_skull") else ""
    found.append(
        Statement(
            "preprocess.brain",
            f"Where the skull was on, the brain was extracted {brain}.{skull}",
            (f"{run.link}#settings.brain",),
            works,
        )
    )
    if chosen.get("keep_skull") and chosen.get("deface"):
        found.append(
            Statement("preprocess.deface", "Faces were removed.", (f"{run.link}#settings.deface",), ("schimke2011",))
        )
    if chosen.get("bias") in {"registration", "output"}:
        where = "for registration only" if chosen["bias"] == "registration" else "in the images used"
        text = f"The bias field was corrected with N4 {where}."
        found.append(Statement("preprocess.bias", text, (f"{run.link}#settings.bias",), ("tustison2010",)))
    if chosen.get("intensity", "none") != "none":
        words, works = _INTENSITIES.get(
            str(chosen["intensity"]), (f"normalised by the method '{chosen['intensity']}'", ())
        )
        found.append(
            Statement("preprocess.intensity", f"Intensities were {words}.", (f"{run.link}#settings.intensity",), works)
        )
    return found


def _segment(run: StageRun) -> list[Statement]:
    methods: Mapping[str, int] = run.results["methods"]
    made = {name: n for name, n in methods.items() if name != "given"}
    source = f"{run.link}#method"
    found = []
    if methods.get("given"):
        text = f"Tumour masks of {count(methods['given'], 'case')} were given with the images and used as they were."
        found.append(Statement("segment.given", text, (source,)))
    if not made:
        return [*found, Statement("segment.all-given", text, (source,), said=False)]
    parts = [f"{_method_words(name)} ({count(n, 'case')})" for name, n in made.items()]
    networks = any(name != "flair-threshold" for name in made)
    found.append(
        Statement(
            "segment.automatic",
            f"Tumour masks (necrotic or non-enhancing core, oedema, enhancing tumour) were made automatically by "
            f"{listed(parts)}.",
            (source, run.results_link),
            ("monai", "pytorch") if networks else (),
        )
    )
    if networks:
        found += _network_details(run)
    if not methods.get("given"):
        found.append(Statement("segment.all-automatic", "No mask was drawn or corrected by a reader.", (source,)))
    smallest = run.settings.get("smallest_ml")
    if smallest:
        text = f"Connected components of the whole tumour below {smallest:g} ml were removed."
        found.append(Statement("segment.postprocess", text, (f"{run.link}#settings.smallest_ml",)))
    return found


def _method_words(name: str) -> str:
    if name == "flair-threshold":
        return "a training-free method that looks for what is bright on T2-FLAIR and takes up contrast"
    return f"the network {name.partition(':')[2] or name}"


def _network_details(run: StageRun) -> list[Statement]:
    found = []
    hashes = [value[:12] for value in run.results.get("weights_sha256", ())]
    devices = list(run.results.get("devices", ()))
    if hashes:
        text = f"Its weights have the SHA-256 {listed([f'{value}...' for value in hashes])}"
        text += f"; it ran on {listed(devices)}." if devices else "."
        found.append(Statement("segment.weights", text, (f"{run.link}#weights_sha256",)))
    if run.settings.get("tta"):
        text = "Outputs over the eight mirror images were averaged (test-time augmentation)."
        found.append(Statement("segment.tta", text, (f"{run.link}#settings.tta",)))
    if run.settings.get("uncertainty", "none") != "none":
        text = f"The agreement of repeated answers ({run.settings['uncertainty']}) was recorded for every mask."
        found.append(Statement("segment.uncertainty", text, (f"{run.link}#settings.uncertainty",)))
    return found


def _features(branch: str, run: StageRun, available: list[str]) -> list[Statement]:
    n_columns = run.results.get("n_columns")
    size = f" ({n_columns} columns)" if n_columns else ""
    sources = (f"{run.link}#settings", *((run.results_link,) if run.results_link else ()))
    if branch == "radiomics":
        used = {**run.settings, "sequences": [name for name in run.settings.get("sequences", ()) if name in available]}
        return radiomics_statements(used, size, run.link, run.versions, sources)
    chosen = run.settings
    if branch == "clinical":
        extra = [
            name
            for name, on in (
                ("tumour volumes", chosen.get("volumes")),
                ("Karnofsky performance status", chosen.get("kps")),
            )
            if on
        ]
        return [
            Statement("features.clinical", f"Clinical predictors were {listed(['age', 'sex', *extra])}{size}.", sources)
        ]
    if branch == "embedding":
        details = [f"weights {_name_of(chosen.get('weights'))}", f"SHA-256 {str(chosen.get('weights_sha256'))[:12]}..."]
        details += [str(chosen["arithmetic"])] if chosen.get("arithmetic") else []
        text = f"Deep features were taken from the frozen network {chosen.get('network')} ({', '.join(details)}){size}."
        return [Statement("features.deep", text, sources, ("pytorch",))]
    if branch == "location":
        text = f"Location and composition of {_regions(chosen)} were measured in MNI152 space{size}."
        return [Statement("features.location", text, sources, ("fonov2011",))]
    if branch == "network":
        region = REGION_NAMES.get(str(chosen.get("cut_by")), str(chosen.get("cut_by")))
        text = f"Disconnection of a template brain network by the {region} was measured{size}."
        return [Statement("features.network", text, sources)]
    return [Statement("features.other", f"{_BRANCH_WORDS.get(branch, branch)} were computed{size}.", sources)]


def radiomics_statements(
    settings: Mapping[str, Any], size: str, link: str, versions: Mapping[str, str], sources: tuple[str, ...]
) -> list[Statement]:
    """Return the statements on radiomics.

    Args:
        settings: of the branch, in full.
        size: how many columns, in brackets, or nothing.
        link: the sidecar they come from.
        versions: package -> version.
        sources: of the first statement.
    """
    version = versions.get("pyradiomics-bhklab")
    software = f"PyRadiomics (distribution pyradiomics-bhklab{f' {version}' if version else ''})"
    names = listed([SEQUENCE_WORDS.get(name, name) for name in settings.get("sequences", ())])
    space = "slice by slice" if (settings.get("setting") or {}).get("force2D") else "in 3D"
    text = f"Radiomic features were computed {space} with {software} from {names} images in {_regions(settings)}{size}."
    found = [Statement("features.radiomics", text, sources, ("pyradiomics", "ibsi2020"))]
    if settings.get("params"):
        text = "The parameter file given by the user was used unchanged."
        return [*found, Statement("features.parameters", text, (f"{link}#settings.params",))]
    classes = [_CLASS_WORDS.get(name, name.upper()) for name in settings.get("feature_classes", {})]
    text = f"Feature classes: {listed(classes)}; all other parameters of the program were left at the values that the sidecar lists in full."
    found.append(Statement("features.parameters", text, (f"{link}#settings.feature_classes",)))
    images = [_image_words(name, own or {}) for name, own in (settings.get("image_types") or {}).items()]
    found.append(Statement("features.images", f"Image types: {listed(images)}.", (f"{link}#settings.image_types",)))
    if settings.get("normalisation") == "zscore":
        text = "Intensities of each sequence were scaled to z-scores of its non-zero voxels beforehand."
        found.append(Statement("features.normalisation", text, (f"{link}#settings.normalisation",), ("carre2020",)))
    own = settings.get("setting") or {}
    bins = _bins(own)
    if bins:
        found.append(
            Statement("features.bins", f"Grey levels were discretised to {bins}.", (f"{link}#settings.setting",))
        )
    spacing = own.get("resampledPixelSpacing")
    text = (
        f"Images were resampled to {spacing} mm for radiomics."
        if spacing
        else "Images were not resampled for radiomics."
    )
    found.append(Statement("features.resampling", text, (f"{link}#settings.setting.resampledPixelSpacing",)))
    return found


def _bins(own: Mapping[str, Any]) -> str:
    if own.get("binWidth"):
        return f"bins of a fixed width of {own['binWidth']:g}"
    return f"{own['binCount']} bins between the region's smallest and largest value" if own.get("binCount") else ""


def full_radiomics_settings(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of the radiomics branch from those that a model's card keeps, which are the ones that were set.

    Args:
        recorded: as a classifier's sidecar has them.

    Example:
        >>> full_radiomics_settings({"regions": ["wt"]})["setting"]
        {'binCount': 32}
    """
    values = {name: value for name, value in recorded.items() if name != "params"}
    try:
        full = RadiomicsSettings.parse(values).model_dump(mode="json")
    except ConfigError:  # a folder of another version: what it names is told, and nothing is added
        full = values
    return {**full, "params": recorded.get("params")}


def _regions(settings: Mapping[str, Any]) -> str:
    names = [str(name) for name in settings.get("regions", ())]
    return listed(
        [
            f"a ring of {name[4:-2]} mm" if name.startswith("ring") else f"the {REGION_NAMES.get(name, name)}"
            for name in names
        ]
    )


def _name_of(weights: object) -> str:
    """Return a name, or the last part of a path: a text travels, folders do not."""
    return PurePath(str(weights)).name if "/" in str(weights) or "\\" in str(weights) else str(weights)


def _image_words(name: str, own: Mapping[str, Any]) -> str:
    if name == "LoG" and own.get("sigma"):
        return f"Laplacian of Gaussian (sigma {listed([f'{value:g}' for value in own['sigma']])} mm)"
    return {"Original": "original", "Wavelet": "wavelet", "LoG": "Laplacian of Gaussian"}.get(name, name)
