"""Intermediate fusion: branches become vectors, a small network fuses them; what a case lacks is masked."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from jaxtyping import Float
from scipy.special import expit

from radiogen.cohort.splits import grouped_folds, patients_of_smaller_class
from radiogen.errors import InputError
from radiogen.fusion.base import IMPORTANCE_COLUMNS, BranchwiseModel, log_loss, without_context
from radiogen.fusion.classifiers import row_weights
from radiogen.fusion.context import RowContext
from radiogen.fusion.layers import HEADS, WEIGHT_NAMES, BranchEmbedding
from radiogen.fusion.network_training import (
    BranchRows,
    Head,
    branch_logits,
    seeded,
    stacked,
    train_branch,
    train_fusion,
)
from radiogen.fusion.prepare import Preparation, preparation
from radiogen.types import Labels01

log = logging.getLogger(__name__)

Member = tuple[list[BranchEmbedding], Head]


@dataclass
class _Inner:
    """One inner fold: prepared branches, and the branch parts after every number of epochs."""

    train: np.ndarray
    test: np.ndarray
    before: list[BranchRows]
    after: list[BranchRows]
    parts: list[dict[int, BranchEmbedding]]


class NetworkFusion(BranchwiseModel):
    """CA-Net's cross-attention, a locally connected layer, or gated attention over branches, trained in two stages inside the training rows.

    First each branch learns alone from the rows that have it and is frozen, then the fusion learns. How long both take is chosen by the log loss of
    inner out-of-fold predictions, grouped by patient. The answer is the mean log-odds of a few networks with different seeds.

    Args:
        settings: as `ClassifySettings` dumps them; None: the defaults.
        seed: seed of everything random.
        branch_of: column -> branch.

    Source: see `radiogen.fusion.layers`; stages: CA-Net, BrainLes 2021.
    """

    def fit(
        self, X: pd.DataFrame, y: Labels01, patient: np.ndarray | None = None, context: RowContext | None = None
    ) -> NetworkFusion:
        """Choose on inner folds how long branches and fusion learn, and train on all given rows.

        Args:
            X: one row per case, columns of numbers, NaN where missing.
            y: 0/1 label per row.
            patient: patient id per row; every row is its own patient by default.
            context: sites, covariates and perturbed values of the rows, where a step of the preparation needs them.

        Raises:
            InputError: no branch has enough patients of both classes.
        """
        self.feature_names_in_ = X.columns.to_numpy(dtype=object)
        self.classes_ = np.array([0, 1])
        settings = self._chosen
        network, kind = settings.network, settings.fusion
        context = without_context(X) if context is None else context
        group = np.arange(len(y)) if patient is None else np.asarray(patient, dtype=object)
        weight = row_weights(y, settings.class_weight)
        self.prevalence_ = float(np.average(y, weights=weight))
        folds = grouped_folds(group, y, min(settings.inner_folds, patients_of_smaller_class(group, y)), self.seed)
        self.columns_ = {
            branch: columns
            for branch, columns in self._usable_branches(X, y, group).items()
            if self._in_every_fold(X, y, branch, columns, folds)
        }
        if not self.columns_:
            raise InputError("No branch has enough patients of both classes to learn from.")
        inner = self._inner(X, y, weight, folds, context)
        self.choices_ = {branch: self._best_epochs(number, inner, y) for number, branch in enumerate(self.columns_)}
        chosen = [int(self.choices_[branch]["parameters"]["epochs"]) for branch in self.columns_]
        self.choices_[kind], self.inner_probability_ = self._fusion_epochs(inner, chosen, y, weight)
        epochs = int(self.choices_[kind]["parameters"]["epochs"])
        self.preparations_ = {name: preparation(settings, self.seed) for name in self.columns_}
        branches = self._prepared(X, context, self.preparations_, y=y)
        tensors: dict[str, torch.Tensor] = {}
        members: list[Member] = []
        for number in range(network.members):
            seed = self._seed(number)
            parts = [
                train_branch(branch, y, weight, [count], network, seed)[count]
                for branch, count in zip(branches, chosen, strict=True)
            ]
            features, present = stacked(parts, branches, len(y))
            head = train_fusion(kind, features, present, y, weight, [epochs], network, seed)[epochs]
            members.append((parts, head))
            for at, part in enumerate(parts):
                tensors |= {f"{number}.branch{at}.{name}": value for name, value in part.state_dict().items()}
            tensors |= {f"{number}.head.{name}": value for name, value in head.state_dict().items()}
        # Numbers without code: a safetensors file inside the bundle's one.
        self.tensors_ = safetensors.torch.save({name: value.contiguous() for name, value in tensors.items()})
        self.slopes_ = self._slopes(members, branches, len(y))
        return self

    def _in_every_fold(
        self, X: pd.DataFrame, y: Labels01, branch: str, columns: list[str], folds: list[np.ndarray]
    ) -> bool:
        there = np.isin(np.arange(len(y)), self._rows_with(X, branch, columns))
        for test in folds:
            known = there.copy()
            known[test] = False
            if min(np.bincount(y[known], minlength=2)) < 2:
                log.warning("The branch %s has one class only in an inner fold; it is left out.", branch)
                return False
        return True

    def _seed(self, member: int) -> int:
        return int(np.random.SeedSequence([self.seed, member]).generate_state(1)[0] % 2**31)

    def _prepared(
        self,
        X: pd.DataFrame,
        context: RowContext,
        prepare: dict[str, Preparation],
        rows: np.ndarray | None = None,
        y: np.ndarray | None = None,
    ) -> list[BranchRows]:
        """Return every branch's prepared rows, numbered within `rows`; with labels the preparation is fitted on them first."""
        among = np.arange(len(X)) if rows is None else rows
        found = []
        for branch, columns in self.columns_.items():
            there = self._rows_with(X.iloc[among], branch, columns)
            own = among[there]
            values, known = X.iloc[own][columns].to_numpy(dtype=float), self._own_context(context, columns, own)
            if y is not None:
                prepared = prepare[branch].fit_transform(values, y[own], known)
            else:
                width = len(prepare[branch].get_feature_names_out(np.array(columns, dtype=object)))
                prepared = prepare[branch].transform(values, known) if len(own) else np.zeros((0, width))
            found.append(BranchRows(there, prepared))
        return found

    def _inner(
        self, X: pd.DataFrame, y: Labels01, weight: np.ndarray, folds: list[np.ndarray], context: RowContext
    ) -> list[_Inner]:
        settings = self._chosen
        if settings.unseen_site == "refuse":
            settings = settings.model_copy(update={"unseen_site": "identity"})  # an inner fold may leave a site out
        found = []
        for test in folds:
            train = np.setdiff1d(np.arange(len(y)), test)
            prepare = {name: preparation(settings, self.seed) for name in self.columns_}
            before = self._prepared(X, context, prepare, train, y)
            after = self._prepared(X, context, prepare, test)
            parts = [
                train_branch(
                    branch, y[train], weight[train], settings.network.branch_epochs, settings.network, self._seed(0)
                )
                for branch in before
            ]
            found.append(_Inner(train, test, before, after, parts))
        return found

    def _best_epochs(self, number: int, inner: list[_Inner], y: Labels01) -> dict[str, Any]:
        losses = {}
        for epochs in self._chosen.network.branch_epochs:
            odds = np.concatenate([branch_logits(fold.parts[number][epochs], fold.after[number]) for fold in inner])
            truth = np.concatenate([y[fold.test[fold.after[number].rows]] for fold in inner])
            losses[epochs] = log_loss(expit(odds), truth)
        best = min(losses, key=lambda epochs: round(losses[epochs], 9))
        return {"parameters": {"epochs": best}, "inner_log_loss": losses[best]}

    def _fusion_epochs(
        self, inner: list[_Inner], chosen: list[int], y: Labels01, weight: np.ndarray
    ) -> tuple[dict[str, Any], np.ndarray]:
        settings = self._chosen
        candidates = settings.network.fusion_epochs
        found = {epochs: np.full(len(y), self.prevalence_) for epochs in candidates}
        for fold in inner:
            parts = [kept[count] for kept, count in zip(fold.parts, chosen, strict=True)]
            features, present = stacked(parts, fold.before, len(fold.train))
            heads = train_fusion(
                settings.fusion,
                features,
                present,
                y[fold.train],
                weight[fold.train],
                candidates,
                settings.network,
                self._seed(0),
            )
            for epochs, head in heads.items():
                found[epochs][fold.test] = self._answer([(parts, head)], fold.after, len(fold.test))[0]
        losses = {epochs: log_loss(probability, y) for epochs, probability in found.items()}
        best = min(losses, key=lambda epochs: round(losses[epochs], 9))
        return {"parameters": {"epochs": best}, "inner_log_loss": losses[best]}, found[best]

    def _answer(
        self, members: list[Member], branches: list[BranchRows], n: int
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n b"]]:
        """Return the probability and the shares of the branches per row; rows without any branch get the prevalence."""
        probability = np.full(n, self.prevalence_)
        shares = np.full((n, len(branches)), np.nan)
        with torch.no_grad(), seeded(self.seed):
            answers = []
            for parts, head in members:
                features, present = stacked(parts, branches, n)
                known = present.any(1)
                answers.append(head(features[known], present[known]))
        if answers and known.any():
            there, has = known.numpy(), present.numpy()
            logits = np.mean([logits.numpy().astype(float) for logits, _ in answers], axis=0)
            probability[there] = expit(logits)
            shares[there] = np.mean([share.numpy().astype(float) for _, share in answers], axis=0)
            shares[~has] = np.nan
        return probability, shares

    def _members(self) -> list[Member]:
        settings = self._chosen
        tensors = safetensors.torch.load(self.tensors_)
        members: list[Member] = []
        for number in range(settings.network.members):
            parts = []
            for at in range(len(self.columns_)):
                state = _under(tensors, f"{number}.branch{at}.")
                part = BranchEmbedding(state["linear.weight"].shape[1], settings.network)
                part.load_state_dict(state)
                parts.append(part.eval())
            head = HEADS[settings.fusion](settings.network, len(parts))
            head.load_state_dict(_under(tensors, f"{number}.head."))
            members.append((parts, head.eval()))
        return members

    def _applied(self, X: pd.DataFrame, context: RowContext | None) -> tuple[np.ndarray, np.ndarray]:
        X = X[list(self.feature_names_in_)]
        context = without_context(X) if context is None else context
        with seeded(self.seed):
            members = self._members()
        return self._answer(members, self._prepared(X, context, self.preparations_), len(X))

    def predict_proba(self, X: pd.DataFrame, context: RowContext | None = None) -> Float[np.ndarray, "n 2"]:
        """Return the probabilities of class 0 and 1 per row; a row without any branch gets the training prevalence.

        Args:
            X: holds every column seen in `fit`, in any order; NaN where missing.
            context: sites and covariates of the rows, where the model harmonises; without it all sites are new.
        """
        positive = self._applied(X, context)[0]
        return np.column_stack([1 - positive, positive])

    def branch_weights(self, X: pd.DataFrame, context: RowContext | None = None) -> pd.DataFrame:
        """Return the share of each branch in each row's answer: `reliability_<branch>` or `attention_<branch>`.

        Args:
            X: as for `predict_proba`.
            context: as for `predict_proba`.

        Returns:
            Index of `X`; shares sum to 1 over the branches that a row has, NaN where it lacks one. No column with the locally connected layer.
        """
        word = WEIGHT_NAMES.get(self._chosen.fusion)
        if word is None:
            return pd.DataFrame(index=X.index)
        names = [f"{word}_{branch}" for branch in self.columns_]
        return pd.DataFrame(self._applied(X, context)[1], index=X.index, columns=names)

    def _slopes(self, members: list[Member], branches: list[BranchRows], n: int) -> dict[str, np.ndarray]:
        """Return per branch and prepared column the mean derivative of the log-odds over the training rows."""
        found = [np.zeros(branch.values.shape[1]) for branch in branches]
        with seeded(self.seed):
            for parts, head in members:
                features, present = stacked(parts, branches, n)
                known = present.any(1)
                features = features.detach().requires_grad_()
                head(features[known], present[known])[0].sum().backward()
                gradient = features.grad
                for at, (part, branch) in enumerate(zip(parts, branches, strict=True)):
                    own = gradient[torch.from_numpy(branch.rows), at].flatten(1)  # type: ignore[index]
                    found[at] += (own @ part.linear.weight).mean(0).detach().numpy().astype(float) / len(members)
        return dict(zip(self.columns_, found, strict=True))

    def importance(self) -> pd.DataFrame:
        """Return one row per column that reached the network: its `coefficient` is the mean derivative of the log-odds in training."""
        tables = []
        for branch, columns in self.columns_.items():
            names = self.preparations_[branch].get_feature_names_out(np.array(columns, dtype=object))
            table = pd.DataFrame(0.0, index=pd.Index(names, name="feature"), columns=IMPORTANCE_COLUMNS)
            table["selected"], table["coefficient"] = 1.0, self.slopes_[branch]
            tables.append(table)
        return pd.concat(tables)


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
