from __future__ import annotations

import asyncio
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits
from snipmill.stages.execute import ExecutionContext
from snipmill.stages.grade_tests import Grader, MatrixEntry
from snipmill.store.journal import Journal
from snipmill.verification.test_matrix import read_checks, smallest_set, weigh

FAILURES = st.lists(st.lists(st.integers(0, 6), max_size=5, unique=True), max_size=10)


@given(FAILURES)
def test_weights_are_shares_of_one(failed: list[list[int]]) -> None:
    weights = weigh(failed, 7)
    assert sum(weights) == pytest.approx(1, abs=1e-5) and min(weights) > 0


def test_a_check_that_alone_notices_something_weighs_more() -> None:
    first, second, third = weigh([[0, 1], [2], []], 3)
    assert first == second < third


@given(FAILURES)
def test_the_smallest_set_is_one(failed: list[list[int]]) -> None:
    found = smallest_set(failed)
    programs = [set(one) for one in failed if one]
    assert all(one & set(found) for one in programs)
    for size in range(len(found)):
        for some in combinations(range(7), size):
            assert not all(one & set(some) for one in programs)


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ("assert f(2) == (1 if True else 0)", "assert f(2) == (1 if True else 0)"),
        ("x = 3\nassert f(x) > 1", "x = 3\nassert f(x) > 1"),
        ("assert f(1) == 1, 2", "assert f(1) == 1"),
        ("assert (f(1) == 1) == True", "assert (f(1) == 1) == True"),
        ("assert f(1) == lambda: 0", None),
        ("def test_it():\n    y = f(4)\n    assert y == 5", "y = f(4)\nassert y == 5"),
        ("assert not f(0)", "assert not f(0)"),
        ("assert f(1) is True", "assert f(1) is True"),
        ("assert f(True) == (not False)", "assert f(True) == (not False)"),
        ("for n in range(3):\n    assert f(n) == n", "for n in range(3):\n    assert f(n) == n"),
    ],
)
def test_a_check_stands_alone(tests: str, expected: str | None) -> None:
    found = read_checks("def f(x):\n    return x", tests).texts
    assert found == ([expected] if expected is not None else [])


def test_the_matrix_of_a_row(tmp_path: Path) -> None:
    """Other samples are asked under their own names; what is known is not tried again."""
    code = "def f(x):\n    return x + 2"
    tests = "assert f(0) == 2\nassert f(1) == 3\nassert f(-2) == 0"
    samples = [
        ("alike", "def g(y):\n    return 2 + y", "assert g(1) == 3"),
        ("constant", "def g(y):\n    return 2", "assert g(0) == 2"),
        ("looping", "def f(x):\n    while x != 1: pass\n    return 3", "assert f(1) == 3"),
        ("other", "class F:\n    pass", "assert F()"),
        ("broken", "def f(x): return y", "assert f(0) == 1"),
    ]

    async def graded() -> tuple[MatrixEntry | None, int]:
        limits = Limits(timeout=5)
        with Journal(tmp_path / "tests.jsonl", MatrixEntry) as journal:
            async with Sandbox(limits=limits, workers=2) as sandbox:
                grader = Grader(sandbox, ExecutionContext(limits, sandbox.tier, ""), journal)
                found = await grader.grade(code, tests, samples)
                return found, sandbox.processes

    matrix, processes = asyncio.run(graded())
    assert matrix is not None and processes > 0
    assert matrix.checks == ["assert f(0) == 2", "assert f(1) == 3", "assert f(-2) == 0"]
    named = dict(zip(matrix.programs, matrix.failed, strict=True))
    assert named["alike"] == [] and named["constant"] == [1, 2] and named["looping"] == [0, 2]
    assert named["broken"] == [0, 1, 2] and matrix.fails("other") is None
    assert matrix.fails("alike") is False and matrix.fails("constant") is True and matrix.fails("unknown") is None
    assert any(name.startswith("mutant: off-by-one") for name in matrix.programs)
    again, processes = asyncio.run(graded())
    assert again == matrix and processes == 0
