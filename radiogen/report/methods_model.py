"""Methods text on classifiers: cases, splits, preparation inside the fold, models, tuning and decisions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from radiogen.cohort.splits import SITE_HELD_OUT
from radiogen.report.citations import recipe_work
from radiogen.report.methods_data import full_radiomics_settings, radiomics_statements
from radiogen.report.run_record import RunRecord, StageRun
from radiogen.report.statement import Statement, listed
from radiogen.report.words import count, target_words

_CLASSIFIERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "elastic-net": ("elastic-net logistic regression", ("friedman2010", "scikit-learn")),
    "logistic": ("ridge logistic regression", ("lecessie1992", "scikit-learn")),
    "svm": ("a support vector machine", ("cortes1995", "scikit-learn")),
    "random-forest": ("a random forest", ("breiman2001", "scikit-learn")),
    "extra-trees": ("extremely randomised trees", ("geurts2006", "scikit-learn")),
    "xgboost": ("gradient-boosted trees (XGBoost)", ("xgboost",)),
}
_FUSIONS = {
    "early": "All columns were joined in one table (early fusion).",
    "mean": "Each branch had its own classifier, and their log-odds were averaged.",
    "weighted": "Each branch had its own classifier; their log-odds were averaged with weights from the inner folds.",
    "stacking": "Each branch had its own classifier; logistic regression on their inner out-of-fold scores joined them (stacking).",
}
_CALIBRATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sigmoid": ("Platt's sigmoid", ("platt1999",)),
    "isotonic": ("isotonic regression", ("zadrozny2002",)),
    "beta": ("beta calibration", ("kull2017",)),
}
_UNSEEN = {
    "refuse": "rows of a site that was not in training were refused",
    "identity": "rows of a site that was not in training were left as they were",
    "reference-batch": "all training sites were moved to the largest one, and rows of other sites were left as they were",
}


def model_statements(record: RunRecord) -> list[Statement]:
    """Return the statements on classifiers, once for all targets that were classified in the same way.

    Args:
        record: of a folder.
    """
    found = [*(_cases(run) for run in record.models), *_silent(record)]
    for runs in _same_settings([run for run in record.models if not is_audit(run)]):
        statements = _training(runs[0], with_features=not record.features)
        found += statements if len(runs) == len(record.models) else [_only(statement, runs) for statement in statements]
    return found


def _silent(record: RunRecord) -> list[Statement]:
    """Return what the reporting forms must know and nobody would write."""
    runs, found = record.models, []
    if runs:
        numbers = [run.results.get("n_sites") or 0 for run in runs]
        links = tuple(f"{run.results_link}#n_sites" for run in runs)
        if min(numbers) > 1:
            found.append(
                Statement("model.sites-several", f"Cases came from {min(numbers)} or more sites.", links, said=False)
            )
        if min(numbers) == max(numbers) == 1:
            found.append(Statement("model.sites-one", "All cases came from one site.", links, said=False))
    trained = [run for run in runs if not is_audit(run)]
    links = tuple(run.link for run in trained)
    end_to_end = ["recipe" in run.settings for run in trained]
    if trained and all(end_to_end):
        found.append(Statement("model.end-to-end", "Networks took images or graphs.", links, said=False))
    if trained and not any(end_to_end):
        found.append(Statement("model.tabular", "Models took tables.", links, said=False))
        stacked = any(
            isinstance(made, Mapping) and "recipe" in made
            for run in trained
            for made in (run.settings.get("features") or {}).values()
        )
        if not stacked:
            found.append(
                Statement("model.no-networks", "No network was trained on images or graphs.", links, said=False)
            )
    return found


def _same_settings(runs: Sequence[StageRun]) -> list[list[StageRun]]:
    """Return runs in groups that had the same settings but for the target."""
    groups: dict[str, list[StageRun]] = {}
    for run in runs:
        settings = {name: value for name, value in run.settings.items() if name not in {"target", "targets"}}
        key = json.dumps([settings, run.results.get("split"), "splits" in run.inputs], sort_keys=True, default=str)
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def is_audit(run: StageRun) -> bool:
    """Return whether a run scored somebody's predictions and trained nothing."""
    return "classify" not in run.settings and "recipe" not in run.settings


def _only(statement: Statement, runs: Sequence[StageRun]) -> Statement:
    names = listed([target_words(str(run.results.get("target", ""))).name for run in runs])
    return replace(statement, text=f"[{names}] {statement.text}")


def _cases(run: StageRun) -> Statement:
    metrics, words = run.results, target_words(str(run.results.get("target", "")))
    sites = metrics.get("n_sites")
    where = f" from {count(int(sites), 'site')}" if sites else ""
    verb = "Predictions of {} were audited on" if is_audit(run) else "A model of {} was developed and tested on"
    people = metrics.get("n_patients", metrics.get("n"))
    text = (
        f"{verb.format(words.name)} {count(int(metrics['n']), 'case')} of {count(int(people), 'patient')}{where}, "
        f"{metrics.get('n_positive', '?')} of them {words.positive}."
    )
    return Statement("evaluate.cases" if is_audit(run) else "model.cases", text, (f"{run.results_link}#n",))


def _training(run: StageRun, *, with_features: bool) -> list[Statement]:
    chosen = run.settings.get("classify")
    found = _splits(run)
    if "recipe" in run.settings:
        return [*found, *_recipe(run, run.settings["recipe"])]
    if not isinstance(chosen, Mapping) or "selection" not in chosen:
        return found
    if with_features:
        found += _features_of_model(run)
    if "network" in run.settings:
        return [*found, _multitask(run)]
    found += [
        *_preparation(run, chosen),
        *_selection(run, chosen),
        *_classifiers(run, chosen),
        *_decisions(run, chosen),
    ]
    stacked = [
        (name, made["recipe"])
        for name, made in (run.settings.get("features") or {}).items()
        if isinstance(made, Mapping) and "recipe" in made
    ]
    for name, recipe in stacked:
        text = f"Out-of-fold scores of networks by the recipe {recipe} entered as branch '{name}', trained anew inside every fold."
        found.append(
            Statement("model.networks", text, (f"{run.link}#settings.features.{name}",), ("pytorch", "wolpert1992"))
        )
    return found


def _features_of_model(run: StageRun) -> list[Statement]:
    """Return what a classifier's own sidecar says of its features, where no study folder says more."""
    made, found = run.settings.get("features") or {}, []
    branches = [str(name) for name in run.results.get("branches") or []]
    n_features = run.results.get("n_features")
    if branches and n_features:
        text = f"{n_features} columns of {listed([repr(name) for name in branches])} were offered to the model."
        found.append(Statement("features.offered", text, (f"{run.results_link}#n_features",)))
    if isinstance(made.get("radiomics"), Mapping):
        link = run.link
        settings = full_radiomics_settings(made["radiomics"])
        found += radiomics_statements(settings, "", link, run.versions, (f"{link}#settings.features.radiomics",))
    return found


def _splits(run: StageRun) -> list[Statement]:
    chosen = run.settings.get("classify") or run.settings.get("splits") or {}
    metrics, source = run.results, f"{run.results_link}#split"
    whole_sites = metrics.get("split") == SITE_HELD_OUT
    key = "model.splits-sites" if whole_sites else "model.splits-patients"
    if "splits" in run.inputs:
        key, sides = "model.splits-file", "are whole sites" if whole_sites else "keep all scans of a patient together"
        text = f"The folds were read from a file that was fixed beforehand; their test sides {sides}."
    elif whole_sites:
        text = (
            "Whole sites were held out in turn: every case was predicted by models that had seen neither its patient nor its site"
            f" (sites with fewer than {chosen.get('min_site_cases')} cases or one class only were tested together; at most"
            f" {chosen.get('max_site_folds')} test folds)."
        )
    else:
        text = (
            f"Patients were split at random into {chosen.get('folds')} folds, all scans of a patient in the same one, "
            f"{_times(int(chosen.get('repeats') or 1))}: every case was predicted by models that had not seen its patient."
        )
    nested = "Cross-validation was nested: every step that estimates, selects or tunes saw the training side of its fold alone."
    found = [
        Statement(key, text, (source, f"{run.link}#settings")),
        Statement("model.nested", nested, (f"{run.link}#settings",), ("varma2006",)),
    ]
    if metrics.get("random_split"):
        text = "For comparison, patients were also split at random with sites mixed."
        found.append(Statement("model.random-split", text, (f"{run.results_link}#random_split",), ("varoquaux2022",)))
    return found


def _times(repeats: int) -> str:
    return {1: "once", 2: "twice"}.get(repeats, f"{repeats} times")


def _recipe(run: StageRun, recipe: Mapping[str, Any]) -> list[Statement]:
    name, settings = str(recipe.get("name")), recipe.get("settings") or {}
    work = recipe_work(recipe)
    key = f"recipe-{name}"
    text = f"The model was trained end to end on images or graphs by the recipe {name} ({recipe.get('title')}), after the cited work"
    differs = (
        f"; it differs from it as the recipe lists in {count(len(recipe['differs']), 'point')}."
        if recipe.get("differs")
        else "."
    )
    sources = (f"{run.link}#settings.recipe",)
    found = [Statement("model.networks", text + differs, sources, (key, "pytorch"), {key: work})]
    details = {
        "epochs": settings.get("epochs"),
        "batch size": settings.get("batch_size"),
        "optimiser": (settings.get("optimiser") or {}).get("name"),
        "learning rate": (settings.get("optimiser") or {}).get("learning_rate"),
    }
    words = [f"{what} {value}" for what, value in details.items() if value is not None]
    if words:
        found.append(Statement("model.network-training", f"Training: {', '.join(words)}.", sources))
    return found


def _multitask(run: StageRun) -> Statement:
    targets = listed([target_words(str(name)).name for name in run.settings.get("targets", ())])
    text = f"One network with a shared representation learned {targets} together; unknown labels were masked."
    return Statement("model.networks", text, (f"{run.link}#settings.network",), ("pytorch",))


def _preparation(run: StageRun, chosen: Mapping[str, Any]) -> list[Statement]:
    at = f"{run.link}#settings.classify"
    text = "Missing values were replaced by the training median, and an indicator was added for each frequent pattern of missing values."
    found = [Statement("model.missing", text, (at,))]
    text = (
        f"Columns were centred on their median, divided by their interquartile range, limited to {chosen['clip_z']:g} robust standard deviations and "
        "standardised."
    )
    found.append(Statement("model.scaling", text, (f"{at}.clip_z",)))
    if chosen.get("harmonise") == "combat":
        kept = listed(list(chosen.get("covariates") or [])) or "nothing"
        text = (
            f"Image features were harmonised between sites with ComBat ({kept} kept), fitted on the training rows of each fold; "
            f"{_UNSEEN[str(chosen['unseen_site'])]}."
        )
        cites = ("johnson2007", "fortin2018", *(("zhang2018",) if chosen["unseen_site"] == "reference-batch" else ()))
        found.append(Statement("model.harmonised", text, (f"{at}.harmonise", f"{at}.unseen_site"), cites))
    else:
        found.append(
            Statement("model.not-harmonised", "Features were not harmonised between sites.", (f"{at}.harmonise",))
        )
    if chosen.get("reduce", "none") != "none":
        kind = {"pca": "principal components", "pls": "partial least squares components"}[str(chosen["reduce"])]
        text = f"Columns of embeddings were reduced to at most {chosen['components']} {kind}."
        found.append(Statement("model.reduced", text, (f"{at}.reduce", f"{at}.components"), ("scikit-learn",)))
    return found


def _selection(run: StageRun, chosen: Mapping[str, Any]) -> list[Statement]:
    at = f"{run.link}#settings.classify"
    # Stability is always judged first, on columns as they were measured.
    steps = sorted((str(name) for name in chosen.get("selection") or ()), key=lambda name: name != "icc")
    if not steps:
        return [
            Statement("model.not-selected", "No column was left out before the classifiers.", (f"{at}.selection",)),
            Statement(
                "model.not-robust", "Columns were not chosen by their stability.", (f"{at}.selection",), said=False
            ),
        ]
    words = {
        "correlation": (f"of columns whose absolute correlation exceeded {chosen['max_correlation']:g} the first was kept", ()),
        "correlation-clusters": (f"one column of each cluster of columns correlated above {chosen['max_correlation']:g} was kept", ()),
        "univariate": (f"the {chosen['max_columns']} columns with the largest F between the classes were kept", ("scikit-learn",)),
        "mrmr": (f"{chosen['max_columns']} columns were chosen by minimum redundancy and maximum relevance", ("ding2005",)),
        "l1": ("the columns that a lasso keeps were kept", ("tibshirani1996",)),
        "stability": (
            f"columns chosen by lassos in at least {chosen['stability_threshold']:g} of random halves were kept", ("meinshausen2010",)),
        "boruta": ("columns better than shuffled copies were kept (simplified Boruta)", ("kursa2010",)),
        "icc": (
            f"columns were kept whose lower confidence bound of ICC(3,1) under perturbations was at least {chosen['least_icc']:g}",
            ("zwanenburg2019", "koo2016"),
        ),
    }  # fmt: skip
    text = "Columns were selected inside each fold: " + ", then ".join(words[name][0] for name in steps) + "."
    cites = tuple(key for name in steps for key in words[name][1])
    found = [Statement("model.selected", text, (f"{at}.selection", "importance.csv"), cites)]
    if "icc" in steps:
        text = f"Robustness of radiomic features was an inclusion rule (ICC of at least {chosen['least_icc']:g})."
        found.append(Statement("model.robust", text, (f"{at}.least_icc",)))
    else:
        found.append(
            Statement(
                "model.not-robust", "Columns were not chosen by their stability.", (f"{at}.selection",), said=False
            )
        )
    return [_beside(statement, run) for statement in found]


def _beside(statement: Statement, run: StageRun) -> Statement:
    """Return a statement whose plain file names stand beside the run's own files."""
    folder = run.results_link.rpartition("/")[0]
    sources = tuple(
        f"{folder}/{name}" if folder and "/" not in name and "#" not in name else name for name in statement.sources
    )
    return replace(statement, sources=sources)


def _classifiers(run: StageRun, chosen: Mapping[str, Any]) -> list[Statement]:
    at = f"{run.link}#settings.classify"
    names = [str(name) for name in chosen["classifiers"]]
    words = [_CLASSIFIERS.get(name, (f"the classifier {name}", ("scikit-learn",))) for name in names]
    text = f"Classifiers were {listed([word for word, _ in words])}."
    if len(names) > 1:
        how = (
            "their log-odds were averaged"
            if chosen.get("combine") == "average"
            else "the one with the lowest inner log loss answered"
        )
        text = f"{text[:-1]}; {how}."
    found = [
        Statement(
            "model.classifier",
            text,
            (f"{at}.classifiers", f"{at}.combine"),
            tuple(key for _, keys in words for key in keys),
        )
    ]
    fusion, n_branches = str(chosen.get("fusion", "early")), len(run.results.get("branches") or [])
    if n_branches > 1:
        text = _FUSIONS.get(fusion, f"Branches were fused by a {fusion} network.")
        found.append(
            Statement("model.fusion", text, (f"{at}.fusion",), ("wolpert1992",) if fusion == "stacking" else ())
        )
        if fusion not in _FUSIONS:
            found = found[1:]  # a network of branches stands in the place of the classifiers
    if fusion in _FUSIONS:
        how = (
            f"by {chosen['trials']} trials of a tree-structured Parzen estimator"
            if chosen.get("search") == "bayesian"
            else "among fixed candidates"
        )
        text = f"Hyper-parameters were chosen {how} by their log loss on up to {chosen['inner_folds']} inner folds of patients."
        cites = ("optuna",) if chosen.get("search") == "bayesian" else ()
        found.append(Statement("model.tuning", text, (f"{at}.search", f"{at}.inner_folds", "tuning.csv"), cites))
    balanced = chosen.get("class_weight") == "balanced"
    text = "Both classes weighed the same in training." if balanced else "Classes were neither weighted nor resampled."
    found.append(
        Statement("model.class-weight" if balanced else "model.no-class-weight", text, (f"{at}.class_weight",))
    )
    return [_beside(statement, run) for statement in found]


def _decisions(run: StageRun, chosen: Mapping[str, Any]) -> list[Statement]:
    at = f"{run.link}#settings.classify"
    found = []
    if chosen.get("calibrate", "none") != "none":
        words, cites = _CALIBRATIONS[str(chosen["calibrate"])]
        text = f"Probabilities were recalibrated by {words}, fitted on out-of-fold scores of each training side."
        found.append(Statement("model.recalibrated", text, (f"{at}.calibrate",), cites))
    else:
        found.append(Statement("model.not-recalibrated", "Probabilities were not recalibrated.", (f"{at}.calibrate",)))
    wanted = f"{100 * float(chosen.get('wanted') or 0):g} %"
    thresholds: dict[str, tuple[str, tuple[str, ...]]] = {
        "youden": ("chosen inside each training side by Youden's index", ("youden1950",)),
        "sensitivity": (f"chosen inside each training side for a sensitivity of {wanted}", ()),
        "specificity": (f"chosen inside each training side for a specificity of {wanted}", ()),
        "half": ("0.5", ()),
    }
    words, cites = thresholds[str(chosen["threshold"])]
    found.append(
        Statement("model.threshold", f"The threshold of a positive call was {words}.", (f"{at}.threshold",), cites)
    )
    if chosen.get("coverage"):
        text = f"Class-conditional conformal sets with {100 * float(chosen['coverage']):g} % coverage said where the model makes no call."
        found.append(Statement("model.conformal", text, (f"{at}.coverage",), ("vovk2015", "angelopoulos2023")))
        text = f"Cases unlike {100 * float(chosen['familiar_share']):g} % of the training cases were flagged."
        found.append(Statement("model.familiar", text, (f"{at}.familiar_share",)))
    if chosen.get("permutations_refit"):
        kind = (
            "the whole pipeline refitted"
            if chosen["permutation_method"] == "exact"
            else "an approximate refit of the pipeline"
        )
        text = f"A permutation test with {kind} used {chosen['permutations_refit']} permutations of the labels."
        found.append(Statement("model.permutations", text, (f"{at}.permutations_refit",), ("phipson2010",)))
    return found
