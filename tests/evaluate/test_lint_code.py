"""The static linter names each leak where it stands, and is silent on the same steps inside the fold."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest

from radiogen.errors import InputError
from radiogen.evaluate.lint import Severity
from radiogen.evaluate.lint_code import Source, lint_source, read_source

HERE = Path(__file__).parent

LEAKS = {
    "selection, then cross-validation": (
        """
        X = read_csv("features.csv")
        X = SelectKBest(f_classif, k=10).fit_transform(X, y)  # here
        scores = cross_val_score(SVC(), X, y)
        """,
        "selection-outside-fold",
    ),
    "p-values choose the columns": (
        """
        X, y = load()
        p = f_classif(X, y)[1]  # here
        keep = np.argsort(p)[:20]
        X_train, X_test, y_train, y_test = train_test_split(X[:, keep], y)
        """,
        "selection-outside-fold",
    ),
    "t-test per column in a loop": (
        """
        df = pd.read_csv("features.csv")
        keep = [c for c in df.columns if ttest_ind(df.loc[y == 0, c], df.loc[y == 1, c]).pvalue < 0.05]  # here
        for train, test in StratifiedKFold(5).split(df[keep], y):
            pass
        """,
        "selection-outside-fold",
    ),
    "scaler fitted on all, split afterwards by index": (
        """
        scaler = StandardScaler()
        scaler.fit(X)  # here
        X = scaler.transform(X)
        for fold, (tr, te) in enumerate(skf.split(X, y)):
            model.fit(X[tr], y[tr])
        """,
        "scaling-outside-fold",
    ),
    "scaler fitted on all, applied to the training side": (
        """
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        scaler = StandardScaler().fit(X)  # here
        clf = LogisticRegression().fit(scaler.transform(X_train), y_train)
        """,
        "scaling-outside-fold",
    ),
    "z-scores by hand": (
        """
        df = pd.read_csv("features.csv")
        df = (df - df.mean()) / 2  # here
        cross_val_score(SVC(), df, y)
        """,
        "scaling-outside-fold",
    ),
    "means fill the gaps": (
        """
        df = pd.read_csv("features.csv")
        df = df.fillna(df.mean())  # here
        cross_val_score(SVC(), df, y)
        """,
        "imputation-outside-fold",
    ),
    "imputer": (
        """
        X = KNNImputer().fit_transform(X)  # here
        a, b, c, d = train_test_split(X, y)
        """,
        "imputation-outside-fold",
    ),
    "ComBat": (
        """
        data = neuroCombat(dat=X.T, covars=covars, batch_col="site")["data"].T  # here
        cross_val_predict(clf, data, y)
        """,
        "harmonisation-outside-fold",
    ),
    "SMOTE": (
        """
        X, y = SMOTE(random_state=0).fit_resample(X, y)  # here
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        """,
        "oversampling-outside-fold",
    ),
    "PCA in a function of its own": (
        """
        def reduce(features):
            return PCA(10).fit_transform(features)  # here
        def main():
            X, y = load()
            return cross_val_score(SVC(), reduce(X), y)
        """,
        "reduction-outside-fold",
    ),
    "auto-encoder": (
        """
        autoencoder.fit(X, X, epochs=50)  # here
        codes = autoencoder.predict(X)
        train_test_split(codes, y)
        """,
        "reduction-outside-fold",
    ),
    "early stopping on the test rows": (
        """
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        model = XGBClassifier(early_stopping_rounds=10)
        model.fit(X_train, y_train, eval_set=[(X_test, y_test)])  # here
        """,
        "early-stopping-on-test",
    ),
    "Keras watches the test rows": (
        """
        for train, test in kfold.split(X, y):
            model.fit(X[train], y[train], validation_data=(X[test], y[test]), callbacks=[EarlyStopping()])  # here
        """,
        "early-stopping-on-test",
    ),
    "scaler fitted on the test rows": (
        """
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        X_test = StandardScaler().fit_transform(X_test)  # here
        """,
        "fitted-on-test",
    ),
    "train and test put together": (
        """
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        scaler = RobustScaler().fit(np.vstack([X_train, X_test]))  # here
        clf.fit(scaler.transform(X_train), y_train)
        """,
        "scaling-outside-fold",
    ),
    "model fitted on everything": (
        """
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        clf = RandomForestClassifier().fit(X, y)  # here
        print(clf.score(X_test, y_test))
        """,
        "model-fitted-on-everything",
    ),
    "only ever scored on its own rows": (
        """
        clf = RandomForestClassifier()
        clf.fit(X, y)  # here
        print(roc_auc_score(y, clf.predict_proba(X)[:, 1]))
        """,
        "model-fitted-on-everything",
    ),
}

HONEST = {
    "everything in a pipeline": """
        X = pd.read_csv("features.csv")
        pipe = make_pipeline(StandardScaler(), SelectKBest(f_classif), SVC())
        print(cross_val_score(pipe, X, y).mean())
        final = pipe.fit(X, y)
        """,
    "by hand inside the fold": """
        for train, test in GroupKFold(5).split(X, y, groups):
            scaler = StandardScaler().fit(X[train])
            keep = SelectKBest(k=5).fit(scaler.transform(X[train]), y[train])
            a = keep.transform(scaler.transform(X[train]))
            b = keep.transform(scaler.transform(X[test]))
            over, labels = SMOTE().fit_resample(a, y[train])
            clf = LogisticRegression().fit(over, labels)
            auc.append(roc_auc_score(y[test], clf.predict_proba(b)[:, 1]))
        """,
    "train_test_split first": """
        X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y)
        imputer = SimpleImputer().fit(X_train)
        X_train, X_test = imputer.transform(X_train), imputer.transform(X_test)
        X_train = (X_train - X_train.mean(axis=0)) / X_train.std(axis=0)
        clf = RandomForestClassifier().fit(X_train, y_train)
        print(roc_auc_score(y_test, clf.predict_proba(X_test)[:, 1]))
        """,
    "a validation part of the training rows": """
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        X_train, X_val, y_train, y_val = train_test_split(X_train, y_train)
        model = XGBClassifier(early_stopping_rounds=10).fit(X_train, y_train, eval_set=[(X_val, y_val)])
        """,
    "each image by itself": """
        rows = []
        for path in cohort["path"]:
            image = zscore(read(path))
            image = (image - image.mean()) / image.std()
            rows.append(MinMaxScaler().fit_transform(image).ravel())
        cross_val_score(SVC(), np.array(rows), y)
        """,
    "a test between groups that nothing is chosen by": """
        df = pd.read_csv("features.csv")
        print(mannwhitneyu(df["age"][y == 1], df["age"][y == 0]), df.mean())
        cross_val_score(SVC(), df, y)
        """,
    "test rows by number": """
        for fold in range(5):
            test = np.flatnonzero(folds == fold)
            train = np.setdiff1d(np.arange(len(y)), test)
            scaler = StandardScaler().fit(X[train])
            model = SVC().fit(scaler.transform(X[folds != fold]), y[~held_out])
            print(model.score(X[test], y[test]))
        """,
    "nested search": """
        search = GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [1, 10]})
        print(cross_val_score(search, X, y))
        print(search.fit(X, y).best_score_)
        """,
}


def lint(code: str) -> list:
    text = dedent(code).strip() + "\n"
    return lint_source(Source("p.py", text, [f"p.py:{line}" for line in range(1, text.count("\n") + 2)]))


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_named_where_it_stands(name: str) -> None:
    code, check = LEAKS[name]
    line = next(n for n, text in enumerate(dedent(code).strip().splitlines(), 1) if "# here" in text)
    leaks = [(one.check, one.where) for one in lint(code) if one.severity == Severity.LEAK]
    assert (check, f"p.py:{line}") in leaks
    assert {where for _, where in leaks} == {f"p.py:{line}"}


@pytest.mark.parametrize("name", HONEST)
def test_the_same_steps_inside_the_fold_are_no_leak(name: str) -> None:
    assert lint(HONEST[name]) == []


def test_the_leaky_pipeline_and_the_honest_one() -> None:
    leaky = lint_source(read_source(HERE / "leaky_pipeline.py"))
    assert [(one.severity, one.check, one.where) for one in leaky] == [
        (Severity.LEAK, "selection-outside-fold", "leaky_pipeline.py:13")
    ]
    assert lint_source(read_source(HERE / "honest_pipeline.py")) == []


def test_remarks_that_are_no_leak() -> None:
    found = {one.check: one.severity for one in lint("X = SMOTE().fit_resample(X, y)[0]\nX.to_csv('out.csv')")}
    assert found == {"no-split-here": Severity.NOTE}
    searched = lint("g = GridSearchCV(SVC(), grid)\ng.fit(X, y)\nprint(g.best_score_)")
    assert [(one.check, one.severity) for one in searched] == [("best-score-reported", Severity.SUSPICIOUS)]
    slices = lint("slices = load('slice_*.png')\nfor a, b in KFold(5).split(X):\n    pass")
    assert [(one.check, one.where) for one in slices] == [("rows-split-not-patients", "p.py:2")]
    watched = lint("m.fit(X_train, y_train, validation_data=(X_test, y_test))")
    assert [(one.check, one.severity) for one in watched] == [("early-stopping-on-test", Severity.SUSPICIOUS)]


def test_a_notebook_says_the_cell(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# title"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip install x\n", "X, y = load()"]},
        {"cell_type": "code", "source": ["X = PCA(2).fit_transform(X)\n", "cross_val_score(SVC(), X, y)"]},
    ]
    path = tmp_path / "study.ipynb"
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}))
    found = lint_source(read_source(path))
    assert [(one.check, one.where) for one in found] == [("reduction-outside-fold", "study.ipynb: code cell 2, line 1")]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text("{")
    (tmp_path / "b.py").write_text("X = (\n")
    with pytest.raises(InputError, match="no notebook"):
        read_source(tmp_path / "a.ipynb")
    with pytest.raises(InputError, match=r"b.py:1: the code is not valid Python"):
        lint_source(read_source(tmp_path / "b.py"))
