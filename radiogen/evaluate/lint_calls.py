"""What a call in a pipeline's code does to rows: fit, transform, split, score."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from radiogen.evaluate.lint_flow import NOTHING, Scope, Trace, Value, is_model, joined, other_side
from radiogen.evaluate.lint_steps import (
    CROSS_VALIDATORS,
    FUNCTIONS,
    SEARCHES,
    SPLIT_FUNCTIONS,
    SPLITTERS,
    kind_of,
)

_DEEPEST_CALL = 4
_STATISTICS = {"mean", "std", "median", "min", "max", "quantile", "var", "nanmean", "nanstd", "nanmedian", "percentile"}
_FITTING = {"fit", "fit_transform", "fit_resample", "fit_sample", "fit_predict", "train"}
_SCORING = {"predict", "predict_proba", "decision_function", "score", "evaluate"}
_READERS = {"read_csv", "read_excel", "read_parquet", "read_table", "DataFrame", "read_feather"}
_MONITORED = {"eval_set", "validation_data", "evals", "valid_sets", "eval_dataset", "validation_set", "val_dataloaders"}
_METRICS = {
    "roc_auc_score",
    "accuracy_score",
    "balanced_accuracy_score",
    "f1_score",
    "average_precision_score",
    "roc_curve",
}
_MODEL_NAMES = ("model", "clf", "classifier", "net", "estimator", "pipe", "learner", "svm", "forest")
_ENCODERS = ("autoencoder", "auto_encoder", "encoder", "vae")


@dataclass(frozen=True)
class Call:
    """A call with what is known of its parts.

    Args:
        node: the call.
        name: last name of what is called.
        base: value that a method belongs to.
        base_name: name of the variable that a method belongs to, or ''.
        arguments: values of the arguments in order.
        keywords: values of the named arguments.
    """

    node: ast.Call
    name: str
    base: Value
    base_name: str
    arguments: tuple[Value, ...]
    keywords: dict[str, Value]

    @property
    def is_method(self) -> bool:
        """Return whether a method is called, or a function of a module."""
        return isinstance(self.node.func, ast.Attribute)

    @property
    def rows(self) -> tuple[Value, ...]:
        """Return the first two arguments, and those called X and y: the rows that a step is given."""
        named = [value for name, value in self.keywords.items() if name in {"X", "x", "y", "dat", "data", "covars"}]
        return (*self.arguments[:2], *named)

    @property
    def everything(self) -> tuple[Value, ...]:
        """Return every argument."""
        return (*self.arguments, *self.keywords.values())


def call_value(scope: Scope, node: ast.Call) -> Value:
    """Return what a call gives, and note in the scope's flow what it fits, splits or scores.

    Args:
        scope: names known where the call stands.
        node: the call.
    """
    call = _read(scope, node)
    for applies, handle in _RULES:
        if applies(scope, call):
            return handle(scope, call)
    return replace(joined([call.base, *call.everything]), sides=False)


def _read(scope: Scope, node: ast.Call) -> Call:
    function = node.func
    name, base, base_name = "", NOTHING, ""
    if isinstance(function, ast.Name):
        name = function.id
    elif isinstance(function, ast.Attribute):
        name, base = function.attr, scope.value(function.value)
        base_name = function.value.id if isinstance(function.value, ast.Name) else ""
    else:
        base = scope.value(function)
    arguments = tuple(scope.value(one.value if isinstance(one, ast.Starred) else one) for one in node.args)
    keywords = {one.arg or "": scope.value(one.value) for one in node.keywords}
    return Call(node, name, base, base_name, arguments, keywords)


def _reach(scope: Scope, values: Sequence[Value], line: int) -> None:
    """Note that rows reach a split or a score: every trace on them is a leak."""
    scope.flow.leaks |= {trace for value in values for trace in value.traces}
    scope.flow.splits.add(line)


def _is_own(scope: Scope, call: Call) -> bool:
    return not call.is_method and call.name in scope.flow.functions and scope.depth < _DEEPEST_CALL


def _own(scope: Scope, call: Call) -> Value:
    function = scope.flow.functions[call.name]
    scope.flow.called.add(call.name)
    names = [one.arg for one in [*function.args.posonlyargs, *function.args.args]]
    bound = dict(zip(names, call.arguments, strict=False)) | {
        name: value for name, value in call.keywords.items() if name
    }
    inner = Scope(scope.flow, {**scope.names, **bound}, scope.depth + 1)
    inner.block(function.body)
    if len(inner.returned) == 1:
        return inner.returned[0]
    return joined(inner.returned)


def _is_split(scope: Scope, call: Call) -> bool:
    if call.name != "split" or not call.is_method:
        return False
    return call.base.makes in SPLITTERS or any(value.role == "full" for value in call.arguments)


def _split(scope: Scope, call: Call) -> Value:
    _reach(scope, call.everything, call.node.lineno)
    return Value(sides=True)


def _split_function(scope: Scope, call: Call) -> Value:
    _reach(scope, call.everything, call.node.lineno)
    parts: list[Value] = []
    for value in call.arguments:
        inner = value.role in ("train", "test")
        parts += [
            replace(value, role=value.role if inner else side, parts=(), traces=frozenset())
            for side in ("train", "test")
        ]
    return Value(parts=tuple(parts))


def _cross_validate(scope: Scope, call: Call) -> Value:
    _reach(scope, [value for value in call.everything if not value.makes], call.node.lineno)
    return NOTHING


def _is_made(scope: Scope, call: Call) -> bool:
    known = kind_of(call.name) is not None and call.name not in FUNCTIONS and call.name != "corrwith"
    return known or call.name in SPLITTERS or (is_model(call.name) and call.name not in _FITTING)


def _made(scope: Scope, call: Call) -> Value:
    return Value(makes=call.name, line=call.node.lineno)


def _is_fit(scope: Scope, call: Call) -> bool:
    return call.is_method and call.name in _FITTING


def _fit(scope: Scope, call: Call) -> Value:
    _monitored(scope, call)
    kind = _kind_of_base(call)
    role, traces = joined(call.rows).role, joined(call.rows).traces
    if call.base.makes in SEARCHES:
        _reach(scope, call.rows, call.node.lineno)
    elif kind in ("model", "unknown") and role == "train":
        # What an earlier model said of these rows is stacking, and may have been said out of fold.
        scope.flow.leaks |= {trace for trace in traces if trace.kind not in ("model", "unknown")}
    if role == "test":
        what = f"`{call.base.makes or call.base_name}.{call.name}` is given test rows."
        scope.flow.events.add(("fitted-on-test", call.node.lineno, what))
    elif role not in ("train", "part") and not (role == "" and scope.items):
        trace = Trace(call.node.lineno, kind, call.base.makes or call.base_name or "model")
        traces |= {trace}
        if kind not in ("model", "unknown"):
            scope.flow.pending.add(trace)
    fitted = replace(call.base, traces=call.base.traces | traces)
    if call.base_name:
        scope.names[call.base_name] = fitted
    if call.name in ("fit", "train"):
        return fitted
    rows = Value(role=role, traces=traces, frame=False)
    return replace(rows, parts=(rows, rows)) if call.name in ("fit_resample", "fit_sample") else rows


def _kind_of_base(call: Call) -> str:
    if any(word in call.base_name.lower() for word in _ENCODERS):
        return "reduction"
    made = call.base.makes
    named = any(word in call.base_name.lower() for word in _MODEL_NAMES)
    return kind_of(made) or ("model" if is_model(made) or named else "unknown")


def _monitored(scope: Scope, call: Call) -> None:
    for name, value in call.keywords.items():
        if name in _MONITORED and value.role == "test":
            what = f"`{name}` of `{call.name}` holds test rows."
            scope.flow.events.add(("early-stopping-on-test", call.node.lineno, what))


def _is_learning_function(scope: Scope, call: Call) -> bool:
    return call.name in FUNCTIONS or call.name == "corrwith" or (call.name == "corr" and call.base.frame)


def _learning_function(scope: Scope, call: Call) -> Value:
    given = [*call.everything, *([call.base] if call.name in ("corrwith", "corr") else [])]
    rows = joined(given)
    kind = kind_of(call.name) or "selection"
    sure = rows.role == "full" or (rows.role == "" and kind != "scaling" and not scope.items)
    if not sure:
        return rows
    trace = Trace(call.node.lineno, kind, call.name)
    if kind == "harmonisation":
        scope.flow.pending.add(trace)
    return replace(rows, traces=rows.traces | {trace})


def _is_statistic(scope: Scope, call: Call) -> bool:
    if call.name not in _STATISTICS or not call.is_method:
        return False
    axes = [one.value for one in call.node.keywords if one.arg == "axis"]
    of_module = call.base_name in ("np", "numpy", "torch", "jnp")
    positional = call.node.args[1:2] if of_module else call.node.args[:1]
    first = [*axes, *positional][:1]
    along_rows = bool(first) and isinstance(first[0], ast.Constant) and first[0].value == 0
    rows = joined(call.arguments[:1]) if of_module else call.base
    return rows.role == "full" and (along_rows or (rows.frame and not first))


def _statistic(scope: Scope, call: Call) -> Value:
    rows = joined([call.base, *call.everything])
    return replace(rows, role="", traces=rows.traces | {Trace(call.node.lineno, "scaling", call.name)})


def _fill(scope: Scope, call: Call) -> Value:
    filled = joined([call.base, *call.everything])
    here = {
        replace(trace, kind="imputation") if trace.kind == "scaling" and trace.line == call.node.lineno else trace
        for trace in filled.traces
    }
    return replace(filled, traces=frozenset(here))


def _score(scope: Scope, call: Call) -> Value:
    rows = joined(call.arguments[:2])
    if rows.role == "test":
        _reach(scope, [call.base, *call.arguments], call.node.lineno)
    return replace(rows, traces=rows.traces | call.base.traces)


def _metric(scope: Scope, call: Call) -> Value:
    scope.flow.scored |= {trace for trace in joined(call.everything).traces if trace.kind == "model"}
    return NOTHING


def _read_rows(scope: Scope, call: Call) -> Value:
    return replace(joined(call.everything), role="full", frame=True)


def _rest(scope: Scope, call: Call) -> Value:
    return other_side(joined(call.arguments))


Rule = tuple[Callable[[Scope, Call], bool], Callable[[Scope, Call], Value]]


def _named(names: set[str]) -> Callable[[Scope, Call], bool]:
    return lambda scope, call: call.name in names


_RULES: list[Rule] = [
    (_is_own, _own),
    (_is_split, _split),
    (_named(SPLIT_FUNCTIONS), _split_function),
    (_named(CROSS_VALIDATORS), _cross_validate),
    (_is_fit, _fit),
    (_is_learning_function, _learning_function),
    (_is_made, _made),
    (_is_statistic, _statistic),
    (_named({"fillna"}), _fill),
    (_named({"setdiff1d", "difference"}), _rest),
    (_named(_SCORING), _score),
    (_named(_METRICS), _metric),
    (_named(_READERS), _read_rows),
]
"""What a call can be, asked in this order."""
