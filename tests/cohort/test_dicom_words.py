"""Descriptions as scanners in seven countries write them."""

from __future__ import annotations

import pytest

from radiogen.cohort.dicom_words import VOCABULARY, find_words, groups_of


@pytest.mark.parametrize(
    ("text", "has", "has_not"),
    [
        ("t1_mprage_sag_p2_iso KM", {"t1", "t1-technique", "contrast"}, {"without"}),
        ("T1 ohne KM", {"t1", "contrast", "without"}, {"with"}),
        ("T1 w/o contrast", {"t1", "contrast", "without"}, {"after"}),
        ("AX T1 +C", {"t1", "contrast"}, {"without"}),
        ("3DT1wGd", {"t1", "contrast"}, {"t2"}),
        ("t2_tirm_tra_dark-fluid_320", {"flair", "t2"}, {"t1"}),
        ("Axial T2 FLAIR", {"flair", "t2"}, {"t1"}),
        ("DP-T2 TSE", {"proton", "t2"}, set()),
        ("ep2d_diff_3scan_trace_p2_ADC", {"diffusion"}, {"t1", "t2"}),
        ("T2* GRE", {"susceptibility"}, {"t2"}),
        ("Sag T1 après gado", {"t1", "after", "contrast"}, {"without"}),
        ("T1 SE sin contraste", {"t1", "without", "contrast"}, {"after"}),
        ("T1 dopo mdc", {"t1", "after", "contrast"}, set()),
        ("T1 pós-contraste", {"t1", "contrast"}, {"without"}),
        ("T1 zonder contrast", {"without", "contrast"}, set()),
        ("T1 post-op nativ", {"operation", "native"}, {"after"}),
        ("3-plane localizer", {"localizer"}, {"t1"}),
        ("SWI_Images", {"susceptibility"}, {"t1"}),
        ("AX PERFUSION DSC", {"perfusion"}, {"t1"}),
        ("Ax BRAVO +GAD", {"t1-technique", "contrast"}, set()),
        ("T1 map", {"map"}, {"t1"}),
        ("", set(), {"t1"}),
    ],
)
def test_groups_of_descriptions(text: str, has: set[str], has_not: set[str]) -> None:
    groups = groups_of(find_words([text]))
    assert has <= groups
    assert not has_not & groups


def test_only_the_vocabulary_comes_out() -> None:
    words = find_words(["Müller-Lüdenscheidt 19570314 t1_nachKM \x00\xff 1.2.840.113619.2.5"])
    assert set(words) <= set(VOCABULARY)
    assert words == ("km", "nach", "t1")
