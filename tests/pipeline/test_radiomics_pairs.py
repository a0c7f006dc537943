from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from radiogen.config.features import RadiomicsSettings
from radiogen.errors import InputError
from radiogen.pipeline.radiomics_pairs import find_pairs, is_pairs_table, read_pairs, settings_source


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def named(pairs: pd.DataFrame) -> dict[str, tuple[str, str]]:
    return {str(case): (Path(row["image_path"]).name, Path(row["mask_path"]).name) for case, row in pairs.iterrows()}


def test_a_batch_table_is_read_as_pyradiomics_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "batch.csv"
    path.write_text("Image,Mask,Label,centre\nsub/a.nrrd,m.nrrd,2,X\n/data/b.nrrd,/data/m.nrrd,,Y\n,m.nrrd,3.0,\n")
    pairs = read_pairs(path)
    assert is_pairs_table(path)
    assert pairs.index.tolist() == ["case-1", "case-2", "case-3"]
    assert pairs["image_path"].tolist() == [str(tmp_path / "sub/a.nrrd"), "/data/b.nrrd", ""]
    assert pairs["centre"].tolist() == ["X", "Y", ""]
    path.write_text("ID,Image,Mask\n007,a.nrrd,m.nrrd\n")
    assert read_pairs(path).index.tolist() == ["007"]


def test_every_problem_of_a_batch_table_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "batch.csv"
    path.write_text("ID,Image,Mask,Label\na,i,m,tumour\na,i,m,1\n,i,m,1.5\n")
    with pytest.raises(InputError) as caught:
        read_pairs(path)
    assert caught.value.problems == [
        "row 4 has no id",
        "the id 'a' stands in more than one row",
        "row 2 has the label 'tumour'",
        "row 4 has the label '1.5'",
    ]
    path.write_text("Image,Maske\ni,m\n")
    assert not is_pairs_table(path)
    with pytest.raises(InputError, match="the column Mask is missing"):
        read_pairs(path)
    path.write_text("Image,Mask\n")
    with pytest.raises(InputError, match="it has no row"):
        read_pairs(path)
    path.write_text("")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        read_pairs(path)
    assert not is_pairs_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="does not exist"):
        read_pairs(tmp_path / "none.csv")


def test_two_files_are_a_pair(tmp_path: Path) -> None:
    touch(tmp_path, "p1_image.nii.gz", "p1_mask.nrrd")
    pairs = find_pairs(tmp_path / "p1_image.nii.gz", tmp_path / "p1_mask.nrrd")
    assert named(pairs) == {"p1": ("p1_image.nii.gz", "p1_mask.nrrd")}
    touch(tmp_path, "flair.nii.gz", "tumour.nii.gz")
    pairs = find_pairs(tmp_path / "flair.nii.gz", tmp_path / "tumour.nii.gz")
    assert named(pairs) == {"flair": ("flair.nii.gz", "tumour.nii.gz")}


def test_folders_are_matched_by_name_and_nothing_is_forgotten(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", "b.nii.gz", "a.nrrd", "c.nii", "notes.txt")
    masks = touch(tmp_path / "m", "a.nii.gz", "b.nii.gz", "d.mha")
    pairs = find_pairs(images, masks)
    assert named(pairs) == {
        "a": ("a.nrrd", "a.nii.gz"),
        "b": ("b.nii.gz", "b.nii.gz"),
        "c": ("c.nii", ""),
        "d": ("", "d.mha"),
    }


def test_one_folder_with_images_and_masks(tmp_path: Path) -> None:
    both = touch(tmp_path / "both", "x_image.nrrd", "x_label.nrrd", "y-img.nii.gz", "y-seg.nii.gz")
    assert named(find_pairs(both, both)) == {
        "x": ("x_image.nrrd", "x_label.nrrd"),
        "y": ("y-img.nii.gz", "y-seg.nii.gz"),
    }


def test_what_cannot_be_matched_is_refused(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", "a.nii.gz", "a.nrrd")
    masks = touch(tmp_path / "m", "z.nii.gz")
    with pytest.raises(InputError, match="a file and a folder"):
        find_pairs(images / "a.nrrd", masks)
    with pytest.raises(InputError, match=r"a.nrrd and a.nii.gz are both called a"):
        find_pairs(images, masks)
    (images / "a.nrrd").unlink()
    with pytest.raises(InputError, match=r"\(1 found\) has a mask of the same name"):
        find_pairs(images, masks)
    with pytest.raises(InputError, match="nowhere"):
        find_pairs(tmp_path / "nowhere", masks)


def test_the_sidecar_says_whose_settings_were_used() -> None:
    assert settings_source(RadiomicsSettings()) == "radiogen's defaults, not PyRadiomics'"
    assert settings_source(RadiomicsSettings(setting={"binWidth": 5})) == "radiogen's defaults, with setting set"
    assert settings_source(RadiomicsSettings(params=Path("p.yaml"))) == "PyRadiomics parameter file"
