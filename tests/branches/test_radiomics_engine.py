"""The engine around PyRadiomics: what is computed again and what is not, work cut into shares, and regions at the edge of sense."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from radiogen.branches.radiomics import RadiomicsBranch, extract_cohort
from radiogen.branches.radiomics import extract as engine
from radiogen.branches.radiomics.extract import extract_case, extract_pieces, feature_names, merged
from radiogen.branches.radiomics.plan import make_plan
from radiogen.branches.radiomics.shares import shares
from radiogen.cohort.case import CaseImages
from radiogen.cohort.nifti import Grid
from radiogen.config.features import RadiomicsSettings
from radiogen.errors import ImageError
from tests.branches.cases import AFFINE, SHAPE, cohort, image, labels, write_case

QUICK: dict[str, Any] = {
    "image_types": {"Original": {}, "LoG": {"sigma": [1.0]}},
    "feature_classes": {"shape": ["Sphericity"], "firstorder": ["Mean", "Entropy"], "glcm": ["Contrast"]},
    "sequences": ("t1c", "t2f"),
}


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names what is computed: one entry per filtered image and region."""
    names: list[str] = []
    filtered, shape = engine.filtered_images, engine._shape

    def spied(frame: Any, image_type: str, settings: Any) -> Iterator[Any]:
        for each in filtered(frame, image_type, settings):
            names.extend(f"{region} {each[1]}" for region in frame.masks)
            yield each

    def spied_shape(*arguments: Any) -> Any:
        names.append("shape")
        return shape(*arguments)

    monkeypatch.setattr(engine, "filtered_images", spied)
    monkeypatch.setattr(engine, "_shape", spied_shape)
    return names


def run(table: pd.DataFrame, cache: Path, **changes: Any) -> pd.DataFrame:
    features, failures = extract_cohort(table, RadiomicsSettings.parse({**QUICK, **changes}), cache_folder=cache)
    assert failures == []
    return features


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"image_types": {"Original": {}, "LoG": {"sigma": [1.0, 2.0]}}}, 2 * ["et", "tc", "wt"]),
        ({"image_types": {"LoG": {"sigma": [1.0]}}}, []),
        ({"image_types": {"Original": {}, "LoG": {"sigma": [1.0], "binWidth": 2}}}, 2 * ["et", "tc", "wt"]),
        ({"image_types": {"Original": {}, "LoG": {"sigma": [1.0]}, "Square": {}}}, 2 * ["et", "tc", "wt"]),
        ({"regions": ("wt", "tc", "et", "ed")}, ["shape", *4 * ["ed"]]),
        ({"regions": ("wt", "ring4mm")}, ["shape", *4 * ["ring4mm"]]),
        ({"sequences": ("t1c", "t2f", "t2w")}, 2 * ["et", "tc", "wt"]),
        ({"feature_classes": {"shape": ["Flatness"], "firstorder": ["Mean", "Entropy"], "glcm": ["Contrast"]}}, 3 * ["shape"]),
        ({"normalisation": "none"}, [*3 * ["shape"], *4 * ["et", "tc", "wt"]]),
    ],
)  # fmt: skip
def test_a_changed_setting_computes_only_what_it_touches(
    tmp_path: Path, computed: list[str], changes: dict[str, Any], expected: list[str]
) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a")])
    run(table, tmp_path / "cache")
    computed.clear()
    found = run(table, tmp_path / "cache", **changes)
    assert sorted(name.split()[0] for name in computed) == sorted(expected)
    assert found.equals(run(table, tmp_path / "fresh", **changes))


def test_another_image_or_a_damaged_entry_is_computed_again_alone(tmp_path: Path, computed: list[str]) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a")])
    first = run(table, tmp_path / "cache")
    nib.save(nib.Nifti1Image(image(99).astype(np.int16), AFFINE), table.loc["a", "t1c"])
    computed.clear()
    second = run(table, tmp_path / "cache")
    assert len(computed) == 2 * 3
    same = [name for name in first if not name.startswith("t1c")]
    assert first[same].equals(second[same])
    assert (first != second).sum(axis=1).item() == 2 * 3 * 3
    for entry in (tmp_path / "cache").rglob("*.json"):
        if "t1c_et_log" in entry.read_text():
            entry.write_bytes(entry.read_bytes()[:40])
    computed.clear()
    assert run(table, tmp_path / "cache").equals(second)
    assert computed == ["et log-sigma-1-0-mm-3D"]


@pytest.mark.parametrize("changes", [{}, {"regions": ("et", "ring3mm")}, {"feature_classes": {"shape": []}}])
def test_shares_of_a_case_are_the_case(changes: dict[str, Any]) -> None:
    plan = make_plan(RadiomicsSettings.parse({**QUICK, **changes}))
    images = {name: image(number) for number, name in enumerate(plan.sequences)}
    case = CaseImages("a", images, Grid(SHAPE, AFFINE))
    whole = extract_case(case, labels(), plan)
    for jobs in (1, 2, 64):
        parts = shares(plan, plan.sequences, cases=1, jobs=jobs)
        pieces = [extract_pieces(case, labels(), part) for part in parts]
        together = merged((features for part in pieces for features in part.values()), [])
        assert sum(len(part) for part in pieces) == len({piece for part in pieces for piece in part})
        assert together.values == whole.values
        assert sorted(together.notes) == sorted(whole.notes)


def test_one_case_on_two_workers_is_the_same_to_the_bit_and_fails_the_same(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a"), write_case(tmp_path, "b", seed=1, without=("t2f",))])
    (tmp_path / "b" / "t1c.nii.gz").write_bytes(b"not an image")
    settings = RadiomicsSettings.parse(QUICK)
    alone = RadiomicsBranch(settings, jobs=1).extract(table)
    both = RadiomicsBranch(settings, jobs=2).extract(table)
    assert both.features.equals(alone.features)
    assert both.notes == alone.notes
    assert [(one.case, one.stage, one.cause, one.fix) for one in both.failures] == [
        (one.case, one.stage, one.cause, one.fix) for one in alone.failures
    ]
    assert [one.case for one in both.failures] == ["b"]


EXAMPLES = {
    "CT": "imageType: {Original: {}, LoG: {sigma: [1.0, 2.0]}, Wavelet: {}}\nfeatureClass: {shape: , firstorder: [], glcm: [Autocorrelation, Imc1]}\n"
    "setting: {binWidth: 25, interpolator: sitkBSpline, resampledPixelSpacing: , weightingNorm: , geometryTolerance: 1.0e-3, label: 1}\n",
    "MR, resampled": "imageType: {Original: {}}\nfeatureClass: {shape: , glszm: , gldm: }\n"
    "setting: {normalize: true, normalizeScale: 100, interpolator: sitkBSpline, resampledPixelSpacing: [2, 2, 2], preCrop: true, binWidth: 5,"
    " voxelArrayShift: 300, label: 1}\n",
    "MR, in planes": "imageType: {Original: {}, Wavelet: {}}\nfeatureClass: {firstorder: , glrlm: }\n"
    "setting: {binWidth: 5, force2D: true, force2Ddimension: 0, voxelArrayShift: 300, label: 1}\n",
    "MR, voxel by voxel": "imageType: {Original: {}}\nfeatureClass: {firstorder: [Mean], glcm: [JointEntropy]}\n"
    "setting: {binWidth: 5, label: 1}\nvoxelSetting: {kernelRadius: 2, maskedKernel: true, initValue: nan, voxelBatch: 10000}\n",
    "all filters": "imageType: {Square: {}, SquareRoot: {}, Logarithm: {}, Exponential: {}, Gradient: {gradientUseSpacing: true},"
    " LBP2D: {lbp2DMethod: uniform}, LBP3D: {lbp3DLevels: 2}}\nfeatureClass: {firstorder: [Mean]}\nsetting: {binCount: 16}\n",
}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_parameter_files_with_the_keys_of_pyradiomics_own_examples(tmp_path: Path, name: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(EXAMPLES[name])
    settings = RadiomicsSettings(params=path, sequences=("t1c",), regions=("et",))
    plan = make_plan(settings)
    found = extract_case(CaseImages("a", {"t1c": image(0)}, Grid(SHAPE, AFFINE)), labels(), plan)
    assert set(found.values) == set(feature_names(plan))
    assert all(np.isfinite(value) for value in found.values.values())


EDGES = RadiomicsSettings(
    image_types=QUICK["image_types"],
    sequences=("t1c",),
    regions=("et",),
    setting={"binWidth": 25},
    normalisation="none",
)


def edge(data: np.ndarray, mask: np.ndarray, settings: RadiomicsSettings = EDGES) -> tuple[dict[str, float], list[str]]:
    case = CaseImages("a", {"t1c": data.astype(np.float32)}, Grid(SHAPE, AFFINE))
    found = extract_case(case, mask, make_plan(settings))
    return found.values, found.notes


def region(*slices: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[slices] = 3
    return mask


@pytest.mark.parametrize(
    ("mask", "note"),
    [
        (np.zeros(SHAPE, dtype=np.uint8), "et: the mask has no such voxel"),
        (region(slice(5, 6), slice(5, 6), slice(5, 6)), "t1c et: mask only contains 1 segmented voxel"),
        (region(slice(5, 9), slice(5, 6), slice(5, 6)), "t1c et: mask has too few dimensions"),
    ],
)
def test_a_region_too_small_to_measure_has_no_values_and_says_why(mask: np.ndarray, note: str) -> None:
    values, notes = edge(image(0), mask)
    assert values == {}
    assert any(line.startswith(note) for line in notes)


@pytest.mark.parametrize(
    "mask",
    [
        region(slice(8, 14), slice(8, 15), slice(9, 11)),
        region(slice(8, 14), slice(8, 15), slice(9, 10)),
        region(slice(0, 6), slice(0, 7), slice(0, 5)),
        region(slice(20, None), slice(24, None), slice(15, None)),
        region(slice(None), slice(None), slice(None)),
    ],
)  # two slices, one slice, two corners, everything
def test_a_thin_region_and_one_at_the_border_have_every_value(mask: np.ndarray) -> None:
    values, _ = edge(image(0), mask)
    assert set(values) == set(feature_names(make_plan(EDGES)))
    assert [name for name, value in values.items() if not np.isfinite(value)] == []


def test_a_constant_region_follows_pyradiomics_conventions() -> None:
    mask = region(slice(8, 14), slice(8, 15), slice(9, 12))
    data = np.where(mask == 3, 250.0, image(0))
    for setting in ({"binWidth": 25}, {"binCount": 32}):
        settings = EDGES.model_copy(update={"setting": setting})
        values, _ = edge(data, mask, settings)
        stem = "t1c_et_original_"
        expected = {
            "firstorder_Variance": 0, "firstorder_Skewness": 0, "firstorder_Kurtosis": 0, "firstorder_Uniformity": 1,
            "firstorder_Mean": 250, "glcm_Correlation": 1, "glcm_MCC": 1, "glcm_Imc1": 0, "glcm_Imc2": 0, "glcm_Contrast": 0,
            "ngtdm_Coarseness": 1e6, "ngtdm_Contrast": 0, "ngtdm_Busyness": 0, "glszm_ZoneVariance": 0,
        }  # fmt: skip
        assert {name: values[stem + name] for name in expected} == pytest.approx(expected, abs=1e-12)
        assert all(np.isfinite(value) for name, value in values.items() if name.startswith(stem))


@pytest.mark.parametrize("where", [(10, 10, 10), (0, 0, 0)])
def test_not_a_number_inside_or_outside_the_mask_is_refused(where: tuple[int, ...]) -> None:
    data = image(0)
    data[where] = np.nan
    with pytest.raises(ImageError, match="NaN or infinite") as caught:
        edge(data, region(slice(8, 14), slice(8, 15), slice(9, 12)))
    assert "t1c: 1 voxel" in str(caught.value)


def test_files_with_nan_or_on_another_grid_are_quarantined(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, name) for name in ("a", "b", "c")])
    damaged = image(0)
    damaged[10, 10, 10] = np.nan
    nib.save(nib.Nifti1Image(damaged, AFFINE), table.loc["a", "t1c"])
    moved = AFFINE.copy()
    moved[0, 3] += 1
    nib.save(nib.Nifti1Image(labels(), moved), table.loc["b", "mask"])
    extraction = RadiomicsBranch(RadiomicsSettings.parse(QUICK)).extract(table)
    assert extraction.features.index.tolist() == ["c"]
    assert ["NaN" in extraction.failures[0].cause, "share" in extraction.failures[1].cause] == [True, True]
