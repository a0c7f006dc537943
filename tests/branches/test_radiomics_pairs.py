from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name everyone gives it
from radiomics.featureextractor import RadiomicsFeatureExtractor

from radiogen.branches.radiomics.pairs import Pair, PairPlan, pair_features, pair_plan
from radiogen.branches.radiomics.quiet import contained
from radiogen.config.features import RadiomicsSettings
from radiogen.errors import CaseError, ConfigError, GeometryError, ImageError
from tests.branches.cases import image as textured
from tests.branches.cases import labels as tumour

FILTERS = """
imageType: {Original: {}, LoG: {sigma: [2.0], binWidth: 5}, Wavelet: {}, Square: {}, SquareRoot: {}, Logarithm: {}, Exponential: {}, Gradient: {}}
setting: {binWidth: 25, label: 1}
"""
RESAMPLED = """
imageType: {Original: {}, LoG: {sigma: [2.0]}}
setting: {normalize: true, normalizeScale: 100, resampledPixelSpacing: [2, 2, 2], interpolator: sitkBSpline, binCount: 16, padDistance: 8}
"""
SLICED = """
imageType: {Original: {}}
setting: {force2D: true, resegmentRange: [-2, 2], resegmentMode: sigma, preCrop: true, minimumROIDimensions: 1}
"""


def write(path: Path, data: np.ndarray, *, flipped: bool = False, shift_mm: float = 0.0) -> Path:
    made = sitk.GetImageFromArray(np.ascontiguousarray(data.T))
    made.SetSpacing((1.0, 1.0, 2.0))
    made.SetOrigin((5.0 + shift_mm, -7.0, 3.0))
    if flipped:
        made.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, -1))
    sitk.WriteImage(made, str(path))
    return path


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    mask = (tumour() == 3).astype(np.uint8)
    return Pair(write(tmp_path / "a.nrrd", textured(1).astype(np.int16)), write(tmp_path / "a_label.nii.gz", mask))


def plan(params: Path | None = None, **settings: object) -> PairPlan:
    return pair_plan(RadiomicsSettings(params=params, **settings))


def quick(**setting: object) -> PairPlan:
    classes = {"firstorder": ["Mean"], "shape": ["MeshVolume"]}
    return plan(image_types={"Original": {}}, feature_classes=classes, setting=setting or {"binCount": 8})


def measure(pair: Pair, what: PairPlan) -> dict[str, float]:
    return pair_features("a", pair, plan=what, cache_folder=None).values


def assert_equal_to_stock(pair: Pair, params: Path, features: int) -> None:
    with contained():
        stock = RadiomicsFeatureExtractor(str(params)).execute(str(pair.image), str(pair.mask))
    expected = {name: float(value) for name, value in stock.items() if not name.startswith("diagnostics_")}
    ours = measure(pair, plan(params))
    assert len(expected) == features
    assert sorted(ours) == sorted(expected)
    assert ours == {name: pytest.approx(value, rel=1e-6, abs=1e-9) for name, value in expected.items()}


@pytest.mark.parametrize("flipped", [False, True])
def test_values_are_those_of_stock_pyradiomics(tmp_path: Path, flipped: bool) -> None:
    mask = (tumour() == 3).astype(np.uint8)
    image = write(tmp_path / "a.nii.gz", textured(1).astype(np.int16), flipped=flipped)
    made = Pair(image, write(tmp_path / "m.nii.gz", mask, flipped=flipped))
    params = tmp_path / "Params.yaml"
    params.write_text(FILTERS)
    assert_equal_to_stock(made, params, 14 + 93 * 15)


@pytest.mark.parametrize(("text", "features"), [(RESAMPLED, 14 + 2 * 93), (SLICED, 14 + 93)])
def test_values_are_those_of_stock_pyradiomics_where_it_prepares_the_image(
    pair: Pair, tmp_path: Path, text: str, features: int
) -> None:
    params = tmp_path / "Params.yaml"
    classes = ", ".join(f"{name}: []" for name in ("shape", "firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm"))
    params.write_text(f"{text}featureClass: {{{classes}}}\n")
    assert_equal_to_stock(pair, params, features)


@pytest.mark.real_data
@pytest.mark.parametrize("case", ["brain2", "breast1"])
def test_values_are_those_of_stock_pyradiomics_on_its_own_images(shared_data: Path, tmp_path: Path, case: str) -> None:
    folder = shared_data / "peer" / "pyradiomics" / "data"
    params = tmp_path / "Params.yaml"
    params.write_text(FILTERS)
    assert_equal_to_stock(Pair(folder / f"{case}_image.nrrd", folder / f"{case}_label.nrrd"), params, 14 + 93 * 15)


def test_the_label_is_chosen_by_the_pair_then_the_settings_then_the_mask(tmp_path: Path, pair: Pair) -> None:
    several = write(tmp_path / "labels.nrrd", tumour())
    volumes = {
        label: measure(Pair(pair.image, several, label), quick())["original_shape_MeshVolume"] for label in (1, 2, 3)
    }
    assert len(set(volumes.values())) == 3
    assert measure(pair, quick())["original_shape_MeshVolume"] == pytest.approx(volumes[3])
    by_setting = measure(Pair(pair.image, several), quick(label=2))
    assert by_setting["original_shape_MeshVolume"] == pytest.approx(volumes[2])
    assert measure(Pair(pair.image, several, 1), quick(label=2))["original_shape_MeshVolume"] == volumes[1]
    with pytest.raises(ImageError, match="has the labels 1, 2, 3; which one is not said"):
        measure(Pair(pair.image, several), quick())
    with pytest.raises(ImageError, match="has no label 7; it has 1, 2, 3"):
        measure(Pair(pair.image, several, 7), quick())


def test_label_and_correct_mask_are_read_from_a_parameter_file(tmp_path: Path) -> None:
    params = tmp_path / "Params.yaml"
    params.write_text("imageType: {Original: {}}\nsetting: {label: 4, correctMask: true}\n")
    read = plan(params)
    assert (read.label, read.correct_mask) == (4, True)
    assert "regions" not in read.as_dict()
    with pytest.raises(ConfigError, match="does not exist"):
        plan(tmp_path / "none.yaml")


def test_every_section_of_a_parameter_file_is_taken(tmp_path: Path, pair: Pair) -> None:
    params = tmp_path / "Params.yaml"
    params.write_text(
        "setting: {binWidth: 25, label: 1, correctMask: false, geometryTolerance: 0.0001, additionalInfo: true, label_channel: 0}\n"
        "imageType: {Original: {}, LoG: {sigma: [2.0], binCount: 8}}\n"
        "featureClass: {shape: , firstorder: [Mean, Entropy], glcm: [Contrast]}\n"
        "voxelSetting: {kernelRadius: 2}\n"
    )
    assert_equal_to_stock(pair, params, 14 + 3 * 2)
    as_json = tmp_path / "Params.json"
    as_json.write_text('{"setting": {"binWidth": 25}, "imageType": {"Original": {}}, "featureClass": {"ngtdm": null}}')
    assert_equal_to_stock(pair, as_json, 5)


def test_grids_that_differ_are_refused_with_numbers_or_resampled_as_pyradiomics_does(
    tmp_path: Path, pair: Pair
) -> None:
    mask = (tumour() == 3).astype(np.uint8)
    beside = Pair(pair.image, write(tmp_path / "beside.nrrd", mask, shift_mm=2.0))
    with pytest.raises(GeometryError) as caught:
        measure(beside, quick())
    assert "mask: 26x30x21 voxels of 1 x 1 x 2 mm, origin (7.00, -7.00, 3.00) mm" in str(caught.value)
    corrected = measure(beside, quick(correctMask=True))
    moved = Pair(pair.image, write(tmp_path / "moved.nrrd", np.roll(mask, 2, axis=0)))
    assert corrected == pytest.approx(measure(moved, quick()))
    far = Pair(pair.image, write(tmp_path / "far.nrrd", mask, shift_mm=500.0))
    with pytest.raises(GeometryError, match="cannot be resampled"):
        measure(far, quick(correctMask=True))
    small = Pair(pair.image, write(tmp_path / "small.nrrd", mask[:-1]))
    with pytest.raises(GeometryError, match="25x30x21"):
        measure(small, quick())


def test_files_that_cannot_be_used_are_said_to_be(tmp_path: Path, pair: Pair) -> None:
    broken = textured(1)
    broken[3, 3, 3] = np.nan
    (tmp_path / "text.nii.gz").write_text("not an image")
    empty = write(tmp_path / "empty.nrrd", np.zeros(tumour().shape, dtype=np.uint8))
    one = np.zeros(tumour().shape, dtype=np.uint8)
    one[9, 9, 9] = 1
    dot = Pair(pair.image, write(tmp_path / "one.nrrd", one))
    flat = sitk.GetImageFromArray(np.ones((4, 4), dtype=np.uint8))
    sitk.WriteImage(flat, str(tmp_path / "flat.nrrd"))
    cases = [
        (Pair(write(tmp_path / "nan.nrrd", broken), pair.mask), "holds 1 NaN or infinite"),
        (Pair(tmp_path / "none.nrrd", pair.mask), "none.nrrd does not exist"),
        (Pair(tmp_path / "text.nii.gz", pair.mask), "text.nii.gz cannot be read"),
        (Pair(tmp_path / "flat.nrrd", pair.mask), "has size 4x4 and 1 value"),
        (Pair(pair.image, empty), "is empty: it has no voxel but 0"),
        (Pair(pair.image, None), "The pair has no mask"),
    ]
    for made, text in cases:
        with pytest.raises(ImageError, match=text):
            measure(made, quick())
    with pytest.raises(CaseError, match="No feature could be computed: mask only contains 1 segmented voxel"):
        measure(dot, quick())


def test_a_four_dimensional_file_with_one_volume_is_read(tmp_path: Path, pair: Pair) -> None:
    three = sitk.ReadImage(str(pair.image))
    sitk.WriteImage(sitk.JoinSeries([three]), str(tmp_path / "four.nii.gz"))
    assert measure(Pair(tmp_path / "four.nii.gz", pair.mask), quick()) == measure(pair, quick())


def test_the_same_content_is_measured_once_and_damage_is_made_again(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pair_features("a", pair, plan=quick(), cache_folder=tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr("radiogen.branches.radiomics.pairs.extract_case", lambda *_: pytest.fail("computed again"))
        assert pair_features("b", pair, plan=quick(), cache_folder=tmp_path / "cache") == first
    entries = list((tmp_path / "cache").iterdir())
    assert len(entries) == 1
    entries[0].write_text("{")
    assert pair_features("a", pair, plan=quick(), cache_folder=tmp_path / "cache") == first
    pair_features("a", pair, plan=quick(binCount=9), cache_folder=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2
