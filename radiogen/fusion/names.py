"""The classifiers that can be chosen by name."""

from __future__ import annotations

from radiogen.registry import Registry

CLASSIFIERS = Registry(
    "classifiers",
    {
        "elastic-net": "radiogen.fusion.classifiers:ElasticNetFamily",
        "xgboost": "radiogen.fusion.classifiers:XgboostFamily",
        "random-forest": "radiogen.fusion.classifiers:RandomForestFamily",
    },
)
"""Name -> class of a `radiogen.fusion.classifiers.Family`."""
