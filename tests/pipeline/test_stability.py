from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from radiogen.branches.radiomics import extract_cohort
from radiogen.branches.radiomics.stability import perturb_cohort, stability_table
from radiogen.cli.main import app
from radiogen.config.features import RadiomicsSettings
from radiogen.config.segment import SegmentSettings
from radiogen.config.stability import StabilitySettings
from radiogen.errors import ConfigError, InputError
from radiogen.pipeline.stability import run_stability
from radiogen.segment.cohort import segment_cohort
from radiogen.stats.icc import icc_3_1
from tests.branches.cases import AFFINE, QUICK, cohort, labels, write_case
from tests.segment.data import tiny_weights

SETTINGS = {
    **QUICK,
    "sequences": ["t1c"],
    "perturbations": ["mask-dilate-1", "mask-erode-1", "contour-1", "noise-1", "translate-0.5-0-0"],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A study of four cases, run once."""
    folder = tmp_path_factory.mktemp("stability")
    table = cohort(folder, [write_case(folder, f"00{n}", seed=n) for n in range(4)])
    run_stability(table, folder / "study", StabilitySettings.parse(SETTINGS))
    return folder, table


def test_the_perturbed_table(study: tuple[Path, pd.DataFrame]) -> None:
    folder, table = study
    perturbed = pd.read_parquet(folder / "study/features/radiomics_perturbed.parquet")
    assert perturbed.index.names == ["case", "perturbation"]
    assert perturbed.index.tolist() == [
        (f"00{n}", name) for n in range(4) for name in ("none", *SETTINGS["perturbations"])
    ]
    plain, _ = extract_cohort(table, RadiomicsSettings.parse({**QUICK, "sequences": ["t1c"]}))
    pd.testing.assert_frame_equal(perturbed.xs("none", level="perturbation"), plain)
    volume = perturbed["wt_original_shape_MeshVolume"].unstack()
    assert (volume["mask-erode-1"] < volume["none"]).all()
    assert (volume["none"] < volume["mask-dilate-1"]).all()
    assert (volume["noise-1"] == volume["none"]).all()
    mean = perturbed["t1c_wt_original_firstorder_Mean"].unstack()
    assert (mean["noise-1"] != mean["none"]).all()


def test_the_stability_table_is_the_icc_of_its_rows(study: tuple[Path, pd.DataFrame]) -> None:
    folder, _ = study
    perturbed = pd.read_parquet(folder / "study/features/radiomics_perturbed.parquet")
    table = pd.read_csv(folder / "study/features/radiomics_stability.csv")
    pd.testing.assert_frame_equal(table, stability_table(perturbed), check_dtype=False)
    assert set(table["family"]) == {"mask", "contour", "noise", "translate", "all"}
    entropy = perturbed["t1c_wt_original_firstorder_Entropy"].unstack()[["none", "mask-dilate-1", "mask-erode-1"]]
    expected = icc_3_1(entropy.to_numpy()[:, :, None])
    row = table[(table["column"] == entropy.columns.name) | (table["column"] == "t1c_wt_original_firstorder_Entropy")]
    row = row[row["family"] == "mask"].iloc[0]
    assert [row["icc"], row["low"], row["high"]] == pytest.approx([expected.icc[0], expected.low[0], expected.high[0]])
    assert (row["region"], row["filter"], row["class"], row["n_cases"]) == ("wt", "original", "firstorder", 4)


def test_noise_does_not_change_shape_and_the_same_mask_everywhere_is_undetermined(
    study: tuple[Path, pd.DataFrame],
) -> None:
    table = pd.read_csv(study[0] / "study/features/radiomics_stability.csv")
    shape = table[(table["class"] == "shape") & (table["family"] == "noise")]
    # All four made-up cases have one mask: there is nothing to tell apart.
    assert set(shape["category"]) == {"undetermined"}
    assert (shape["cv"] == 0).all()


def test_it_is_resumed_and_does_not_depend_on_jobs(
    study: tuple[Path, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, table = study
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "study/features").iterdir()}
    run_stability(table, folder / "study", StabilitySettings.parse(SETTINGS))
    assert before == {path.name: path.stat().st_mtime_ns for path in (folder / "study/features").iterdir()}
    settings = StabilitySettings.parse({**SETTINGS, "perturbations": ["noise-1"]})
    for jobs in (1, 2):
        monkeypatch.setenv("RADIOGEN_CACHE", str(tmp_path / f"cache{jobs}"))
        run_stability(table.iloc[:2], tmp_path / str(jobs), settings, jobs=jobs)
    for name in before:
        assert (tmp_path / "1/features" / name).read_bytes() == (tmp_path / "2/features" / name).read_bytes()


def test_rows_come_from_the_cache_and_one_more_perturbation_costs_one(
    study: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    _, table = study
    settings = StabilitySettings.parse({**SETTINGS, "perturbations": ["noise-1"]})
    first = perturb_cohort(table, settings, cache_folder=tmp_path)
    entries = set(tmp_path.rglob("*.json"))
    assert len(entries) == 8
    more = settings.model_copy(update={"perturbations": ("noise-2", "noise-1")})
    second = perturb_cohort(table, more, cache_folder=tmp_path)
    assert len(set(tmp_path.rglob("*.json")) - entries) == 4
    again = second.features.drop("noise-2", level="perturbation")
    pd.testing.assert_frame_equal(again, first.features)
    changed = perturb_cohort(table, settings.model_copy(update={"seed": 1}), cache_folder=tmp_path)
    assert not changed.features.xs("noise-1", level=1).equals(first.features.xs("noise-1", level=1))


def test_a_failing_case_is_quarantined_and_a_region_that_vanishes_is_blank(tmp_path: Path) -> None:
    small = labels()
    small[small == 3] = 1
    small[13, 16, 10] = 3
    empty = write_case(tmp_path, "empty", seed=1, mask=np.where(small > 0, 4, 0).astype(np.uint8))
    empty["mask_labels"] = "brats2023"
    table = cohort(tmp_path, [write_case(tmp_path, "good"), empty, write_case(tmp_path, "small", seed=2, mask=small)])
    settings = StabilitySettings.parse({**SETTINGS, "perturbations": ["mask-erode-1"]})
    found = run_stability(table, tmp_path / "study", settings)
    assert [failure.case for failure in found.failures] == ["empty"]
    assert "holds no tumour" in (tmp_path / "study/failed.csv").read_text()
    assert found.perturbed.loc["small", "et_original_shape_MeshVolume"].isna().all()
    assert found.perturbed.loc["good", "et_original_shape_MeshVolume"].notna().all()
    row = found.table[(found.table["column"] == "et_original_shape_MeshVolume") & (found.table["family"] == "mask")]
    assert row["n_cases"].tolist() == [1]


def _write_samples(folder: Path, case: str, masks: list[np.ndarray]) -> None:
    (folder / case).mkdir(parents=True)
    for number, mask in enumerate(masks, start=1):
        nib.save(nib.Nifti1Image(mask, AFFINE), folder / case / f"{number}.nii.gz")


def test_sampled_masks_are_a_family(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, f"00{n}", seed=n) for n in range(3)])
    half, nothing = labels(), np.zeros_like(labels())
    half[:13] = 0
    for n in range(2):
        _write_samples(tmp_path / "samples", f"00{n}", [labels(), half, [half, nothing][n]])
    settings = StabilitySettings.parse({**SETTINGS, "perturbations": []})
    found = run_stability(table, tmp_path / "study", settings, samples=tmp_path / "samples")
    volume = found.perturbed["wt_original_shape_MeshVolume"]
    assert volume.loc["000"].index.tolist() == ["none", "sample-1", "sample-2", "sample-3"]
    assert volume["000", "sample-1"] == volume["000", "none"]
    assert volume["000", "sample-2"] < 0.7 * volume["000", "none"]
    assert volume.loc["002"].index.tolist() == ["none"]
    assert volume["001"].isna().tolist() == [False, False, False, True]
    assert set(found.table["n_cases"]) == {1}
    # Another sample makes the study untrue.
    nib.save(nib.Nifti1Image(half, AFFINE), tmp_path / "samples/000/1.nii.gz")
    again = run_stability(table, tmp_path / "study", settings, samples=tmp_path / "samples")
    assert again.perturbed["wt_original_shape_MeshVolume"]["000", "sample-1"] == volume["000", "sample-2"]


def test_nothing_to_do_is_refused(study: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    _, table = study
    with pytest.raises(InputError, match="nothing to perturb"):
        run_stability(table, tmp_path, StabilitySettings.parse({**SETTINGS, "perturbations": []}))
    with pytest.raises(InputError, match="no samples"):
        run_stability(table, tmp_path, StabilitySettings.parse(SETTINGS), samples=tmp_path)
    with pytest.raises(ConfigError):
        StabilitySettings.parse({"perturbation": ["noise-1"]})


def test_the_command(study: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    folder, _ = study
    config = tmp_path / "stability.yaml"
    config.write_text("sequences: [t1c]\nregions: [wt]\nperturbations: [noise-1]\nimage_types: {Original: {}}\n"
                      "feature_classes: {firstorder: [Mean]}\n")  # fmt: skip
    done = CliRunner().invoke(
        app, ["stability", str(folder / "cohort.csv"), "-o", str(tmp_path / "s"), "-c", str(config), "-q"]
    )
    assert done.exit_code == 0, done.output
    assert "of 1 features stable" in done.output
    page = (tmp_path / "s/features/radiomics_stability.html").read_text()
    assert "inside the fold" in page
    assert "4 case(s)" in page


def test_masks_that_a_network_draws_go_through(tmp_path: Path) -> None:
    table = cohort(tmp_path, [write_case(tmp_path, "000")])
    thresholds = {"wt": 0.62, "tc": 0.55, "et": 0.8}  # between the values of the random network
    settings = SegmentSettings(
        weights=str(tiny_weights(tmp_path, thresholds=thresholds)), uncertainty="flips", passes=3, save_samples=True,
        given_masks="ignore", smallest_ml=0.0,
    )  # fmt: skip
    segmented = segment_cohort(table, tmp_path / "study", settings)
    assert segmented.failures == []
    found = run_stability(
        segmented.cohort,
        tmp_path / "study",
        StabilitySettings.parse({**SETTINGS, "perturbations": [], "regions": ["wt"]}),
        samples=tmp_path / "study/samples",
    )
    assert found.failures == []
    rows = found.perturbed.loc["000"]
    assert rows.index.tolist() == ["none", "sample-1", "sample-2", "sample-3"]
    assert (
        rows["wt_original_shape_MeshVolume"].nunique() >= 3
    )  # two of the answers may agree in their last bits or not, by threads
