"""A test case that passes gives single assertions that hold, whatever its methods do to what they share."""

from __future__ import annotations

import unittest
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from snipmill.sandbox.program import Unit
from snipmill.verification.units import assertions

PILE = """
class Pile:
    def __init__(self, items=()):
        self.items = list(items)
    def push(self, item):
        self.items.append(item)
    def pop(self):
        return self.items.pop()
    def all(self):
        return list(self.items)
"""
HEAD = """
import unittest

class PileTests(unittest.TestCase):
    def setUp(self):
        self.pile = Pile([7])
        self.limit = 3

    def fill(self, pile=None):
        (pile or self.pile).push(5)
        return 5

    def test_it(self):
        other = Pile()
        x = 0
"""
# What a step says, and what it does to (the pile, the other one, x); {0} is the pile's items, {1} the other's, {2} x.
STEPS = {
    "self.pile.push(1)": lambda pile, other, x: ([*pile, 1], other, x),
    "self.fill()": lambda pile, other, x: ([*pile, 5], other, x),
    "self.fill(other)": lambda pile, other, x: (pile, [*other, 5], x),
    "x = self.fill()": lambda pile, other, x: ([*pile, 5], other, 5),
    "x = self.limit": lambda pile, other, x: (pile, other, 3),
    "x += 1": lambda pile, other, x: (pile, other, x + 1),
    "other.push(x)": lambda pile, other, x: (pile, [*other, x], x),
    "self.pile = Pile(other.all())": lambda pile, other, x: (other, other, x),
    "other = Pile([2])": lambda pile, other, x: (pile, [2], x),
    "for y in [1, 2]:\n            self.pile.push(y)": lambda pile, other, x: ([*pile, 1, 2], other, x),
    "for y in [1, 2]:\n            with self.subTest(y=y):\n                other.push(y)\n"
    "                self.assertIn(y, other.all())": lambda pile, other, x: (pile, [*other, 1, 2], x),
    "with self.assertRaises(IndexError):\n            Pile().pop()": lambda *state: state,
    "with self.assertRaises(AttributeError) as caught:\n            self.pile.gone": lambda *state: state,
    "self.assertEqual(self.pile.all(), {0})": lambda *state: state,
    "self.assertEqual(other.all(), {1})": lambda *state: state,
    "self.assertEqual(x, {2})": lambda *state: state,
    "self.assertCountEqual([self.pile.push(9)], [None])": lambda pile, other, x: ([*pile, 9], other, x),
    "self.assertIsNone(other.push(8))": lambda pile, other, x: (pile, [*other, 8], x),
    "self.assertAlmostEqual(x + 0.1 + 0.2, {2} + 0.3)": lambda *state: state,
    "self.assertLess(len(self.pile.all()), {2} + 100)": lambda *state: state,
    "self.assertRaises(TypeError, self.pile.push)": lambda *state: state,
}


def method(steps: list[str]) -> str:
    """A test case that holds: its expected values are those that its steps lead to."""
    state: tuple[list[int], list[int], int] = ([7], [], 0)
    lines = []
    for step in steps:
        lines.append("        " + step.format(*state))
        state = STEPS[step](*state)  # type: ignore[no-untyped-call]
    return HEAD + "\n".join(lines) + "\n"


def holds(unit: Unit) -> bool:
    names: dict[str, Any] = {}
    exec(PILE + unit.setup, names)  # noqa: S102
    if unit.value is not None:
        return bool(eval(f"({unit.value}) == ({unit.expected})", names))  # noqa: S307
    return unit.check is None or bool(eval(unit.check, names))  # noqa: S307


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=9))
@settings(max_examples=300, deadline=None)
def test_no_assertion_of_a_case_that_passes_is_false(steps: list[str]) -> None:
    text = method(steps)
    names: dict[str, Any] = {}
    exec(PILE + text, names)  # noqa: S102
    result = unittest.TestResult()
    names["PileTests"]("test_it").run(result)
    assert not result.failures and not result.errors, text
    for assertion in assertions(text, {"Pile"}):
        assert holds(assertion.unit), f"{text}\n---\n{assertion.unit}"


def test_most_of_what_needs_no_helper_is_read() -> None:
    steps = [step for step in STEPS if "fill" not in step]
    assert len(assertions(method(steps), {"Pile"})) == 10
