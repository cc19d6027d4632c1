"""What an implementation offers, what tests use of it, and how one sample's tests are fitted to another's code.

Samples name things differently. The names in the tests are bound to the other implementation's names, in the unit's own
copy of the namespace. The other code itself stays unchanged, because its functions look names up where they were
defined. Only keyword arguments are renamed, by position, if both signatures have the same number of parameters. Tests
that do not fit are skipped.
"""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from snipmill.verification.statements import parse
from snipmill.verification.units import Assertion

# Names of the standard library and of pytest that tests use without importing them.
_HELPERS = frozenset(
    {"isclose", "approx", "raises", "Counter", "Decimal", "Fraction", "OrderedDict", "defaultdict", "deque", "datetime"}
    | {"date", "timedelta", "sqrt", "floor", "ceil", "array", "deepcopy", "reduce", "Path"}
)


@dataclass(frozen=True)
class Signature:
    """The parameters of a function; for a class, those of `__init__`, and `methods` are the class's own methods."""

    parameters: tuple[str, ...]
    required: int
    any_positional: bool
    any_keyword: bool
    methods: frozenset[str] | None = None


def interface(code: str) -> dict[str, Signature | None]:
    """The module-level names of an implementation, with signatures; None if neither a function nor a class."""
    tree = parse(code)
    offered: dict[str, Signature | None] = {}
    for statement in tree.body if tree is not None else ():
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            offered[statement.name] = _signature(statement.args)
        elif isinstance(statement, ast.ClassDef):
            offered[statement.name] = _class_signature(statement)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    offered[target.id] = None
    return offered


def presumed_interface(tests: str) -> dict[str, Signature | None]:
    """What tests that belong to no implementation seem to be about: the one name that most of them call and that nothing defines.

    A name that begins with a capital letter is taken for a class, any other for a function. Its parameters are not known.
    """
    tree = parse(tests)
    if tree is None:
        return {}
    nodes = list(ast.walk(tree))
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    bound |= {alias.asname or alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    bound |= {alias.asname or alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    counts: Counter[str] = Counter()
    for statement in tree.body:
        called = {
            node.func.id
            for node in ast.walk(statement)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        counts.update(sorted(called - bound - _HELPERS - set(dir(builtins))))
    if not counts:
        return {}
    name = counts.most_common(1)[0][0]
    return {name: Signature((), 0, True, True, frozenset() if name[:1].isupper() else None)}


def _signature(arguments: ast.arguments, skip: int = 0) -> Signature:
    named = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][skip:]
    required = max(0, len(named) - len(arguments.defaults))
    keywords = tuple(argument.arg for argument in arguments.kwonlyargs)
    return Signature((*named, *keywords), required, arguments.vararg is not None, arguments.kwarg is not None)


def _class_signature(definition: ast.ClassDef) -> Signature:
    methods = [node for node in definition.body if isinstance(node, ast.FunctionDef)]
    first = next((method for method in methods if method.name == "__init__"), None)
    signature = _signature(first.args, 1) if first is not None else Signature((), 0, True, True)
    return Signature(
        signature.parameters,
        signature.required,
        signature.any_positional,
        signature.any_keyword,
        frozenset(method.name for method in methods),
    )


def used_names(own: Collection[str], tests: Collection[Assertion]) -> frozenset[str]:
    """The names of a sample's own implementation that its tests use."""
    return frozenset(name for assertion in tests for name in assertion.names if name in own)


def align(
    assertion: Assertion,
    own: dict[str, Signature | None],
    other: dict[str, Signature | None],
    entries: frozenset[str],
) -> Assertion | None:
    """One sample's assertion, adapted to another sample's implementation; None if it does not fit.

    Args:
        assertion: the assertion to adapt.
        own: what the implementation of the assertion's own sample offers.
        other: what the other implementation offers.
        entries: the names of the other implementation that its own tests use.
    """
    bindings: dict[str, str] = {}
    for name in sorted(assertion.names & own.keys()):
        target = _target(name, own, other, entries)
        if target is None:
            return None
        bindings[name] = target
    if len(set(bindings.values())) < len(bindings):
        return None
    try:
        return _rewritten(assertion, bindings, own, other)
    except (RecursionError, ValueError):  # a tree that cannot be unparsed
        return None


def _target(
    name: str, own: dict[str, Signature | None], other: dict[str, Signature | None], entries: frozenset[str]
) -> str | None:
    """The matching name in the other implementation: the same, or its only entry of the same kind not in `own`."""
    mine = own[name]
    if name in other:
        return name if (other[name] is None) == (mine is None) and _same_kind(mine, other[name]) else None
    if mine is None:
        return None
    candidates = [
        entry
        for entry in (entries or other.keys())
        if entry not in own and other.get(entry) is not None and _same_kind(mine, other[entry])
    ]
    return candidates[0] if len(candidates) == 1 else None


def _same_kind(one: Signature | None, other: Signature | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.methods is None) == (other.methods is None)


def _rewritten(
    assertion: Assertion,
    bindings: dict[str, str],
    own: dict[str, Signature | None],
    other: dict[str, Signature | None],
) -> Assertion | None:
    unit = assertion.unit
    texts: dict[str, str | None] = {
        "setup": unit.setup,
        "value": unit.value,
        "expected": unit.expected,
        "check": unit.check,
    }
    for place, text in texts.items():
        tree = parse(text) if text else None
        if tree is None:
            continue
        changed = False
        for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]:
            assert isinstance(call.func, ast.Name)
            if call.func.id in bindings:
                signature, target = own[call.func.id], other[bindings[call.func.id]]
                if signature is None or target is None:
                    continue
                fitted = _fit(call, signature, target)
                if fitted is None:
                    return None
                changed = changed or fitted
        for attribute in [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]:
            if not _has_method(attribute.attr, bindings, own, other):
                return None
        if changed:
            texts[place] = ast.unparse(tree)
    lines = [f"{name} = {target}" for name, target in bindings.items() if name != target]
    setup = "\n".join([*lines, texts["setup"] or ""]).strip("\n")
    changed_unit = msgspec.structs.replace(
        unit, setup=setup, value=texts["value"], expected=texts["expected"], check=texts["check"]
    )
    return Assertion(changed_unit, assertion.key, assertion.names, assertion.span)


def _has_method(
    name: str, bindings: dict[str, str], own: dict[str, Signature | None], other: dict[str, Signature | None]
) -> bool:
    """Whether the other class has this method too; also true if the assertion's own class does not have it."""
    pairs = [(own[mine], other[target]) for mine, target in bindings.items()]
    classes = [(one.methods, two.methods) for one, two in pairs if one is not None and two is not None]
    return all(mine is None or theirs is None or name not in mine or name in theirs for mine, theirs in classes)


def _fit(call: ast.Call, own: Signature, other: Signature) -> bool | None:
    """Adapt a call to another signature, in place. Returns whether it changed, or None if it cannot fit."""
    if any(isinstance(argument, ast.Starred) for argument in call.args) or any(k.arg is None for k in call.keywords):
        return None if own.parameters != other.parameters else False
    changed = False
    for keyword in call.keywords:
        if keyword.arg in other.parameters or other.any_keyword:
            continue
        if len(own.parameters) != len(other.parameters) or keyword.arg not in own.parameters:
            return None
        keyword.arg = other.parameters[own.parameters.index(keyword.arg)]
        changed = True
    given = len(call.args) + len(call.keywords)
    if given < other.required or (given > len(other.parameters) and not (other.any_positional or other.any_keyword)):
        return None
    return changed
