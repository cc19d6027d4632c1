"""What the pure parts of verification make of code and tests."""

from __future__ import annotations

import ast
import asyncio
import unittest
from collections.abc import Collection

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snipmill.records import Verification
from snipmill.sandbox.driver import Sandbox
from snipmill.stages.calibration_file import shipped_calibration
from snipmill.stages.evidence_runs import TestStrength as Strength
from snipmill.stages.evidence_runs import measure_tests
from snipmill.verification.code_equality import normal_form
from snipmill.verification.confidence import confidence
from snipmill.verification.coverage import coverage
from snipmill.verification.derived_inputs import derive_inputs, input_key, without_expectation
from snipmill.verification.interface import align, interface, used_names
from snipmill.verification.mutants import Mutant, difference, mutants
from snipmill.verification.programs import join_program
from snipmill.verification.units import Assertion, assertions

TESTS = """
import math
values = [1, 2]
other = {}
values.append(3)
print("begin")
assert total(values) == 6
assert math.isclose(total([0.1]), 0.1), "message"
assert not total_is_odd([2])
assert 6 == total([6])

def test_more():
    empty = []
    assert total(empty) == 0
    for n in range(3):
        assert total([n]) == n

class TestTotal(unittest.TestCase):
    def test_it(self):
        data = [4]
        self.assertEqual(total(data), 4)
        self.assertTrue(total([1]) == 1)
        self.assertFalse(total([]))

if __name__ == "__main__":
    unittest.main()
"""


def test_tests_become_single_assertions_with_what_they_need() -> None:
    found = assertions(TESTS, {"total", "total_is_odd"})
    assert [(one.unit.value, one.unit.expected, one.unit.check) for one in found[:5]] == [
        ("total(values)", "6", None),
        ("bool(math.isclose(total([0.1]), 0.1))", "True", None),
        ("bool(total_is_odd([2]))", "False", None),
        ("total([6])", "6", None),
        ("total(empty)", "0", None),
    ]
    assert found[0].unit.setup == "values = [1, 2]\nvalues.append(3)"
    assert found[1].unit.setup == "import math" and found[3].unit.setup == ""
    assert "for n in range(3)" in found[5].unit.setup and found[5].unit.value is None
    assert [one.unit.value for one in found[6:8]] == ["total(data)", "total([1])"]
    assert found[0].span == (7, 7) and found[4].span is None
    assert len(found) == 9


@pytest.mark.parametrize("tests", ["", "x =", "assert", "(" * 300, "\0", "def f(): pass"])
def test_what_is_no_test_has_no_assertions(tests: str) -> None:
    assert assertions(tests, {"f"}) == []


def one(text: str, offered: Collection[str] = ("f",)) -> Assertion:
    (found,) = assertions(text, offered)
    return found


def aligned(tests: str, own: str, other: str, entries: frozenset[str] | None = None) -> Assertion | None:
    offers = interface(other)
    assertion = one(tests, interface(own))
    assert used_names(interface(own), [assertion])
    return align(assertion, interface(own), offers, entries if entries is not None else frozenset(offers))


def test_tests_are_put_to_a_function_of_another_name() -> None:
    fitted = aligned("assert add(1, 2) == 3", "def add(a, b): ...", "def plus(x, y): ...")
    assert fitted is not None and fitted.unit.setup == "add = plus" and fitted.unit.value == "add(1, 2)"


def test_keywords_are_renamed_by_position() -> None:
    fitted = aligned("assert add(1, b=2) == 3", "def add(a, b): ...", "def plus(x, y): ...")
    assert fitted is not None and fitted.unit.value == "add(1, y=2)"


@pytest.mark.parametrize(
    ("tests", "own", "other"),
    [
        ("assert add(1, 2) == 3", "def add(a, b): ...", "def plus(x): ..."),
        ("assert add(1) == 3", "def add(a): ...", "def plus(x, y): ..."),
        ("assert add(1, b=2) == 3", "def add(a, b): ...", "def plus(x, y, z=1): ..."),
        ("assert Stack(1).pop() == 1", "class Stack:\n def pop(self): ...", "class Pile:\n def take(self): ..."),
        ("assert Stack(1).pop() == 1", "class Stack:\n def pop(self): ...", "def stack(x): ..."),
        ("assert add(LIMIT) == 1", "LIMIT = 1\ndef add(a): ...", "def add(a): ..."),
        ("assert add(1) == 1", "def add(a): ...", "def one(a): ...\ndef two(a): ..."),
        ("assert prime(7)", "def prime(n): ...\ndef count(n): ...", "def count(n): ..."),
        ("assert one(1) == two(1)", "def one(n): ...\ndef two(n): ...", "def three(n): ..."),
    ],
)
def test_what_does_not_fit_is_not_tried(tests: str, own: str, other: str) -> None:
    assert aligned(tests, own, other) is None


def test_a_helper_of_the_same_name_is_not_touched() -> None:
    """The name is bound in the unit's own copy, so that the other code still finds its own helper."""
    other = "def plus(x):\n    return add(x)\ndef add(x):\n    return x"
    fitted = aligned("assert add(1) == 1", "def add(a): ...", other, frozenset({"plus"}))
    assert fitted is not None and fitted.unit.setup == ""  # the same name is taken for the same thing


SAME = '''
def total(values: list[int]) -> int:
    """Add them."""
    result = 0
    # one by one
    for value in values:
        result += value
    return result
'''


def test_names_layout_and_comments_make_no_difference() -> None:
    other = "def add_all(xs):\n\n    r = 0\n    for x in xs: r += x\n    return (r)\n"
    assert normal_form(SAME) == normal_form(other)
    assert normal_form(SAME) != normal_form(other.replace("+=", "-="))
    assert normal_form("def f(a, b): return a - b") != normal_form("def f(a, b): return b - a")


def test_mutants_differ_from_the_code_and_each_other() -> None:
    code = "def f(x):\n    if x > 2 and x < 9:\n        x = x + 1\n    return [x, 3]\n"
    found = mutants(code)
    assert found[0].kind == "gutted" and "pass" in found[0].source
    assert {"comparison", "arithmetic", "off-by-one", "negated condition", "swapped logic", "constant return"} <= {
        mutant.kind for mutant in found
    }
    sources = [mutant.source for mutant in found]
    assert len(set(sources)) == len(sources) <= 24
    assert found == mutants(code)


def test_a_main_guard_is_not_changed() -> None:
    guard = "if __name__ == '__main__':\n    print(f(1) + 1)"
    found = mutants(f"def f(x):\n    return x + 1\n{guard}\n")
    assert len(found) >= 3
    assert all(mutant.source.endswith(guard) for mutant in found)


def test_mutants_that_compile_to_the_same_code_are_left_out() -> None:
    assert mutants("def f():\n    pass\n") == []
    assert [mutant.kind for mutant in mutants("def f():\n    return None\n")].count("gutted") == 0
    assert mutants("not python (") == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["x = x + 1", "if x: x = 2", "while x > 9: x -= 1", "return x", "y = [x, not x]"]), max_size=6
    )
)
def test_every_mutant_is_python(lines: list[str]) -> None:
    for mutant in mutants("def f(x):\n    " + "\n    ".join(["z = 0", *lines]) + "\n"):
        compile(mutant.source, "m", "exec")


def test_coverage_counts_lines_and_ways() -> None:
    code = "def f(x):\n    if x > 2:\n        return 1\n    return 0\n"
    half = coverage(code, [1, 2, 3], [(0, 2), (2, 3), (3, 0)])
    assert (round(half.lines, 2), half.branches) == (0.67, 0.5)
    whole = coverage(code, [1, 2, 3, 4], [(0, 2), (2, 3), (2, 4)])
    assert (whole.lines, whole.branches) == (1.0, 1.0)
    assert coverage("x = 1\n", [1], []).lines == 1.0


def test_what_an_assertion_changes_is_there_for_the_next_one() -> None:
    found = assertions(
        "s = Stack()\ns.push(1)\ns.push(2)\nassert s.pop() == 2\nassert s.pop() == 1\nassert s.is_empty()\n", {"Stack"}
    )
    assert found[1].unit.setup.endswith("s.pop() == 2")
    assert found[2].unit.setup.endswith("s.pop() == 2\ns.pop() == 1")


def test_what_is_asked_is_the_side_that_is_tested() -> None:
    swapped = one("expected = 9\nassert expected == f(3)\n")
    assert (swapped.unit.value, swapped.unit.expected) == ("f(3)", "expected")
    left = one("found = f([2, 1])\nassert found == sorted([2, 1])\n")
    assert (left.unit.value, left.unit.expected) == ("found", "sorted([2, 1])")
    right = one("assert sorted([2, 1]) == f([2, 1])\n")
    assert (right.unit.value, right.unit.expected) == ("f([2, 1])", "sorted([2, 1])")


def test_a_definition_asks_nothing_and_a_call_of_it_does() -> None:
    helper = "def check(x, want):\n    assert f(x) == want\n"
    found = assertions(helper + "check(1, 2)\ncheck(2, 3)\nfor x in [4]:\n    check(x, x)\n", {"f"})
    assert [one.unit.setup for one in found] == [
        ast.unparse(ast.parse(helper + call))
        for call in ("check(1, 2)", "check(2, 3)", "for x in [4]:\n    check(x, x)")
    ]
    assert (
        assertions(helper + "async def test_it():\n    assert f(1) == 2\ndef test_of(x):\n    assert f(x)\n", {"f"})
        == []
    )


def test_what_changes_something_is_never_left_out() -> None:
    offered = {"Stack"}
    loop = one("s = Stack()\nfor x in [1, 2]:\n    s.push(x)\ny = s.pop()\nassert s.size() == 1\n", offered)
    assert loop.unit.setup.endswith("y = s.pop()") and "s.push(x)" in loop.unit.setup
    named = one("test_stack = Stack()\ntest_stack.push(1)\nassert test_stack.size() == 1\n", offered)
    assert named.unit.setup.endswith("test_stack.push(1)")
    method = "    def test_it(self):\n        s = Stack()\n        s.push(1)\n"
    method += "        self.assertEqual(s.pop(), 1)\n        self.assertIn(3, [s.size()])\n        self.assertEqual(s.size(), 0)\n"
    found = assertions("class TestStack(unittest.TestCase):\n" + method, offered)
    assert found[-1].unit.setup == "s = Stack()\ns.push(1)\ns.pop() == 1\n3 in [s.size()]"
    # Numbers and functions cannot be changed by what uses them.
    assert one("n = 3\na = g(n)\nassert f(n) == 3\n").unit.setup == "n = 3"


CASE = """
class PileTests(unittest.TestCase):
    def setUp(self):
        self.pile = Pile()
        self.assertTrue(self.pile.push(2))

    def test_values(self):
        self.assertIsNone(self.pile.name)
        self.assertIsInstance(self.pile, Pile)
        self.assertEqual(self.made_elsewhere, 3)
        self.assertAlmostEqual(self.pile.mean(), 2.0)

    def test_errors(self):
        with self.assertRaises(ValueError) as caught:
            self.pile.push(None)
        self.assertIn("None", str(caught.exception))
        self.assertRaises(KeyError, self.pile.find, 7)
        for value in [1, 2]:
            with self.subTest(value=value):
                self.assertIn(value, self.pile.pushed(value))

    def test_with_more(self, other):
        self.assertEqual(other, 1)
"""


def test_methods_of_a_test_case_are_read_like_plain_asserts() -> None:
    found = assertions(CASE, {"Pile"})
    first = "_of_self_pile = Pile()\n_of_self_pile.push(2)"
    assert [(one.unit.setup, one.unit.value) for one in found[:2]] == [
        (first, "_of_self_pile.name"),
        (f"{first}\n_of_self_pile.name is None", "bool(isinstance(_of_self_pile, Pile))"),
    ]
    assert len(found) == 6
    raises, calls, loop = (one.unit.setup for one in found[3:])
    assert (
        raises == first + "\ntry:\n    _of_self_pile.push(None)\nexcept ValueError:\n    pass\nelse:\n    assert False"
    )
    assert (
        "_of_self_pile.push(None)\nexcept Exception:\n    pass\ntry:\n    _of_self_pile.find(7)\nexcept KeyError:"
        in calls
    )
    assert loop.endswith("for value in [1, 2]:\n    assert value in _of_self_pile.pushed(value)")


@pytest.mark.parametrize(
    ("method", "read"),
    [
        # What only unittest knows still changes what it looks at.
        ("s = f()\nself.assertCountEqual(s.all(), [1])\nself.assertEqual(s.size(), 0)", ["s = f()\ns.all()"]),
        # What a helper of the class has changed is not known any more; what it has not touched is.
        ("s = f()\nself.fill(s)\nself.assertEqual(s.size(), 1)\nself.assertEqual(f(1), 1)", [""]),
        ("self.s = f()\nself.fill()\nself.assertEqual(self.s.size(), 1)", []),
        ("self.s = f()\nfor x in [1]:\n    self.check(x)\nself.assertEqual(self.s.size(), 1)", []),
        ("x = 1\nx = self.helper()\nself.assertEqual(f(x), 1)\nx = 2\nself.assertEqual(f(x), 2)", ["x = 1\nx = 2"]),
        ("self.n += 1\nself.assertEqual(f(self.n), 1)", []),
        ("self_made = 3\nself.assertEqual(f(self_made), 1)", ["self_made = 3"]),
        ("self.assertEqual(f(lambda self: self.x), 1)", []),
        ("match f(1):\n    case {self.X: 3}:\n        pass\nself.assertEqual(f(2), 1)", [""]),
    ],
)
def test_what_is_not_known_of_a_test_case_is_no_evidence(method: str, read: list[str]) -> None:
    body = "\n".join(f"        {line}" for line in method.split("\n"))
    found = assertions(f"class TestIt(unittest.TestCase):\n    def test_it(self):\n{body}\n", {"f"})
    assert [one.unit.setup for one in found] == read


@pytest.mark.parametrize(
    "arguments",
    [
        "1.0, 1.00000001",
        "1.0, 1.0000001",
        "1000000, 1000000.4, places=None",
        "1.25, 1.2, 1",
        "1.25, 1.21, 1",
        "1, 3, delta=2",
        "1, 3, delta=1",
        "float('inf'), float('inf')",
        "None, None",
    ],
)
def test_about_equal_is_what_unittest_takes_for_it(arguments: str) -> None:
    text = f"class TestIt:\n    def test_it(self):\n        self.assertAlmostEqual({arguments})\n"
    (unit,) = (one.unit for one in assertions(text, ()))
    try:
        eval(f"case.assertAlmostEqual({arguments})", {"case": unittest.TestCase()})  # noqa: S307
        holds = True
    except AssertionError:
        holds = False
    assert unit.value is not None and eval(unit.value) is holds  # noqa: S307


def test_a_block_that_expects_an_exception_is_an_assertion() -> None:
    found = one(
        "import pytest\nfor bad in ['', None]:\n    with pytest.raises(ValueError, match='x'):\n        f(bad)\n"
    )
    assert "except ValueError" in found.unit.setup and "pytest" not in found.unit.setup
    assert found.span == (2, 4)
    # What is done with the exception afterwards is left as it is.
    assert assertions("with pytest.raises(ValueError) as found:\n    f('')\n", {"f"}) == []
    for fake in (
        "class Fake:\n    def get(self):\n        return self.x",
        "def get(self):\n    return self.x\nFake = get",
    ):
        assert "self.x" in one(f"{fake}\nassert f(Fake) == 1\n").unit.setup


def test_a_deep_statement_costs_only_itself() -> None:
    deep = "x = " + "+".join("1" * 600)
    assert len(assertions(f"assert f(1) == 1\n{deep}\nassert f(2) == 2\n", {"f"})) == 2


def test_code_that_cannot_be_written_down_again_is_no_crash() -> None:
    odd = "def f(x):\n    return f\"{x.replace('\u00a0', '')}\"\n"
    assert isinstance(mutants(odd), list)
    assert isinstance(assertions(odd + "assert f(f\"{'\u00a0'.strip()}\") == 1\n", {"f"}), list)
    assert normal_form(odd)


def test_the_only_sample_has_nobody_who_agrees() -> None:
    alone = Verification(samples=1, passed=1, mutants=4, killed=4)
    few, joined = (
        Verification(samples=count, passed=count, values=5, alike=1.0, likeness=1.0, mutants=4, killed=4)
        for count in (2, 8)
    )
    scores = [confidence(found, shipped_calibration()) for found in (alone, few, joined)]
    assert scores == sorted(scores) and scores[0] < 0.5 < scores[2]


def near(asked: list[Assertion], most: int = 40) -> list[tuple[int, Assertion]]:
    return derive_inputs([(without_expectation(assertion, {"f"}), {"f"}) for assertion in asked], most)


def test_inputs_near_those_of_assertions_are_of_the_same_kind() -> None:
    tests = "point = (1, 2.5)\nassert f([point, [3, 4], 'ab', -5, True]) == 0\nassert f() > 2\nassert 7 == f(7)"
    asked = assertions(tests, {"f"})
    found = near(asked, 40)
    assert found == near(asked, 40) and len(found) == 40
    assert len({variant.unit for _, variant in found}) == 40 and {place for place, _ in found} == {0, 2}
    for place, variant in found:
        unit = variant.unit
        assert unit.expected is None and unit.check is None and unit.value is not None
        assert (unit.setup, unit.value) != (asked[place].unit.setup, asked[place].unit.value)
        given = ast.literal_eval(unit.value.removeprefix("f(").removesuffix(")").replace("point", "()"))
        if place == 2:
            assert type(given) is int and given >= 0
        else:
            point = ast.literal_eval(unit.setup.removeprefix("point = "))
            assert len(given) in range(1, 12)
            assert sorted(type(value).__name__ for value in point) == ["float", "int"]
            assert {type(value) for value in given} <= {tuple, list, str, int, bool}
            assert all(number >= 0 for value in given if isinstance(value, list) for number in value)
            assert all(number <= 0 or number is True for number in given if isinstance(number, int))


@pytest.mark.parametrize(
    "tests", ["assert f()", "assert f(x) == 1", "assert f(None) == []", "assert all(f(x) for x in [1])", "x ="]
)
def test_without_an_input_there_is_nothing_near_by(tests: str) -> None:
    assert near(assertions(tests, {"f"})) == []


@pytest.mark.parametrize(
    ("setup", "check", "asked"),
    [
        ("", "math.isclose(f(2), 3.5)", "f(2)"),
        ("", "abs(f(2.5) - 3.1) < 1e-6", "f(2.5)"),
        ("", "isinstance(f('a'), str)", "f('a')"),
        ("", "f(1) < f(2) and f(3)", "f(1)"),
        ("limit = 5", "f(limit) != limit", "f(limit)"),
        ("limit = 5\nfound = f(limit)", "abs(limit - found[0]) < 1", "found[0]"),
        ("found = f(5)\nmore = found + [1]", "len(more) > 2", "more"),
        ("found = f(5)", "isinstance(found, list)", "found"),
        ("", "f(1)", "bool(f(1))"),
        ("", "callable(f)", "bool(callable(f))"),
    ],
)
def test_what_only_looks_at_a_value_asks_for_the_value_itself(setup: str, check: str, asked: str) -> None:
    found = without_expectation(one(f"{setup}\nother = 1\nassert {check}"), {"f"})
    assert found is not None and (found.unit.value, found.unit.check, found.unit.expected) == (asked, None, None)
    assert found.unit.setup == setup


@pytest.mark.parametrize(
    ("tests", "kept"),
    [
        ("expected = [1, 2]\nassert f(3) == expected", ""),
        ("assert round(f(7), 2) == 1", "2)"),
        ("assert f(7)[5] == 1", "[5]"),
        ("s = f()\nassert s.pop() == 17\ns.push(1)\nassert s.size(3) == 2", "s.pop() == 17"),
    ],
)
def test_only_what_the_code_is_called_with_is_an_input(tests: str, kept: str) -> None:
    asked = assertions(tests, {"f"})
    found = near(asked)
    assert found and all(
        kept in f"{one.unit.setup}\n{one.unit.value}" and "expected" not in one.unit.setup for _, one in found
    )


def test_the_same_input_is_asked_once_whatever_the_names() -> None:
    found = [(one, {name}) for name in ("f", "g") for one in assertions(f"assert {name}([1]) == 2", {name})]
    asked = [(question, names) for one, names in found if (question := without_expectation(one, names)) is not None]
    texts = [input_key(one, ["f"]).replace("g", "\0") for _, one in derive_inputs(asked, 40)]
    assert len(set(texts)) == len(texts) and input_key(*asked[0]) == input_key(*asked[1]) not in texts


def test_deep_code_is_no_crash() -> None:
    for terms in range(300, 340):
        deep = [
            *assertions(f"assert f({'+'.join('1' * terms)}) == 1", {"f"}),
            *assertions(f"assert f({'-' * terms}1) == 1", {"f"}),
        ]
        assert isinstance(near(deep, 2), list)


@given(st.recursive(st.integers() | st.text() | st.booleans() | st.floats(), lambda inner: st.lists(inner, max_size=4)))
@settings(max_examples=100)
def test_any_input_can_be_changed(value: object) -> None:
    for _, variant in near(assertions(f"assert f({value!r}) == 1", {"f"}), 5):
        ast.parse(variant.unit.value or "")


def test_a_mutant_is_shown_as_its_difference() -> None:
    code = "def larger(a, b):\n    # the larger one\n    if a < b:\n        return b\n    return a\n"
    found = {mutant.kind: difference(code, mutant) for mutant in mutants(code)}
    assert len(set(found.values())) == len(found)
    for mutant in mutants(code):
        lines = difference(code, mutant).splitlines()
        assert lines[0].startswith("@@")
        assert all(line[1:] in mutant.source.splitlines() for line in lines if line.startswith("+"))
        assert all(
            line[1:] not in mutant.source.splitlines() or line[1:].strip() == ""
            for line in lines
            if line.startswith("-")
        )
    assert difference("def broken(:", Mutant("gutted", 1, "pass")) == ""


def test_survivors_are_what_the_tests_do_not_notice() -> None:
    code = "def larger(a, b):\n    if a < b:\n        return b\n    return a\n"
    one = "assert larger(1, 2) == 2"

    async def measured(tests: str) -> Strength:
        async with Sandbox(workers=1) as sandbox:
            return await measure_tests(code, join_program(code, tests), sandbox)

    weak, strong = (asyncio.run(measured(tests)) for tests in (one, f"{one}\nassert larger(3, 2) == 3"))
    assert len(weak.survivors) == weak.mutants - weak.killed > len(strong.survivors) == strong.mutants - strong.killed
    assert set(strong.survivors) < set(weak.survivors)
