"""What a page says of the connections that a graph network looks at."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from radiogen.report.explained_network import ExplainedClass, explained_sections, explanation_words

PASSED = {"shuffled_labels": 0.1, "random_weights": -0.2}


@pytest.mark.parametrize(
    ("metrics", "checks", "told"),
    [
        ({"verdict": "no-better-than-chance"}, PASSED, "not shown to be better than chance"),
        ({"verdict": "undetermined", "verdict_reason": "not above chance, but"}, PASSED, "not shown to be better"),
        ({}, PASSED, "not shown to be better than chance"),
        ({"verdict": "beats-baselines"}, {**PASSED, "shuffled_labels": 0.8}, "trained on shuffled labels. They follow"),
        ({"verdict": "no-better-than-baselines"}, PASSED, "not shown to be better than trivial facts"),
        ({"verdict": "undetermined", "verdict_reason": "above chance, but there is"}, PASSED, "trivial facts"),
        ({"verdict": "beats-baselines"}, PASSED, "names other connections. They are where"),
    ],
)
def test_connections_are_worth_what_the_network_is_worth(
    metrics: dict[str, str], checks: dict[str, float], told: str
) -> None:
    assert told in explanation_words({"target": "idh", **metrics}, checks)


def test_sections_say_their_worth_first() -> None:
    named = pd.DataFrame({"connection": ["a - b"], "importance": [1.0]})
    classes = [ExplainedClass(label, named.iloc[:label], Figure(), Figure()) for label in (0, 1)]
    first, of_wildtype, of_mutated = explained_sections({"target": "idh"}, {**PASSED, "random_weights": 0.9}, classes)
    numbers, meanings = (first.tables[0].frame[name].tolist() for name in ("rank correlation", "means"))
    assert [text.lstrip("-\u2212") for text in numbers] == ["0.10", "0.90"]
    assert ["passed" in text for text in meanings] == [True, False]
    assert "IDH wild-type" in of_wildtype.title
    assert of_wildtype.tables == []
    assert of_mutated.tables[0].frame is classes[1].connections
