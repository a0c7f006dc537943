"""Every kind of page in a real browser: on a phone, on a laptop, on paper and for readers who do not see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from radiogen.branches.habitats.optimise import Evaluation
from radiogen.config.survival import SurvivalSettings
from radiogen.evaluate.survival import survival_analysis
from radiogen.report.case_page import CaseFacts, write_case_index, write_case_page
from radiogen.report.classification import SCORES_FILE, write_classification_report
from radiogen.report.cohort import write_cohort_page as write_found_page
from radiogen.report.habitats import habitat_picture, write_habitat_report
from radiogen.report.preprocessing_page import write_cohort_page as write_preprocess_page
from radiogen.report.study import write_study_report
from radiogen.report.style import png, save_png
from radiogen.report.survival import kaplan_meier_figure, write_survival_report
from radiogen.run.atomic import write_csv, write_json
from tests.browser import NARROW, WIDE, axe_findings, opened, sideways_scroll_px
from tests.evaluate.test_survival import patients
from tests.report.made_up import made_up_importance, made_up_metrics, made_up_scores
from tests.report.test_case_page import MASK, PREDICTIONS
from tests.report.test_cohort import page_of, slices
from tests.report.test_preprocessing import page as preprocess_page
from tests.report.test_viewer import content

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_SMALL_LETTERS = """() => [...document.querySelectorAll('body *')].filter((e) => !e.closest('svg') && e.getClientRects().length
    && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) && parseFloat(getComputedStyle(e).fontSize) < 14)
    .map((e) => e.tagName + ' ' + e.className + ' ' + e.textContent.trim().slice(0, 30))"""


def classifier(path: Path) -> None:
    scores = made_up_scores(80)
    write_classification_report(path, made_up_metrics(), scores, importance=made_up_importance(), synthetic=True)


def study(path: Path) -> None:
    folder = path.parent / "study"
    image = {"t1c": np.random.default_rng(0).random((12, 14, 10), dtype=np.float32)}
    labels = (image["t1c"] > 0.8).astype(np.uint8)
    write_json(folder / "classify/idh/metrics.json", made_up_metrics())
    write_csv(folder / "classify/idh" / SCORES_FILE, made_up_scores(80))
    write_csv(folder / "classify/idh/importance.csv", made_up_importance(), index=False)
    write_json(folder / "survival/idh/survival.json", {"group_by": "idh", "group_title": "IDH", "summary": "26 died."})
    found = survival_analysis(patients(60), SurvivalSettings(group_by="idh", covariates=(), n_bootstrap=100))
    save_png(kaplan_meier_figure(found), folder / "survival/idh/kaplan_meier.png")
    write_json(folder / "habitats/habitats.json", {"summary": "Two habitats stand."})
    save_png(habitat_picture(image["t1c"], labels, (1.0, 1.0, 1.0), 2), folder / "habitats/pictures/a.png")
    save_png(habitat_picture(image["t1c"], labels, (1.0, 1.0, 1.0), 2), folder / "qc/a.png")
    write_csv(folder / "volumes.csv", pd.DataFrame({"wt_ml": [10.0, 3.0]}, index=pd.Index(["a", "b"], name="case")))
    write_study_report(path, folder)


def survival(path: Path) -> None:
    write_survival_report(path, survival_analysis(patients(60), SurvivalSettings(group_by="idh", n_bootstrap=100)))


def cohort(path: Path) -> None:
    write_found_page(path, page_of(slices={"TCGA-02-0001": slices(1)}))


def preprocess(path: Path) -> None:
    write_preprocess_page(path, preprocess_page(), provenance={"seed": 0})


def habitats(path: Path) -> None:
    result = {
        "summary": "None stands.",
        "habitats": None,
        "held_out": None,
        "notes": ["A note."],
        "refits": [],
        "encoders": [],
    }
    numbers = (
        "valley",
        "stability_loss",
        "reference_stability_min",
        "spread_left",
        "reference_spread_min",
        "silhouette",
        "calinski_harabasz",
        "gap",
    )
    clusters = pd.DataFrame({"habitats": [2, 3], "stands": False, **dict.fromkeys(numbers, 0.9)})
    picture = png(habitat_picture(*_brain(), (1.0, 1.0, 1.0), 2))
    points = [Evaluation(0.1, 2, 0.1, 0.5, 0.2, "random"), Evaluation(0.2, 3, 0.1, 0.5, 0.1, "improvement")]
    write_habitat_report(path, result, points, clusters, {"a": picture}, provenance={})


def _brain() -> tuple[np.ndarray, np.ndarray]:
    brain = np.random.default_rng(0).random((12, 14, 10), dtype=np.float32)
    return brain, (brain > 0.8).astype(np.uint8)


def case(path: Path) -> None:
    write_case_page(path, CaseFacts("7", MASK, ("t1n",), "", (), PREDICTIONS), content())


def case_index(path: Path) -> None:
    rows = pd.DataFrame({"whole tumour, ml": ["1.0"] * 3}, index=pd.Index(["a", "b", "c"], name="case"))
    write_case_index(path, rows)


PAGES = (classifier, study, survival, cohort, preprocess, habitats, case, case_index)


@pytest.mark.parametrize("write", PAGES, ids=lambda write: write.__name__)
def test_a_page_fits_every_screen_and_serves_every_reader(
    browser: Browser, tmp_path: Path, write: Callable[[Path], None]
) -> None:
    path = tmp_path / "page.html"
    write(path)
    page, complaints = opened(browser, path, NARROW)
    assert sideways_scroll_px(page) == 0
    assert page.evaluate(_SMALL_LETTERS) == []
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    assert sideways_scroll_px(page) == 0
    page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert axe_findings(page) == []
    assert complaints == []
    page.close()


def test_a_page_on_paper_hides_nothing(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    classifier(path)
    page, _ = opened(browser, path)
    folded = page.locator("details").first
    inside = folded.locator("p, table").first
    assert not inside.is_visible()
    page.emulate_media(media="print")
    assert inside.evaluate("(e) => e.getBoundingClientRect().height") > 0
    page.set_viewport_size({"width": 690, "height": 1000})  # A4 less its margins
    assert sideways_scroll_px(page) == 0
    page.close()


def test_the_study_reads_from_verdict_to_habitats(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    study(path)
    text = path.read_text(encoding="utf-8")
    titles = (
        "Verdicts",
        "IDH mutation: how well cases are ranked",
        "IDH mutation: the race against trivial baselines",
        "IDH mutation: what the probabilities are worth",
        "IDH mutation: inside grade, IDH, site, age and sex",
        "IDH mutation: what the model uses",
        "Survival",
        "Habitats",
        "Tumour masks",
    )
    places = [text.index(f">{title}</h2>") for title in titles]
    assert places == sorted(places)
    contents = text[text.index('aria-label="Contents"') : text.index("</nav>")]
    assert all(f">{title}</a>" in contents for title in titles)
    assert text.index('class="box neutral lead"') < text.index("</nav>")
