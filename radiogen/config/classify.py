"""Settings of `radiogen classify`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from radiogen.config.base import StageSettings
from radiogen.config.fusion import FusionNetworkSettings

Selector = Literal["correlation", "correlation-clusters", "univariate", "mrmr", "l1", "stability", "boruta", "icc"]

_COVARIATES = ("age", "sex", "kps")


class ClassifySettings(StageSettings):
    """Splits, preparation inside the fold, classifiers and their tuning.

    Example:
        >>> ClassifySettings().classifiers
        ('elastic-net', 'xgboost')
    """

    seed: int = Field(default=0, ge=0)
    """Seed of splits and classifiers; the same seed gives the same bytes, whatever `--jobs` is."""

    sites: Literal["hold-out", "ignore"] = "hold-out"
    """`hold-out`: whole sites are tested by models that never saw them, where two or more can be; `ignore`: patients are split at random."""

    folds: int = Field(default=5, ge=2)
    """Outer folds of the random split of patients."""

    repeats: int = Field(default=3, ge=1)
    """How often the random split is drawn anew; held-out sites are split once."""

    inner_folds: int = Field(default=5, ge=2)
    """Folds inside each training part that choose hyper-parameters; fewer are used where a class has fewer patients."""

    min_site_cases: int = Field(default=5, ge=2)
    """Fewest cases of a site for a test fold of its own; smaller or one-class sites are tested together."""

    max_site_folds: int = Field(default=10, ge=2)
    """Most test folds made of sites; beyond it the smallest are tested together."""

    classifiers: tuple[str, ...] = Field(default=("elastic-net", "xgboost"), min_length=1)
    """Registered classifiers, which are tuned (see `radiogen info`), and any scikit-learn classifier as `package.module:Class`, which is not."""

    fusion: str = "early"
    """How branches become one probability: `early` (one table of all columns); late, one fused classifier per branch and their log-odds: `mean`,
    `weighted` (by how much better than chance they are on the inner folds), `stacking` (logistic regression on their inner out-of-fold scores);
    networks: `cross-attention`, `locally-connected`, `gated-attention`."""

    missing_branch: Literal["skip", "impute"] = "skip"
    """A case that lacks a branch: `skip`, late fusion and networks answer from the branches that the case has; `impute`, the training medians stand
    in for the branch. Early fusion has one table and always imputes, with an indicator."""

    branch_weight: Literal["log-loss", "auc"] = "log-loss"
    """With `weighted`: the share of the prevalence's inner log loss that a branch takes away, or its inner AUC above one half."""

    network: FusionNetworkSettings = FusionNetworkSettings()
    """With a network as `fusion`: its size and training."""

    class_weight: Literal["none", "balanced"] = "none"
    """`balanced`: both classes weigh the same in every classifier. Their probabilities then answer for a half-and-half population, not for this one;
    ranks hardly change."""

    search: Literal["grid", "bayesian"] = "grid"
    """How hyper-parameters are tuned on the inner folds: all of a classifier's candidates, or a tree-structured Parzen estimator
    over their ranges."""

    trials: int = Field(default=20, ge=1)
    """With `bayesian`: how many hyper-parameters are tried per classifier."""

    combine: Literal["average", "best"] = "average"
    """`average`: the mean log-odds of the tuned classifiers; `best`: the one with the lowest inner log loss."""

    selection: tuple[Selector, ...] = ("correlation",)
    """Which columns reach the classifiers, one selector after another, each fitted inside the fold: `correlation` (the first of highly
    correlated ones), `correlation-clusters` (one of each cluster), `univariate` (ANOVA F), `mrmr` (relevant, not redundant), `l1` (what a lasso
    keeps), `stability` (what lassos on halves of the training rows keep), `boruta` (better than shuffled copies), `icc` (stable under
    perturbations; always the first, for it judges columns as they were measured). `none`: all columns."""

    least_icc: float = Field(default=0.75, gt=0, le=1)
    """With `icc`: smallest lower confidence bound of ICC(3,1), over the training cases, in every family of perturbations."""

    stability_threshold: float = Field(default=0.6, gt=0.5, le=1)
    """With `stability`: share of the halves in which a column must be chosen."""

    perturbed: Path | None = None
    """Table that `radiogen stability` wrote (`radiomics_perturbed.parquet`): needed by `icc`; also says how much of the predictions' variance is
    segmentation and noise."""

    reduce: Literal["none", "pca", "pls"] = "none"
    """What happens to the columns of embeddings, inside the fold and before selection: `pca` or `pls` components in their place."""

    components: int = Field(default=10, ge=1)
    """With `reduce`: most components; fewer where training rows are fewer."""

    harmonise: Literal["none", "combat"] = "none"
    """`combat`: differences between sites are taken out of image features, fitted on the training rows of each fold."""

    covariates: tuple[str, ...] = ("age", "sex")
    """With `combat`: what may differ between sites and is kept: age, sex, kps. Never a label."""

    unseen_site: Literal["refuse", "identity", "reference-batch"] = "identity"
    """With `combat`, rows of a site that was not in training: `refuse` them (so whole sites cannot be held out); `identity`, keep them as they
    are; `reference-batch`, the same, with all training sites moved to the distribution of the largest."""

    least_site_cases: int = Field(default=3, ge=2)
    """With `combat`: sites with fewer training cases are treated as one."""

    max_correlation: float = Field(default=0.95, gt=0, le=1)
    """With `correlation`, a column is left out when its absolute correlation with an earlier one is above this; with `correlation-clusters`, clusters
    are joined above it."""

    max_columns: int = Field(default=50, ge=1)
    """With `univariate` and `mrmr`: how many columns stay."""

    clip_z: float = Field(default=5.0, gt=0)
    """Robust z-scores beyond this are set to it, so that one extreme value cannot carry a model."""

    calibrate: Literal["none", "sigmoid", "isotonic", "beta"] = "none"
    """How probabilities are calibrated, from out-of-fold scores of each training side."""

    threshold: Literal["youden", "sensitivity", "specificity", "half"] = "youden"
    """How the probability is chosen at and above which a case is called positive, from the same scores: largest sensitivity + specificity, a wanted
    sensitivity, a wanted specificity, or 0.5."""

    wanted: float = Field(default=0.9, gt=0, lt=1)
    """With `threshold: sensitivity` or `specificity`: which one is wanted."""

    coverage: float | None = Field(default=0.9, gt=0, lt=1)
    """Share of the cases of each class whose conformal set holds the truth; a set may hold both classes or none: no call. None: no sets."""

    familiar_share: float = Field(default=0.99, gt=0, lt=1)
    """Share of cases like the training ones that are not flagged as out of distribution."""

    random_split: bool = True
    """Where sites are held out, patients are also split at random, to show how much more optimistic that is."""

    permutations_refit: int = Field(default=0, ge=0)
    """Permutations of the labels, for each of which everything is fitted again; 0: none."""

    permutation_method: Literal["exact", "fast"] = "exact"
    """`exact`: preparation, selection and tuning are done again for each permutation; `fast`: what does not look at labels is prepared once, tuned
    parameters stay, and p is approximate."""

    @field_validator("selection", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        if isinstance(value, str):
            value = tuple(name.strip() for name in value.split(",") if name.strip())
        return tuple(name for name in value if name != "none") if isinstance(value, list | tuple) else value

    @field_validator("covariates")
    @classmethod
    def _no_label(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in value if name not in _COVARIATES]
        if wrong:
            raise ValueError(
                f"{', '.join(wrong)} cannot be a covariate: {', '.join(_COVARIATES)} are accepted. A label would tell the test rows what they are."
            )
        return value

    @model_validator(mode="after")
    def _fast_permutations_are_of_early_fusion(self) -> ClassifySettings:
        fast = self.permutations_refit > 0 and self.permutation_method == "fast"
        if fast and (self.fusion != "early" or self.calibrate != "none"):
            raise ValueError(
                f"permutation_method fast knows fusion early without calibration; {self.fusion} and {self.calibrate} came, for which there is exact"
            )
        return self

    @model_validator(mode="after")
    def _icc_needs_perturbations(self) -> ClassifySettings:
        if "icc" in self.selection and self.perturbed is None:
            raise ValueError("the selector icc needs perturbed; make the table with radiogen stability")
        return self
