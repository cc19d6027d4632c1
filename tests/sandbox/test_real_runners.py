"""Verdicts held against the real runners: Python itself, unittest and pytest, each in a fresh interpreter."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snipmill.records import Verdict
from snipmill.sandbox.conformance.conform import honest_programs, program
from snipmill.sandbox.conformance.corpus import CorpusProgram
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits
from snipmill.verification.mutants import mutants

COMMANDS = {
    "script": ["program.py"],
    "unittest": ["-m", "unittest", "-q", "program"],
    "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "program.py"],
}
# Of the plugins that happen to be installed beside pytest, only ours has a say; loading them all takes three quarters of the time.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
# Programs that we judge otherwise, on purpose; docs/sandbox.md says why.
EXCEPTIONS = {
    "async_test": "pytest refuses it; run by asyncio",
    "pytest/function_of_the_implementation": "pytest takes it for a test",
    "folder_is_empty": "the file of the program is in its folder only if it asks for it",
    "own_proc": "only in a pid namespace of its own",
}
STRICTER = {
    "unittest/suite_by_hand": "the program ignores its result",
    "unittest/only_a_part_is_run_by_hand": "the program ignores its result",
}


def really_passes(runner: str, source: str, seconds: float) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "program.py").write_text(source)
        try:
            done = subprocess.run(
                [sys.executable, *COMMANDS[runner]],
                cwd=folder,
                env={**ENVIRONMENT, "HOME": folder},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


async def compare(programs: dict[str, CorpusProgram], seconds: float = 120) -> dict[str, tuple[bool, Verdict]]:
    """By name, whether the real runner passes a program, and our verdict."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(2) as threads:
        async with Sandbox(limits=Limits(timeout=seconds), workers=2) as sandbox:

            async def one(case: CorpusProgram) -> tuple[bool, Verdict]:
                built = program(case.implementation, case.tests)
                passes = loop.run_in_executor(threads, really_passes, case.words[0], built.source, seconds)
                return await passes, await sandbox.run(built)

            found = await asyncio.gather(*map(one, programs.values()))
    return dict(zip(programs, found, strict=True))


def changed(case: CorpusProgram) -> CorpusProgram | None:
    """A program with a wrong implementation: all bodies of its functions are empty."""
    gutted = next((mutant for mutant in mutants(case.implementation) if mutant.kind == "gutted"), None)
    return CorpusProgram(gutted.source, case.tests, case.words) if gutted is not None else None


def test_honest_programs_pass_with_both() -> None:
    programs = honest_programs()
    assert len(programs) >= 250
    wrong = {
        name: verdict
        for name, (passes, verdict) in asyncio.run(compare(programs)).items()
        if verdict.status != "passed" or verdict.tests_never_run or (passes is False) != (name in EXCEPTIONS)
    }
    assert wrong == {}


def test_wrong_programs_fail_with_both() -> None:
    programs = {name: one for name, case in honest_programs().items() if (one := changed(case)) is not None}
    found = asyncio.run(compare(programs, 30))  # some never end, which is no pass
    assert sum(not passes for passes, _ in found.values()) >= 200
    missed = {name: verdict for name, (passes, verdict) in found.items() if verdict.status == "passed" and not passes}
    stricter = {name: verdict for name, (passes, verdict) in found.items() if passes and verdict.status == "failed"}
    assert missed == {}
    assert {name: verdict for name, verdict in stricter.items() if name not in STRICTER} == {}


@pytest.mark.parametrize("runner", ["unittest", "pytest"])
def test_a_verdict_counts_tests_as_the_runner_does(runner: str) -> None:
    programs = {name: one for name, one in honest_programs().items() if one.words[0] == runner}
    found = asyncio.run(compare(dict(list(programs.items())[:5])))
    assert all(verdict.tests_run > 0 for _, verdict in found.values())
