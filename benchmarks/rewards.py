"""How many completions a second the rewards score: programs like the bank's, right, wrong and looping.

    python benchmarks/rewards.py [COUNT]

The peer, in the same run: the same completions and checks, each program in a fresh `python` of its own without a sandbox, as most
reward functions in the wild do it. Completions are the implementations of the few-shot bank and mutants of them that end, half and
half, each made unique by a comment, so that nothing is looked up. In the second line one program in a hundred never ends, under a
limit of 5 s.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path

from snipmill.prompts.fewshot import parse_bank
from snipmill.rewards import configure, reward
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Trial, Unit
from snipmill.text.sections import Sections, parse_sections
from snipmill.verification.mutants import mutants
from snipmill.verification.programs import join_program
from snipmill.verification.test_matrix import read_checks

TIMEOUT = 5.0
LOOP = "while True:\n    pass\n"


def completions(count: int, looping: int) -> list[tuple[str, str, list[str]]]:
    """Code, tests and checks of each completion."""
    folder = files("snipmill.prompts") / "bank"
    texts = {
        item.name.removesuffix(".md"): item.read_text("utf-8") for item in folder.iterdir() if item.name.endswith(".md")
    }
    texts.pop("README", None)
    kinds: list[tuple[str, str, list[str]]] = []
    for example in parse_bank(texts).examples:
        sections = parse_sections(example.response or "")
        if isinstance(sections, Sections) and sections.language == "Python":
            checks = read_checks(sections.code, sections.tests).texts
            wrong = [mutant.source for mutant in mutants(sections.code)[1:9]]
            for code in asyncio.run(ending(wrong, sections.tests)):
                kinds += [(sections.code, sections.tests, checks), (code, sections.tests, checks)]
    found = []
    for number, (code, tests, checks) in enumerate(islice(cycle(kinds), count)):
        loops = looping and number % looping == looping - 1
        found.append((f"{LOOP if loops else code}\n# {number}\n", tests, checks))
    return found


async def ending(codes: list[str], tests: str) -> list[str]:
    """The codes that come to an end soon, with all tests and with each check."""
    checks = read_checks(codes[0], tests).texts if codes else []
    found = []
    async with Sandbox(limits=Limits(timeout=1)) as sandbox:
        for code in codes:
            verdict = await sandbox.run(join_program(code, tests))
            units = tuple(Unit(setup=check) for check in checks)
            outcomes = await sandbox.try_units(Trial(source=code, units=units, unit_timeout=0.2))
            if verdict.status != "timeout" and all(
                outcome.status in ("passed", "failed", "error") for outcome in outcomes
            ):
                found.append(code)
    return found


def in_fresh_processes(given: list[tuple[str, str, list[str]]]) -> list[float]:
    """The peer: the whole program, then each check, in a process of its own."""

    def passes(code: str) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "program.py"
            path.write_text(code)
            try:
                done = subprocess.run([sys.executable, str(path)], capture_output=True, timeout=TIMEOUT, check=False)
            except subprocess.TimeoutExpired:
                return False
        return done.returncode == 0

    def score(one: tuple[str, str, list[str]]) -> float:
        code, tests, checks = one
        if passes(f"{code}\n{tests}"):
            return 1.0
        return sum(passes(f"{code}\n{check}") for check in checks) / max(1, len(checks))

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(score, given))


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    configure(timeout=TIMEOUT)
    warm = completions(8, 0)
    reward([f"```python\n{code}```" for code, _, _ in warm], tests=[tests for _, tests, _ in warm])
    for looping, name in ((0, "none loops"), (100, "1 in 100 loops")):
        given = completions(count, looping)
        began = time.monotonic()
        ours = reward(
            [f"```python\n{code}```" for code, _, _ in given],
            tests=[tests for _, tests, _ in given],
            checks=[checks for _, _, checks in given],
        )
        seconds = time.monotonic() - began
        few = random.Random(0).sample(given, min(200, count))
        began = time.monotonic()
        theirs = in_fresh_processes(few)
        peer = (time.monotonic() - began) * len(given) / len(few)
        means = [sum(one or 0.0 for one in some) / len(some) for some in (ours, theirs)]
        print(
            f"{name}: {len(given) / seconds:.0f} completions a second, {peer / seconds:.1f} times fresh processes "
            f"({len(given) / peer:.0f} a second); mean reward {means[0]:.3f} and {means[1]:.3f}"
        )


if __name__ == "__main__":
    main()
