"""Tests without the assertions that the evidence speaks against: taken out, or with a value that others computed.

Only what stands at module level is changed, a loop as a whole, so that what remains is what the model wrote. A repaired program
must pass like any other; this module only proposes it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

from snipmill.verify.agreement import Agreement
from snipmill.verify.statements import parse
from snipmill.verify.units import Assertion

Mode = Literal["drop", "recompute"]
_LONGEST = 200  # characters of a recomputed value: a longer one was cut when it was shown


@dataclass(frozen=True)
class Repair:
    """Changed tests, how many assertions were changed or taken out, and how many remain."""

    tests: str
    changed: int
    remaining: int


def repair(agreement: Agreement, sample: int, mode: Mode) -> Repair | None:
    """A sample's tests without assertions that fail for its code, or that the majority contradicts.

    Args:
        agreement: the evidence, with outcomes.
        sample: which sample.
        mode: `drop` takes such assertions out; `recompute` puts the majority's value in where the sample's own code computes
            it too, and takes out the rest.

    Returns:
        None where nothing is to be changed, or it cannot be, or no assertion would remain.
    """
    own = agreement.own_assertions(sample)
    # A program that passed has executed its assertions: where one fails alone, it lacks what came before it.
    passed = agreement.samples[sample].passed
    wrong = [
        assertion for assertion, holds, majority in own if (not holds and not passed) or (holds and majority is False)
    ]
    if not wrong or any(assertion.span is None for assertion in wrong):
        return None
    lines = agreement.samples[sample].tests.split("\n")
    remaining = len(own)
    tree = parse(agreement.samples[sample].tests)
    if tree is None or not all(_stands_alone(assertion, tree) for assertion in wrong):
        return None
    # From the last to the first, so that the places of the others stay.
    for assertion in sorted(wrong, key=lambda assertion: assertion.span or (0, 0), reverse=True):
        assert assertion.span is not None
        first, last = assertion.span
        value = agreement.agreed_value(sample, assertion) if mode == "recompute" else None
        text = _recomputed(assertion, value) if value is not None else None
        if text is None:
            remaining -= 1
        lines[first - 1 : last] = [] if text is None else [text]
    tests = "\n".join(lines)
    if remaining < 1 or parse(tests) is None:
        return None
    return Repair(tests, len(wrong), remaining)


def _stands_alone(assertion: Assertion, tree: ast.Module) -> bool:
    """Whether an assertion shares its lines with no other statement."""
    assert assertion.span is not None
    first, last = assertion.span
    return sum(statement.lineno <= last and (statement.end_lineno or 0) >= first for statement in tree.body) == 1


def _recomputed(assertion: Assertion, value: str) -> str | None:
    """The assertion with another expected value, where that can be written down."""
    if assertion.unit.value is None or assertion.unit.expected is None or len(value) > _LONGEST:
        return None
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if assertion.unit.expected in ("True", "False") and value in ("0", "1"):
        return _recomputed_truth(assertion.unit.value, value == "1")
    return f"assert {assertion.unit.value} == {value}"


def _recomputed_truth(asked: str, truth: bool) -> str:
    """As it was written: by itself, or compared with True and False."""
    call = ast.parse(asked, mode="eval").body
    if isinstance(call, ast.Call) and ast.unparse(call.func) == "bool" and len(call.args) == 1:
        return f"assert {'' if truth else 'not '}{ast.unparse(call.args[0])}"
    return f"assert {asked} == {truth}"
