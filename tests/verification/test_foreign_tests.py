"""Tests in other people's layouts: each becomes a program whose verdict is that of its own harness."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snipmill.records import Verdict
from snipmill.sandbox.child.dialogues import same_output
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Program
from snipmill.stages.evidence_runs import measure_tests
from snipmill.text.sections import Malformed
from snipmill.verification.any_program import AnyProgram, build_any_program
from snipmill.verification.foreign_tests import ForeignTests, join_foreign

RIGHT, WRONG = "def inc(x, by=1):\n    return x + by\n", "def inc(x, by=1):\n    return x - by\n"


def verdicts(*programs: Program | Malformed) -> list[Verdict]:
    async def go() -> list[Verdict]:
        async with Sandbox(limits=Limits(timeout=10), workers=2) as sandbox:
            assert all(isinstance(one, Program) for one in programs), programs
            return [await sandbox.run(one) for one in programs if isinstance(one, Program)]

    return asyncio.run(go())


LAYOUTS: dict[str, ForeignTests] = {
    "names in scope": ForeignTests("assert inc(1) == 2"),
    "a block of Markdown": ForeignTests("Run these:\n```python\nassert inc(1) == 2\n```\n"),
    "from solution": ForeignTests("from solution import inc\n\ndef test_inc():\n    assert inc(1) == 2\n"),
    "from solution in a test": ForeignTests("def test_inc():\n    from solution import inc\n    assert inc(1) == 2\n"),
    "import solution": ForeignTests("import solution\n\ndef test_inc():\n    assert solution.inc(1, 2) == 3\n"),
    "import as": ForeignTests("import main as m\nassert m.inc(1) == 2\n"),
    "everything": ForeignTests("from solution import *\nassert inc(1) == 2\n"),
    "another name": ForeignTests("from increments import inc\nassert inc(1) == 2\n"),
    "a package": ForeignTests("from src.numbers.increments import inc\nassert inc(1) == 2\n"),
    "relative": ForeignTests("from .solution import inc\nassert inc(1) == 2\n"),
    "relative package": ForeignTests("from . import solution\nassert solution.inc(1) == 2\n"),
    "a told module": ForeignTests("import increments\nassert increments.inc(1) == 2\n", module="increments"),
    "unittest": ForeignTests(
        "import unittest\nfrom solution import inc\n\nclass T(unittest.TestCase):\n"
        "    def test_inc(self):\n        self.assertEqual(inc(1), 2)\n\nif __name__ == '__main__':\n    unittest.main()\n"
    ),
    "a reference of the same name": ForeignTests(
        "import solution\n\ndef inc(x):\n    return x + 1\n\nfor x in range(5):\n    assert solution.inc(x) == inc(x)\n"
    ),
    "a patched helper": ForeignTests(
        "from unittest.mock import patch\nimport solution\n\ndef test_inc():\n"
        "    with patch('solution.print', create=True):\n        assert solution.inc(1) == 2\n"
    ),
    "check(candidate)": ForeignTests("def check(candidate):\n    assert candidate(1) == 2\n", entry_point="inc"),
    "check without an entry point": ForeignTests("def check(candidate):\n    assert candidate(1) == 2\n"),
    "check that is called": ForeignTests("def check(candidate):\n    assert candidate(1) == 2\n\ncheck(inc)\n"),
    "a list of assertions": ForeignTests(json.dumps(["\nassert inc(1) == 2\n", "assert inc(0, 3) == 3"])),
    "functional": ForeignTests(
        json.dumps([{"input": "1\n2", "output": "3", "testtype": "functional"}]), entry_point="inc"
    ),
    "APPS without wrapping": ForeignTests(json.dumps({"fn_name": "inc", "inputs": [[1]], "outputs": [2]})),
    "a list as Python writes it": ForeignTests(str(["assert inc(1) == 2", 'assert inc(0) == 1, "zero"'])),
    "one assertion as JSON": ForeignTests(json.dumps("assert inc(1) == 2")),
    "two blocks of Markdown": ForeignTests("```python\nx = 1\n```\nand\n```\nassert inc(x) == 2\n```\n"),
    "a fence in a text": ForeignTests('text = """\n```python\npass\n```\n"""\nassert inc(1) == 2, text\n'),
    "a byte order mark": ForeignTests("\ufeffassert inc(1) == 2\n"),
    "relative name": ForeignTests("from . import inc\nassert inc(1) == 2\n"),
    "check with an option": ForeignTests(
        "def check(candidate, x=1):\n    assert candidate(x) == 2\n", entry_point="inc"
    ),
    "an unusable entry point": ForeignTests("def check(candidate):\n    assert candidate(1) == 2\n", entry_point="1 +"),
    "APPS with fn_name": ForeignTests(json.dumps({"fn_name": "inc", "inputs": [[1], [1, 2]], "outputs": [[2], [3]]})),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_passes_for_right_code_and_fails_for_wrong_code(layout: str) -> None:
    right, wrong = verdicts(join_foreign(RIGHT, LAYOUTS[layout]), join_foreign(WRONG, LAYOUTS[layout]))
    assert (right.status, wrong.status) == ("passed", "failed"), (right, wrong)
    assert right.tests_never_run == [] and right.checks_executed > 0


def test_a_class_solution_is_called_on_an_instance() -> None:
    code = "class Solution:\n    def inc(self, x):\n        return x + 1\n"
    by_check = join_foreign(code, ForeignTests("def check(candidate):\n    assert candidate(x=1) == 2\n"))
    told = join_foreign(
        code, ForeignTests("def check(candidate):\n    assert candidate(1) == 2\n", entry_point="Solution().inc")
    )
    called = join_foreign(code, ForeignTests(json.dumps({"fn_name": "inc", "inputs": [[1]], "outputs": [[2]]})))
    assert [verdict.status for verdict in verdicts(by_check, told, called)] == ["passed"] * 3


@pytest.mark.parametrize(
    ("code", "tests", "status"),
    [
        ("def f(x):\n    return str(x)\n", {"fn_name": "f", "inputs": [[12]], "outputs": ["12"]}, "passed"),
        ("def f(x):\n    return x[::-1]\n", {"fn_name": "f", "inputs": [['"ab"']], "outputs": [['"ba"']]}, "passed"),
        ("def f(x):\n    return (x, [x])\n", {"fn_name": "f", "inputs": [[1]], "outputs": [[1, [1]]]}, "passed"),
        (
            "def f(x):\n    return float('inf')\n",
            {"fn_name": "f", "inputs": [[1]], "outputs": [float("inf")]},
            "passed",
        ),
        ("def f(x):\n    return x\n", [{"input": "5", "output": "[5]", "testtype": "functional"}], "failed"),
        (
            "def f(x: List[int]):\n    return sum(x)\n",
            [{"input": "[1, 2]", "output": "3", "testtype": "functional"}],
            "passed",
        ),
        (
            "class Solution:\n    def f(self, x: Optional[int]) -> int:\n        return x\n",
            [{"input": "1", "output": "1", "testtype": "functional"}],
            "passed",
        ),
    ],
)
def test_values_mean_what_their_harness_takes_them_for(code: str, tests: Any, status: str) -> None:
    assert verdicts(join_foreign(code, ForeignTests(json.dumps(tests), entry_point="f")))[0].status == status


def test_packages_that_are_missing_are_not_taken_for_the_answer() -> None:
    star, private = (
        join_foreign(RIGHT, ForeignTests(f"{line}\nassert inc(1) == 2\n"))
        for line in ("from no_such_package import *", "from pip._internal.main import main")
    )
    assert verdicts(star)[0].status == "unsupported"
    assert isinstance(private, Program) and private.modules == ()


def test_the_main_guard_of_an_answer_does_not_run_under_foreign_tests() -> None:
    code = f"{RIGHT}\nif __name__ == '__main__':\n    print(inc(int(input())))\n"
    built = build_any_program(f"```python\n{code}```", LAYOUTS["a list of assertions"])
    assert isinstance(built, AnyProgram)
    assert verdicts(built.program)[0].status == "passed"
    script = build_any_program(code, ForeignTests('[{"input": "1", "output": "2"}]'))
    assert isinstance(script, AnyProgram) and verdicts(script.program)[0].status == "passed"


def test_helpers_of_a_script_that_nobody_calls_do_not_make_its_tests_vacuous() -> None:
    code = "def debug(*values):\n    print(values)\n\nprint(int(input()) * 2)\n"
    program = Program(source=code, dialogues=(("3\n", "6\n"),))

    async def go() -> bool:
        async with Sandbox(limits=Limits(timeout=10), workers=1) as sandbox:
            return (await measure_tests(code, program, sandbox)).survives_gutting

    assert not asyncio.run(go())


SCRIPT = "n = int(input())\nprint(*(n * k for k in range(1, 4)))\n"


@pytest.mark.parametrize(
    "pairs",
    [
        {"inputs": ["3\n", "0\n"], "outputs": ["3 6 9\n", "0 0 0"]},
        {"input": ["3\n"], "output": ["3 6 9  \n\n"]},
        [{"input": "3", "output": "3 6 9"}],
        [{"input": "3\n", "output": "3 6 9\n", "testtype": "stdin"}],
        {"inputs": [["3"]], "outputs": [["3 6 9"]]},
    ],
)
def test_a_script_answers_its_inputs(pairs: Any) -> None:
    right, wrong = (join_foreign(code, ForeignTests(json.dumps(pairs))) for code in (SCRIPT, SCRIPT.replace("4", "5")))
    good, bad = verdicts(right, wrong)
    assert good.status == "passed" and good.checks_executed == good.checks_written > 0
    assert bad.status == "failed" and bad.failed_check is not None and "expected" in bad.failed_check


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import sys\nprint(sys.stdin.read().upper(), end='')\n", "passed"),
        ("import sys\nsys.stdout.write(sys.stdin.buffer.read().decode().upper())\n", "passed"),
        (
            "import io, os, sys\nout = io.BytesIO()\nassert 'r' in sys.stdin.mode\nprint(os.read(0, 99).decode().upper())\n",
            "passed",
        ),
        (
            "import threading\ndef main():\n    print(input().upper())\nthreading.Thread(target=main).start()\n",
            "passed",
        ),
        ("import os\nprint(input().upper())\nos.chdir('/')\n", "passed"),
        ("import os\nos.write(1, open(0).read().upper().encode())\n", "passed"),
        ("def main():\n    print(input().upper())\nif __name__ == '__main__':\n    main()\n", "passed"),
        ("import sys\nprint(input().upper())\nsys.exit(0)\n", "passed"),
        ("import sys\nprint(input().upper())\nsys.exit(1)\n", "failed"),
        ("print(input().upper())\n1 / 0\n", "failed"),
        ("print(input(), input())\n", "failed"),
        ("while True:\n    pass\n", "timeout"),
        ("print(\n", "syntax-error"),
        ("import no_such_package_at_all\n", "unsupported"),
    ],
)
def test_a_script_reads_and_writes_as_scripts_do(code: str, status: str) -> None:
    program = Program(source=code, dialogues=(("abc\n", "ABC\n"),))
    assert verdicts(program)[0].status == status


def test_numbers_with_a_fraction_may_differ_by_their_last_digits() -> None:
    def script(text: str) -> Program:
        return Program(source=f"print({text!r})\n", dialogues=(("", "0.333333\n"),))

    close, far, whole = verdicts(script("0.3333331"), script("0.3343"), script("1"))
    assert (close.status, far.status, whole.status) == ("passed", "failed", "failed")


@pytest.mark.parametrize(
    ("written", "expected", "same"),
    [
        ("2.0", "2", True),
        ("1000000001.", "1000000000", False),
        ("5", "1e999", False),
        ("1e3", "1000", True),
        ("nan", "3", False),
    ],
)
def test_whole_numbers_are_equal_or_not(written: str, expected: str, same: bool) -> None:
    assert same_output(written, expected) is same


def test_mutants_are_tried_in_every_layout() -> None:
    async def go() -> list[float | None]:
        async with Sandbox(limits=Limits(timeout=10), workers=2) as sandbox:
            scores = []
            for code, tests in (
                (RIGHT, LAYOUTS["import solution"]),
                (SCRIPT, ForeignTests('[{"input": "3", "output": "3 6 9"}]')),
            ):
                program = join_foreign(code, tests)
                assert isinstance(program, Program)
                strength = await measure_tests(code, program, sandbox)
                assert strength.lines == 1.0
                scores.append(strength.score)
            return scores

    scores = asyncio.run(go())
    assert all(score is not None and score >= 0.5 for score in scores), scores


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "3",
        "true",
        "Given x = 1 the result should be 2.",
        '{"question": "?"}',
        "[1, 2]",
        '["not python at all", "!"]',
        "def check(candidate):\n    assert candidate(1)\n",
        '[{"input": "1", "output": "2", "testtype": "functional"}]',
        "describe('inc', () => { it('works', () => {}) })",
    ],
)
def test_what_is_in_no_layout_is_told_apart_from_what_is_wrong(text: str) -> None:
    found = join_foreign("def f(): ...\ndef g(): ...\n", ForeignTests(text))
    assert isinstance(found, Malformed) and found.reason == "unknown-tests"


def test_tests_that_are_broken_python_are_not_unknown() -> None:
    found = join_foreign(RIGHT, ForeignTests("assert inc(1 == 2\n"))
    assert isinstance(found, Malformed) and found.reason == "syntax-error"


@settings(max_examples=300, deadline=None)
@given(
    st.text(),
    st.text(),
    st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)),
)
def test_no_tests_break_it(implementation: str, entry_point: str, text: str) -> None:
    assert isinstance(join_foreign(implementation, ForeignTests(text, entry_point)), Program | Malformed)
