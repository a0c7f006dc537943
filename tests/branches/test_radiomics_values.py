"""The values: those of stock PyRadiomics on whole volumes, however the work is cropped, shared or reordered."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import radiomics
import radiomics.imageoperations
import SimpleITK as sitk  # noqa: N813 - the name everyone gives it
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from radiomics.featureextractor import RadiomicsFeatureExtractor
from radiomics.glcm import RadiomicsGLCM

from radiogen.branches.radiomics.binned import bin_region
from radiogen.branches.radiomics.branch import case_features
from radiogen.branches.radiomics.classes import CLASSES as CLASSES_HERE
from radiogen.branches.radiomics.extract import extract_case, feature_names, in_table_order
from radiogen.branches.radiomics.filters import laplacian_of_gaussian
from radiogen.branches.radiomics.glcm import FactoredGLCM
from radiogen.branches.radiomics.images import Box, lps, to_sitk, zscore
from radiogen.branches.radiomics.plan import make_plan
from radiogen.branches.radiomics.quiet import contained
from radiogen.cohort.case import CaseImages, read_case, read_case_mask
from radiogen.cohort.masks import region_masks
from radiogen.cohort.nifti import Grid
from radiogen.config.features import RadiomicsSettings
from tests.branches.cases import AFFINE, SHAPE, cohort, image, labels, write_case

CLASSES: dict[str, list[str]] = {
    name: [] for name in ("shape", "firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm")
}


def made_up_case(name: str = "t1c") -> CaseImages:
    return CaseImages("007", {name: image(0)}, Grid(SHAPE, AFFINE))


def stock(data: np.ndarray, mask: np.ndarray, spacing: tuple[float, ...], sections: dict[str, Any]) -> dict[str, float]:
    """Stock PyRadiomics on the whole volume, as its own users call it."""
    images = [sitk.GetImageFromArray(np.ascontiguousarray(lps(array).T)) for array in (data, mask.astype(np.uint8))]
    for each in images:
        each.SetSpacing(spacing)
    with contained():
        found = RadiomicsFeatureExtractor(
            {**sections, "setting": {**sections["setting"], "additionalInfo": False}}
        ).execute(*images)
    return {name: float(np.real(value)) for name, value in found.items()}


def assert_equal_to_stock(
    ours: dict[str, float], sequence: str, region: str, theirs: dict[str, float], rel: float = 1e-6
) -> None:
    expected = {
        (f"{region}_" if "_shape_" in name else f"{sequence}_{region}_") + name: value for name, value in theirs.items()
    }
    found = {name: value for name, value in ours.items() if name in expected}
    assert sorted(found) == sorted(expected)
    assert found == pytest.approx({name: expected[name] for name in found}, rel=rel, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    "image_types",
    [
        {"Original": {}, "LoG": {"sigma": [1.0, 3.0]}, "Wavelet": {}},
        {"Wavelet": {"level": 2, "wavelet": "haar"}, "Gradient": {}},
        {"Square": {}, "SquareRoot": {}, "Logarithm": {}, "Exponential": {}, "Original": {"binWidth": 40}},
        {"LBP2D": {"binWidth": 1, "lbp2DRadius": 2.0, "lbp2DSamples": 12}},
        {"LBP3D": {"binWidth": 1, "lbp3DLevels": 2, "lbp3DIcosphereSubdivision": 1}},
    ],
)
def test_equal_to_stock_pyradiomics_on_the_whole_volume(image_types: dict[str, dict[str, Any]]) -> None:
    settings = RadiomicsSettings(image_types=image_types, setting={"binCount": 16}, normalisation="none")
    ours = extract_case(made_up_case(), labels(), make_plan(settings)).values
    sections = {"imageType": image_types, "featureClass": CLASSES, "setting": {"binCount": 16}}
    for region, mask in region_masks(labels()).items():
        assert_equal_to_stock(ours, "t1c", region, stock(image(0).astype(np.int16), mask, (1, 1, 2), sections))


@pytest.mark.parametrize(
    "setting",
    [
        {"binWidth": 25.0, "normalize": True, "normalizeScale": 100.0, "removeOutliers": 2.5},
        {"binWidth": 25.0, "resampledPixelSpacing": [2.0, 2.0, 2.0], "interpolator": "sitkLinear"},
        {"binWidth": 25.0, "preCrop": True, "padDistance": 6},
        {"binWidth": 25.0, "resegmentRange": [-2.0, 2.0], "resegmentMode": "sigma"},
        {"binWidth": 25.0, "force2D": True, "weightingNorm": "euclidean", "distances": [1, 2]},
        {"binWidth": 25.0, "symmetricalGLCM": False},
    ],
)
def test_equal_to_stock_whatever_preparation_the_settings_ask_for(setting: dict[str, Any]) -> None:
    image_types: dict[str, dict[str, Any]] = {"Original": {}, "LoG": {"sigma": [2.0]}}
    settings = RadiomicsSettings(image_types=image_types, setting=setting, normalisation="none")
    ours = extract_case(made_up_case(), labels(), make_plan(settings)).values
    sections = {"imageType": image_types, "featureClass": CLASSES, "setting": setting}
    for region, mask in region_masks(labels()).items():
        assert_equal_to_stock(ours, "t1c", region, stock(image(0).astype(np.int16), mask, (1, 1, 2), sections))


def test_resegmented_shape_depends_on_the_sequence_and_says_so() -> None:
    setting = {"binWidth": 25.0, "resegmentRange": [300.0, 500.0], "resegmentShape": True}
    settings = RadiomicsSettings(
        image_types={"Original": {}}, setting=setting, normalisation="none", feature_classes={"shape": ["VoxelVolume"]}
    )
    plan = make_plan(settings)
    ours = extract_case(made_up_case(), labels(), plan).values
    inside = image(0)[labels() == 3]
    assert ours["t1c_et_original_shape_VoxelVolume"] == 2.0 * ((inside >= 300) & (inside <= 500)).sum()
    assert "t1c_et_original_shape_VoxelVolume" in feature_names(plan)


@pytest.mark.parametrize(
    "settings",
    [
        {"binWidth": 2.0},
        {"binWidth": 25.0},
        {"binWidth": 400.0},
        {"binCount": 8},
        {"binWidth": 25.0, "symmetricalGLCM": False},
        {"binWidth": 25.0, "weightingNorm": "manhattan", "voxelArrayShift": 1000, "gldm_a": 1},
        {"binWidth": 25.0, "distances": [1, 3]},
        {"binWidth": 25.0, "force2D": True, "force2Ddimension": 1},
    ],
)
@pytest.mark.parametrize("kind", sorted(CLASSES_HERE))
def test_every_class_gives_the_values_of_pyradiomics(kind: str, settings: dict[str, Any]) -> None:
    data, mask = image(3) / 3, labels() > 0
    with contained():
        pair = [sitk.GetImageFromArray(array) for array in (data, mask.astype(np.uint8))]
        expected = radiomics.getFeatureClasses()[kind](*pair, label=1, **settings).execute()
        found = CLASSES_HERE[kind](bin_region(data, mask, (1.0, 1.0, 1.0), settings), **settings).execute()
    assert list(found) == list(expected)
    assert {name: float(found[name]) for name in found} == pytest.approx(
        {name: float(np.real(expected[name])) for name in expected}, rel=1e-8
    )


@settings_of_hypothesis(deadline=None, max_examples=15)
@given(
    levels=arrays(np.int8, (3, 4, 4), elements=st.integers(0, 6)),
    mask=arrays(np.bool_, (3, 4, 4)),
    symmetrical=st.booleans(),
)
def test_co_occurrence_features_of_any_small_region(levels: np.ndarray, mask: np.ndarray, symmetrical: bool) -> None:
    """What is left to chance here: single voxels, single levels, levels and directions without neighbours."""
    mask = mask.copy()
    mask[0, 0, :2] = True
    settings = {"binWidth": 1.0, "symmetricalGLCM": symmetrical}
    data = levels.astype(np.float64)
    with contained():
        pair = [sitk.GetImageFromArray(array) for array in (data, mask.astype(np.uint8))]
        expected = RadiomicsGLCM(*pair, **settings).execute()
        ours = FactoredGLCM(bin_region(data, mask, (1.0, 1.0, 1.0), settings), **settings)
        found = ours.execute()
    if not symmetrical:
        # A direction in which j has one value only: PyRadiomics calls it 1, unless rounding leaves a deviation of 1e-16, and then 0.
        expected.pop("Correlation")
    singular = np.linalg.svd(ours._scaled, compute_uv=False)
    if singular.shape[1] > 1 and singular[:, 1].min() < 1e-6:
        # A direction in which i and j are independent: where rounding makes PyRadiomics' eigenvalue -1e-17, it leaves the direction out of the mean.
        expected.pop("MCC")
    # Both are roots of differences that are zero but for rounding where i and j are independent.
    tolerance = dict.fromkeys(expected, 1e-9) | {"MCC": 1e-6, "Imc2": 1e-6}
    for name in expected:
        assert float(found[name]) == pytest.approx(
            float(np.real(expected[name])), rel=1e-7, abs=tolerance[name], nan_ok=True
        ), name


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 1.3, 4.0)])
@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_laplacian_of_gaussian_is_that_of_the_whole_volume_to_the_last_bit(
    spacing: tuple[float, ...], kind: type[np.generic]
) -> None:
    data = np.zeros((22, 40, 36), dtype=kind)
    data[6:19, 3:33, 8:31] = np.random.default_rng(0).normal(400, 150, (13, 30, 23))
    volume = sitk.GetImageFromArray(data)
    volume.SetSpacing(spacing)
    inner = Box((12, 8, 9), (24, 19, 15))
    with contained():
        found = laplacian_of_gaussian(volume, inner, 2.0)
        ((expected, _, _),) = radiomics.imageoperations.getLoGImage(volume, None, sigma=[2.0])
    np.testing.assert_array_equal(found, sitk.GetArrayViewFromImage(expected)[inner.slices[::-1]])


def test_a_single_grey_level_follows_pyradiomics_conventions() -> None:
    flat = np.where(labels() == 3, 250.0, image(0)).astype(np.float32)
    plan = make_plan(RadiomicsSettings(image_types={"Original": {}}, normalisation="none"))
    ours = extract_case(CaseImages("007", {"t1c": flat}, Grid(SHAPE, AFFINE)), labels(), plan).values
    assert ours["t1c_et_original_firstorder_Variance"] == 0
    assert ours["t1c_et_original_firstorder_Entropy"] == pytest.approx(0, abs=1e-12)
    assert ours["t1c_et_original_glcm_MCC"] == 1
    assert ours["t1c_et_original_glcm_Correlation"] == 1


def test_texture_with_a_fixed_number_of_bins_ignores_the_intensity_scale() -> None:
    plan = make_plan(RadiomicsSettings(image_types={"Original": {}, "Wavelet": {}}))
    grid = Grid(SHAPE, AFFINE)
    first = extract_case(CaseImages("a", {"t1c": image(0)}, grid), labels(), plan).values
    scaled = extract_case(CaseImages("a", {"t1c": image(0) * 4}, grid), labels(), plan).values
    assert scaled == pytest.approx(first, rel=1e-4, nan_ok=True)


def test_zscore_has_mean_0_and_deviation_1_over_the_brain() -> None:
    data = image(0)
    scaled = zscore(data)[data != 0]
    assert scaled.mean() == pytest.approx(0, abs=1e-4)
    assert scaled.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("flips", [(-1, 1, 1), (-1, -1, 1), (-1, -1, -1)])
def test_a_file_stored_in_another_orientation_gives_the_same_features(
    tmp_path: Path, flips: tuple[int, int, int]
) -> None:
    plan = make_plan(RadiomicsSettings(sequences=("t1c",)))
    table = cohort(tmp_path, [write_case(tmp_path, "a")])
    expected = case_features("a", table.loc["a"], plan=plan, cache_folder=None)
    for name in ("t1c", "mask"):
        stored = nib.load(table.loc["a", name])
        order = nib.orientations.axcodes2ornt(
            tuple("RL"[f < 0] if a == 0 else "AP"[f < 0] if a == 1 else "SI"[f < 0] for a, f in enumerate(flips))
        )
        nib.save(
            stored.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(stored.affine), order)),
            table.loc["a", name],
        )
    assert case_features("a", table.loc["a"], plan=plan, cache_folder=None) == expected


def test_first_order_features_survive_any_permutation_and_mirroring() -> None:
    plan = make_plan(RadiomicsSettings(image_types={"Original": {}}, feature_classes={"firstorder": [], "glcm": []}))
    one_mm = Grid(SHAPE, np.eye(4))
    expected = extract_case(CaseImages("a", {"t1c": image(0)}, one_mm), labels(), plan).values
    turned, turned_labels = (
        np.ascontiguousarray(array.transpose(2, 0, 1)[::-1, :, ::-1]) for array in (image(0), labels())
    )
    shape = (SHAPE[2], SHAPE[0], SHAPE[1])
    found = extract_case(CaseImages("a", {"t1c": turned}, Grid(shape, np.eye(4))), turned_labels, plan).values
    assert found == pytest.approx(expected, rel=1e-9)


def test_columns_follow_from_the_settings_alone() -> None:
    plan = make_plan(RadiomicsSettings(sequences=("t1c", "t2f")))
    images = CaseImages("007", {"t1c": image(0), "t2f": image(1)}, Grid(SHAPE, AFFINE))
    found = extract_case(images, labels(), plan).values
    assert in_table_order(list(found)) == feature_names(plan)


def test_nothing_of_pyradiomics_reaches_the_screen_or_stays_set(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = (
        radiomics.logger.handlers[:],
        radiomics.logger.level,
        sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(),
    )
    with caplog.at_level(logging.DEBUG):
        extract_case(
            made_up_case(), labels(), make_plan(RadiomicsSettings(setting={"binCount": 8, "geometryTolerance": 0.5}))
        )
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.name.startswith("radiomics")] == []
    assert (
        radiomics.logger.handlers[:],
        radiomics.logger.level,
        sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(),
    ) == before
    assert sitk.ProcessObject.GetGlobalDefaultCoordinateTolerance() < 0.5


def test_a_voxel_keeps_its_place_in_the_world() -> None:
    data = np.zeros(SHAPE, dtype=np.float32)
    data[3, 7, 11] = 1
    found = to_sitk(data, Grid(SHAPE, AFFINE))
    index = np.argwhere(sitk.GetArrayFromImage(found))[0][::-1].tolist()
    x, y, z = AFFINE[:3] @ [3, 7, 11, 1]
    assert found.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert found.TransformIndexToPhysicalPoint(index) == pytest.approx((-x, -y, z))


@pytest.mark.real_data
def test_equal_to_stock_pyradiomics_on_a_block_of_a_real_case(shared_data: Path) -> None:
    """The whole case, all sequences and regions, is in `tests/benchmarks/test_radiomics.py`."""
    folder = shared_data / "mri" / "BraTS-GLI-00000-000"
    row = pd.Series(
        {"t1c": str(folder / "BraTS-GLI-00000-000-t1c.nii.gz"), "mask": str(folder / "BraTS-GLI-00000-000-seg.nii.gz")},
        name="a",
    )
    case = read_case(row)
    labelled = read_case_mask(row, case.grid)
    middle = np.argwhere(labelled == 3).mean(axis=0).round().astype(int)
    block = tuple(slice(int(centre) - 12, int(centre) + 12) for centre in middle)
    data, labelled = case.images["t1c"][block], labelled[block]
    setting = {"binCount": 16}  # stock's own time grows with the cube of the number of grey levels
    settings = RadiomicsSettings(sequences=("t1c",), regions=("et",), normalisation="none", setting=setting)
    ours = extract_case(CaseImages("a", {"t1c": data}, Grid((24, 24, 24), np.eye(4))), labelled, make_plan(settings))
    sections = {"imageType": settings.image_types, "featureClass": CLASSES, "setting": setting}
    expected = stock(data.astype(np.int16), region_masks(labelled)["et"], (1, 1, 1), sections)
    assert_equal_to_stock(ours.values, "t1c", "et", expected)


@pytest.mark.real_data
def test_published_shape_features_of_a_ucsf_patient_are_reproduced(shared_data: Path) -> None:
    """UCSF-PDGM-057 is BraTS-GLI-00000-000; the table was published with the UCSF-PDGM data set (PyRadiomics 3.1.0)."""
    table = pd.read_csv(shared_data / "tables/ucsf-pdgm/radiomic_features_T1gad_bias.csv", dtype={"ID": str}).set_index(
        "ID"
    )
    published = {name: table.loc["UCSF-PDGM-057", name] for name in table.columns if name.startswith("original_shape_")}
    folder = shared_data / "mri" / "BraTS-GLI-00000-000"
    row = pd.Series(
        {"t1c": str(folder / "BraTS-GLI-00000-000-t1c.nii.gz"), "mask": str(folder / "BraTS-GLI-00000-000-seg.nii.gz")},
        name="a",
    )
    plan = make_plan(RadiomicsSettings(feature_classes={"shape": []}, regions=("wt",)))
    found = case_features("a", row, plan=plan, cache_folder=None).values
    assert len(published) == 14
    assert found == pytest.approx({f"wt_{name}": value for name, value in published.items()}, rel=1e-12)
