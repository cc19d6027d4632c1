"""Repairs tests: assertions that the evidence contradicts are removed, or get the value that others computed.

Only statements at module level are changed, a loop only as a whole, so that the rest stays as the model wrote it. This
module only proposes the repair; a repaired program must pass like any other.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

from snipmill.python_tree import parse_expression
from snipmill.verification.agreement import Agreement, agreed_value, own_evidence
from snipmill.verification.questions import SampleIndex
from snipmill.verification.statements import parse
from snipmill.verification.units import Assertion

Mode = Literal["drop", "recompute"]
_LONGEST = 200  # maximum characters of a recomputed value: a longer one was truncated in the outcome


@dataclass(frozen=True)
class Repair:
    """Repaired tests, the number of assertions changed or removed, and the number that remain."""

    tests: str
    changed: int
    remaining: int


def repair(agreement: Agreement, sample: SampleIndex, mode: Mode) -> Repair | None:
    """A sample's tests without assertions that fail for its code, or that the majority contradicts.

    Args:
        agreement: the evidence, with outcomes.
        sample: which sample.
        mode: `drop` removes such assertions; `recompute` inserts the majority's value if the sample's own code computes
            it too, and removes the rest.

    Returns:
        None if nothing needs to change, the change is impossible, or no assertion would remain.
    """
    own = own_evidence(agreement, sample)
    # All assertions of a passed program held. If one fails when run alone, it lacks statements that came before it.
    tests, passed = agreement.questions.samples[sample].tests, agreement.questions.samples[sample].passed
    wrong = [
        assertion for assertion, holds, majority in own if (not holds and not passed) or (holds and majority is False)
    ]
    if not wrong or any(assertion.span is None for assertion in wrong):
        return None
    lines = tests.split("\n")
    remaining = len(own)
    tree = parse(tests)
    if tree is None or not all(_stands_alone(assertion, tree) for assertion in wrong):
        return None
    # From last to first, so that the line numbers of the others stay valid.
    for assertion in sorted(wrong, key=lambda assertion: assertion.span or (0, 0), reverse=True):
        assert assertion.span is not None
        first, last = assertion.span
        value = agreed_value(agreement, sample, assertion) if mode == "recompute" else None
        text = _recomputed(assertion, value) if value is not None else None
        if text is None:
            remaining -= 1
        lines[first - 1 : last] = [] if text is None else [text]
    repaired = "\n".join(lines)
    if remaining < 1 or parse(repaired) is None:
        return None
    return Repair(repaired, len(wrong), remaining)


def _stands_alone(assertion: Assertion, tree: ast.Module) -> bool:
    """Whether an assertion shares its lines with no other statement."""
    assert assertion.span is not None
    first, last = assertion.span
    return sum(statement.lineno <= last and (statement.end_lineno or 0) >= first for statement in tree.body) == 1


def _recomputed(assertion: Assertion, value: str) -> str | None:
    """The assertion with another expected value, or None if the value cannot be written as a literal."""
    if assertion.unit.value is None or assertion.unit.expected is None or len(value) > _LONGEST:
        return None
    try:
        ast.literal_eval(parse_expression(value.lstrip(" \t")))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if assertion.unit.expected in ("True", "False") and value in ("0", "1"):
        return _recomputed_truth(assertion.unit.value, value == "1")
    return f"assert {assertion.unit.value} == {value}"


def _recomputed_truth(asked: str, truth: bool) -> str:
    """The assertion in its original form: bare, or compared with True or False."""
    call = parse_expression(asked)
    if isinstance(call, ast.Call) and ast.unparse(call.func) == "bool" and len(call.args) == 1:
        return f"assert {'' if truth else 'not '}{ast.unparse(call.args[0])}"
    return f"assert {asked} == {truth}"
