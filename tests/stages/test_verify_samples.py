"""Verification with the real sandbox: samples against each other, and what becomes of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snipmill.config import Config, VerifyTable
from snipmill.records import Execution, Reject, Response
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Program, Trial, Unit
from snipmill.sandbox.slot import Slot, SlotLost
from snipmill.stages.attempts import Attempt, SampleSet, parse_candidate
from snipmill.stages.calibration_file import shipped_calibration
from snipmill.stages.evidence_runs import execute_crosswise, measure_tests, next_second
from snipmill.stages.execute import Execute
from snipmill.stages.runner import Runner
from snipmill.stages.settings import resolve_execution
from snipmill.stages.stage_count import StageCount
from snipmill.stages.verify_samples import Verifier, Verify
from snipmill.store.entries import VerdictEntry, VerificationEntry
from snipmill.store.journal import Journal
from snipmill.verification.agreement import own_evidence, support
from snipmill.verification.questions import Sample, SampleIndex
from snipmill.verification.repair import repair

RIGHT = "def double(x):\n    return 2 * x\n"
ALSO = "def twice(number):\n    return number + number\n"
WRONG = "def double(x):\n    return x * x\n"


def sample(name: str, code: str, tests: str, passed: bool = True) -> Sample:
    return Sample(name, code, tests, passed)


def crossed(*samples: Sample) -> Any:
    async def go() -> Any:
        async with Sandbox(limits=Limits(timeout=5)) as sandbox:
            agreement = await execute_crosswise(samples, sandbox)
            return agreement, sandbox.processes

    return asyncio.run(go())


def test_independent_code_that_agrees_is_a_group() -> None:
    agreement, processes = crossed(
        sample("a", RIGHT, "assert double(2) == 4\nassert double(3) == 6"),
        sample("b", ALSO, "assert twice(5) == 10"),
        sample("c", WRONG, "assert double(2) == 4\nassert double(0) == 0"),
        sample("copy of a", RIGHT.replace("x", "value"), "assert double(7) == 14"),
    )
    right, also, wrong, copy = (support(agreement, SampleIndex(number)) for number in range(4))
    assert processes == 3  # one for each distinct implementation
    assert right.implementations == 3 and right.group == also.group == copy.group == 2
    assert (right.share, wrong.share, wrong.group) == (0.75, 0.25, 1)
    assert wrong.own_true == 2 and wrong.contradicted == 0
    assert (right.foreign_true, right.foreign) == (2, 2)
    assert (wrong.foreign_true, wrong.foreign) == (0, 3)
    assert right.agreement > wrong.agreement


def test_a_false_assertion_is_found_and_taken_out_or_corrected() -> None:
    agreement, _ = crossed(
        sample("a", RIGHT, "assert double(2) == 4\nassert double(3) == 7\n", passed=False),
        sample("b", ALSO, "assert twice(5) == 10"),
    )
    dropped = repair(agreement, SampleIndex(0), "drop")
    assert dropped is not None and dropped.tests.strip() == "assert double(2) == 4" and dropped.changed == 1
    corrected = repair(agreement, SampleIndex(0), "recompute")
    assert corrected is not None and corrected.tests.strip() == "assert double(2) == 4\nassert double(3) == 6"
    assert repair(agreement, SampleIndex(1), "drop") is None


def test_a_wrong_program_does_not_lose_the_assertion_that_catches_it() -> None:
    tests = "assert double(2) == 4\nexpected = 6\nassert expected == double(3)\n"
    agreement, _ = crossed(
        sample("wrong", WRONG, tests, passed=False),
        sample("a", RIGHT, tests),
        sample("b", ALSO.replace("twice", "double"), tests),
    )
    wrong, right, also = (support(agreement, SampleIndex(number)) for number in range(3))
    assert (wrong.group, right.group, also.group) == (1, 2, 2)
    assert (right.contradicted, also.contradicted) == (0, 0)


def test_helpers_that_assert_ask_what_they_are_called_with() -> None:
    helper = "def run_tests():\n    assert double({0}) == {1}\nrun_tests()\n"
    agreement, _ = crossed(
        sample("a", RIGHT, helper.format(3, 6)),
        sample("b", WRONG, helper.format(3, 9)),
        sample("c", "def double(x):\n    return x\n", helper.format(3, 3)),
    )
    assert [support(agreement, SampleIndex(number)).group for number in range(3)] == [1, 1, 1]


def test_truth_is_no_equality() -> None:
    tests = "assert not find([])\nassert find([1])\n"
    agreement, _ = crossed(
        sample("a", "def find(xs):\n    return [x for x in xs if x]\n", tests),
        sample("b", "def find(values):\n    return bool(sum(values))\n", tests),
    )
    assert [
        (found.own_true, found.own_false) for found in (support(agreement, SampleIndex(number)) for number in range(2))
    ] == [(2, 0), (2, 0)]


def test_what_shares_a_line_is_not_taken_out_with_it() -> None:
    agreement, _ = crossed(
        sample("a", RIGHT, "assert double(1) == 2; assert double(2) == 5\nassert double(4) == 8\n", passed=False),
        sample("b", ALSO, "assert twice(5) == 10"),
    )
    assert repair(agreement, SampleIndex(0), "drop") is None


def test_a_recomputed_truth_is_written_as_such() -> None:
    agreement, _ = crossed(
        sample("a", "def odd(x):\n    return x % 2 == 1\n", "assert odd(2)\nassert odd(3) == False\n", passed=False),
        sample("b", "def is_odd(n):\n    return bool(n & 1)\n", "assert is_odd(1) == True"),
    )
    corrected = repair(agreement, SampleIndex(0), "recompute")
    assert corrected is not None and corrected.tests == "assert not odd(2)\nassert odd(3) == True\n"


def test_tests_that_are_not_made_of_plain_asserts_stay_as_they_are() -> None:
    agreement, _ = crossed(
        sample("a", RIGHT, "def test_it():\n    assert double(3) == 7\n    assert double(2) == 4\n", passed=False),
        sample("b", ALSO, "assert twice(5) == 10"),
    )
    assert repair(agreement, SampleIndex(0), "drop") is None


def test_failures_are_not_alike_and_loops_end() -> None:
    agreement, _ = crossed(
        sample("a", "def f(x):\n    raise ValueError\n", "assert f(1) == 1"),
        sample("b", "def f(x):\n    raise KeyError\n", "assert f(2) == 1"),
        sample("c", "def f(x):\n    while True:\n        pass\n", "assert f(3) == 1"),
        sample("d", "import os\ndef f(x):\n    os._exit(0)\n", "assert f(4) == 1"),
        sample("e", "def f(x) return", "assert f(4) == 1"),
    )
    assert [support(agreement, SampleIndex(number)).group for number in range(5)] == [1] * 5


def test_what_agrees_where_it_was_asked_may_differ_near_by() -> None:
    agreement, _ = crossed(
        sample("a", "def square(x):\n    return x * x\n", "assert square(2) == 4"),
        sample("b", "def squared(n):\n    return n ** 2\n", "assert squared(0) == 0"),
        sample("c", "def twice(x):\n    return x + x\n", "assert twice(2) == 4"),
        sample("d", "def nothing(x):\n    return None\n", "assert nothing(3) is None"),
    )
    a, b, c, d = (support(agreement, SampleIndex(number)) for number in range(4))
    assert (a.alike, b.alike, c.alike, d.alike) == pytest.approx((1 / 3, 1 / 3, 0.0, 0.0))
    assert a.likeness > c.likeness > d.likeness == 0.0
    assert a.inputs > 10 and a.values > 3 and d.values == 1


def test_equal_inputs_count_once_and_expectations_are_no_inputs() -> None:
    agreement, _ = crossed(
        sample(
            "a", "def same(n):\n    return n\n", "expected = [1, 2, 3]\nassert same(3) == expected\nassert same(3) == 3"
        ),
        sample(
            "b", "def odd(n):\n    return n if n == 3 else -n\n", "assert odd(3) == 3\nassert round(odd(3), 2) == 3"
        ),
    )
    a, b = support(agreement, SampleIndex(0)), support(agreement, SampleIndex(1))
    assert a.inputs == b.inputs == len(agreement.questions.trials[0].units) - 1  # `same(3)` is asked twice
    assert 10 < a.values < a.inputs and a.alike == 0.0 and a.likeness < 0.05


def test_the_last_digits_of_floats_make_no_difference() -> None:
    agreement, _ = crossed(
        sample("a", "def mean(xs):\n    return sum(xs) / len(xs)\n", "assert mean([0.1, 0.2, 0.3]) == 0.2", False),
        sample("b", "def mean(xs):\n    return sum(x / len(xs) for x in xs)\n", "assert mean([0.3, 0.6]) == 0.45"),
        sample("c", "def mean(xs):\n    return round(sum(xs) / len(xs), 2)\n", "assert mean([1, 2]) == 1.5"),
    )
    a, b, c = (support(agreement, SampleIndex(number)) for number in range(3))
    assert a.alike == b.alike == 0.5 and c.alike == 0.0 and a.group == 3
    corrected = repair(agreement, SampleIndex(0), "recompute")
    assert corrected is not None and corrected.tests == "assert mean([0.1, 0.2, 0.3]) == 0.20000000000000004"


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("[x + 0.1 + 0.2] * 40", "[x + 0.3] * 40", 1.0),
        ("x + 123456789.12345679", "123456789.12345678 + x", 1.0),
        ("{x: 9.999999999999998, 5.0: 1}", "{x: 10.0, 5: 1}", 1.0),
        ("f'{x:.8f}'", "f'{x:.9f}'", 0.0),
        ("x * 0.3333333", "x * 0.33333333", 0.0),
    ],
)
def test_digits_are_those_of_floats_alone(one: str, other: str, alike: float) -> None:
    agreement, _ = crossed(
        sample("a", f"def f(x):\n    return {one}\n", "assert f(1) == 1"),
        sample("b", f"def g(x):\n    y = {other}\n    return y\n", "assert g(2) == 1"),
    )
    assert support(agreement, SampleIndex(0)).alike == alike


def test_what_fails_before_there_is_a_value_is_not_alike() -> None:
    """Code that does not raise where one's tests expect it is asked what follows all the same."""
    tests = "import pytest\np = Pile()\nwith pytest.raises(IndexError):\n    p.pop()\np.push(1)\nassert p.pop() == 1\n"
    stack = (
        "class Pile:\n    def __init__(self):\n        self.x = []\n    def push(self, x):\n        self.x.append(x)\n"
    )
    agreement, _ = crossed(
        sample("a", stack + "    def pop(self):\n        return self.x.pop()\n", tests),
        sample(
            "b",
            stack + "    def pop(self):\n        return self.x.pop() if self.x else None\n",
            "assert Pile().pop() is None",
        ),
        sample(
            "c",
            stack + "    def pop(self):\n        if self.x:\n            return self.x.pop()\n",
            "assert not Pile().x",
        ),
    )
    (expects, _, majority), (value, holds, agreed) = own_evidence(agreement, SampleIndex(0))
    assert expects.span == (3, 4) and majority is False
    assert (value.unit.value, holds, agreed) == ("p.pop()", True, True)
    repaired = repair(agreement, SampleIndex(0), "drop")
    assert repaired is not None and "raises" not in repaired.tests and repaired.tests.endswith("assert p.pop() == 1\n")


def test_assertions_that_compare_no_value_give_inputs_as_well() -> None:
    agreement, _ = crossed(
        sample("a", "def half(x):\n    return x / 2\n", "import math\nassert math.isclose(half(5.0), 2.5)"),
        sample("b", "def halved(y):\n    return y * 0.5\n", "assert abs(halved(3.0) - 1.5) < 1e-9"),
        sample("c", "def less(z):\n    return z - 2.5\n", "assert less(5.0) < 3"),
    )
    a, b, c = (support(agreement, SampleIndex(number)) for number in range(3))
    assert a.inputs == b.inputs == c.inputs > 10 and a.alike == b.alike == 0.5 and c.alike == 0.0


def test_what_computes_nothing_is_like_nothing() -> None:
    broken = "def f(x):\n    return missing\n"
    agreement, _ = crossed(
        sample("a", broken, "assert f(1) == 1"),
        sample("copy", broken, "assert f(2) == 2"),
        sample("strict", "def f(x):\n    assert x < 3\n    return x\n", "assert f(2) == 2"),
        sample("right", "def f(x):\n    return x\n", "assert f(1) > 0"),
    )
    a, copy, strict, right = (support(agreement, SampleIndex(number)) for number in range(4))
    assert (a.inputs, a.values, a.alike, a.likeness) == (copy.inputs, copy.values, 0.0, 0.0) == (0, 0, 0.0, 0.0)
    assert strict.alike == right.alike == 1 / 3  # where one refuses an input, they are not compared
    assert 0 < strict.inputs < right.inputs


def test_values_that_cannot_be_told_apart_are_none() -> None:
    def code(power: int) -> str:
        return f"class P:\n    pass\ndef f(x):\n    return P() if x == 0 else 10 ** (5000 * x) * {power} if x == 1 else 'a' * 700 + '{power}'\n"

    units = tuple(Unit(value=f"f({x})") for x in range(3))

    async def go(power: int) -> list[str]:
        async with Sandbox(limits=Limits(timeout=5), workers=1) as sandbox:
            return [outcome.value for outcome in await sandbox.try_units(Trial(source=code(power), units=units))]

    one, two = asyncio.run(go(1)), asyncio.run(go(2))
    assert one[0] == two[0] == "" and one[1] != two[1] and one[2] != two[2]


def test_what_runs_out_of_time_again_and_again_is_asked_nothing_extra() -> None:
    code = "import os\ndef f(x):\n    while x == 1:\n        pass\n    return x if x != 2 else os._exit(0)\n"

    async def go(numbers: tuple[int, ...], extra: int) -> list[str]:
        async with Sandbox(limits=Limits(timeout=5), workers=1) as sandbox:
            units = tuple(Unit(value=f"f({number})") for number in numbers)
            outcomes = await sandbox.try_units(Trial(source=code, units=units, unit_timeout=0.2, extra=extra))
            assert [outcome.place for outcome in outcomes] == list(range(len(numbers)))
            return [outcome.status for outcome in outcomes]

    late = ["timeout"] * 3
    assert asyncio.run(go((0, 1, 1, 1, 0), 0)) == ["passed", *late, "passed"]
    assert asyncio.run(go((0, 1, 1, 1, 0), 1)) == ["passed", *late, "timeout"]
    assert asyncio.run(go((1, 1, 0, 0), 2)) == ["timeout", "timeout", "passed", "passed"]
    assert asyncio.run(go((0, 2, 0, 2, 0), 2)) == ["passed", "ended", "passed", "ended", "timeout"]


def test_what_always_runs_out_of_time_is_given_up() -> None:
    async def go(code: str, numbers: range) -> tuple[list[str], int]:
        async with Sandbox(limits=Limits(timeout=2), workers=1) as sandbox:
            asked = tuple(Unit(value=f"f({number})") for number in numbers)
            outcomes = await sandbox.try_units(Trial(source=code, units=asked, unit_timeout=0.2))
            return [outcome.status for outcome in outcomes], sandbox.processes

    statuses, processes = asyncio.run(go("def f(x):\n    while True:\n        pass\n", range(80)))
    assert len(statuses) == 80 and set(statuses) == {"timeout", "ended"} and processes == 1
    assert asyncio.run(go("import os\ndef f(x):\n    os._exit(0)\n", range(80))) == (["ended"] * 80, 3)
    mixed = "import os\ndef f(x):\n    while -20 < x < 0:\n        pass\n    return x if x in (2, 7) else os._exit(0)\n"
    assert asyncio.run(go(mixed, range(8)))[0] == [*["ended"] * 2, "passed", *["ended"] * 4, "passed"]
    # What has come to an end once is not given up, whatever comes later.
    assert asyncio.run(go(mixed.replace("(2, 7)", "(-20, 2, 3)"), range(-20, 4)))[0][-2:] == ["passed", "passed"]


def test_each_unit_has_its_own_names_and_time() -> None:
    units = (
        Unit(setup="double = None\nextra = 1", value="extra", expected="1"),
        Unit(value="double(2)", expected="4"),
        Unit(check="extra == 1"),
        Unit(setup="while True: pass", check="True"),
        Unit(value="{3, 1, 2} | {double(1)}", expected="{1, 2, 3}"),
        Unit(setup="raise SystemExit(0)", check="True"),
        Unit(program=Program(source="def f(x):\n    return x\n\n\nassert f(1) == 1\n", tests_line=5)),
        Unit(program=Program(source="def f(x):\n    return x\n\n\nif False:\n    assert f(1)\n", tests_line=5)),
    )

    async def go() -> Any:
        async with Sandbox(limits=Limits(timeout=5)) as sandbox:
            return await sandbox.try_units(Trial(source=RIGHT, units=units, unit_timeout=0.3))

    outcomes = asyncio.run(go())
    assert [outcome.status for outcome in outcomes] == [
        "passed", "passed", "error", "timeout", "passed", "error", "passed", "failed",
    ]  # fmt: skip
    assert outcomes[4].value == "{1, 2, 3}"


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ("assert sign(5) == 1\nassert sign(-5) == -1\nassert sign(0) == 0", (1.0, 1.0, 1.0)),
        ("assert sign(5) == 1", (0.4, 0.6, 0.25)),
    ],
)
def test_the_strength_of_tests(tests: str, expected: tuple[float, float, float]) -> None:
    code = "def sign(x):\n    if x > 0:\n        return 1\n    if x < 0:\n        return -1\n    return 0\n"

    async def go() -> Any:
        program = Program(source=f"{code}\n\n{tests}\n", tests_line=code.count("\n") + 3)
        async with Sandbox(limits=Limits(timeout=10)) as sandbox:
            return await measure_tests(code, program, sandbox)

    strength = asyncio.run(go())
    mutation, lines, branches = expected
    assert not strength.survives_gutting
    assert (strength.lines, strength.branches) == (lines if lines == 1 else 0.4, branches)
    if mutation == 1.0:
        assert strength.score is not None and strength.score >= 0.85
    else:
        assert strength.score is not None and strength.score < 0.8


# The whole stage --------------------------------------------------------------------------------------------------------


def response(number: int, code: str, tests: str) -> Response:
    text = (
        f"[Reasoning]\nIt is {number}.\n\n[Implementation]\n```python\n{code.rstrip()}\n```\n\n[Explanation]\nSo.\n\n"
        f"[Tests]\n```python\n{tests.rstrip()}\n```"
    )
    parents = {"instruction": "i-1"}
    return Response(
        id=f"r-{number}", seed="", concepts=[], instruction="Double it.", response=text, sample=number, parents=parents
    )


async def at_once() -> None:
    """In place of the wait for another second."""


def verified(
    journal: Path, *responses: Response, wait: Any = at_once, **table: Any
) -> tuple[dict[str, Execution | Reject], StageCount]:
    settings = resolve_execution(Config().execute)

    async def go() -> tuple[dict[str, Execution | Reject], StageCount]:
        count = StageCount()
        with Journal(None, VerdictEntry) as executed, Journal(journal, VerificationEntry) as entries:
            async with settings.open() as opened:
                sandboxes = replace(opened, wait=wait)
                context = settings.context(sandboxes.first.tier)
                execute = Runner(Execute(context, sandboxes.first), executed)
                verify = Runner(
                    Verify(Verifier(context, VerifyTable(**table), shipped_calibration(), sandboxes)), entries, count
                )
                attempts = []
                for candidate in map(parse_candidate, responses):
                    (outcome,) = await execute.make(candidate)
                    attempts.append(Attempt(candidate, outcome))
                return {outcome.id: outcome for outcome in await verify.make(SampleSet(attempts))}, count

    return asyncio.run(go())


def test_a_run_keeps_what_holds_with_its_evidence_and_rescues_what_only_its_tests_failed(tmp_path: Path) -> None:
    responses = (
        response(0, RIGHT, "assert double(2) == 4\nassert double(3) == 6"),
        response(1, ALSO, "assert twice(5) == 10\nassert twice(1) == 3"),
        response(2, WRONG, "assert double(2) == 4\nassert double(3) == 9"),
        response(3, "def double(x):\n    return None\n", "assert double(2) == 4"),
    )
    outcomes, _ = verified(tmp_path / "j", *responses)
    assert set(outcomes) == {"r-0", "r-1", "r-2"}
    right, rescued, wrong = outcomes["r-0"], outcomes["r-1"], outcomes["r-2"]
    assert isinstance(right, Execution) and isinstance(rescued, Execution)
    assert right.verification is not None and rescued.verification is not None
    assert (right.verification.group, right.verification.samples, right.verification.passed) == (2, 4, 2)
    assert right.verification.mutants > 0 and right.verification.changed == 0
    assert rescued.verification.changed == 1 and "twice(1) == 3" not in rescued.response
    assert rescued.verdict.status == "passed" and rescued.verdict.checks_executed == 1
    # The square agrees with the double at 2, and with nobody at 3.
    assert isinstance(wrong, Execution) and wrong.verification is not None
    assert wrong.verification.confidence < right.verification.confidence
    again, count = verified(tmp_path / "j", *responses)
    assert count.reused == 4
    assert [(o.response, o.verification) for o in again.values() if isinstance(o, Execution)] == [
        (o.response, o.verification) for o in outcomes.values() if isinstance(o, Execution)
    ]
    unrepaired, _ = verified(tmp_path / "other", *responses, repair="off")
    assert set(unrepaired) == {"r-0", "r-2"}


def test_a_package_that_was_missing_is_looked_for_again(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    code = "import newly_made\ndef double(x):\n    return 2 * x\n"
    settings = resolve_execution(Config().execute)

    async def go() -> list[str]:
        found = []
        async with Sandbox(tier="none", limits=settings.limits) as sandbox:
            for name in ("", "", "newly_made.py"):
                if name:
                    (packages / name).touch()
                one = response(0, f"import sys\nsys.path.append({str(packages)!r})\n{code}", "assert double(2) == 4")
                with Journal(tmp_path / "j", VerdictEntry) as executed:
                    count = StageCount()
                    runner = Runner(Execute(settings.context("none"), sandbox), executed, count)
                    (outcome,) = await runner.make(parse_candidate(one))
                    found.append(outcome.reason if isinstance(outcome, Reject) else "passed")
                    assert count.reused == 0
        return found

    assert asyncio.run(go()) == ["unsupported", "unsupported", "passed"]


def test_a_failing_sandbox_is_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    responses = (response(0, RIGHT, "assert double(2) == 4"), response(1, ALSO, "assert twice(5) == 10"))

    async def lost(self: Slot, trial: Trial) -> Any:
        raise SlotLost("no answer within 15 s")

    with monkeypatch.context() as broken:
        broken.setattr(Slot, "try_units", lost)
        outcomes, _ = verified(tmp_path / "j", *responses)
    assert {outcome.reason for outcome in outcomes.values() if isinstance(outcome, Reject)} == {"sandbox-error"}
    healthy, count = verified(tmp_path / "j", *responses)
    assert count.reused == 0
    assert all(
        isinstance(one, Execution) and one.verification and one.verification.group == 2 for one in healthy.values()
    )


def test_flaky_and_vacuous_rows_are_rejected(tmp_path: Path) -> None:
    outcomes, _ = verified(
        tmp_path / "j",
        response(0, "def f():\n    return hash('a') % 97\n", f"assert f() == {hash_of_a()}"),
        response(
            1, "import time\ndef f():\n    return int(time.time())\n", "import time\nassert f() == int(time.time())"
        ),
        response(2, "def f(x):\n    return None\n\ndef g():\n    return 3\n", "f(1)\nassert len([1]) == 1"),
        wait=next_second,
    )
    assert {name: outcome.reason for name, outcome in outcomes.items() if isinstance(outcome, Reject)} == {
        "r-0": "flaky",
        "r-2": "vacuous-tests",
    }


def hash_of_a() -> int:
    """The value under the hash seed of first runs."""
    import subprocess
    import sys

    command = [sys.executable, "-c", "print(hash('a') % 97)"]
    return int(subprocess.run(command, env={"PYTHONHASHSEED": "0"}, capture_output=True, check=True).stdout)


def test_a_stateful_row_that_passes_keeps_all_its_assertions(tmp_path: Path) -> None:
    code = "class Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, x):\n        self.items.append(x)\n"
    code += "    def pop(self):\n        return self.items.pop()\n"
    tests = "s = Stack()\ns.push(1)\ns.push(2)\nassert s.pop() == 2\nassert s.pop() == 1\nassert s.items == []"
    outcomes, _ = verified(
        tmp_path / "j", response(0, code, tests), response(1, code, tests + "\nassert Stack().items == []")
    )
    assert [
        outcome.verification.changed
        for outcome in outcomes.values()
        if isinstance(outcome, Execution) and outcome.verification
    ] == [0, 0]


def test_surrogates_addresses_and_huge_values_are_no_trouble(tmp_path: Path) -> None:
    outcomes, _ = verified(
        tmp_path / "j",
        response(0, "def f(x):\n    raise ValueError('\\ud83d')\n", "assert f(1) == 1"),
        response(1, "class Node:\n    pass\nN = Node()\ndef f(x):\n    return N\n", "assert f(1) is f(2)"),
        response(
            2, "def f(x):\n    return set(range(200_000))\n", "assert f(1) == set(range(200_000))\nassert f(2) != 3"
        ),
    )
    assert set(outcomes) == {"r-1", "r-2"}


def test_a_row_with_a_test_that_never_ran_is_rejected_by_name(tmp_path: Path) -> None:
    helper = "assert double(2) == 4\n\ndef check_negative():\n    assert double(-1) == -2\n"
    outcomes, _ = verified(
        tmp_path / "j", response(0, RIGHT, helper), response(1, RIGHT, f"{helper}\ncheck_negative()\n")
    )
    refused, kept = outcomes["r-0"], outcomes["r-1"]
    assert isinstance(refused, Reject) and refused.reason == "vacuous-tests"
    assert "check_negative, line" in refused.detail
    assert isinstance(kept, Execution) and kept.verdict.reached == 1.0


def test_tests_of_pytest_are_evidence_for_other_samples(tmp_path: Path) -> None:
    tests = "import pytest\n\n@pytest.mark.parametrize('x, y', [(2, 4), (3, 6)])\ndef test_double(x, y):\n    assert double(x) == y\n"
    outcomes, _ = verified(
        tmp_path / "j",
        response(0, RIGHT, tests),
        response(1, ALSO, "assert twice(5) == 10"),
        response(2, WRONG, "assert double(2) == 4"),
    )
    first = outcomes["r-0"]
    assert isinstance(first, Execution) and first.verification is not None
    assert first.verdict.tests_run == 2 and first.verification.own_assertions == 2
    assert first.verification.group == 2 and first.verification.mutants == first.verification.killed > 0
