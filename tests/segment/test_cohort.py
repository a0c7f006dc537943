from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from radiogen.cohort.case import read_case
from radiogen.cohort.masks import read_mask
from radiogen.cohort.phantoms import write_phantom_cohort
from radiogen.cohort.table import read_cohort
from radiogen.config.phantoms import PhantomSettings
from radiogen.config.segment import SegmentSettings
from radiogen.errors import ConfigError
from radiogen.segment import weights as weights_module
from radiogen.segment.cohort import effective_settings, segment_cohort
from radiogen.segment.network import NetworkMethod
from radiogen.stats.overlap import dice
from tests.segment.data import made_up_case, tiny_weights


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom_cohort(
        tmp_path_factory.mktemp("phantoms"), 4, seed=1, settings=PhantomSettings(spacing_mm=3.0), jobs=1, progress=False
    )


@pytest.fixture(scope="module")
def segmented(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = tmp_path_factory.mktemp("study")
    outcome = segment_cohort(read_cohort(phantoms), study, SegmentSettings(), jobs=2)
    assert outcome.failures == []
    return study


def test_masks_lie_on_the_inputs_own_grid_and_on_the_tumour(phantoms: Path, segmented: Path) -> None:
    for case, row in read_cohort(phantoms).iterrows():
        mask, image = nib.load(segmented / "masks" / f"{case}.nii.gz"), nib.load(row["t1c"])
        assert mask.shape == image.shape
        np.testing.assert_allclose(mask.affine, image.affine)
        assert mask.get_data_dtype() == np.uint8
        found, _ = read_mask(segmented / "masks" / f"{case}.nii.gz", "brats2023")
        truth, _ = read_mask(phantoms.parent / "truth" / f"{case}.nii.gz", "brats2023")
        assert dice(found > 0, truth > 0) > 0.6


def test_the_sidecar_says_volumes_method_sequences_and_research_use(segmented: Path) -> None:
    facts = json.loads((segmented / "masks" / "phantom-001.json").read_text())
    assert facts["method"] == "flair-threshold"
    assert facts["wt_ml"] > 0
    assert "t2f" in facts["sequences_used"]
    assert facts["sequences_missing"] == []
    assert "Research use only" in facts["notice"]


def test_a_second_run_keeps_what_is_there_and_a_new_setting_does_not(phantoms: Path, segmented: Path) -> None:
    path = segmented / "masks" / "phantom-001.nii.gz"
    before = path.stat().st_mtime_ns
    cohort = read_cohort(phantoms).iloc[:1]
    segment_cohort(cohort, segmented, SegmentSettings())
    assert path.stat().st_mtime_ns == before
    segment_cohort(cohort, segmented, SegmentSettings(smallest_ml=0.2))
    assert path.stat().st_mtime_ns > before


def test_given_masks_are_translated_and_kept(phantoms: Path, tmp_path: Path) -> None:
    cohort = read_cohort(phantoms).iloc[:1]
    truth = nib.load(phantoms.parent / "truth" / "phantom-001.nii.gz")
    labels = np.asarray(truth.dataobj)
    old = np.where(labels == 3, 4, labels).astype(np.uint8)
    nib.save(nib.Nifti1Image(old, truth.affine), tmp_path / "old.nii.gz")
    cohort["mask"] = str(tmp_path / "old.nii.gz")
    outcome = segment_cohort(cohort, tmp_path / "study", SegmentSettings())
    written = np.asarray(nib.load(tmp_path / "study" / "masks" / "phantom-001.nii.gz").dataobj)
    assert np.array_equal(written, labels)
    assert outcome.volumes.loc["phantom-001", "method"] == "given"
    assert outcome.cohort.loc["phantom-001", "mask_labels"] == "brats2023"


def test_a_whole_tumour_mask_says_what_it_does_not_know(phantoms: Path, tmp_path: Path) -> None:
    cohort = read_cohort(phantoms).iloc[:1]
    truth = nib.load(phantoms.parent / "truth" / "phantom-001.nii.gz")
    nib.save(nib.Nifti1Image((np.asarray(truth.dataobj) > 0).astype(np.uint8), truth.affine), tmp_path / "wt.nii.gz")
    cohort["mask"] = str(tmp_path / "wt.nii.gz")
    outcome = segment_cohort(cohort, tmp_path / "study", SegmentSettings())
    facts = json.loads((tmp_path / "study" / "masks" / "phantom-001.json").read_text())
    assert outcome.volumes.loc["phantom-001", "wt_ml"] > 0
    assert facts["tc_ml"] is None
    assert np.isnan(outcome.volumes.loc["phantom-001", "et_ml"])
    assert "unknown, not absent" in facts["notes"][0]


def test_an_empty_result_is_a_failure_and_leaves_no_file(phantoms: Path, tmp_path: Path) -> None:
    cohort = read_cohort(phantoms).iloc[:1]
    weights = tiny_weights(tmp_path, thresholds={"wt": 1.0, "tc": 1.0, "et": 1.0})
    outcome = segment_cohort(cohort, tmp_path / "study", SegmentSettings(weights=str(weights)))
    assert [failure.case for failure in outcome.failures] == ["phantom-001"]
    assert "No tumour was found" in outcome.failures[0].cause
    assert list((tmp_path / "study").rglob("*")) == []


def test_a_network_is_used_when_weights_are_given(phantoms: Path, tmp_path: Path) -> None:
    cohort = read_cohort(phantoms).iloc[:1]
    weights = tiny_weights(tmp_path, thresholds={"wt": 0.0, "tc": 0.0, "et": 0.0})
    outcome = segment_cohort(cohort, tmp_path / "study", SegmentSettings(weights=str(weights)))
    facts = json.loads((tmp_path / "study" / "masks" / "phantom-001.json").read_text())
    assert outcome.volumes.loc["phantom-001", "method"] == "network:tiny"
    assert facts["device"] in {"cpu", "cuda", "mps"}
    assert len(facts["weights_sha256"]) == 64


def test_probabilities_entropy_confidence_and_flags_are_written(phantoms: Path, tmp_path: Path) -> None:
    cohort = read_cohort(phantoms).iloc[:1]
    weights = tiny_weights(tmp_path, thresholds={"wt": 0.0, "tc": 0.0, "et": 0.0})
    settings = SegmentSettings(
        weights=str(weights),
        uncertainty="flips",
        passes=2,
        uncertainty_map=True,
        save_probabilities=True,
        least_agreement=1.0,
    )
    study = tmp_path / "study"
    outcome = segment_cohort(cohort, study, settings)
    assert outcome.failures == []
    facts = json.loads((study / "masks" / "phantom-001.json").read_text())
    assert facts["confidence"]["wt"]["agreement"] == 1.0
    assert facts["quality"] is None
    assert facts["flagged"] is False
    image = nib.load(cohort.iloc[0]["t1c"])
    entropy = nib.load(study / "uncertainty" / "phantom-001.nii.gz")
    np.testing.assert_allclose(entropy.affine, image.affine)
    assert 0 < float(np.asarray(entropy.dataobj).max()) <= 1
    saved = load_file(study / "probabilities" / "phantom-001.safetensors")
    assert set(saved) == {"wt", "tc", "et"}
    assert saved["wt"].dtype == np.float16
    made = NetworkMethod(settings)(read_case(cohort.iloc[0])).probabilities
    assert made is not None
    for name, values in made.items():
        np.testing.assert_array_equal(saved[name], values.astype(np.float16))
    mask = study / "masks" / "phantom-001.nii.gz"
    before = mask.stat().st_mtime_ns
    segment_cohort(cohort, study, settings)
    assert mask.stat().st_mtime_ns == before
    (study / "uncertainty" / "phantom-001.nii.gz").unlink()
    segment_cohort(cohort, study, settings)
    assert (study / "uncertainty" / "phantom-001.nii.gz").is_file()


def small_cohort(folder: Path) -> pd.DataFrame:
    """One made-up case whose files have another axis order than the canonical one."""
    case = made_up_case()
    affine = np.diag([-2.0, 2.0, 2.0, 1.0])
    paths = {}
    for name, image in case.images.items():
        paths[name] = str(folder / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(np.ascontiguousarray(image[::-1]), affine), paths[name])
    return pd.DataFrame([paths], index=pd.Index(["a"], name="case"))


def test_the_mask_of_every_answer_is_written_on_the_inputs_grid(tmp_path: Path) -> None:
    cohort, study = small_cohort(tmp_path), tmp_path / "study"
    # Only the whole tumour, which is where the mirrored answers of these random weights differ.
    weights = str(tiny_weights(tmp_path, thresholds={"tc": 1.0, "et": 1.0}))
    settings = SegmentSettings(weights=weights, uncertainty="flips", passes=3, save_samples=True, smallest_ml=0.0)
    assert segment_cohort(cohort, study, settings).failures == []
    folder = study / "samples" / "a"
    assert sorted(path.name for path in folder.iterdir()) == ["1.json", "1.nii.gz", "2.nii.gz", "3.nii.gz"]
    image = nib.load(cohort.iloc[0]["t1c"])
    samples = [nib.load(path) for path in sorted(folder.glob("*.nii.gz"))]
    for sample in samples:
        assert sample.shape == image.shape
        np.testing.assert_allclose(sample.affine, image.affine)
    masks = [np.asarray(sample.dataobj) > 0 for sample in samples]
    dices = [dice(masks[a], masks[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert max(dices) < 1
    facts = json.loads((study / "masks" / "a.json").read_text())
    assert facts["confidence"]["wt"]["agreement"] == pytest.approx(np.mean(dices), abs=1e-6)
    # Kept where they are true, made again where one is gone, and no sample of an earlier run stays.
    before = (folder / "3.nii.gz").stat().st_mtime_ns
    segment_cohort(cohort, study, settings)
    assert (folder / "3.nii.gz").stat().st_mtime_ns == before
    (folder / "2.nii.gz").unlink()
    segment_cohort(cohort, study, settings)
    assert (folder / "2.nii.gz").is_file()
    segment_cohort(cohort, study, settings.model_copy(update={"passes": 2}))
    assert sorted(path.name for path in folder.glob("*.nii.gz")) == ["1.nii.gz", "2.nii.gz"]


def test_samples_that_nothing_can_give_are_refused(tmp_path: Path) -> None:
    weights = str(tiny_weights(tmp_path))
    for settings in (
        SegmentSettings(weights=weights, save_samples=True),
        SegmentSettings(method="flair-threshold", uncertainty="flips", save_samples=True),
    ):
        with pytest.raises(ConfigError, match="no samples to save"):
            segment_cohort(small_cohort(tmp_path), tmp_path / "study", settings)


def test_the_number_of_answers() -> None:
    assert SegmentSettings().n_answers == 0
    assert SegmentSettings(uncertainty="flips", passes=20).n_answers == 8
    assert SegmentSettings(uncertainty="mc-dropout", passes=20).n_answers == 20
    assert SegmentSettings(uncertainty="ensemble", weights=("a", "b", "c")).n_answers == 3


def test_a_case_below_the_bar_is_flagged_in_the_tables(phantoms: Path, tmp_path: Path) -> None:
    cohort = read_cohort(phantoms).iloc[:1]
    settings = SegmentSettings(weights=str(tiny_weights(tmp_path)), uncertainty="flips", least_agreement=1.0)
    outcome = segment_cohort(cohort, tmp_path / "study", settings)
    for table in (outcome.volumes, outcome.cohort):
        assert bool(table.loc["phantom-001", "flagged"]) is True
        assert "answers agree only" in str(table.loc["phantom-001", "flag_reason"])


def test_auto_takes_the_weights_that_come_with_radiogen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_module, "SHIPPED", tmp_path)
    assert effective_settings(SegmentSettings(method="auto")).method == "flair-threshold"
    (tmp_path / "radiogen-compact.safetensors").touch()
    settings = effective_settings(SegmentSettings(method="auto"))
    assert (settings.method, settings.weights) == ("network", ("radiogen-compact",))
    assert effective_settings(SegmentSettings(method="flair-threshold")).weights == ()


def test_an_unknown_method_stops_the_run(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'flair-threshold'"):
        segment_cohort(read_cohort(phantoms), tmp_path, SegmentSettings(method="flair-treshold"))


@pytest.mark.real_data
def test_a_mirrored_and_permuted_copy_gives_the_mirrored_and_permuted_mask(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "mri" / "BraTS-GLI-00000-000"
    rows = {}
    for name, change in {"as-it-is": None, "turned": True}.items():
        paths: dict[str, object] = {"mask": None, "patient": name, "site": None}
        for sequence in ("t1n", "t1c", "t2w", "t2f"):
            image = nib.load(folder / f"BraTS-GLI-00000-000-{sequence}.nii.gz")
            path = tmp_path / f"{name}-{sequence}.nii"
            nib.save(_turned(image) if change else image, path)
            paths[sequence] = str(path)
        rows[name] = paths
    cohort = pd.DataFrame.from_dict(rows, orient="index").rename_axis("case")
    outcome = segment_cohort(cohort, tmp_path / "study", SegmentSettings(), jobs=2)
    assert outcome.failures == []
    original = nib.load(tmp_path / "study" / "masks" / "as-it-is.nii.gz")
    turned = nib.load(tmp_path / "study" / "masks" / "turned.nii.gz")
    expected, found = np.asarray(_turned(original).dataobj), np.asarray(turned.dataobj)
    assert found.shape == (155, 240, 240)
    assert [dice(found == label, expected == label) for label in (1, 2, 3)] == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(turned.affine, _turned(original).affine)


def _turned(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """The same world in another storage order: axes permuted and two of them mirrored."""
    orientation = nib.orientations.axcodes2ornt(("S", "R", "A"))
    change = nib.orientations.ornt_transform(nib.orientations.io_orientation(image.affine), orientation)
    return image.as_reoriented(change)
