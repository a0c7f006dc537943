"""A reference-free quality score: how well a mask is expected to fit, judged from how far several answers agree, and validated before it is used.

What is measured without a reference is agreement; what a reader wants is Dice. A calibration, fitted on cases with a reference and kept in the
weights' card, translates one into the other. It is called quality only for regions where, on cases that it was not fitted on, it predicts Dice better
than the mean Dice of the other cases does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import Field, model_validator

from radiogen.config.base import StageSettings
from radiogen.errors import InputError

Measure = Literal["flips", "mc-dropout", "ensemble"]
Shape = Literal["linear", "isotonic"]
Values = Float[np.ndarray, " n"]
Knots = Float[np.ndarray, " k"]

COLUMNS = ("case", "region", "agreement", "dice")
LEAST_CASES = 8
"""Fewer cases of a region than this are not calibrated."""

_FOLDS = 5


class Validation(StageSettings):
    """How well Dice was predicted on cases that the calibration was not fitted on."""

    n: int = Field(ge=0)
    """Cases."""

    spearman: float | None
    """Rank correlation of predicted and real Dice; None where one of them does not vary."""

    mean_absolute_error: float = Field(ge=0)
    """Mean distance of predicted from real Dice."""

    error_of_the_mean: float = Field(ge=0)
    """The same for predicting every case with the mean Dice of the cases it is not among: what a calibration must beat."""

    how: str
    """`cross-validation` or `held-out cases`."""

    @property
    def useful(self) -> bool:
        """Return whether the prediction ranks cases rightly and beats the mean."""
        return (self.spearman or 0.0) > 0 and self.mean_absolute_error < self.error_of_the_mean


class Curve(StageSettings):
    """Expected Dice at given agreements, linear between them and constant beyond, and how well it held."""

    agreement: tuple[float, ...]
    """Agreements, rising."""

    dice: tuple[float, ...]
    """Expected Dice at each."""

    validation: Validation
    """On cases that the curve was not fitted on."""

    @model_validator(mode="after")
    def _pairs(self) -> Curve:
        if (
            not self.agreement
            or len(self.agreement) != len(self.dice)
            or list(self.agreement) != sorted(self.agreement)
        ):
            raise ValueError("a curve needs as many Dice values as agreements, and agreements that rise")
        return self


class QualityCalibration(StageSettings):
    """What a weights' card says of quality.

    Example:
        >>> held = Validation(n=9, spearman=0.8, mean_absolute_error=0.04, error_of_the_mean=0.1, how="held-out cases")
        >>> made = QualityCalibration(measure="flips", passes=8, regions={"wt": Curve(agreement=(0.5, 1.0), dice=(0.4, 0.9), validation=held)})
        >>> round(made.expected_dice("wt", 0.9), 2)
        0.8
    """

    measure: Measure
    """Where the answers came from whose agreement is translated."""

    passes: int = Field(ge=2)
    """How many answers there were: the same number must be made to use the calibration."""

    regions: dict[str, Curve]
    """Region -> its curve."""

    def expected_dice(self, region: str, agreement: float) -> float | None:
        """Return the Dice expected at an agreement; None where the region was not calibrated or its validation failed."""
        curve = self.regions.get(region)
        if curve is None or not curve.validation.useful or not np.isfinite(agreement):
            return None
        return float(np.interp(agreement, curve.agreement, curve.dice))


def fit_calibration(
    table: pd.DataFrame, *, measure: Measure, passes: int, shape: Shape = "linear", seed: int = 0
) -> QualityCalibration:
    """Return a calibration with its cross-validated validation, ready for `WeightsCard.calibration`.

    Args:
        table: columns `case, region, agreement, dice` (agreement and Dice 0 to 1): one row per case and region, of cases that the network was not
            trained on. Rows without an agreement or Dice are left out.
        measure: where the agreement came from (`SegmentSettings.uncertainty`).
        passes: answers per case.
        shape: `linear` (a line, for few cases) or `isotonic` (any rising curve, for dozens).
        seed: of the folds.

    Returns:
        Regions with fewer than 8 cases are absent.

    Raises:
        InputError: columns are missing, values lie outside 0..1, a case is there twice, or no region has enough cases.

    Source: quality without a reference predicted from agreement: Roy et al. 2019, doi:10.1016/j.neuroimage.2019.03.042; isotonic regression:
        Zadrozny and Elkan 2002, doi:10.1145/775047.775151.

    Example:
        >>> agreement = np.linspace(0.5, 1, 12)
        >>> table = pd.DataFrame({"case": range(12), "region": "wt", "agreement": agreement, "dice": agreement - 0.1})
        >>> made = fit_calibration(table, measure="flips", passes=8)
        >>> round(made.expected_dice("wt", 0.8), 2), made.regions["wt"].validation.mean_absolute_error < 0.01
        (0.7, True)
    """
    checked = _checked(table)
    curves = {}
    for region, rows in checked.groupby("region", sort=True):
        if len(rows) < LEAST_CASES:
            continue
        agreement, dice = rows["agreement"].to_numpy(float), rows["dice"].to_numpy(float)
        knots, values = _FITS[shape](agreement, dice)
        curves[str(region)] = Curve(
            agreement=tuple(knots.tolist()),
            dice=tuple(values.tolist()),
            validation=_cross_validated(agreement, dice, shape, seed),
        )
    if not curves:
        raise InputError(f"No region has {LEAST_CASES} cases with agreement and Dice; a calibration needs that many.")
    return QualityCalibration(measure=measure, passes=passes, regions=curves)


def validate_calibration(calibration: QualityCalibration, table: pd.DataFrame) -> QualityCalibration:
    """Return the calibration with its validation measured anew on cases that had no part in it.

    Args:
        calibration: as fitted elsewhere.
        table: as for `fit_calibration`. Regions without rows keep the validation they have.

    Raises:
        InputError: the table is not accepted.
    """
    checked = _checked(table)
    curves = dict(calibration.regions)
    for region, rows in checked.groupby("region"):
        curve = curves.get(str(region))
        if curve is not None and len(rows) >= 2:
            dice = rows["dice"].to_numpy(float)
            predicted = np.interp(rows["agreement"].to_numpy(float), curve.agreement, curve.dice)
            others = (dice.sum() - dice) / (dice.size - 1)
            curves[str(region)] = curve.model_copy(
                update={"validation": _scores(predicted, dice, others, "held-out cases")}
            )
    return calibration.model_copy(update={"regions": curves})


def _cross_validated(agreement: Values, dice: Values, shape: Shape, seed: int) -> Validation:
    fold = np.random.default_rng(seed).permutation(np.arange(dice.size) % _FOLDS)
    predicted, mean = np.zeros_like(dice), np.zeros_like(dice)
    for held in range(_FOLDS):
        test = fold == held
        knots, values = _FITS[shape](agreement[~test], dice[~test])
        predicted[test] = np.interp(agreement[test], knots, values)
        mean[test] = dice[~test].mean()
    return _scores(predicted, dice, mean, "cross-validation")


def _scores(predicted: Values, dice: Values, mean: Values, how: str) -> Validation:
    from scipy.stats import spearmanr  # here: whoever only segments never waits for it

    varies = np.ptp(predicted) > 0 and np.ptp(dice) > 0
    return Validation(
        n=dice.size,
        spearman=float(spearmanr(predicted, dice).statistic) if varies else None,
        mean_absolute_error=float(np.abs(predicted - dice).mean()),
        error_of_the_mean=float(np.abs(mean - dice).mean()),
        how=how,
    )


def _line(agreement: Values, dice: Values) -> tuple[Knots, Knots]:
    """Return the ends of a least-squares line between the least and the largest agreement; a falling line is made flat."""
    spread = float(np.var(agreement))
    slope = max(0.0, float(np.cov(agreement, dice, bias=True)[0, 1]) / spread) if spread > 0 else 0.0
    knots = np.array([agreement.min(), agreement.max()])
    return knots, np.clip(dice.mean() + slope * (knots - agreement.mean()), 0, 1)


def _isotonic(agreement: Values, dice: Values) -> tuple[Knots, Knots]:
    from sklearn.isotonic import IsotonicRegression  # here: whoever only segments never waits for it

    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(agreement, dice)
    return np.asarray(fitted.X_thresholds_, dtype=float), np.asarray(fitted.y_thresholds_, dtype=float)


_FITS: Mapping[str, Callable[[Values, Values], tuple[Knots, Knots]]] = {"linear": _line, "isotonic": _isotonic}


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(f"The table lacks {', '.join(missing)}; it needs the columns {', '.join(COLUMNS)}.")
    rows = table.dropna(subset=["agreement", "dice"])
    problems = [
        f"'{name}' has values outside 0 to 1" for name in ("agreement", "dice") if not rows[name].between(0, 1).all()
    ]
    if rows.duplicated(["case", "region"]).any():
        problems.append("a case has a region more than once")
    if problems:
        raise InputError("The table of agreements is not accepted:", problems=problems)
    return rows
