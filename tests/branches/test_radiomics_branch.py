"""The branch over a cohort: blanks, failures, cache, settings, and scikit-learn's conventions."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from radiogen.branches.names import BRANCHES
from radiogen.branches.radiomics import RadiomicsBranch, data_dictionary, extract_cohort
from radiogen.branches.radiomics import branch as branch_module
from radiogen.branches.radiomics.plan import make_plan
from radiogen.config.features import RadiomicsSettings
from radiogen.errors import CaseError, ConfigError
from tests.branches.cases import AFFINE, QUICK, cohort, image, labels, write_case

SETTINGS = RadiomicsSettings.parse(QUICK)


def region_only(*boxes: tuple[int, slice]) -> np.ndarray:
    """Oedema everywhere in the tumour, and enhancing tumour in slices of one row."""
    out = np.where(labels() > 0, 2, 0).astype(np.uint8)
    for row, where in boxes:
        out[row, 16, where] = 3
    return out


def test_columns_are_named_and_ordered_whatever_the_cases_order(tmp_path: Path) -> None:
    table = cohort(
        tmp_path,
        [write_case(tmp_path, "b", seed=1, without=("t1n",)), write_case(tmp_path, "a", seed=2, without=("t2w",))],
    )
    features, failures = extract_cohort(table, SETTINGS)
    other, _ = extract_cohort(table.iloc[::-1], SETTINGS)
    assert failures == []
    assert features.index.tolist() == ["b", "a"]
    assert features.index.name == "case"
    assert features.columns.tolist() == other.columns.tolist()
    assert features.columns[0] == "wt_original_shape_MeshVolume"
    assert "t1n_et_original_firstorder_Mean" in features.columns
    assert len(features.columns) == 3 + 4 * 3 * 2


def test_a_missing_sequence_leaves_only_its_columns_blank(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a"), write_case(tmp_path, "b", seed=1, without=("t2w",))])
    extraction = RadiomicsBranch(SETTINGS).extract(table)
    blank = extraction.features.columns[extraction.features.loc["b"].isna()]
    assert blank.str.startswith("t2w_").all()
    assert len(blank) == 3 * 2
    assert extraction.notes == {"b": ["t2w: the case has no such sequence"]}


@pytest.mark.parametrize(
    ("mask", "note"),
    [
        (region_only(), "et: the mask has no such voxel"),
        (region_only((13, slice(9, 10))), "1 segmented voxel"),
        (region_only((13, slice(8, 12))), "too few dimensions"),
    ],
)
def test_an_empty_or_tiny_region_is_blank_with_a_note_and_the_rest_is_there(
    tmp_path: Path, mask: np.ndarray, note: str
) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a", mask=mask), write_case(tmp_path, "b", seed=1)])
    extraction = RadiomicsBranch(RadiomicsSettings(image_types={"Original": {}, "LoG": {"sigma": [1.0]}})).extract(
        table
    )
    row = extraction.features.loc["a"]
    assert extraction.failures == []
    assert row[row.index.str.contains("^(?:t..)?_?et_")].isna().all()
    assert row[row.index.str.contains("_wt_|^wt_")].notna().all()
    assert any(note in line for line in extraction.notes["a"])


def test_two_touching_voxel_pairs_do_not_crash(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a", mask=region_only((12, slice(8, 10)), (15, slice(12, 14))))])
    features, failures = extract_cohort(table, RadiomicsSettings())
    assert failures == []
    assert (
        features.loc["a", "t1c_et_original_firstorder_Maximum"]
        > features.loc["a", "t1c_et_original_firstorder_Minimum"]
    )
    assert np.isfinite(features.loc["a"].dropna()).all()


def test_a_whole_tumour_mask_gives_whole_tumour_features(tmp_path: Path) -> None:
    features, _ = extract_cohort(
        cohort(tmp_path, [write_case(tmp_path, "a", mask=(labels() > 0).astype(np.uint8))]), SETTINGS
    )
    assert features.columns.str.contains("wt_").all()


def test_a_case_without_mask_or_with_a_damaged_image_is_quarantined(tmp_path: Path) -> None:
    rows = [
        write_case(tmp_path, "a", without=("mask",)),
        write_case(tmp_path, "b", seed=1),
        write_case(tmp_path, "c", seed=2),
    ]
    (tmp_path / "c" / "t1c.nii.gz").write_bytes(b"not an image")
    table = cohort(tmp_path, rows)
    features, failures = extract_cohort(table, SETTINGS)
    assert features.index.tolist() == ["b"]
    assert [(failure.case, failure.stage) for failure in failures] == [
        ("a", "features-radiomics"),
        ("c", "features-radiomics"),
    ]
    assert "no mask" in failures[0].cause
    with pytest.raises(CaseError, match=r"2 case\(s\) have no features; the first is a"):
        RadiomicsBranch(SETTINGS).transform(table)
    assert RadiomicsBranch(SETTINGS, on_failure="skip").transform(table).index.tolist() == ["b"]


def test_the_second_run_comes_from_the_cache_and_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a"), write_case(tmp_path, "b", seed=1)])
    settings = RadiomicsSettings(sequences=("t1c", "t2f"))
    first, _ = extract_cohort(table, settings, cache_folder=tmp_path / "cache")

    def measured_again(*_: object) -> None:
        raise AssertionError("what is in the cache was measured again")

    monkeypatch.setattr(branch_module, "extract_pieces", measured_again)
    second, failures = extract_cohort(table, settings, cache_folder=tmp_path / "cache")
    assert not failures
    assert second.equals(first)
    regions, sigmas = 3, 3
    # the two cases have the same mask, and so the same shapes
    assert len(list((tmp_path / "cache").rglob("*.json"))) == regions * (1 + 2 * 2 * (2 + sigmas))


def test_the_cache_knows_content_and_settings(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a")])
    first, _ = extract_cohort(table, SETTINGS, cache_folder=tmp_path / "cache")
    nib.save(nib.Nifti1Image(image(99).astype(np.int16), AFFINE), table.loc["a", "t1c"])
    second, _ = extract_cohort(table, SETTINGS, cache_folder=tmp_path / "cache")
    unscaled, _ = extract_cohort(
        table, SETTINGS.model_copy(update={"normalisation": "none"}), cache_folder=tmp_path / "cache"
    )
    column = "t1c_wt_original_firstorder_Mean"
    assert len({first.loc["a", column], second.loc["a", column], unscaled.loc["a", column]}) == 3
    for number, entry in enumerate((tmp_path / "cache").rglob("*.json")):
        entry.write_text(["{}", "", '{"values": 3, "notes": []}', "\x00"][number % 4])
    assert extract_cohort(table, SETTINGS, cache_folder=tmp_path / "cache")[0].equals(second)


def test_jobs_do_not_change_a_bit(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, name, seed=seed) for seed, name in enumerate("abc")])
    settings = RadiomicsSettings(sequences=("t1c",), regions=("wt", "et"))
    assert extract_cohort(table, settings, jobs=2)[0].equals(extract_cohort(table, settings, jobs=1)[0])


def test_it_is_a_scikit_learn_transformer_without_state(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "a"), write_case(tmp_path, "b", seed=1, without=("t2w",))])
    branch = BRANCHES.load("radiomics")(SETTINGS, jobs=1)
    copy = clone(branch)
    assert copy.get_params()["settings"] == SETTINGS
    features = make_pipeline(copy).fit_transform(table)
    assert features.columns.tolist() == branch.get_feature_names_out().tolist()
    # a row alone has the same columns and values as in company: nothing is learnt from the others
    assert branch.transform(table.loc[["b"]]).equals(features.loc[["b"]])


PARAMETERS = """\
imageType:
  Original: {}
  LoG:
    sigma: [1.0]
featureClass:
  shape:
    - Sphericity
  firstorder: [Mean]
  glcm:
setting:
  binWidth: 25
  label: 1
  geometryTolerance: 0.001
"""


def test_a_pyradiomics_parameter_file_is_used_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "Params.yaml"
    path.write_text(PARAMETERS)
    plan = make_plan(RadiomicsSettings(params=path))
    assert plan.image_types == {"Original": {}, "LoG": {"sigma": [1.0]}}
    assert plan.feature_classes == {"shape": ["Sphericity"], "firstorder": ["Mean"], "glcm": []}
    assert plan.setting["binWidth"] == 25
    assert plan.normalisation == "none"
    table = cohort(tmp_path, [write_case(tmp_path, "a")])
    features, _ = extract_cohort(table, RadiomicsSettings(params=path))
    assert features.loc["a", "t1c_wt_original_firstorder_Mean"] == pytest.approx(image(1)[labels() > 0].mean())
    assert len(features.columns) == 3 + 4 * 3 * 2 * (1 + 24)


def test_the_sidecar_knows_the_parameter_file_by_content_not_by_path(tmp_path: Path) -> None:
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(PARAMETERS)
    one, two = (
        RadiomicsBranch(RadiomicsSettings(params=tmp_path / name)).provenance_settings()
        for name in ("one.yaml", "two.yaml")
    )
    assert one == two
    assert str(tmp_path) not in str(one)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PARAMETERS.replace("binWidth", "binWith"), "Did you mean 'binWidth'"),
        (PARAMETERS.replace("setting:", "settings:"), "Did you mean 'setting'"),
        (PARAMETERS.replace("glcm:", "glmc:"), "Feature Class glmc is not recognized"),
        (PARAMETERS.replace("LoG:", "Log:"), "Image Type Log is not recognized"),
        (PARAMETERS.replace("[Mean]", "[Men]"), "unrecognized features"),
        (PARAMETERS.replace("binWidth: 25", "binWidth: -1"), "binWidth"),
        ("imageType: [", "flow"),
        ("", "not accepted"),
    ],
)
def test_a_typo_in_the_parameter_file_is_a_config_error(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "Params.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"Params\.yaml is not accepted") as caught:
        make_plan(RadiomicsSettings(params=tmp_path / "Params.yaml"))
    assert said in str(caught.value)


def test_our_settings_are_checked_by_the_same_schema() -> None:
    with pytest.raises(ConfigError, match="'/setting'") as caught:
        make_plan(RadiomicsSettings(setting={"binCuont": 32}))
    assert "Did you mean 'binCount'" in str(caught.value)
    with pytest.raises(ConfigError, match="does not exist"):
        make_plan(RadiomicsSettings(params=Path("none.yaml")))
    with pytest.raises(ConfigError, match="a parameter file excludes image_types"):
        RadiomicsSettings.parse({"params": "p.yaml", "image_types": {"Original": {}}})


def test_an_image_type_that_needs_a_missing_package_is_refused_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radiogen.branches.radiomics.plan.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="LBP3D needs trimesh"):
        make_plan(RadiomicsSettings(image_types={"LBP3D": {}}))


def test_the_dictionary_explains_every_column() -> None:
    settings = RadiomicsSettings(
        image_types={"Original": {}, "LoG": {"sigma": [1.0], "binWidth": 0.5}}, sequences=("t1c",)
    )
    branch = RadiomicsBranch(settings)
    table = data_dictionary(branch.get_feature_names_out().tolist(), make_plan(settings)).set_index("column")
    assert table.loc[
        "wt_original_shape_MeshVolume", ["sequence", "region", "class", "unit", "discretisation"]
    ].tolist() == ["", "wt", "shape", "mm3", ""]
    assert table.loc["t1c_et_original_firstorder_Mean", ["unit", "discretisation"]].tolist() == ["SD", "none"]
    assert table.loc["t1c_et_original_glcm_Contrast", "discretisation"].startswith("32 bins")
    log = table.loc["t1c_et_log-sigma-1-0-mm-3D_glcm_Contrast"]
    assert log[["filter", "feature"]].tolist() == ["log-sigma-1-0-mm-3D", "Contrast"]
    shape = table[table["class"] == "shape"]
    assert len(table) == 3 * (14 + 2 * (18 + 24 + 14 + 16 + 16 + 5))
    assert (shape["unit"] != "").all()
