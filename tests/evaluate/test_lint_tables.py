"""The table linter: for each check one made-up table that leaks and one that does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiogen.config.lint import LintSettings
from radiogen.evaluate.lint import Finding, Severity, as_json, as_text, finding, in_order
from radiogen.evaluate.lint_features import lint_features, noise_bound, single_aucs
from radiogen.evaluate.lint_folds import lint_equal_rows, lint_folds
from radiogen.evaluate.lint_predictions import lint_metrics, lint_predictions, lint_seen
from radiogen.evaluate.lint_rows import label_of, rows_of
from radiogen.stats.auc import auc

SETTINGS = LintSettings()
N = 60


def honest(n: int = N, seed: int = 0) -> pd.DataFrame:
    """A table without leaks: labels, two sites with both classes, ten columns of noise."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, 10)), columns=[f"texture_{i}" for i in range(10)])
    table.insert(0, "case", [f"c{rng.integers(10**6)}-{i:03d}" for i in rng.permutation(n)])
    table["site"] = np.where(rng.permutation(n) % 2, "A", "B")
    table["idh"] = rng.permutation(np.arange(n) % 2)
    return table


def in_table(frame: pd.DataFrame) -> dict[str, str]:
    rows = rows_of(frame, "t.csv")
    column, y = label_of(rows, "idh")
    return worst(lint_features(rows, y, target="idh", label_column=column, settings=SETTINGS))


def worst(found: list[Finding]) -> dict[str, str]:
    return {one.check: one.severity.value for one in reversed(in_order(found))}


def changed(**columns: object) -> pd.DataFrame:
    return honest().assign(**columns)


def noisy_label(table: pd.DataFrame, sd: float) -> np.ndarray:
    return table["idh"] + np.random.default_rng(1).normal(0, sd, len(table))


FEATURE_LEAKS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], dict[str, str]]] = {
    "nothing": (lambda t: t, {}),
    "a weak real signal": (lambda t: t.assign(texture_0=noisy_label(t, 1.0)), {}),
    "a copy under another name": (lambda t: t.assign(marker=3 - 2 * t["idh"]), {"label-in-features": "leak"}),
    "named after the target, and related": (
        lambda t: t.assign(idh_vaf=noisy_label(t, 0.5)),
        {"label-in-features": "leak"},
    ),
    "named after the target, and not related": (
        lambda t: t.assign(idh_batch=t["texture_1"] ** 2),
        {"label-in-features": "suspicious"},
    ),
    "words made from the label": (
        lambda t: t.assign(subtype=np.where(t["idh"] == 1, "astro", np.where(t["texture_0"] > 0, "gbm", "other"))),
        {"label-in-features": "suspicious"},
    ),
    "survival": (lambda t: t.assign(OS_months=t["texture_2"]), {"outcome-in-features": "suspicious"}),
    "too good to be true": (lambda t: t.assign(texture_9=noisy_label(t, 0.1)), {"too-good-feature": "suspicious"}),
    "gaps are the label": (
        lambda t: t.assign(perfusion=t["texture_0"].where(t["idh"] == 1)),
        {"missing-tells-label": "leak"},
    ),
    "gaps go with the label": (
        lambda t: t.assign(perfusion=t["texture_0"].where((t["idh"] == 1) | (t["texture_1"] > 0.5))),
        {"missing-tells-label": "suspicious"},
    ),
    "gaps at random": (lambda t: t.assign(perfusion=t["texture_0"].where(t["texture_1"] > 0)), {}),
    "sorted by the label": (lambda t: t.sort_values("idh"), {"order-tells-label": "suspicious"}),
    "ids in the order of the label": (
        lambda t: t.assign(case=[f"P{r:03d}" for r in t["idh"].rank(method="first").astype(int)]),
        {"order-tells-label": "suspicious"},
    ),
    "the site is the label": (
        lambda t: t.assign(site=np.where(t["idh"] == 1, "A", "B")),
        {"site-tells-label": "leak"},
    ),
    "a third of the cases comes from a one-class site": (
        lambda t: t.assign(site=np.where((t["idh"] == 1) & (t["texture_0"] > -0.5), "A", "B")),
        {"site-tells-label": "note"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FEATURE_LEAKS)
def test_columns_gaps_order_and_sites(name: str) -> None:
    change, expected = FEATURE_LEAKS[name]
    assert in_table(change(honest())) == expected


def test_a_label_table_is_no_feature_table() -> None:
    table = honest()[["case", "idh"]].assign(mgmt_index=1.0, idh_score_path=noisy_label(honest(), 0.2), age=50.0)
    assert "leak" not in in_table(table).values()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(16, 80), st.integers(1, 200))
def test_noise_stays_below_the_bound_and_columns_are_ranked_as_everywhere(seed: int, n: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    values = rng.normal(size=(n, columns))
    areas = single_aucs(values, y)
    assert areas[0] == pytest.approx(auc(y, values[:, 0]))
    # A bound at one in a million over all columns: no example may exceed it.
    assert np.maximum(areas, 1 - areas).max() <= noise_bound(n // 2, n - n // 2, columns, 1e-6)


def folds(cases: list[str], split: list[str], **more: object) -> pd.DataFrame:
    return pd.DataFrame({"case": cases, "split": split, **more})


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (folds(["a", "b", "c"], ["1", "2", "2"]), {}),
        (folds(["a", "a"], ["1", "2"], repeat=["0", "1"]), {}),
        (folds(["a", "a"], ["1", "2"], repeat=["0", "0"]), {"case-on-both-sides": "leak"}),
        (folds(["a", "b"], ["1", "2"], patient=["p", "p"]), {"patient-on-both-sides": "leak"}),
        (folds(["a", "b"], ["1", "1"], patient=["p", "p"]), {}),
        (folds(["P1_slice_03", "P1_slice_04"], ["1", "2"]), {"patient-on-both-sides": "leak"}),
        (folds(["P1_visit1", "P2_visit1"], ["1", "2"]), {}),
        (folds(["UCSF-PDGM-0004", "UCSF-PDGM-004_FU001d"], ["1", "2"]), {"patient-on-both-sides": "leak"}),
        (pd.DataFrame({"id": ["a", "b", "a"], "set": ["train", "train", "test"]}), {"case-on-both-sides": "leak"}),
        (pd.DataFrame({"id": ["a", "a"], "fold": ["1", "2"], "set": ["train", "test"]}), {"case-on-both-sides": "leak"}),
    ],
)  # fmt: skip
def test_cases_and_patients_on_both_sides(table: pd.DataFrame, expected: dict[str, str]) -> None:
    # A fold column alone says in which fold a case is tested, so one case has one.
    assert worst(lint_folds(rows_of(table, "folds.csv"))) == expected


def test_equal_rows_of_strangers() -> None:
    table = honest().drop(columns=["idh", "site"])
    twin = table.iloc[[0]].assign(case="stranger")
    near = twin.assign(**{name: twin[name] * (1 + 1e-9) for name in table.columns[1:]})
    for more, check, severity in ((twin, "identical-rows", "suspicious"), (near, "nearly-identical-rows", "note")):
        rows = rows_of(pd.concat([table, more]), "t.csv")
        assert worst(lint_equal_rows(rows, SETTINGS)) == {check: severity}
        side = pd.Series(["1"] * N + ["2"])
        found = worst(lint_equal_rows(rows, SETTINGS, side=side))
        assert found == {check: "leak" if check == "identical-rows" else "suspicious"}
    assert lint_equal_rows(rows_of(table, "t.csv"), SETTINGS) == []
    same_patient = pd.concat([table, twin]).assign(patient=[*map(str, range(N)), "0"])
    assert lint_equal_rows(rows_of(same_patient, "t.csv"), SETTINGS) == []
    # Age and sex are shared by many.
    coarse = pd.DataFrame({"case": list("abcdef"), "age": [50, 50, 60, 60, 70, 70], "sex": [0, 0, 1, 1, 0, 0]})
    assert lint_equal_rows(rows_of(coarse, "t.csv"), SETTINGS) == []


def predictions(repeats: int = 2, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(40) % 2)
    parts = [
        pd.DataFrame(
            {
                "case": [f"c{i}" for i in range(40)],
                "y_true": y,
                "y_prob": np.clip(0.5 + 0.2 * (y - 0.5) + rng.normal(0, 0.2, 40), 0, 1),
                "split": rng.permutation(np.arange(40) % 4).astype(str),
                "repeat": repeat,
                "model": "m",
            }
        )
        for repeat in range(repeats)
    ]
    return pd.concat(parts, ignore_index=True)


def in_predictions(table: pd.DataFrame) -> dict[str, str]:
    rows = rows_of(table, "p.csv")
    return worst(lint_predictions(rows, rows.frame["y_true"].astype(float), rows.frame["y_prob"].astype(float)))


PREDICTIONS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], dict[str, str]]] = {
    "honest": (lambda t: t, {}),
    "one model predicted every repeat": (
        lambda t: t.assign(y_prob=np.tile(t["y_prob"][:40], 2)),
        {"in-sample-predictions": "leak"},
    ),
    "the same folds twice": (lambda t: t.assign(y_prob=np.tile(t["y_prob"][:40], 2), split=np.tile(t["split"][:40], 2)), {}),
    "perfect": (lambda t: t.assign(y_prob=0.9 * t["y_true"]), {"too-good-predictions": "suspicious", "in-sample-predictions": None}),
    "some training rows": (
        lambda t: t.assign(split=np.where(np.arange(80) % 3, "test", "train")),
        {"training-rows": "suspicious"},
    ),
    "training rows only": (lambda t: t.assign(split="Training"), {"training-rows": "leak"}),
    "no folds": (lambda t: t[t["repeat"] == 0].drop(columns=["split", "repeat"]), {"no-folds": "note"}),
    "two models, two splits": (
        lambda t: pd.concat([t, predictions(seed=5).assign(model="other")]),
        {"folds-differ-between-models": "suspicious"},
    ),
    "two models, one split": (lambda t: pd.concat([t, t.assign(model="other", y_prob=1 - t["y_prob"])]), {}),
    "the model knew some cases": (lambda t: t.assign(in_training=t["case"] == "c3"), {"seen-in-training": "leak"}),
}  # fmt: skip


@pytest.mark.parametrize("name", PREDICTIONS)
def test_predictions(name: str) -> None:
    change, expected = PREDICTIONS[name]
    assert in_predictions(change(predictions())) == {check: word for check, word in expected.items() if word}


def test_a_recorded_leak_and_cases_of_a_models_training() -> None:
    assert lint_metrics({"notes": ["n is small"]}, "m.json") == []
    rows = rows_of(predictions(), "p.csv")
    assert lint_seen(rows, rows.case == "nobody", "the model") == []
    found = lint_seen(rows, rows.case.isin(["c1", "c2"]), "the model")[0]
    assert (found.severity, found.what) == (Severity.LEAK, "2 of 40 cases were in the training of the model: c1, c2.")


def test_the_report_puts_the_worst_first_and_counts() -> None:
    found = in_order(
        [
            finding(Severity.NOTE, "no-folds", "p.csv", "No folds."),
            finding(Severity.LEAK, "identical-rows", "t.csv", "a = b."),
            finding(Severity.LEAK, "identical-rows", "t.csv", "a = b."),
        ]
    )
    assert [one.severity for one in found] == [Severity.LEAK, Severity.NOTE]
    assert as_json(found, ["t.csv"])["counts"] == {"leak": 1, "suspicious": 0, "note": 1}
    assert "1 leak(s) and 1 further remark(s)" in as_text(found, [])
