"""Follows rows through the code of a pipeline: what was fitted on which rows, and whether it reaches a split or a score.

A value carries a role (`full`, `train`, `test`, or none where it holds no rows) and the traces of every step that was fitted on rows beyond the
training side. A trace that reaches a split, a cross-validation or a score is a leak, reported where the step was fitted. A step that was fitted on
rows which no split in the file touches is not reported as one.

Source: Denning 1976, CACM 19:236 (following information through a program); Kapoor & Narayanan 2023, Patterns 4:100804 (which leaks papers have).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from radiogen.evaluate.lint_steps import MODEL_WORDS, SEARCHES, kind_of, role_of_name


@dataclass(frozen=True, order=True)
class Trace:
    """One step that was fitted on rows beyond the training side.

    Args:
        line: where it was fitted.
        kind: key of `lint_steps.CHECK_OF`.
        name: class or function.
    """

    line: int
    kind: str
    name: str


@dataclass(frozen=True)
class Value:
    """What is known of one value of the program.

    Args:
        role: `full`, `train`, `test`, `part` (some rows, cut out by number), or '' where it holds no rows.
        traces: steps fitted beyond the training side that it depends on.
        makes: name of the class that it is an object of.
        frame: it is a data frame, whose statistics run over rows.
        sides: it gives pairs of training and test rows.
        parts: its elements, where it is a tuple or list written out.
        line: where the object was made.
    """

    role: str = ""
    traces: frozenset[Trace] = frozenset()
    makes: str = ""
    frame: bool = False
    sides: bool = False
    parts: tuple[Value, ...] = ()
    line: int = 0


NOTHING = Value()


@dataclass
class Flow:
    """One walk through a file.

    Args:
        call: gives the value of a call; see `lint_calls`.
        functions: the file's own functions by name.
        leaks: traces that reached a split or a score.
        events: further findings: check, line, what.
        pending: steps fitted on all rows, whether or not anything came of it.
        splits: lines at which rows are split.
        scored: models whose scores on their own training rows are measured.
        called: own functions that something in the file calls.
    """

    call: Callable[[Scope, ast.Call], Value]
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)
    leaks: set[Trace] = field(default_factory=set)
    events: set[tuple[str, int, str]] = field(default_factory=set)
    pending: set[Trace] = field(default_factory=set)
    splits: set[int] = field(default_factory=set)
    scored: set[Trace] = field(default_factory=set)
    called: set[str] = field(default_factory=set)

    def run(self, tree: ast.Module) -> None:
        """Walk through a file: its own lines first, then the functions and methods that nothing calls."""
        every = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        self.functions = {node.name: node for node in every}
        outermost = Scope(self, {}, 0)
        outermost.block(tree.body)
        for node in every:
            if node.name not in self.called:
                names = [one.arg for one in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
                Scope(self, {**outermost.names, **{name: given(name) for name in names}}, 1).block(node.body)


def given(name: str) -> Value:
    """Return what is known of rows that a function is given: what its name says, all rows otherwise."""
    role = role_of_name(name)
    plain = name.lower().split("_")[0] in {"x", "y", "df", "data", "features", "table", "frame", "radiomics", "labels"}
    return Value(role=role or ("full" if plain else ""), frame=name.lower().startswith(("df", "table", "frame")))


def joined(values: Iterable[Value]) -> Value:
    """Return what is known of a value made from others: the widest role, all traces."""
    many = [value for value in values]
    roles = {value.role for value in many}
    role = (
        "full"
        if "full" in roles or {"train", "test"} <= roles
        else next((one for one in ("test", "train", "part") if one in roles), "")
    )
    traces = frozenset(trace for value in many for trace in value.traces)
    return Value(role=role, traces=traces, frame=any(value.frame for value in many))


def other_side(value: Value) -> Value:
    """Return the training side for the test side and the reverse; anything else as it is."""
    return replace(value, role={"train": "test", "test": "train"}.get(value.role, value.role))


class Scope:
    """The names of one function, or of the file itself, while its lines are walked in order."""

    def __init__(self, flow: Flow, names: dict[str, Value], depth: int) -> None:
        self.flow = flow
        self.names = names
        self.depth = depth
        self.returned: list[Value] = []
        self.items = 0

    def block(self, body: Iterable[ast.stmt]) -> None:
        """Walk statements in order."""
        for statement in body:
            handler: Callable[[ast.stmt], None] | None = getattr(self, f"on_{type(statement).__name__.lower()}", None)
            if handler is not None:
                handler(statement)
            elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.inside(statement)

    def inside(self, statement: ast.stmt) -> None:
        """Look at the expressions of a statement, then at the blocks in it."""
        for child in ast.iter_child_nodes(statement):
            if isinstance(child, ast.expr):
                self.value(child)
            elif isinstance(child, ast.withitem):
                self.value(child.context_expr)
        for name in ("body", "orelse", "finalbody"):
            self.block(getattr(statement, name, []) or [])
        for handler in getattr(statement, "handlers", []):
            self.block(handler.body)

    def on_assign(self, node: ast.Assign) -> None:
        """Bind the names of an assignment."""
        value = self.value(node.value)
        for target in node.targets:
            self.bind(target, value)

    def on_annassign(self, node: ast.AnnAssign) -> None:
        """Bind the name of an annotated assignment."""
        if node.value is not None:
            self.bind(node.target, self.value(node.value))

    def on_augassign(self, node: ast.AugAssign) -> None:
        """Add what is known of the right side to the name."""
        self.bind(node.target, joined([self.value(node.target), self.value(node.value)]))

    def on_return(self, node: ast.Return) -> None:
        """Keep what a function gives back."""
        if node.value is not None:
            self.returned.append(self.value(node.value))

    def on_for(self, node: ast.For) -> None:
        """Bind the sides of a split; any other loop's names take after what is looped over."""
        over = self.value(node.iter)
        if over.sides:
            self.bind_sides(node.target)
        else:
            # One item of many is one case: what is fitted on it learns nothing of others.
            self.bind(node.target, replace(over, role="", parts=()))
            self.items += 1
        # Twice: what a round leaves behind can reach the next one.
        self.block(node.body)
        self.block(node.body)
        self.items -= 0 if over.sides else 1
        self.block(node.orelse)

    def bind_sides(self, target: ast.expr) -> None:
        """Give the two names of a split's loop their roles; a count in front of them is passed over."""
        names = list(target.elts) if isinstance(target, ast.Tuple | ast.List) else []
        if len(names) == 2 and isinstance(names[1], ast.Tuple | ast.List):
            names = list(names[1].elts)
        if len(names) == 2:
            self.bind(names[0], Value(role="train"))
            self.bind(names[1], Value(role="test"))

    def bind(self, target: ast.expr, value: Value) -> None:
        """Give names a value; elements of a tuple get theirs where these are known."""
        if isinstance(target, ast.Name):
            said = role_of_name(target.id)
            self.names[target.id] = replace(value, role=said) if said and not value.makes else value
        elif isinstance(target, ast.Tuple | ast.List):
            parts = (
                value.parts if len(value.parts) == len(target.elts) else (replace(value, parts=()),) * len(target.elts)
            )
            for one, part in zip(target.elts, parts, strict=True):
                self.bind(one, part)
        elif isinstance(target, ast.Subscript | ast.Attribute):
            base = target.value
            if isinstance(base, ast.Name) and base.id in self.names:
                old = self.names[base.id]
                self.names[base.id] = replace(old, traces=old.traces | value.traces)

    def value(self, node: ast.expr | None) -> Value:
        """Return what is known of an expression."""
        if node is None:
            return NOTHING
        handler: Callable[[ast.expr], Value] | None = getattr(self, f"of_{type(node).__name__.lower()}", None)
        if handler is not None:
            return handler(node)
        return joined(self.value(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))

    def of_name(self, node: ast.Name) -> Value:
        """Return a name's value; one that was never bound is what its name says."""
        return self.names[node.id] if node.id in self.names else Value(role=role_of_name(node.id) or "")

    def of_tuple(self, node: ast.Tuple | ast.List) -> Value:
        """Return a tuple's value with its elements."""
        parts = tuple(self.value(one) for one in node.elts)
        return replace(joined(parts), parts=parts)

    of_list = of_tuple

    def of_compare(self, node: ast.Compare) -> Value:
        """Return what is compared; 'not the test fold' is the training side."""
        compared = replace(joined([self.value(node.left), *map(self.value, node.comparators)]), frame=False)
        turned = any(isinstance(one, ast.NotEq | ast.NotIn) for one in node.ops)
        sides = any(_names_a_side(one) for one in [node.left, *node.comparators])
        return other_side(compared) if turned and sides else compared

    def of_unaryop(self, node: ast.UnaryOp) -> Value:
        """Return the operand; a mask turned round is the other side."""
        operand = self.value(node.operand)
        return other_side(operand) if isinstance(node.op, ast.Invert) and _names_a_side(node.operand) else operand

    def of_lambda(self, node: ast.Lambda) -> Value:
        """Return nothing: what a lambda is called with is not followed."""
        return NOTHING

    def of_attribute(self, node: ast.Attribute) -> Value:
        """Return the value of what the attribute belongs to."""
        return replace(self.value(node.value), parts=())

    def of_subscript(self, node: ast.Subscript) -> Value:
        """Return rows taken by an index that a split gave, with the traces of both."""
        base, index = self.value(node.value), self.value(node.slice)
        first = index.parts[0] if index.parts else index
        if isinstance(node.slice, ast.Constant) and base.parts and isinstance(node.slice.value, int):
            return base.parts[node.slice.value] if abs(node.slice.value) < len(base.parts) else joined(base.parts)
        role = (
            first.role if first.role in ("train", "test") and base.role in ("full", "", "train", "test") else base.role
        )
        if role in ("full", "") and _is_part(node.slice):
            role = "part"
        return Value(role=role, traces=base.traces | index.traces, frame=base.frame)

    def of_listcomp(self, node: ast.ListComp | ast.GeneratorExp) -> Value:
        """Walk a comprehension as the loop that it is."""
        for part in node.generators:
            over = self.value(part.iter)
            if over.sides:
                self.bind_sides(part.target)
            else:
                self.bind(part.target, replace(over, role="", parts=()))
        return replace(joined([self.value(node.elt), self.traces_of(node)]), parts=())

    of_generatorexp = of_listcomp
    of_setcomp = of_listcomp

    def traces_of(self, node: ast.ListComp | ast.GeneratorExp) -> Value:
        """Return the traces in the conditions of a comprehension, without a role."""
        tests = [self.value(test) for part in node.generators for test in part.ifs]
        return Value(traces=joined(tests).traces)

    def of_call(self, node: ast.Call) -> Value:
        """Return what a call gives, and note what it fits, splits or scores."""
        return self.flow.call(self, node)


def _names_a_side(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and role_of_name(node.id) is not None


def _is_part(index: ast.expr) -> bool:
    """Say whether an index cuts rows out by number; `[1:]`, which drops a header, does not."""
    first = index.elts[0] if isinstance(index, ast.Tuple) and index.elts else index
    if not isinstance(first, ast.Slice):
        return False
    lower = first.lower
    small = lower is None or (isinstance(lower, ast.Constant) and lower.value in (0, 1, 2))
    return first.upper is not None or not small


def is_model(name: str) -> bool:
    """Return whether a class or factory makes a model.

    Example:
        >>> is_model("LogisticRegression"), is_model("StandardScaler")
        (True, False)
    """
    return name in SEARCHES or (kind_of(name) is None and MODEL_WORDS.search(name) is not None)
