"""The verdict: one rule, written down, the same for everybody's predictions.

Which AUC: inside test splits (`within-split`) where the table names its folds or held-out sites and enough cases lie in splits with both classes,
because scores of different models are not comparable (see `evaluate.within`); over all cases (`pooled`) otherwise, such as for an external test
set. The same pairs count for the model and for every baseline.

a. Fewer than `min_per_class` cases (10) of either class: `undetermined`.
b. Not above chance: permutation p >= `alpha`, or the AUC's interval reaches down to 0.5. `no-better-than-chance` where the interval ends below
   `useful_auc` (0.75), so that a useful AUC is excluded; `undetermined` where it does not, because the study is too small to say. With
   cross-validation the permuted AUCs are widened by sqrt(1 + k / (k - 1)), because outcomes that are tested in one fold trained the models of the
   other folds. Where the whole pipeline was refitted on shuffled labels, that p counts instead.
c. Above chance: `beats-baselines` only where the paired interval of model minus baseline lies above 0 for **every** trivial baseline;
   `no-better-than-baselines` otherwise; `undetermined` where there was nothing to race against. A baseline that is known for fewer than
   `min_per_class` cases of either class is shown but does not count; nor does one that is the same for all cases of a split, as the site is where
   sites are held out.

Asking for every baseline at once needs no correction for many tests: the chance of a false `beats-baselines` is at most that of the hardest
single one.

Source: Berger 1982, Technometrics 24:295 (intersection-union tests).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radiogen.config.evaluate import EvaluateSettings

BEATS_BASELINES = "beats-baselines"
NO_BETTER_THAN_BASELINES = "no-better-than-baselines"
NO_BETTER_THAN_CHANCE = "no-better-than-chance"
UNDETERMINED = "undetermined"

SITE_HELD_OUT, GROUPED_KFOLD, EXTERNAL, UNKNOWN = "site-held-out", "grouped-kfold", "external", "unknown"
"""How cases were held out, as far as the predictions table tells."""

_LABELS = {"idh": "IDH", "mgmt": "MGMT", "codeletion": "1p/19q", "grade": "grade", "unnamed": ""}
_BASELINES = {"idh": "IDH", "age+sex": "age and sex"}
_NOT_ALONE = {"all clinical": "all clinical facts", "all together": "all facts with scanner and site"}


@dataclass(frozen=True)
class Verdict:
    """The verdict and why.

    Args:
        name: `beats-baselines`, `no-better-than-baselines`, `no-better-than-chance` or `undetermined`.
        reason: the finding that decided, without numbers of the baselines.
    """

    name: str
    reason: str


def decide(
    n_positive: int,
    n_negative: int,
    auc_ci: Sequence[float],
    permutation_p: float,
    baselines: Sequence[Mapping[str, Any]],
    settings: EvaluateSettings | None = None,
) -> Verdict:
    """Return the verdict by the rule in the module's description.

    Args:
        n_positive: cases of the positive class.
        n_negative: cases of the negative class.
        auc_ci: interval of the model's AUC.
        permutation_p: p-value against chance.
        baselines: rows with `delta_ci` and, where it is False, `counts`.
        settings: the rule's numbers.

    Example:
        >>> decide(40, 60, (0.71, 0.88), 0.001, [{"name": "age", "delta_ci": (-0.02, 0.09)}]).name
        'no-better-than-baselines'
    """
    rule = settings or EvaluateSettings()
    if min(n_positive, n_negative) < rule.min_per_class:
        few = f"only {min(n_positive, n_negative)} case(s) of the rarer class, and {rule.min_per_class} are needed to judge"
        return Verdict(UNDETERMINED, few)
    low, high = auc_ci
    if not (permutation_p < rule.alpha and low > 0.5):
        if high < rule.useful_auc:
            return Verdict(
                NO_BETTER_THAN_CHANCE, f"not above chance, and an AUC of {rule.useful_auc:g} or more is excluded"
            )
        return Verdict(UNDETERMINED, f"not above chance, but an AUC of {rule.useful_auc:g} is not excluded either")
    counted = [row for row in baselines if row.get("counts", True)]
    if not counted:
        return Verdict(UNDETERMINED, "above chance, but there is no clinical fact or site to race against")
    if all(row["delta_ci"][0] > 0 for row in counted):
        return Verdict(BEATS_BASELINES, "above chance and above every trivial baseline")
    return Verdict(NO_BETTER_THAN_BASELINES, "above chance, but not shown to be better than every trivial baseline")


def judge(metrics: Mapping[str, Any], settings: EvaluateSettings | None = None) -> dict[str, Any]:
    """Return `verdict`, `verdict_reason` and `verdict_text` for the metrics of an evaluation; call it again after a key that matters has changed.

    Args:
        metrics: of `evaluate.audit`; `permutation_refit_p` (whole pipeline refitted on shuffled labels) counts in the place of `permutation_p`
            where it is there.
        settings: the rule's numbers.
    """
    n_negative = metrics["n"] - metrics["n_positive"]
    verdict = decide(
        metrics["n_positive"],
        n_negative,
        judged_auc(metrics)[1],
        _chance_p(metrics),
        judged_baselines(metrics),
        settings,
    )
    return {
        "verdict": verdict.name,
        "verdict_reason": verdict.reason,
        "verdict_text": verdict_sentence(metrics, verdict, settings),
    }


def judged_auc(metrics: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the AUC that the verdict uses and its interval; None where the metrics do not have them."""
    inside = metrics.get("within_split")
    if metrics.get("verdict_auc") == "within-split" and inside:
        return inside.get("auc"), inside.get("auc_ci")
    return metrics.get("auc"), metrics.get("auc_ci")


def judged_baselines(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the baselines with `auc`, `auc_ci`, `delta` and `delta_ci` over the pairs that the verdict uses."""
    rows = [dict(row) for row in metrics.get("baselines") or []]
    if metrics.get("verdict_auc") != "within-split":
        return rows
    renamed = {"auc": "within_auc", "auc_ci": "within_auc_ci", "delta": "within_delta", "delta_ci": "within_delta_ci"}
    return [row | {name: row.get(other) for name, other in renamed.items()} for row in rows]


def _chance_p(metrics: Mapping[str, Any]) -> float:
    refitted = metrics.get("permutation_refit_p")
    return float(metrics["permutation_p"] if refitted is None else refitted)


def verdict_sentence(metrics: Mapping[str, Any], verdict: Verdict, settings: EvaluateSettings | None = None) -> str:
    """Return the verdict as one plain sentence with its numbers.

    Args:
        metrics: needs `target, n, n_positive, n_sites, split, auc, auc_ci, permutation_p, baselines, strata`.
        verdict: as `decide` returns it.
        settings: for the coverage that the sentence names.
    """
    rule = settings or EvaluateSettings()
    low, high = metrics["auc_ci"]
    label = _LABELS.get(metrics["target"], metrics["target"])
    chance = f"permutation p {_p(_chance_p(metrics))}"
    head = f"In {metrics['n']} cases ({metrics['n_positive']} positive) the {f'{label} ' if label else ''}model reaches AUC {metrics['auc']:.3f}"
    if metrics.get("verdict_auc") == "within-split":
        area, (inner_low, inner_high) = judged_auc(metrics)
        head += (
            f" ({rule.confidence:.0%} CI {_ends(low, high)}), and {area:.3f} ({_ends(inner_low, inner_high)}, {chance}) between cases of the same "
            f"test split, which the verdict uses: {verdict.reason}"
        )
    else:
        head += f" ({rule.confidence:.0%} CI {_ends(low, high)}, {chance}): {verdict.reason}"
    parts = [
        head,
        _hardest(judged_baselines(metrics)),
        _weakest_stratum(metrics),
        _held_out(metrics["split"], metrics["n_sites"]),
    ]
    return "; ".join(part for part in parts if part) + "."


def hardest_baseline(baselines: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the counted baseline that leaves the model the smallest lead on the same rows, or None."""
    counted = [row for row in baselines if row.get("counts", True)]
    return min(counted, key=lambda row: row["delta"]) if counted else None


def weakest_stratum(metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the stratum with the lowest AUC among those whose whole interval lies below the overall AUC, or None."""
    clear = [row for row in metrics["strata"] if row["auc"] is not None and row["auc_ci"][1] < metrics["auc"]]
    return min(clear, key=lambda row: row["auc"]) if clear else None


def _hardest(baselines: Sequence[Mapping[str, Any]]) -> str:
    row = hardest_baseline(baselines)
    if row is None:
        return ""
    low, high = row["delta_ci"]
    name = _BASELINES.get(row["name"], row["name"])
    words = _NOT_ALONE.get(name, f"{name} alone")
    lead = f"model minus baseline {row['delta']:+.3f}, {_ends(low, high, '+.3f')}, n={row['n']}"
    return f"the strongest baseline, {words}, reaches {row['auc']:.3f} ({lead})"


def _weakest_stratum(metrics: Mapping[str, Any]) -> str:
    row = weakest_stratum(metrics)
    if row is None:
        return ""
    name = _BASELINES.get(row["stratum"], row["stratum"])
    low, high = row["auc_ci"]
    return f"within {name} {row['value']} the AUC falls to {row['auc']:.3f} ({_ends(low, high)}, n={row['n']})"


def _held_out(split: str, n_sites: int) -> str:
    if split == SITE_HELD_OUT:
        return f"whole sites were held out ({n_sites} sites)"
    if split == EXTERNAL:
        return "the cases are an external test set"
    if split == GROUPED_KFOLD:
        where = {0: "; sites are unknown", 1: "; all cases come from one site"}.get(
            n_sites, f"; its {n_sites} sites were not held out"
        )
        return f"patients were held out in folds{where}".replace("; ", ", ")
    return "the table does not say how cases were held out"


def _p(value: float) -> str:
    return f"{value:.4f}" if value < 0.01 else f"{value:.2f}"


def _ends(low: float, high: float, form: str = ".3f") -> str:
    return "unknown" if math.isnan(low) or math.isnan(high) else f"{low:{form}} to {high:{form}}"
