from __future__ import annotations

import pytest

from radiogen.config.postprocess import ComponentRule, PostprocessRules, PostprocessSettings, SmallEnhancement
from radiogen.errors import ConfigError


def test_unknown_regions_and_thresholds_are_refused_with_what_is_accepted() -> None:
    with pytest.raises(ConfigError, match=r"unknown region: core; accepted: wt, tc, et, rc"):
        PostprocessSettings.parse({"thresholds": {"core": 0.5}})
    with pytest.raises(ConfigError, match=r"below 1; not: et 1\.5"):
        PostprocessSettings.parse({"thresholds": {"et": 1.5}})


def test_settings_survive_json_with_their_clusters() -> None:
    settings = PostprocessSettings(
        thresholds={"et": 0.7},
        components={"wt": ComponentRule(smallest_ml=0.2)},
        conflicts={"wt+et": "ncr"},
        clusters={3: PostprocessRules(small_et=SmallEnhancement(least_ml=0.5))},
    )
    values = settings.model_dump(mode="json", exclude_unset=True)
    assert PostprocessSettings.parse(values) == settings
    again = PostprocessSettings.model_validate_json(settings.model_dump_json(exclude_unset=True))
    assert again.for_cluster(3) == settings.for_cluster(3)


def test_a_cluster_changes_what_it_names_and_nothing_else() -> None:
    settings = PostprocessSettings(
        thresholds={"wt": 0.4, "et": 0.6},
        small_et=SmallEnhancement(least_ml=0.2),
        clusters={1: PostprocessRules(thresholds={"et": 0.8}, components={"et": ComponentRule(smallest_ml=0.1)})},
    )
    own = settings.for_cluster(1)
    assert own.thresholds == {"wt": 0.4, "et": 0.8}
    assert own.components["et"].smallest_ml == 0.1
    assert own.small_et.least_ml == 0.2
    assert settings.for_cluster(None) == settings.for_cluster(7) == settings
