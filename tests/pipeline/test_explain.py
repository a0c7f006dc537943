from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from radiogen.branches.embedding.model import ImageClassifier
from radiogen.errors import ConfigError
from radiogen.pipeline.explain import explain_cases, with_shuffled_labels
from tests.branches.embedding.planted import planted_cohort, tiny_model


def test_maps_lie_on_the_cases_own_grid_with_their_checks_beside_them(tmp_path: Path) -> None:
    cohort = planted_cohort(tmp_path / "cohort", 32)
    # The first case is stored mirrored and moved: its map has to come out the same way.
    stored = nib.load(cohort["t2f"].iloc[1])
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = [30, -7, 4]
    nib.save(nib.Nifti1Image(stored.get_fdata().astype(np.float32)[::-1], affine), tmp_path / "mirrored.nii.gz")
    labels = nib.load(cohort["mask"].iloc[1])
    nib.save(nib.Nifti1Image(np.asarray(labels.dataobj)[::-1], affine), tmp_path / "mask.nii.gz")
    y = cohort["mgmt"].to_numpy(dtype=np.int64)
    classifier = ImageClassifier(tiny_model(arguments={"widths": [8]}), cache_folder=tmp_path / "cache").fit(cohort, y)
    shuffled = with_shuffled_labels(classifier, cohort, y)
    case = cohort.iloc[[1]].assign(t2f=str(tmp_path / "mirrored.nii.gz"), mask=str(tmp_path / "mask.nii.gz"))
    found = explain_cases(classifier, case, tmp_path / "out", shuffled=shuffled)["case001_t2f"]
    written = nib.load(tmp_path / "out" / "case001_t2f.nii.gz")
    assert written.shape == (20, 20, 20)
    np.testing.assert_allclose(written.affine, affine)
    np.testing.assert_allclose(written.get_fdata(), found.map[::-1], rtol=1e-5)
    facts = json.loads((tmp_path / "out" / "case001_t2f.json").read_text())
    assert facts["sanity_rank_correlation"] == found.sanity.as_dict()
    mask = np.asarray(labels.dataobj) > 0
    assert facts["share_in_tumour"] == pytest.approx(found.map[mask].sum() / found.map.sum(), rel=1e-4)
    # The 16 voxels along each axis around the brain's middle are seen: all of the tumour, and not the outermost of the brain.
    outer = np.asarray(stored.dataobj) != 0
    assert (
        mask.sum() / outer.sum()
        < facts["share_of_seen_in_tumour"]
        == pytest.approx(mask.sum() / outer[2:18, 2:18, 2:18].sum(), rel=0.05)
    )
    assert facts["share_of_seen_in_tumour"] < facts["share_in_tumour"]  # the ring around the tumour tells the label
    assert found.sanity.labels_shuffled is not None
    assert (tmp_path / "out" / "case001_t2f.png").stat().st_size > 10_000
    straight = explain_cases(classifier, cohort.iloc[[1]], tmp_path / "straight", shuffled=shuffled)["case001_t2f"]
    np.testing.assert_allclose(straight.map, found.map, atol=1e-6)
    assert straight.probability == pytest.approx(found.probability, abs=1e-6)


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    cohort = planted_cohort(tmp_path / "cohort", 2)
    with pytest.raises(ConfigError, match="way of explaining"):
        explain_cases(ImageClassifier(tiny_model()), cohort, tmp_path, "grad-cma")
