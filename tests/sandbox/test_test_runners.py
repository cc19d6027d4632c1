"""What the corpora do not say of the tests in a program: counts, names, interpreters without pytest, many programs in one process."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from snipmill.records import Verdict
from snipmill.sandbox.child.failures import Failure
from snipmill.sandbox.child.harness import compile_checked
from snipmill.sandbox.conformance.conform import honest_programs, program
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Program, Trial, Unit, UnitOutcome
from snipmill.stages.evidence_runs import TestStrength as Strength
from snipmill.stages.evidence_runs import measure_tests

F = "def f(x):\n    return x + 1\n"
WRONG = "def f(x):\n    return x + 2\n"


def run(*programs: Program, **options: object) -> list[Verdict]:
    async def go() -> list[Verdict]:
        async with Sandbox(limits=Limits(timeout=120), workers=2, **options) as sandbox:  # type: ignore[arg-type]
            return list(await asyncio.gather(*map(sandbox.run, programs)))

    return asyncio.run(go())


def test_a_verdict_names_what_ran_and_what_did_not() -> None:
    tests = """import pytest

@pytest.mark.parametrize("x, y", [(1, 2), (2, 3), (3, 4)])
def test_pairs(x, y):
    assert f(x) == y

@pytest.mark.skip(reason="later")
def test_later():
    assert f(0) == 1

def test_shadowed():
    assert f(0) == 1

def test_shadowed():
    assert f(5) == 6

def helper():
    assert f(6) == 7

for x in []:
    assert f(x) == 1
"""
    (verdict,) = run(program(F, tests))
    assert verdict.status == "passed"
    assert (verdict.tests_run, verdict.tests_skipped) == (4, ["test_later: later"])
    assert [name.partition(",")[0] for name in verdict.tests_never_run] == ["test_shadowed", "helper"]
    assert (verdict.checks_executed, verdict.checks_written, verdict.checks_reached) == (4, 6, 2)
    assert verdict.reached == pytest.approx(1 / 3)


def test_each_part_of_zip_counts() -> None:
    short, whole, neighbours = run(
        program(F, "for x, y in zip([1, 2, 3], [2]):\n    assert f(x) == y\n"),
        program(F, "for x, y in zip([1, 2], (2, 3)):\n    assert f(x) == y\n"),
        program(F, "xs = [f(0), f(1)]\nfor x, y in zip(xs, xs[1:]):\n    assert x < y\n"),
    )
    assert (short.checks_reached, short.checks_written) == (1, 2)
    assert all(one.checks_reached == one.checks_written == 1 for one in (whole, neighbours))


def test_a_failure_says_where_and_what() -> None:
    by_pytest, by_unittest, directly, in_fixture = run(
        program(F, "import pytest\n@pytest.mark.parametrize('x', [1])\ndef test_f(x):\n    assert f(x) == 3\n"),
        program(
            F,
            "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 3)\n",
        ),
        program(F, "def test_f():\n    assert f(1) == 3\n"),
        program(F, "import pytest\n@pytest.fixture\ndef x():\n    return {}['a']\ndef test_f(x):\n    assert f(x)\n"),
    )
    for verdict, name, line in ((by_pytest, "test_f[1]", 7), (by_unittest, "T.test_f", 7), (directly, "test_f", 5)):
        assert verdict.status == "failed" and name in verdict.detail, verdict
        assert (verdict.exception, verdict.line) == ("AssertionError", line)
    assert in_fixture.status == "failed" and "KeyError" in in_fixture.detail


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has no packages at all."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    for path in (folder, *folder.parents):
        if os.access(path, os.W_OK) and str(path).startswith(str(tmp_path_factory.getbasetemp())):
            path.chmod(0o755)
    return str(folder / "bin" / "python")


def test_an_interpreter_without_pytest_refuses_by_name_what_needs_it(bare_python: str) -> None:
    assert subprocess.run([bare_python, "-c", "import pytest"], capture_output=True).returncode != 0
    imports, parameters, cases, functions, asserts, comment = run(
        program(F, "import pytest\ndef test_f():\n    assert f(1) == 2\n"),
        program(
            F,
            "class TestF:\n    def setup_method(self):\n        self.x = 1\n    def test_f(self):\n        assert f(self.x) == 2\n",
        ),
        program(
            F,
            "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 2)\n",
        ),
        program(F, "def test_f():\n    assert f(1) == 2\n"),
        program(F, "assert f(1) == 2\n"),
        program(F, "# pytest runs this, too\nassert f(1) == 2\n"),
        interpreter=bare_python,
    )
    assert imports.status == "unsupported" and "pytest" in imports.detail
    assert parameters.status == "unsupported" and "TestF needs pytest" in parameters.detail
    assert [one.status for one in (cases, functions, asserts, comment)] == ["passed"] * 4


@pytest.mark.parametrize(
    ("package", "said"),
    [("raise OSError('a broken package')\n", "a broken package"), ("__version__ = '7.4.0'\n", "older than 8.0")],
)
def test_a_pytest_that_does_not_work_refuses_only_what_needs_it(tmp_path: Path, package: str, said: str) -> None:
    python = tmp_path / "bin" / "python"
    venv.create(tmp_path, with_pip=False, symlinks=True)
    (site,) = tmp_path.glob("lib/*/site-packages")
    for name in ("pytest", "_pytest"):
        (site / name).mkdir()
    (site / "pytest" / "__init__.py").write_text(package)
    (site / "_pytest" / "__init__.py").touch()
    (site / "_pytest" / "config.py").write_text("_prepareconfig = None\n")
    needs, cases, asserts = run(
        program(
            F,
            "class TestF:\n    def setup_method(self):\n        self.x = 1\n    def test_f(self):\n        assert f(self.x) == 2\n",
        ),
        program(
            F,
            "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 2)\n",
        ),
        program(F, "# as with pytest\nassert f(1) == 2\n"),
        interpreter=str(python),
    )
    assert needs.status == "unsupported" and said in needs.detail, needs
    assert (cases.status, asserts.status) == ("passed", "passed")


def test_a_missing_plugin_is_named() -> None:
    (verdict,) = run(
        program(
            "async def f(x):\n    return x\n",
            "import pytest\n@pytest.mark.trio\nasync def test_f():\n    assert await f(1) == 1\n",
        )
    )
    assert verdict.status == "unsupported" and "trio" in verdict.detail


def test_a_missing_module_inside_a_test_is_unsupported() -> None:
    by_pytest, by_unittest, directly = run(
        program(F, "import pytest\ndef test_f(tmp_path):\n    import no_such_package\n    assert f(1) == 2\n"),
        program(
            F,
            "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        import no_such_package\n        self.assertEqual(f(1), 2)\n",
        ),
        program(F, "def test_f():\n    import no_such_package\n    assert f(1) == 2\n"),
    )
    assert [one.status for one in (by_pytest, by_unittest, directly)] == ["unsupported"] * 3
    assert all("no_such_package" in one.detail for one in (by_pytest, by_unittest, directly))


def test_many_programs_in_one_process_do_not_see_each_other() -> None:
    """As mutants do: frameworks are patched and sessions used again and again."""
    names = (
        "unittest/set_up_module",
        "pytest/fixture_of_the_module",
        "pytest/autouse_fixture",
        "pytest/capsys",
        "seen/open_thread_pool",
        "pytest/hypothesis_test",
        "unittest/doctest_suite",
        "seen/futures_as_completed",
        "pytest/async_fixture",
        "script/gather_returns_exceptions",
    )
    chosen = [program(one.implementation, one.tests) for name, one in honest_programs().items() if name in names]
    assert len(chosen) == len(names)
    plugin = program(
        F,
        "import pytest\nclass P:\n    def pytest_runtest_call(self, item):\n        assert item.name == 'test_of_the_plugin'\n"
        "def test_of_the_plugin():\n    assert f(1) == 2\npytest.main([__file__], plugins=[P()])\n",
    )
    chosen.insert(0, plugin)
    wrong = [
        program(
            WRONG,
            "import pytest\n@pytest.fixture\ndef table():\n    return 1\ndef test_f(table):\n    assert f(table) == 2\n",
        )
    ]
    right = [Program(source=wrong[0].source.replace("x + 2", "x + 1"), tests_line=wrong[0].tests_line)]
    programs = (chosen + wrong + right) * 3

    async def go() -> list[UnitOutcome]:
        async with Sandbox(limits=Limits(timeout=60), workers=1) as sandbox:
            units = tuple(Unit(program=one) for one in programs)
            return await sandbox.try_units(Trial(source="", units=units, unit_timeout=10))

    outcomes = asyncio.run(go())
    expected = (["passed"] * len(chosen) + ["failed", "passed"]) * 3
    assert [outcome.status for outcome in outcomes] == expected, [
        (number, outcome.value) for number, outcome in enumerate(outcomes) if outcome.status != expected[number]
    ]


def test_what_a_program_does_to_its_framework_is_undone_for_the_next_one() -> None:
    cases = "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 2)\n"
    vandal = program(
        F, f"{cases}unittest.TestCase.assertEqual = lambda *given: None\nimport builtins\nbuiltins.abs = None\n"
    )
    programs = [vandal, program(WRONG, cases), program(F, cases), program(F, "assert abs(f(1)) == 2\n")]

    async def go() -> list[str]:
        async with Sandbox(limits=Limits(timeout=120), workers=1) as sandbox:
            units = tuple(Unit(program=one) for one in programs)
            return [one.status for one in await sandbox.try_units(Trial(source="", units=units, unit_timeout=5))]

    assert asyncio.run(go()) == ["passed", "failed", "passed", "passed"]


def test_mutants_are_noticed_by_parameters_and_fixtures() -> None:
    tests = """import pytest

@pytest.fixture
def base():
    return 10

@pytest.mark.parametrize("x, y", [(1, 11), (-1, 9)])
def test_add(base, x, y):
    assert add(base, x) == y
"""
    code = "def add(a, b):\n    return a + b\n"

    async def go() -> Strength:
        async with Sandbox(limits=Limits(timeout=120), workers=1) as sandbox:
            return await measure_tests(code, program(code, tests), sandbox)

    strength = asyncio.run(go())
    assert strength.mutants >= 2 and strength.score == 1.0 and strength.lines == 1.0


def test_a_frozen_slot_is_no_verdict_of_its_neighbours() -> None:
    hanging = program(F, "import pytest, time\ndef test_f(tmp_path):\n    time.sleep(100)\n    assert f(1) == 2\n")
    good = program(F, "import pytest\n@pytest.mark.parametrize('x', [1])\ndef test_f(x):\n    assert f(x) == 2\n")

    async def go() -> list[str]:
        async with Sandbox(limits=Limits(timeout=1), workers=1) as sandbox:
            return [(await sandbox.run(one)).status for one in (good, hanging, good)]

    assert asyncio.run(go()) == ["passed", "timeout", "passed"]


def test_another_hash_seed_and_python_have_their_own_frameworks() -> None:
    (verdict,) = run(
        program(
            F, "import pytest\ndef test_f(capsys):\n    print(f(1))\n    assert capsys.readouterr().out == '2\\n'\n"
        ),
        interpreter=sys.executable,
        hash_seed=7,
    )
    assert verdict.status == "passed"


def test_the_checks_of_any_python_file_can_be_read() -> None:
    """Python's own library and the packages here are programs of every kind."""
    folders = [Path(os.__file__).parent, Path(pytest.__file__).parents[1]]
    files = sorted(path for folder in folders for path in folder.rglob("*.py") if path.stat().st_size < 200_000)
    read = 0
    for path in random.Random(1).sample(files, 400):
        source = path.read_text(encoding="utf-8", errors="surrogateescape")
        for tests_line in (None, 1, source.count("\n") // 2 + 1):
            try:
                compile_checked(source, tests_line)
            except Failure as failure:
                assert failure.report["status"] == "syntax-error", (path, failure.report)
            else:
                read += 1
    assert read > 400
