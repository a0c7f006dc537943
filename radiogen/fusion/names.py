"""The classifiers and the ways of fusion that can be chosen by name."""

from __future__ import annotations

from radiogen.registry import Registry

CLASSIFIERS = Registry(
    "classifiers",
    {
        "elastic-net": "radiogen.fusion.classifiers:ElasticNetFamily",
        "xgboost": "radiogen.fusion.classifiers:XgboostFamily",
        "random-forest": "radiogen.fusion.classifiers:RandomForestFamily",
        "extra-trees": "radiogen.fusion.classifiers:ExtraTreesFamily",
        "logistic": "radiogen.fusion.classifiers:RidgeFamily",
        "svm": "radiogen.fusion.svm:SvmFamily",
    },
)
"""Name -> class of a `radiogen.fusion.classifiers.Family`, or of a scikit-learn classifier with `predict_proba` (see `fusion.outside`)."""

FUSIONS = Registry(
    "fusions",
    {
        "early": "radiogen.fusion.model:FusedClassifier",
        "mean": "radiogen.fusion.late:LateFusion",
        "weighted": "radiogen.fusion.late:LateFusion",
        "stacking": "radiogen.fusion.late:LateFusion",
        "cross-attention": "radiogen.fusion.network:NetworkFusion",
        "locally-connected": "radiogen.fusion.network:NetworkFusion",
        "gated-attention": "radiogen.fusion.network:NetworkFusion",
    },
)
"""Name -> class of a `radiogen.fusion.base.FusedModel`."""

NETWORK_FUSIONS = ("cross-attention", "locally-connected", "gated-attention")
"""Those that are networks: the named classifiers have no part in them."""
