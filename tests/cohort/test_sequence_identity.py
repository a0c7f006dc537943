"""Which series is which sequence: by words, by numbers, by order in time, by the image, by the user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radiogen.cohort.dicom_series import DicomSeries, SeriesHeader
from radiogen.cohort.dicom_words import find_words
from radiogen.cohort.nifti import Grid
from radiogen.cohort.sequence_identity import identify, read_overrides
from radiogen.errors import CohortError, ImageError


def made(key: str, text: str = "", *, slices: int = 30, voxel=(0.9, 0.9, 5.0), problems=(), **header) -> DicomSeries:
    header = {"modality": "MR", "plane": "axial", "image_type": ("ORIGINAL", "PRIMARY"), **header}
    return DicomSeries(
        key,
        tuple(Path(f"case/{key}/{n}.dcm") for n in range(slices)),
        SeriesHeader(words=find_words([text]), **header),
        problems=problems,
        frames=(0,) * slices,
        grid=Grid((256, 256, slices), np.diag([*voxel, 1.0])),
    )


SPIN_T1 = {"te_ms": 10.0, "tr_ms": 550.0, "scanning_sequence": ("SE",)}
MPRAGE = {"te_ms": 2.5, "tr_ms": 1900.0, "ti_ms": 900.0, "scanning_sequence": ("GR", "IR"), "acquisition_3d": True}
TSE_T2 = {"te_ms": 95.0, "tr_ms": 5200.0, "scanning_sequence": ("SE",)}
FLAIR = {"te_ms": 110.0, "tr_ms": 9000.0, "ti_ms": 2500.0, "scanning_sequence": ("SE", "IR")}


def keys(series, folder_role=None, **options) -> dict[str, str]:
    return {role: choice.key for role, choice in identify(series, folder_role or {}, **options).chosen.items()}


def test_words_name_the_four() -> None:
    series = [made("a", "T1 nativ"), made("b", "T1 nach KM"), made("c", "T2 TSE"), made("d", "T2 FLAIR")]
    assert keys(series) == {"t1n": "a", "t1c": "b", "t2w": "c", "t2f": "d"}


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("AAHead_Scout_32ch", ""),
        ("t1_mprage_sag_p2_iso", "t1n"),
        ("t1_mprage_sag_p2_iso_KM", "t1c"),
        ("t1_se_tra nach KM", "t1c"),
        ("t1_tse_tra_nativ", "t1n"),
        ("t1_tra + KM", "t1c"),
        ("t2_tse_tra_512", "t2w"),
        ("t2_space_dark-fluid_sag_p2_iso", "t2f"),
        ("t2_tirm_tra_dark-fluid", "t2f"),
        ("ep2d_diff_mddw_30_p2_FA", ""),
        ("t2_fl2d_tra_hemo", ""),
        ("relCBF", ""),
        ("SWI_Images", ""),
        ("tof_fl3d_tra_multi-slab", ""),
        ("3-PLANE LOC SSFSE", ""),
        ("Sag T1 FLAIR", "t1n"),
        ("Ax T2 FLAIR FS", "t2f"),
        ("Ax T2 PROPELLER", "t2w"),
        ("AX T1 POST", "t1c"),
        ("Sag 3D T1 BRAVO +C", "t1c"),
        ("Ax FSPGR 3D PRE", "t1n"),
        ("Exponential Apparent Diffusion Coefficient", ""),
        ("(Transit delay corrected) Cerebral Blood Flow", ""),
        ("Survey_SHC", ""),
        ("sT1W_3D_TFE", "t1n"),
        ("sT1W/3D/FFE +C", "t1c"),
        ("T2W_TSE", "t2w"),
        ("sFLAIR_longTR_CLEAR", "t2f"),
        ("3D_BrainVIEW_FLAIR_SHC", "t2f"),
        ("dADC map", ""),
        ("AX T1 SE GADO", "t1c"),
        ("SAG 3D T1 INJ", "t1c"),
        ("AX T1 SANS INJ", "t1n"),
        ("T1 SE tra dopo mdc", "t1c"),
        ("T1 SE tra basale", "t1n"),
        ("T1 AX SIN CIV", "t1n"),
        ("T1 TRA pos contraste", "t1c"),
        ("T1 zonder contrast", "t1n"),
        ("T1 na contrast", "t1c"),
        ("T2 COLUMNA CERVICAL", ""),
        ("AX PD", ""),
    ],
)
def test_descriptions_of_many_scanners(text: str, role: str) -> None:
    assert list(keys([made("a", text)])) == ([role] if role else [])


def test_numbers_name_the_four_without_words() -> None:
    series = [
        made("a", **SPIN_T1),
        made("b", **SPIN_T1, contrast_agent=True),
        made("c", **TSE_T2),
        made("d", **FLAIR),
    ]
    found = identify(series, {})
    assert {role: choice.key for role, choice in found.chosen.items()} == {
        "t1n": "a",
        "t1c": "b",
        "t2w": "c",
        "t2f": "d",
    }
    assert any("TE, TR and TI are those of FLAIR (+3)" in reason for reason in found.chosen["t2f"].reasons)


def test_order_in_time_tells_contrast_when_one_sequence_is_done_twice() -> None:
    series = [made("late", "T1", **MPRAGE, acquisition_order=7), made("early", "T1", **MPRAGE, acquisition_order=2)]
    found = identify(series, {})
    assert {role: choice.key for role, choice in found.chosen.items()} == {"t1n": "early", "t1c": "late"}
    assert any("later in the study" in reason for reason in found.chosen["t1c"].reasons)


def test_what_follows_contrast_has_contrast() -> None:
    series = [
        made("first", "T1", **SPIN_T1, acquisition_order=0),
        made("thick", "T1 KM", **SPIN_T1, contrast_agent=True, acquisition_order=3),
        made("fine", "T1 mprage", **MPRAGE, acquisition_order=4, slices=192, voxel=(1.0, 1.0, 1.0)),
    ]
    found = identify(series, {})
    assert {role: choice.key for role, choice in found.chosen.items()} == {"t1n": "first", "t1c": "fine"}
    assert found.others == {"thick": "t1c too, but series fine is preferred"}


@pytest.mark.parametrize(
    ("text", "header", "reason"),
    [
        ("localizer", {}, "localiser"),
        ("ep2d diff ADC T2", {}, "diffusion"),
        ("perf T2", {}, "perfusion"),
        ("TOF T1", {}, "angiography"),
        ("SWI T1", {}, "susceptibility"),
        ("T1 MPR", {"image_type": ("DERIVED", "SECONDARY", "MPR")}, "reformatted"),
        ("T1 subtraction", {}, "subtraction"),
        ("T2", {"image_type": ("DERIVED", "PRIMARY", "TRACEW")}, "diffusion"),
        ("T2", {"scanning_sequence": ("EP",)}, "echo-planar"),
        ("T2", {"scanning_sequence": ("GR",), "te_ms": 25.0}, "T2*"),
        ("T1", {"modality": "CT"}, "not MR"),
        ("T1", {"slices": 5}, "fewer slices"),
        ("T1", {"problems": ("uneven slice spacing",)}, "uneven slice spacing"),
        ("STIR T2", {}, "STIR"),
    ],
)
def test_never_one_of_the_four(text: str, header: dict, reason: str) -> None:
    found = identify([made("x", text, **header)], {"x": "t2w"})
    assert found.chosen == {}
    assert reason in found.others["x"]


def test_t1_flair_is_a_t1_and_mpr_of_an_original_is_mprage() -> None:
    t1_flair = made("a", "AX T1 FLAIR", te_ms=9.0, tr_ms=2200.0, ti_ms=860.0, scanning_sequence=("SE", "IR"))
    assert keys([t1_flair]) == {"t1n": "a"}
    assert keys([made("b", "t1_mpr_ns_sag KM", **MPRAGE)]) == {"t1c": "b"}


def test_the_better_of_two_is_taken() -> None:
    thick = made("thick", "T1 KM", **SPIN_T1, contrast_agent=True)
    fine = made("fine", "T1 KM", **MPRAGE, contrast_agent=True, slices=176, voxel=(1.0, 1.0, 1.0))
    derived = made(
        "derived", "T1 KM", contrast_agent=True, slices=176, voxel=(1.0, 1.0, 1.0), image_type=("DERIVED", "PRIMARY")
    )
    assert keys([thick, derived, fine]) == {"t1c": "fine"}


def test_folder_names_settle_wiped_headers() -> None:
    series = [made(key, acquisition_order=None) for key in "abcd"]
    roles = dict(zip("abcd", ("t2f", "t1n", "t1c", "t2w"), strict=True))
    found = identify(series, roles)
    assert {choice.key: role for role, choice in found.chosen.items()} == roles
    assert all(choice.confidence > 0.8 for choice in found.chosen.values())


def test_nothing_known_is_other() -> None:
    found = identify([made("a")], {})
    assert found.chosen == {}
    assert "neither its header nor its words" in found.others["a"]


def test_confidence_grows_with_evidence() -> None:
    lone = identify([made("a", "T1", **SPIN_T1)], {}).chosen["t1n"].confidence
    said = identify([made("a", "T1 nativ", **SPIN_T1, contrast_agent=False)], {}).chosen["t1n"].confidence
    assert 0.5 < lone < 0.8 < 0.95 < said <= 1


def test_the_image_is_looked_at_only_in_doubt() -> None:
    seen = []

    def look(series: DicomSeries) -> dict[str, float]:
        seen.append(series.key)
        return {"t1n": 0.04, "t1c": 0.93, "t2w": 0.01, "t2f": 0.01, "other": 0.01}

    series = [made("doubtful", "T1", **SPIN_T1), made("clear", "T2 FLAIR", **FLAIR)]
    assert keys(series, look=look) == {"t1c": "doubtful", "t2f": "clear"}
    assert seen == ["doubtful"]


def test_an_image_that_cannot_be_read_leaves_the_header_to_decide() -> None:
    def look(series: DicomSeries) -> dict[str, float]:
        raise ImageError("blank")

    choice = identify([made("a", "T1", **SPIN_T1)], {}, look=look).chosen["t1n"]
    assert "its image could not be looked at" in choice.reasons


def test_overrides_come_first() -> None:
    series = [made("a", "T1 KM"), made("b", "T2 TSE"), made("c", "localizer")]
    found = identify(series, {}, overrides={"t1c": "c", "t2w": "none"})
    assert found.chosen["t1c"].key == "c"
    assert found.chosen["t1c"].confidence == 1.0
    assert "t2w" not in found.chosen
    assert "override" in found.others["a"]
    assert keys(series, overrides={"t1n": "case/b"})["t1n"] == "b"


@pytest.mark.parametrize("name", ["nothing", "case"])
def test_override_that_names_no_or_several_series(name: str) -> None:
    with pytest.raises(CohortError, match="does not fit"):
        identify([made("a"), made("b")], {}, overrides={"t1c": name})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("case,role\n1,t1c\n", "lacks the column"),
        ("case,role,series\n1,t1,a\n1,t1c,\n", "2 problem"),
        ("case,role,series\n1,t1c,a\n1,t1c,b\n", "second line"),
    ],
)
def test_bad_override_files(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "o.csv"
    path.write_text(text)
    with pytest.raises(CohortError) as caught:
        read_overrides(path)
    if problem == "2 problem":
        assert len(caught.value.problems) == 2
    else:
        assert problem in str(caught.value)


def test_missing_override_file(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="cannot be read"):
        read_overrides(tmp_path / "absent.csv")
