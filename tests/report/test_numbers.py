from __future__ import annotations

from radiogen.report.numbers import numbers_table
from tests.report.made_up import bare_metrics, made_up_metrics


def rows(**changed: object) -> dict[str, tuple[str, str, str]]:
    table = numbers_table(made_up_metrics(**changed))
    return {row[0]: (row[1], row[2].replace("\u00a0", " "), row[3]) for row in table.itertuples(index=False, name=None)}


def test_every_measure_stands_with_its_interval() -> None:
    found = rows()
    assert found["AUC"][:2] == ("0.912", "0.834 to 0.967")
    assert "below 0.63" in found["AUC"][2]
    assert found["permutation p"][0] == "0.0005"
    assert found["average precision (AUPRC)"] == ("0.880", "", "chance is the share of positives, 0.40")
    assert found["Brier score"] == ("0.110", "", "0 is perfect; always saying 0.40 gives 0.240")
    assert found["calibration slope"][0] == "0.97"
    assert found["calibration intercept"][0] == "\u22120.08"
    assert found["expected calibration error"][0] == "0.061"
    assert found["sensitivity"][:2] == ("0.840", "0.690 to 0.930")
    assert found["held out"][2].startswith("whole sites (2 sites)")
    assert "patients" not in found


def test_several_scans_of_a_patient_are_said() -> None:
    assert rows(n_patients=70)["patients"][0] == "70"


def test_scores_that_are_no_probabilities_have_no_calibration() -> None:
    found = rows(brier=None, calibration_slope=None, ece=None)
    assert "Brier score" not in found
    assert "no probabilities" in found["calibration"][2]


def test_unknown_numbers_are_dashes() -> None:
    found = dict(zip(*[numbers_table(bare_metrics())[name] for name in ("measure", "value")], strict=True))
    assert found["sites"] == "\u2013"
    assert found["permutation p"] == "\u2013"
    assert numbers_table({}).shape[1] == 4
