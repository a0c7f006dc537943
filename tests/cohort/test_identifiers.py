from __future__ import annotations

import pytest

from radiogen.cohort.identifiers import identify


@pytest.mark.parametrize(
    ("text", "patient", "collection", "site"),
    [
        ("UCSF-PDGM-004", "UCSF-PDGM-0004", "UCSF-PDGM", "UCSF-PDGM"),
        ("UCSF-PDGM-0004", "UCSF-PDGM-0004", "UCSF-PDGM", "UCSF-PDGM"),
        ("UCSF-PDGM-0429_FU003d", "UCSF-PDGM-0429", "UCSF-PDGM", "UCSF-PDGM"),
        ("UPENN-GBM-00001_11", "UPENN-GBM-00001", "UPENN-GBM", "UPENN-GBM"),
        ("UPENN-GBM-00001_21", "UPENN-GBM-00001", "UPENN-GBM", "UPENN-GBM"),
        ("TCGA_CS_4941_19960909", "TCGA-CS-4941", "TCGA", "TCGA-CS"),
        ("tcga-cs-4941", "TCGA-CS-4941", "TCGA", "TCGA-CS"),
        ("TCGA-FG-6692_raw", "TCGA-FG-6692", "TCGA", "TCGA-FG"),
        ("TCGA-06-0166-01A", "TCGA-06-0166", "TCGA", "TCGA-06"),
        ("BraTS2021_00097", "BraTS2021_00097", "BraTS-GLI", None),
        ("BraTS-GLI-00097-001", "BraTS-GLI-00097", "BraTS-GLI", None),
        ("BraTS-SSA-00002-000", "BraTS-SSA-00002", "BraTS-SSA", None),
        ("BraTS19_CBICA_AAB_1", "BraTS19_CBICA_AAB", "BraTS", "CBICA"),
        ("Brats18_TCIA08_167_1", "Brats18_TCIA08_167", "BraTS", "TCIA08"),
        ("BraTS19_2013_0_1", "BraTS19_2013_0", "BraTS", "BraTS2013"),
        ("brats_2013_pat0001_1", "brats_2013_pat0001", "BraTS", "BraTS2013"),
        ("BraTS20_Training_158", "BraTS20_Training_158", "BraTS20", None),
        ("John Doe 3", "John Doe 3", "", None),
        ("TCGA-GBM", "TCGA-GBM", "", None),
    ],
)
def test_patient_collection_and_site(text, patient, collection, site):
    identity = identify(text)
    assert (identity.patient, identity.collection, identity.site) == (patient, collection, site)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("UCSF-PDGM-004", ""), ("ucsf-pdgm-0004_nifti", "")),
        (("BraTS2021_00097", ""), ("BraTS-GLI-00097-000", "")),
        (("00097", "BraTS21ID"), ("BraTS-GLI-00097-000", "")),
        (("97", "BraTS21 ID"), ("BraTS2021_00097", "")),
        (("Brats17_TCIA_167_1", ""), ("Brats18_TCIA08_167_1", "")),
        (("TCGA_CS_4941_19960909", ""), ("TCGA-CS-4941", "")),
        (("007", ""), ("7", "")),
        (("Case_01", ""), ("case-1", "")),
    ],
)
def test_spellings_of_one_patient(one, two):
    assert identify(one[0], header=one[1]).key == identify(two[0], header=two[1]).key


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("UCSF-PDGM-004", "UCSF-PDGM-040"),
        ("BraTS-GLI-00097-000", "BraTS-SSA-00097-000"),
        ("BraTS20_Training_001", "BraTS20_Validation_001"),
        ("BraTS2021_00097", "00097"),  # a bare number belongs to no collection without its header
        ("7", "70"),
        ("a1b2", "a12b"),
    ],
)
def test_different_patients(one, two):
    assert identify(one).key != identify(two).key


def test_scans_of_one_patient_differ():
    assert identify("UPENN-GBM-00001_11").scan != identify("UPENN-GBM-00001_21").scan
    assert identify("BraTS-GLI-00005-100").scan != identify("BraTS-GLI-00005-101").scan
    assert identify("BraTS2021_00005").scan == identify("BraTS-GLI-00005-000").scan
