"""Derives further inputs from assertions: the same calls with other inputs of the same kind.

This is type-aware input mutation, as in EvalPlus (Liu et al. 2023, arXiv 2305.01210). The right results are not known,
but whether implementations compute the same from many inputs says more than a few assertions do (AlphaCode, Li et al.
2022, arXiv 2203.07814, groups programs this way). Changes are small, so that most changed inputs remain valid. Does not
cover the conclusions drawn from the results (`agreement`).
"""

from __future__ import annotations

import ast
import copy
import random
import re
from collections.abc import Collection, Sequence

import msgspec

from snipmill.randomness import generator
from snipmill.verification.statements import bound_names, names_in, needed_for, parse
from snipmill.verification.units import Assertion

_TRIES = 4  # attempts per wanted question: many changes repeat an earlier one, or change nothing
_CHANGES = (1, 1, 2, 3)  # number of changes per attempt, drawn from these
_DOUBLED = 1000  # larger numbers are not doubled: loops over them would time out
_LONGEST = 4000  # maximum characters of setup and call: longer ones are too slow to parse and unparse repeatedly
_BINDINGS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def without_expectation(assertion: Assertion, offered: Collection[str]) -> Assertion | None:
    """The part of an assertion that computes a value, without the expected value.

    If the assertion compares no value, or only inspects one (`isclose(f(2.5), 3.1)`), this is the first expression in
    it that comes from the tested code.

    Args:
        assertion: an assertion.
        offered: the names under test.

    Returns:
        the assertion without its expectation; None if it computes no value, or is too long or too deeply nested.
    """
    unit = assertion.unit
    asked = unit.value or unit.check or ""
    setup, value = parse(unit.setup), parse(asked)
    if setup is None or value is None or not value.body or len(unit.setup) + len(asked) > _LONGEST:
        return None
    try:
        results = _results(setup, offered)
        if unit.value is None or _only_looks(value, results.union(offered)):
            looked_at = _first_result(value, offered, results)
            if looked_at is None and unit.value is None:
                return None
            value = ast.Module([ast.Expr(looked_at)], []) if looked_at is not None else value
        before = "\n".join(ast.unparse(statement) for statement in needed_for(value, setup.body))
        unit = msgspec.structs.replace(unit, setup=before, value=ast.unparse(value), expected=None, check=None)
    except (RecursionError, ValueError):  # trees that cannot be unparsed, such as some f-strings
        return None
    return Assertion(unit, assertion.key, assertion.names)


def input_key(question: Assertion, offered: Collection[str]) -> str:
    """A key that is equal for questions with the same input, whatever the tested function is called.

    Args:
        question: an assertion without its expectation.
        offered: the names under test.
    """
    return common_key(f"{question.unit.setup}\n{question.unit.value}", offered)


def derive_inputs(asked: Sequence[tuple[Assertion | None, Collection[str]]], most: int) -> list[tuple[int, Assertion]]:
    """New questions, derived from the given ones in turn.

    Args:
        asked: assertions without their expectations, each with the names that it tests; None entries are skipped.
        most: maximum number of questions.

    Returns:
        for each new question, the index in `asked` that it is derived from, and the question.
    """
    sources = [(place, source, offered) for place, (source, offered) in enumerate(asked) if source is not None]
    seen = {input_key(source, offered) for _, source, offered in sources}
    found: list[tuple[int, Assertion]] = []
    for attempt in range(_TRIES * most if sources else 0):
        place, source, offered = sources[attempt % len(sources)]
        varied = _varied(source, offered, generator(0, "inputs", source.key, attempt // len(sources)))
        if varied is not None and (key := input_key(varied, offered)) not in seen:
            seen.add(key)
            found.append((place, varied))
            if len(found) == most:
                break
    return found


def common_key(text: str, offered: Collection[str]) -> str:
    """A text with the name under test masked, if there is exactly one; several names could be confused."""
    if len(offered) != 1:
        return text
    (name,) = offered
    return re.sub(rf"\b{re.escape(name)}\b", "\0", text)


def _varied(question: Assertion, offered: Collection[str], draws: random.Random) -> Assertion | None:
    """A question with some of its inputs changed; None if it has no inputs."""
    setup, value = parse(question.unit.setup), parse(question.unit.value or "")
    assert setup is not None and value is not None
    inputs = _inputs(setup, value, offered)
    if not inputs:
        return None
    for _ in range(draws.choice(_CHANGES)):
        _change(draws.choice(inputs), draws)
    try:
        unit = msgspec.structs.replace(question.unit, setup=ast.unparse(setup), value=ast.unparse(value))
    except (RecursionError, ValueError):
        return None
    return Assertion(unit, question.key, question.names)


def _inputs(setup: ast.Module, value: ast.Module, offered: Collection[str]) -> list[ast.AST]:
    """The constants and list or tuple displays that are passed to the tested code or bound before.

    The name that a call begins with decides: `f([1])` and `stack.push(1)` count, but not `round(..., 2)` or
    `math.isclose(..., 3)`.
    """
    bindings = [statement for statement in setup.body if isinstance(statement, _BINDINGS)]
    asked = {name for statement in bindings for name in bound_names(statement)}.union(offered)
    roots: list[ast.AST] = []
    for statement in (*setup.body, *value.body):
        if isinstance(statement, (*_BINDINGS, ast.Expr)) and statement.value is not None:
            calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call) and _first_name(node) in asked]
            for call in calls:
                roots += [*call.args, *(keyword.value for keyword in call.keywords)]
            if not calls and isinstance(statement, _BINDINGS):
                roots.append(statement.value)
    return list(dict.fromkeys(node for root in roots for node in ast.walk(root) if _is_input(node)))


def _results(setup: ast.Module, offered: Collection[str]) -> set[str]:
    """The names that earlier statements bind to values computed with the offered names."""
    found: set[str] = set()
    for statement in setup.body:
        if isinstance(statement, _BINDINGS) and not found.union(offered).isdisjoint(names_in([statement])):
            found |= bound_names(statement)
    return found


def _only_looks(value: ast.Module, asked: Collection[str]) -> bool:
    """Whether a value is only the truth value of another function's result, as in `bool(isinstance(f(1), int))`."""
    (statement,) = value.body
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or _first_name(call) != "bool" or len(call.args) != 1:
        return False
    return _first_name(call.args[0]) not in asked


def _first_result(node: ast.AST, offered: Collection[str], results: Collection[str]) -> ast.expr | None:
    """The first call of an offered name or use of its results, outside comprehensions and lambdas with own names."""
    if isinstance(node, ast.Call) and _first_name(node) in offered:
        return node
    if isinstance(node, ast.Call | ast.Attribute | ast.Subscript | ast.Name) and _first_name(node) in results:
        return node
    if isinstance(node, _SCOPES):
        return None
    found = (_first_result(inner, offered, results) for inner in ast.iter_child_nodes(node))
    return next((result for result in found if result is not None), None)


def _first_name(node: ast.expr) -> str | None:
    while True:
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        else:
            return node.id if isinstance(node, ast.Name) else None


def _is_input(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool | int | float | str)
    return isinstance(node, ast.List | ast.Tuple) and isinstance(node.ctx, ast.Load)


def _change(node: ast.AST, draws: random.Random) -> None:
    """Change an input slightly, in place. Some draws change nothing."""
    if isinstance(node, ast.List | ast.Tuple):
        _change_items(node, draws)
    elif isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool):
            node.value = not value
        elif isinstance(value, int):
            node.value = _other_number(value, draws)
        elif isinstance(value, float):
            node.value = draws.choice([value * 1.5, value + 1, value / 2])
        elif isinstance(value, str) and value:
            node.value = _other_text(value, draws)


def _change_items(node: ast.List | ast.Tuple, draws: random.Random) -> None:
    """Drop, repeat or swap items, or reverse all. A tuple keeps its length, because the length often has a meaning."""
    items = node.elts
    if isinstance(node, ast.List) and len(items) == 1:
        kind = "repeat"
    elif len(items) < 2:
        return
    else:
        kind = draws.choice(["swap", "turn"] if isinstance(node, ast.Tuple) else ["drop", "repeat", "swap", "turn"])
    if kind == "drop":
        del items[draws.randrange(len(items))]
    elif kind == "repeat":
        items.insert(draws.randrange(len(items) + 1), copy.deepcopy(draws.choice(items)))
    elif kind == "swap":
        one, other = draws.sample(range(len(items)), 2)
        items[one], items[other] = items[other], items[one]
    else:
        items.reverse()


def _other_number(number: int, draws: random.Random) -> int:
    """A nearby number, not negative, because valid ranges often end at zero. A sign before the number is kept."""
    near = [number + 1, abs(number - 1), number + 2, number // 2, number + draws.randint(3, 9)]
    if number < _DOUBLED:
        near.append(number * 2)
    return draws.choice(near)


def _other_text(text: str, draws: random.Random) -> str:
    """A text with a letter dropped, repeated, changed in case or swapped, or with its beginning appended."""
    one, other = draws.randrange(len(text)), draws.randrange(len(text))
    letters = list(text)
    kind = draws.choice(["drop", "repeat", "case", "swap", "again"])
    if kind == "drop" and len(letters) > 1:
        del letters[one]
    elif kind == "repeat":
        letters.insert(one, letters[other])
    elif kind == "case":
        letters[one] = letters[one].swapcase()
    elif kind == "swap":
        letters[one], letters[other] = letters[other], letters[one]
    elif kind == "again":
        letters += letters[: one + 1]
    return "".join(letters)
