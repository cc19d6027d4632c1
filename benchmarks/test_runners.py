"""What running tests by pytest costs in the sandbox, against pytest's own ways, in the same run.

    python benchmarks/test_runners.py [--rounds 5]

The programs are those of the conformance corpus that are written for pytest. For each, this prints the median wall time of

- `sandbox`: a verdict of a warm slot, which has a prepared session of pytest
- `tests`: of that, what the test functions themselves take, measured by pytest
- `fork`: `pytest.main` in a fork of a process that has loaded pytest, unprotected
- `fresh`: `python -m pytest` in a new interpreter, unprotected

and what the sandbox adds to the tests: the session, the fork, the isolation, the verdict.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from snipmill.sandbox.conformance.conform import program
from snipmill.sandbox.conformance.corpus import corpus
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Program

LEFT_OUT = ("hypothesis", "asyncio", "sleep")  # their own time would be most of it
PYTEST = ("-q", "-p", "no:cacheprovider", "program.py")


class Durations:
    """Adds up what pytest says that tests take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds += report.duration


def in_folder(built: Program, run: Callable[[], object]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "program.py").write_text(built.source)
        here = Path.cwd()
        os.chdir(folder)
        try:
            started = time.perf_counter()
            run()
            return (time.perf_counter() - started) * 1000
        finally:
            os.chdir(here)


def silent_pytest() -> float:
    """Run pytest in this process. Returns the seconds that its tests take."""
    durations = Durations()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        pytest.main([*PYTEST], plugins=[durations])
    return durations.seconds


def forked() -> float:
    """`pytest.main` in a fork. Returns the milliseconds of the tests themselves."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.write(writing, str(silent_pytest() * 1000).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        spent = float(told.read() or 0)
    os.wait()
    return spent


def in_forks(built: Program, rounds: int) -> tuple[float, float]:
    """Median milliseconds of `pytest.main` in a fork, and of the tests themselves."""
    spent: list[float] = []
    times = [in_folder(built, lambda: spent.append(forked())) for _ in range(rounds)]
    return statistics.median(times), statistics.median(spent)


def fresh() -> None:
    subprocess.run([sys.executable, "-m", "pytest", *PYTEST], stdin=subprocess.DEVNULL, capture_output=True)


async def sandboxed(programs: list[Program], rounds: int) -> list[float]:
    found: list[list[float]] = []
    async with Sandbox(workers=1) as sandbox:
        await sandbox.run(programs[0])  # the first one sets up the zygote
        for built in programs:
            verdicts = [await sandbox.run(built) for _ in range(rounds)]
            assert all(verdict.status == "passed" for verdict in verdicts), verdicts[0]
            found.append([verdict.wall_ms for verdict in verdicts])
    return [statistics.median(times) for times in found]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    programs = [
        program(one.implementation, one.tests)
        for one in corpus("honest_pytest").values()
        if not one.words and not any(word in one.implementation + one.tests for word in LEFT_OUT)
    ]
    programs = [built for built in programs if "def test_connection" not in built.source]
    ours = asyncio.run(sandboxed(programs, rounds))
    forks, tests = zip(*(in_forks(built, rounds) for built in programs), strict=True)
    new = [in_folder(built, fresh) for built in programs[:10]]
    added = [one - test for one, test in zip(ours, tests, strict=True)]
    print(f"{len(programs)} programs, {rounds} rounds; milliseconds, median and maximum over the programs")
    for name, times in (
        ("sandbox", ours),
        ("tests", tests),
        ("sandbox - tests", added),
        ("fork", forks),
        ("fresh", new),
    ):
        print(f"{name:>16} {statistics.median(times):8.1f} {max(times):8.1f}")


if __name__ == "__main__":
    main()
