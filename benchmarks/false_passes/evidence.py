"""Execute the recorded samples of the false-pass benchmark, and write down the evidence on each, with the truth beside it.

    python benchmarks/false_passes/evidence.py ../shared/benchmarks/sanitized-mbpp.json benchmarks/false_passes/FOLDER

Takes minutes, and writes evidence.jsonl into the model's folder.

The truth is MBPP's own tests, which no model has seen, put to each sample's function by its entry point, whatever its name.
"""

from __future__ import annotations

import ast
import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recorded import answers_by_task
from tasks import tested_signature

from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Program, Trial, Unit
from snipmill.stages.evidence_runs import execute_crosswise, measure_tests
from snipmill.verification.agreement import support
from snipmill.verification.interface import interface, used_names
from snipmill.verification.programs import ParsedResponse, join_program, parse_response
from snipmill.verification.questions import Sample, SampleIndex
from snipmill.verification.repair import repair
from snipmill.verification.units import assertions


async def exits_with_zero(program: Program, sandbox: Sandbox) -> bool:
    """The original's filter: implementation, then tests, executed as one text; what raises nothing has passed."""
    (outcome,) = await sandbox.try_units(Trial(source="", units=(Unit(setup=program.source),), unit_timeout=5.0))
    return outcome.status == "passed"


async def is_right(implementation: str, tests: str, hidden: list[str], name: str, sandbox: Sandbox) -> bool:
    """Whether an implementation passes the hidden tests, with its entry point bound to their name."""
    offers = interface(implementation)
    functions = [offered for offered, signature in offers.items() if signature is not None]
    used = [offered for offered in functions if offered in used_names(offers, assertions(tests, offers))]
    entry = name if name in offers else used[0] if len(used) == 1 else functions[-1] if functions else None
    if entry is None:
        return False
    units = tuple(Unit(setup=f"{name} = {entry}\n{test}") for test in hidden)
    outcomes = await sandbox.try_units(Trial(source=implementation, units=units, unit_timeout=3.0))
    return all(outcome.status == "passed" for outcome in outcomes)


async def of_task(answers: list[dict[str, Any]], task: dict[str, Any], sandbox: Sandbox) -> dict[str, Any]:
    """The evidence on all samples of a task."""
    signature = tested_signature(task)
    assert signature is not None
    hidden = [ast.unparse(ast.parse(test)) for test in task["test_list"]]
    rows, samples, programs = [], [], []
    for answer in answers:
        parsed = parse_response(answer["response"]) if answer["response"] else None
        if isinstance(parsed, ParsedResponse):
            sections, program = parsed.sections, parsed.program
            verdict = await sandbox.run(program)
            samples.append(
                Sample(
                    f"{answer['task']}/{answer['sample']}", sections.code, sections.tests, verdict.status == "passed"
                )
            )
            programs.append(program)
    began, before = time.monotonic(), sandbox.processes
    agreement = await execute_crosswise(samples, sandbox)
    seconds, processes = time.monotonic() - began, sandbox.processes - before
    for number, (sample, program) in enumerate(zip(samples, programs, strict=True)):
        row: dict[str, Any] = {
            "id": sample.id,
            "passed": sample.passed,
            **asdict(support(agreement, SampleIndex(number))),
        }
        row["passed_share"] = row.pop("passed")
        row["passed"] = sample.passed
        row["exit_zero"] = await exits_with_zero(program, sandbox)
        row["right"] = await is_right(sample.implementation, sample.tests, hidden, signature[0], sandbox)
        for mode in ("drop", "recompute"):
            repaired = None if sample.passed else repair(agreement, SampleIndex(number), mode)
            holds = sample.passed
            strength = None
            if repaired is not None:
                program = join_program(sample.implementation, repaired.tests)
                holds = (await sandbox.run(program)).status == "passed"
            if holds:
                strength = asdict(await measure_tests(sample.implementation, program, sandbox))
            row[mode] = {"holds": holds, "changed": repaired.changed if repaired else 0, "strength": strength}
        rows.append(row)
    return {
        "task": answers[0]["task"],
        "drawn": len(answers),
        "pairs": agreement.questions.pairs,
        "alignable": agreement.questions.alignable,
        "sample_pairs": len(samples) ** 2,
        "processes": processes,
        "seconds": seconds,
        "samples": rows,
    }


async def main() -> None:
    given = json.loads(Path(sys.argv[1]).read_text())  # noqa: ASYNC240
    folder = Path(sys.argv[2])
    tasks = {f"mbpp-{task['task_id']}": task for task in given}
    answers = answers_by_task(folder)
    results = []
    async with Sandbox(limits=Limits(timeout=10)) as sandbox:
        for name, mine in answers.items():
            results.append(await of_task(mine, tasks[name], sandbox))
    (folder / "evidence.jsonl").write_text("".join(json.dumps(result) + "\n" for result in results))
    pairs, processes = sum(r["sample_pairs"] for r in results), sum(r["processes"] for r in results)
    seconds = sum(r["seconds"] for r in results)
    units = sum(r["alignable"] for r in results)
    print(f"{len(results)} tasks, {sum(len(r['samples']) for r in results)} samples")
    print(
        f"{pairs} pairs of implementation and test file in {processes} processes: {pairs / processes:.1f} pairs per process"
    )
    print(f"{pairs / seconds:.0f} pairs per second, {units / seconds:.0f} assertions per second")
    print(f"{units / sum(r['pairs'] for r in results):.1%} of assertions could be put to other samples' code")


if __name__ == "__main__":
    asyncio.run(main())
