"""Settings of survival analysis."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from radiogen.config.base import StageSettings
from radiogen.config.survival_model import SurvivalModelSettings


class SurvivalSettings(StageSettings):
    """What is compared, how the table is read, and which numbers are reported.

    Example:
        >>> SurvivalSettings(group_by="idh", where=("grade=4",)).landmarks_months
        (12.0, 24.0, 60.0)
    """

    group_by: str | None = None
    """Column whose values make the groups, or `model` for the risk groups of a predictions table; nothing means one curve for everybody."""

    cut: str | None = None
    """How a number becomes two groups: `median` (of the same patients, which the report then says), a value fixed beforehand, or `best`: the cut
    that separates best, with a p value that is corrected for having looked for it."""

    from_months: float | None = Field(default=None, gt=0)
    """Landmark: only patients who are alive and still followed at this time, counted from then; what is compared must be known by then."""

    strata: str | None = None
    """Column, such as site: groups are also compared inside its values only (stratified log-rank)."""

    weighting: Literal["gehan", "tarone-ware", "peto", "late"] | None = None
    """A weighted log-rank test beside the plain one, chosen before the data were seen: deaths that come early (gehan, tarone-ware, peto) or late
    count more."""

    entry_column: str | None = None
    """Column of the time at which a patient came under observation, counted from the same zero (left truncation); nothing means `entry_days`
    where the table has it."""

    cox_strata: str | None = None
    """Column, such as site, whose values have baseline hazards of their own in the Cox models."""

    cluster: str | None = None
    """Column, such as patient or site: Cox models get robust (sandwich) errors, rows of one value counted together."""

    where: tuple[str, ...] = ()
    """Only rows that fulfil every `COLUMN=VALUE`, such as `idh=0`."""

    covariates: tuple[str, ...] | None = None
    """Covariates of the Cox models; nothing means every one of age, sex, grade, idh, mgmt, eor and kps that is known well enough."""

    min_known: float = Field(default=0.7, gt=0, le=1)
    """Share of patients for whom a covariate must be known to be taken when `covariates` names none."""

    time_column: str | None = None
    """Column of the follow-up; nothing means the one known spelling in the table."""

    event_column: str | None = None
    """Column of the event; nothing means the one known spelling in the table."""

    time_unit: Literal["days", "months", "years"] | None = None
    """Unit of the time column; nothing means that its name says so."""

    died_value: str | None = None
    """Value of the event column that means died, where that is not 1: `0` for a column such as survived_yes1_no0, `2` for R's 1/2 coding."""

    drop_negative: bool = False
    """Leave rows with a negative follow-up out, and say how many, instead of refusing the table."""

    model: str | None = None
    """Which model of a predictions table makes the risk groups, where it holds several."""

    target: str | None = None
    """Which target of a predictions table makes the risk groups, where it holds several."""

    landmarks_months: tuple[float, ...] = (12.0, 24.0, 60.0)
    """Months at which survival is reported, where they lie inside the follow-up."""

    min_events: int = Field(default=5, ge=1)
    """Groups with fewer deaths than this are pointed out."""

    max_groups: int = Field(default=7, ge=2, le=7)
    """More groups than this cannot be told apart in one figure and are refused."""

    n_bootstrap: int = Field(default=1000, ge=100)
    """Resamples behind the interval of the C index."""

    seed: int = 0
    """Seed of resampling and of cross-validation folds."""

    risk: SurvivalModelSettings = SurvivalModelSettings()
    """With features: the model of the risk of death, its splits and horizons."""

    @field_validator("cut")
    @classmethod
    def _median_or_number(cls, value: str | None) -> str | None:
        if value is not None and value not in ("median", "best"):
            float(value)
        return value

    @field_validator("where")
    @classmethod
    def _column_and_value(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not all(part.strip() for part in value.partition("=")):
                raise ValueError("write it as COLUMN=VALUE, such as idh=0")
        return values
