"""What a division of tumours depends on: fitted again without each site, and with other seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.metrics import adjusted_rand_score

from radiogen.branches.habitats.clustering import UNSTABLE_LOSS, Labels, matched
from radiogen.branches.habitats.learn import TrainingData, learn_encoder, with_centres
from radiogen.branches.habitats.model import HabitatModel
from radiogen.branches.habitats.voxels import Rows
from radiogen.config.habitats import HabitatSettings

_LEAST_PATIENTS = 2


@dataclass(frozen=True)
class Refit:
    """How a model fitted again divides voxels, beside the model itself.

    Args:
        kind: `site`: without one site, compared on that site's voxels; `seed`: with another seed, compared on the training patients' voxels.
        name: the site, or the seed.
        n_patients: whose voxels are compared.
        mismatch: share of voxels in another habitat, after habitats are matched.
        adjusted_rand: adjusted Rand index of the two divisions.
        dice: (k,) of each habitat of the model with its match; NaN where neither has it.
    """

    kind: str
    name: str
    n_patients: int
    mismatch: float
    adjusted_rand: float
    dice: tuple[float, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """Return what JSON can hold; blank is null."""
        return {**asdict(self), "dice": [None if np.isnan(value) else value for value in self.dice]}


def refit(data: TrainingData, settings: HabitatSettings, model: HabitatModel) -> list[Refit]:
    """Fit scaling, encoder and centres again, without each site and with other seeds, and compare the divisions.

    Quantile filter and number of habitats stay. Sites are left out where there are two or more, and two or more patients remain.

    Args:
        data: training patients.
        settings: of the fit; `n_refits` other seeds are taken.
        model: the fitted model.

    Source: adjusted Rand index: Hubert and Arabie 1985, J Classif 2:193; Dice 1945, Ecology 26:297.
    """
    found = []
    for site, rest, left_out in _without_each_site(data):
        again = with_centres(learn_encoder(rest, settings, model.gamma), rest, settings, model.k)
        found.append(_compared("site", site, left_out, settings, model, again))
    for number in range(1, settings.n_refits + 1):
        other = settings.model_copy(update={"seed": settings.seed + number})
        again = with_centres(learn_encoder(data, other, model.gamma), data, other, model.k)
        found.append(_compared("seed", str(other.seed), data, settings, model, again))
    return found


def reasons_of(refits: list[Refit]) -> list[str]:
    """Return why a number of habitats falls by its refits, one sentence each; nothing where it stands.

    Args:
        refits: as `refit` returns them.

    Example:
        >>> reasons_of([Refit("seed", "1", 9, 0.3, 0.4, (0.7, 0.6))])
        ['2 habitats are unstable over seeds: with seed 1, 30% of the voxels change theirs']
    """
    found = []
    for kind, words in (("site", "sites: learned without site {}"), ("seed", "seeds: with seed {}")):
        own = [each for each in refits if each.kind == kind]
        worst = max(own, key=lambda each: each.mismatch, default=None)
        if worst is not None and worst.mismatch > UNSTABLE_LOSS:
            found.append(
                f"{len(worst.dice)} habitats are unstable over {words.format(worst.name)}, {worst.mismatch:.0%} of the voxels change theirs"
            )
    return found


def habitat_dice(ours: Labels, theirs: Labels, k: int) -> Float[np.ndarray, " k"]:
    """Return the Dice coefficient of every habitat of one division with its match in another; NaN where neither has it.

    Args:
        ours: labels from 0 to k - 1.
        theirs: the same voxels' labels.
        k: habitats.

    Example:
        >>> habitat_dice(np.array([0, 0, 1]), np.array([1, 1, 0]), 2).tolist()
        [1.0, 1.0]
    """
    match = matched(ours, theirs, k)
    values = np.full(k, np.nan)
    for each in range(k):
        one, other = ours == each, theirs == match[each]
        if one.any() or other.any():
            values[each] = 2 * (one & other).sum() / (one.sum() + other.sum())
    return values


def _without_each_site(data: TrainingData) -> Iterator[tuple[str, TrainingData, TrainingData]]:
    """Yield a site, the data without it, and its own data."""
    sites = sorted(set(data.site_of.values()))
    for site in sites if len(sites) > 1 else []:
        rest = data.part([case for case in data.cases if data.site_of.get(case) != site])
        if len(set(rest.patient_of.values())) >= _LEAST_PATIENTS:
            yield site, rest, data.part([case for case in data.cases if data.site_of.get(case) == site])


def _compared(
    kind: str, name: str, data: TrainingData, settings: HabitatSettings, model: HabitatModel, again: HabitatModel
) -> Refit:
    rows, _ = data.sample(settings.sample_voxels, settings.seed)
    ours, theirs = _divided(model, rows), _divided(again, rows)
    dice = habitat_dice(ours, theirs, model.k)
    mismatch = float((matched(ours, theirs, model.k)[ours] != theirs).mean())
    patients = len(set(data.patient_of.values()))
    return Refit(kind, name, patients, mismatch, float(adjusted_rand_score(ours, theirs)), tuple(map(float, dice)))


def _divided(model: HabitatModel, rows: Rows) -> Labels:
    return model.divide(rows).astype(np.int64) - 1
