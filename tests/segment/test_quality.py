from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogen.errors import ConfigError, InputError
from radiogen.segment.quality import Curve, QualityCalibration, fit_calibration, validate_calibration


def made_up(n: int, *, noise: float, seed: int = 0, informative: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    agreement = rng.uniform(0.4, 1, n)
    signal = 1.2 * agreement - 0.35 if informative else np.full(n, 0.7)
    dice = np.clip(signal + noise * rng.standard_normal(n), 0, 1)
    return pd.DataFrame({"case": [f"c{i}" for i in range(n)], "region": "wt", "agreement": agreement, "dice": dice})


@pytest.mark.parametrize("shape", ["linear", "isotonic"])
def test_agreement_that_tells_dice_becomes_quality(shape: str) -> None:
    made = fit_calibration(made_up(60, noise=0.03), measure="flips", passes=8, shape=shape)
    validation = made.regions["wt"].validation
    assert validation.n == 60
    assert validation.how == "cross-validation"
    assert validation.spearman is not None
    assert validation.spearman > 0.9
    assert validation.mean_absolute_error < 0.05 < validation.error_of_the_mean
    assert made.expected_dice("wt", 0.8) == pytest.approx(0.61, abs=0.05)
    assert made.expected_dice("et", 0.8) is None
    assert made.expected_dice("wt", float("nan")) is None


def test_agreement_that_tells_nothing_is_not_called_quality() -> None:
    made = fit_calibration(made_up(40, noise=0.1, informative=False, seed=3), measure="flips", passes=8)
    assert not made.regions["wt"].validation.useful
    assert made.expected_dice("wt", 0.9) is None


def test_other_cases_can_take_the_quality_away() -> None:
    made = fit_calibration(made_up(40, noise=0.02), measure="flips", passes=8)
    turned = made_up(30, noise=0.02, seed=5)
    turned["dice"] = 1 - turned["dice"]
    checked = validate_calibration(made, turned)
    assert checked.regions["wt"].validation.how == "held-out cases"
    assert checked.regions["wt"].validation.spearman < 0
    assert checked.expected_dice("wt", 0.9) is None
    again = validate_calibration(made, made_up(30, noise=0.02, seed=6))
    assert again.expected_dice("wt", 0.9) == made.expected_dice("wt", 0.9)


def test_few_cases_are_left_out_and_none_are_refused() -> None:
    table = made_up(20, noise=0.02)
    few = table.head(7).assign(region="et")
    assert set(fit_calibration(pd.concat([table, few]), measure="flips", passes=8).regions) == {"wt"}
    with pytest.raises(InputError, match="No region has 8 cases"):
        fit_calibration(few, measure="flips", passes=8)


def test_bad_tables_are_refused_with_every_problem() -> None:
    table = made_up(10, noise=0.0)
    with pytest.raises(InputError, match="lacks dice"):
        fit_calibration(table.drop(columns="dice"), measure="flips", passes=8)
    with pytest.raises(InputError, match="more than once") as caught:
        fit_calibration(pd.concat([table, table.assign(agreement=2.0)]), measure="flips", passes=8)
    assert "outside 0 to 1" in str(caught.value)


def test_a_calibration_survives_the_card() -> None:
    made = fit_calibration(made_up(20, noise=0.02), measure="mc-dropout", passes=5)
    assert QualityCalibration.parse(made.model_dump(mode="json")) == made
    with pytest.raises(ConfigError):
        Curve.parse({**made.regions["wt"].model_dump(), "agreement": (0.9, 0.1)})
