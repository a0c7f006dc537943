"""Masks for a cohort: one file and one sidecar per case, skipped where they are still true.

What stands in `masks/<case>.json`, beside what every sidecar has (`notice, stage, settings, inputs, outputs, versions, fingerprint`):

- `case`: case id.
- `wt_ml, tc_ml, et_ml`: volumes, ml; null where a region could not be determined.
- `method`: `given`, `flair-threshold` or `network:<name of the weights>`; `device`, `precision`, `weights_sha256` where a network was used.
- `labels`: what each value of the mask means.
- `sequences_used`, `sequences_missing`: names among `t1n t1c t2w t2f`.
- `notes`: what was done or could not be determined, in plain sentences.
- `uncertainty`: `from` (flips, mc-dropout, ensemble) and `passes`, how many answers were compared; null where none was asked for.
- `confidence`: region -> `agreement` (mean pairwise Dice of the answers, 0 to 1), `volume_variation` (standard deviation over mean of their volumes),
  `entropy` (mean predictive entropy inside the mask, bits); see `radiogen.segment.uncertainty.RegionConfidence`. Null without `uncertainty`.
- `quality`: region -> expected Dice, 0 to 1, only by a calibration that was validated against real Dice (`radiogen.segment.quality`); null otherwise.
- `quality_note`: where the quality comes from, or why there is none.
- `flagged`, `flag_reason`: whether the case should be looked at before its mask is used, and why (the settings `least_quality`, `least_agreement`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from radiogen.cohort.case import CaseImages, read_case, read_case_mask
from radiogen.cohort.masks import region_volumes_ml
from radiogen.cohort.nifti import Grid, write_image, write_labels
from radiogen.cohort.table import present_sequences
from radiogen.config.segment import SegmentSettings
from radiogen.errors import CaseError, ConfigError
from radiogen.run.atomic import writing
from radiogen.run.executor import run_cases
from radiogen.run.provenance import Provenance, hash_inputs, read_sidecar
from radiogen.run.quarantine import Failure
from radiogen.segment.method import MethodResult, SegmentationMethod
from radiogen.segment.names import SEGMENTATION_METHODS
from radiogen.segment.weights import default_weights, find_weights, read_card
from radiogen.types import ED, RC, LabelVolume

STAGE = "segment"
OWN_LABELS = "brats2023"
"""The label scheme of every mask that radiogen writes (`cohort.masks.SCHEMES`)."""


@dataclass(frozen=True)
class SegmentOutcome:
    """What segmenting a cohort gave.

    Args:
        cohort: the rows that succeeded, with `mask`, `mask_labels`, the volumes, `flagged` and `flag_reason` set.
        volumes: index `case`; `wt_ml, tc_ml, et_ml` (NaN where a region could not be determined), `method`, `flagged`, `flag_reason`.
        failures: the rows that did not.
    """

    cohort: pd.DataFrame
    volumes: pd.DataFrame
    failures: list[Failure]


def segment_cohort(
    cohort: pd.DataFrame,
    study: Path,
    settings: SegmentSettings,
    *,
    jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> SegmentOutcome:
    """Write `masks/<case>.nii.gz` on each case's own grid with `masks/<case>.json` beside it (its keys are at the top of this module).

    Where they are asked for: `probabilities/<case>.safetensors`, `uncertainty/<case>.nii.gz` and `samples/<case>/<k>.nii.gz`.

    Args:
        cohort: as `read_cohort` returns it.
        study: output folder.
        settings: method or weights, and what to do with given masks.
        jobs: cases worked on at the same time.
        dask: scheduler address of a Dask cluster to use instead.
        progress: show a progress bar.

    Raises:
        ConfigError: the method is unknown or its settings do not fit.
        InputError: the weights cannot be used.
    """
    settings = effective_settings(settings)
    if settings.save_samples and (settings.method != "network" or settings.uncertainty == "none"):
        raise ConfigError(
            f"The method '{settings.method}' with uncertainty '{settings.uncertainty}' gives one answer per case; there are no samples to save.",
            hint="Use a network with --uncertainty flips, mc-dropout or ensemble.",
        )
    weights_hash = "+".join(read_card(find_weights(name)).sha256 for name in settings.weights)
    SEGMENTATION_METHODS.load(settings.method)  # an unknown name is the run's problem, not every case's
    worker = _Worker(Path(study), settings, weights_hash)
    rows = {str(case): row for case, row in cohort.iterrows()}
    facts, failures = run_cases(worker, rows, stage=STAGE, jobs=jobs, dask=dask, progress=progress)
    done = cohort.loc[list(facts)].copy()
    done["mask"] = [str(mask_path(Path(study), case).resolve()) for case in facts]
    done["mask_labels"] = OWN_LABELS
    names = ["wt_ml", "tc_ml", "et_ml", "method", "flagged", "flag_reason"]
    volumes = pd.DataFrame(
        [{name: fact[name] for name in names} for fact in facts.values()], index=list(facts), columns=names
    )
    for name in names[:3]:
        volumes[name] = volumes[name].astype(float)
        done[name] = volumes[name]
    done[["flagged", "flag_reason"]] = volumes[["flagged", "flag_reason"]]
    return SegmentOutcome(done, volumes.rename_axis("case"), failures)


def effective_settings(settings: SegmentSettings) -> SegmentSettings:
    """Return the settings with what `auto` stands for: given weights, else the weights that come with radiogen, else no network."""
    weights = settings.weights
    if settings.method == "auto" and not weights:
        default = default_weights()
        weights = () if default is None else (default.stem,)
    if weights:
        return settings.model_copy(update={"method": "network", "weights": weights})
    return settings.model_copy(update={"method": "flair-threshold"}) if settings.method == "auto" else settings


def mask_path(study: Path, case: str) -> Path:
    """Return where the mask of a case stands in a study."""
    return Path(study) / "masks" / f"{case}.nii.gz"


def probabilities_path(study: Path, case: str) -> Path:
    """Return where the region probabilities of a case stand in a study, where they were asked for."""
    return Path(study) / "probabilities" / f"{case}.safetensors"


def entropy_path(study: Path, case: str) -> Path:
    """Return where the map of predictive entropy of a case stands in a study, where it was asked for."""
    return Path(study) / "uncertainty" / f"{case}.nii.gz"


def sample_paths(study: Path, case: str, n: int) -> list[Path]:
    """Return where the masks of `n` single answers of a case stand in a study, where they were asked for.

    Example:
        >>> [path.as_posix() for path in sample_paths(Path("study"), "007", 2)]
        ['study/samples/007/1.nii.gz', 'study/samples/007/2.nii.gz']
    """
    return [Path(study) / "samples" / case / f"{number}.nii.gz" for number in range(1, n + 1)]


@dataclass(frozen=True)
class _Worker:
    study: Path
    settings: SegmentSettings
    weights_hash: str

    def __call__(self, case: str, row: pd.Series) -> dict[str, Any]:
        """Make or keep the mask of one case and return the facts of its sidecar."""
        given = self.settings.given_masks == "use" and isinstance(row.get("mask"), str)
        out = mask_path(self.study, case)
        provenance = self._provenance(row, given)
        extra = [] if given else self._extra(case)
        if all(provenance.is_current(paths) for paths in ([out], *extra)):
            return read_sidecar(out)
        images = read_case(row)
        description, result = self._given(row, images) if given else self._made(images)
        self._check(result, given)
        self._write_extra(case, result, images.grid, provenance)
        write_labels(out, result.labels, images.grid)
        volumes = region_volumes_ml(result.labels, images.grid)
        unknown = {f"{name}_ml" for name in result.unknown_regions}
        facts = {
            "case": case,
            **{name: None if name in unknown else round(value, 4) for name, value in volumes.items()},
            **description,
            "labels": {
                "1": "necrotic or non-enhancing core",
                "2": "oedema or infiltration",
                "3": "enhancing tumour",
                "4": "resection cavity",
            },
            "sequences_used": result.sequences_used,
            "sequences_missing": images.missing,
            "notes": result.notes,
            **_NO_CONFIDENCE,
            **result.confidence,
            "flagged": bool(result.flag_reason),
            "flag_reason": result.flag_reason,
        }
        provenance.record([out], **facts)
        return facts

    def _extra(self, case: str) -> list[list[Path]]:
        """Return the files that are written beside the mask, each list with one sidecar."""
        if self.settings.method != "network":
            return []
        wanted = {
            probabilities_path(self.study, case): self.settings.save_probabilities,
            entropy_path(self.study, case): self.settings.uncertainty_map,
        }
        samples = sample_paths(self.study, case, self.settings.n_answers) if self.settings.save_samples else []
        return [[path] for path, asked in wanted.items() if asked] + ([samples] if samples else [])

    def _write_extra(self, case: str, result: MethodResult, grid: Grid, provenance: Provenance) -> None:
        if result.probabilities:
            path = probabilities_path(self.study, case)
            with writing(path) as beside:
                save_file(
                    {name: np.ascontiguousarray(p, dtype=np.float16) for name, p in result.probabilities.items()},
                    beside,
                )
            provenance.record([path], case=case, axes="canonical (R, A, S)")
        if result.entropy is not None:
            path = entropy_path(self.study, case)
            write_image(path, result.entropy, grid)
            provenance.record([path], case=case, unit="bits", meaning="largest predictive entropy of any region")
        if result.samples:
            self._write_samples(case, result.samples, grid, provenance)

    def _write_samples(self, case: str, samples: Sequence[LabelVolume], grid: Grid, provenance: Provenance) -> None:
        paths = sample_paths(self.study, case, len(samples))
        # An earlier run may have asked for more; its samples are not of this one.
        for old in set(paths[0].parent.glob("*.nii.gz")) - set(paths):
            old.unlink()
        for path, labels in zip(paths, samples, strict=True):
            write_labels(path, labels, grid)
        provenance.record(paths, case=case, meaning=f"mask of each answer of {self.settings.uncertainty}")

    def _provenance(self, row: pd.Series, given: bool) -> Provenance:
        inputs: dict[str, str | Path | None] = dict(present_sequences(row))
        settings: dict[str, Any]
        if given:
            inputs["mask"] = row["mask"]
            settings = {"method": "given", "mask_labels": row.get("mask_labels") or "auto"}
        else:
            settings = self.settings.model_dump(mode="json", exclude={"weights", "given_masks", "save_samples"})
        hashes = hash_inputs(inputs)
        if self.weights_hash and not given:
            hashes["weights"] = self.weights_hash
        return Provenance(STAGE, settings, hashes)

    def _given(self, row: pd.Series, images: CaseImages) -> tuple[dict[str, str], MethodResult]:
        labels = read_case_mask(row, images.grid)
        present = set(np.unique(labels).tolist())
        notes, unknown = [], []
        if present <= {0, ED}:
            unknown = ["tc", "et"]
            notes.append(
                "The given mask marks the whole tumour only; core and enhancing tumour are unknown, not absent."
            )
        return {"method": "given"}, MethodResult(labels, [], notes, unknown)

    def _made(self, images: CaseImages) -> tuple[dict[str, str], MethodResult]:
        method = _method(self.settings.model_dump_json())
        return method.description, method(images)

    def _check(self, result: MethodResult, given: bool) -> None:
        if not ((result.labels > 0) & (result.labels != RC)).any():
            what = "The given mask holds no tumour." if given else "No tumour was found: the mask would be empty."
            raise CaseError(what, hint="Look at the case; give a mask in the column 'mask', or leave the case out.")


_NO_CONFIDENCE = {
    "uncertainty": None,
    "confidence": None,
    "quality": None,
    "quality_note": "This method gives one answer; how sure it is was not measured.",
}


@lru_cache(maxsize=2)
def _method(settings_json: str) -> SegmentationMethod:
    """Return the method, made once per process: a network is loaded once, not once per case."""
    settings = SegmentSettings.model_validate_json(settings_json)
    method: SegmentationMethod = SEGMENTATION_METHODS.load(settings.method)(settings)
    return method
