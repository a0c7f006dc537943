"""How often the verdict is wrong without a signal, and how often it finds one. Writes `reports/verdict.md` and its figure.

Each study is made from features, cross-validated and judged. `RADIOGEN_STUDIES` names a folder that keeps a line per study, so that a stopped run
goes on.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed

from radiogen.evaluate import verdict as rule
from radiogen.report.style import COLOURS, LINE_STYLES, QUIET, drawing, new_figure, quiet_axes, save_png
from radiogen.run.atomic import write_text
from radiogen.stats.classification import wilson_interval
from tests.benchmarks.verdict_studies import DESIGNS, EQUAL, EQUAL_EFFECT, QUICK, Design, made_study, verdict_of

REPORTS = Path(__file__).resolve().parents[2] / "reports"
COMMAND = "pytest -m benchmark tests/benchmarks/test_verdict.py"
NULL_STUDIES, EQUAL_STUDIES, POWER_STUDIES = 100, 200, 40
POWER_DESIGNS = (0, 3, 7, 9)
EFFECTS = (0.5, 1.0, 1.5, 2.0)
POWER_SEED, EQUAL_SEED = 1000, 2000


@pytest.mark.benchmark
def test_false_and_true_beats_baselines(tmp_path: Path) -> None:
    folder = Path(os.environ.get("RADIOGEN_STUDIES", tmp_path))
    null = studied(folder, [(design, seed, 0.0) for seed in range(NULL_STUDIES) for design in DESIGNS])
    equal = studied(folder, [(EQUAL, seed, EQUAL_EFFECT) for seed in range(EQUAL_SEED, EQUAL_SEED + EQUAL_STUDIES)])
    seeds = range(POWER_SEED, POWER_SEED + POWER_STUDIES)
    power = studied(folder, [(DESIGNS[k], seed, effect) for seed in seeds for k in POWER_DESIGNS for effect in EFFECTS])
    figure(power, REPORTS / "figures" / "verdict-power.png")
    write_text(REPORTS / "verdict.md", page(null, equal, power))
    assert len(null) == 1000
    assert wins(null).mean() <= 0.025
    assert wins(equal).mean() <= 0.05  # 2.5 % expected at the very edge of the null; 0.05 is above its 98th percentile


@pytest.mark.benchmark
def test_fewer_resamples_give_the_same_verdicts() -> None:
    """400 resamples and 399 permutations, as in the studies above, against the defaults."""
    full = QUICK.model_copy(update={"bootstrap_resamples": 2000, "permutations": 2000})
    pairs = [
        (
            verdict_of(DESIGNS[k], seed, image=effect)["verdict"],
            verdict_of(DESIGNS[k], seed, image=effect, settings=full)["verdict"],
        )
        for seed in range(3000, 3010)
        for k in (0, 3, 7)
        for effect in (0.0, 1.0)
    ]
    assert sum(quick == slow for quick, slow in pairs) >= 57  # of 60


def test_a_small_version_of_the_simulation() -> None:
    """Forty null studies and a few with a strong signal; the thousand are in reports/verdict.md."""
    few = QUICK.model_copy(update={"bootstrap_resamples": 200, "permutations": 199})
    null = pd.DataFrame([verdict_of(design, 7000 + seed, settings=few) for seed in range(4) for design in DESIGNS])
    assert wins(null).sum() <= 3  # 40 studies at 2.5 % give more in 2 of 100 runs; the seeds are fixed
    assert (null["p"] <= 1).all()
    strong = pd.DataFrame(
        [verdict_of(DESIGNS[k], 7100 + seed, image=2.5, settings=few) for seed in range(3) for k in (0, 3)]
    )
    assert wins(strong).sum() >= 5


def test_the_studies_are_what_they_say() -> None:
    rng = np.random.default_rng(0)
    predictions, facts = made_study(
        Design("x", shares=(0.2, 0.2, 0.5, 0.8, 0.8), age_effect=2.0), rng, n=4000, image=0.0
    )
    shares = predictions.groupby("site")["y_true"].mean().round(1)
    assert shares.tolist() == [0.2, 0.2, 0.5, 0.8, 0.8]
    older = facts["age"][predictions["y_true"] == 0].mean() - facts["age"][predictions["y_true"] == 1].mean()
    assert older == pytest.approx(24, abs=1.5)
    assert (
        predictions.groupby("y_true")["y_prob"].mean().diff().iloc[-1] < 0
    )  # pooled over held-out sites, noise points the wrong way


def wins(studies: pd.DataFrame) -> pd.Series:
    return studies["verdict"] == rule.BEATS_BASELINES


def studied(folder: Path, wanted: list[tuple[Design, int, float]]) -> pd.DataFrame:
    """Return one row per study; those that the folder holds are not made again."""
    log = folder / "studies.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    held = {(row["design"], row["seed"], row["image"]): row for row in map(json.loads, lines)}
    missing = [study for study in wanted if (study[0].name, study[1], study[2]) not in held]
    for start in range(0, len(missing), 100):
        part = missing[start : start + 100]
        found = Parallel(n_jobs=2)(delayed(verdict_of)(design, seed, image=image) for design, seed, image in part)
        with open(log, "a", encoding="utf-8") as file:
            for (design, seed, image), row in zip(part, found, strict=True):
                held[design.name, seed, image] = {"design": design.name, "seed": seed, "image": image, **row}
                file.write(json.dumps(held[design.name, seed, image]) + "\n")
    return pd.DataFrame([held[design.name, seed, image] for design, seed, image in wanted])


def page(null: pd.DataFrame, equal: pd.DataFrame, power: pd.DataFrame) -> str:
    text = (rule.__doc__ or "").strip()
    total = int(wins(null).sum())
    low, high = wilson_interval(total, len(null))
    low_equal, high_equal = wilson_interval(int(wins(equal).sum()), len(equal))
    share, ends = f"{100 * total / len(null):.1f} %", f"{100 * low:.1f} to {100 * high:.1f} %"
    at_edge = f"{int(wins(equal).sum())} of {len(equal)} ({100 * low_equal:.1f} to {100 * high_equal:.1f} %)"
    parts = [
        "# The verdict: its rule, and how often it is wrong",
        f"Written by `{COMMAND}` (set `RADIOGEN_STUDIES` to a folder to go on after a stop).",
        "## The rule",
        text,
        "## Without a signal in the image",
        f"{len(null)} made-up studies of 100 patients, {NULL_STUDIES} per line: noise features, a ridge regression cross-validated or held out by "
        f"site, age and sex known. `beats-baselines` came out in {total} of {len(null)} ({share}, 95 % interval {ends}); 2.5 % are allowed.",
        _null_table(null),
        "*Pooled AUC* and *inside splits* are means over the studies. Where the model sees age, or knows the sites, it is right that it is above "
        "chance; `beats-baselines` would not be. Where held-out sites differ in their share of positives the pooled AUC of noise lies far below 0.5; "
        "inside splits it is 0.5.",
        f"At the edge - the image tells exactly as much as age, an external test set - `beats-baselines` came out in {at_edge}.",
        "## With a signal in the image",
        f"{POWER_STUDIES} studies per cell, 100 patients; the first of eight features differs by the effect, in standard deviations. "
        "Share of `beats-baselines`, and the mean AUC that the verdict uses:",
        _power_table(power),
        "![Share of beats-baselines against the effect](figures/verdict-power.png)",
    ]
    return "\n\n".join(parts) + "\n"


def _null_table(null: pd.DataFrame) -> str:
    lines = [
        "| studies | `beats-baselines` | above chance (p < 0.05) | the same, pooled | pooled AUC | inside splits |",
        "|---|---|---|---|---|---|",
    ]
    for design in DESIGNS:
        rows = null[null["design"] == design.name]
        lines.append(
            f"| {design.name} | {int(wins(rows).sum())} | {(rows['p'] < 0.05).mean():.0%} | {(rows['pooled_p'] < 0.05).mean():.0%} "
            f"| {rows['auc'].mean():.3f} | {rows['judged'].mean():.3f} |"
        )
    return "\n".join(lines)


def _power_table(power: pd.DataFrame) -> str:
    lines = [
        "| studies | " + " | ".join(f"{effect:g} SD" for effect in EFFECTS) + " |",
        "|---" * (len(EFFECTS) + 1) + "|",
    ]
    for k in POWER_DESIGNS:
        cells = [power[(power["design"] == DESIGNS[k].name) & (power["image"] == effect)] for effect in EFFECTS]
        shown = [f"{wins(rows).mean():.0%} (AUC {rows['judged'].mean():.2f})" for rows in cells]
        lines.append(f"| {DESIGNS[k].name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def figure(power: pd.DataFrame, path: Path) -> None:
    with drawing():
        drawn = new_figure(6.4, 5.0)
        axes = drawn.add_subplot()
        axes.axhline(0.025, color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)))
        for place, k in enumerate(POWER_DESIGNS):
            rows: list[Any] = [
                power[(power["design"] == DESIGNS[k].name) & (power["image"] == effect)] for effect in EFFECTS
            ]
            shares = [float(wins(row).mean()) for row in rows]
            ends = np.array([wilson_interval(int(wins(row).sum()), len(row)) for row in rows])
            shifted = np.array(EFFECTS) + 0.015 * (place - 1.5)
            axes.vlines(shifted, ends[:, 0], ends[:, 1], color=COLOURS[place], linewidth=1.2)
            axes.plot(
                shifted,
                shares,
                "o",
                color=COLOURS[place],
                linestyle=LINE_STYLES[place],
                markersize=4,
                label=DESIGNS[k].name,
            )
        axes.set(ylim=(-0.02, 1.02), xlim=(0.4, 2.1))
        axes.set_xlabel("Effect of the image feature, standard deviations")
        axes.set_ylabel("Share of beats-baselines")
        drawn.legend(loc="outside lower center", frameon=False, fontsize=8)
        quiet_axes(axes)
    save_png(drawn, path)
