"""Whether weighted checks tell right code from wrong better than a plain share, on recorded samples whose truth is known.

    python benchmarks/weighted_rewards.py benchmarks/false_passes/FOLDER...

Of each task, the verified sample of the highest confidence is the row, as in a run. Its tests grade all other samples.
Weights and smallest sets come from the other samples and mutants, without the sample that is graded and its copies. The truth is
MBPP's own tests (`right` in evidence.jsonl). Needs a sandbox; takes a minute for each folder.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "false_passes"))
from recorded import verification

from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits
from snipmill.stages.calibration_file import shipped_calibration
from snipmill.stages.execute import ExecutionContext
from snipmill.stages.grade_tests import Grader, MatrixEntry
from snipmill.store.journal import Journal
from snipmill.verification.code_equality import normal_form
from snipmill.verification.confidence import confidence
from snipmill.verification.programs import ParsedResponse, parse_response
from snipmill.verification.test_matrix import smallest_set, weigh

KINDS = ("all", "share", "weighted", "smallest")


def auc(scored: list[tuple[float, bool]]) -> float | None:
    """The probability that a right sample scores above a wrong one; ties count half."""
    right, wrong = ([score for score, is_right in scored if is_right is wanted] for wanted in (True, False))
    if not right or not wrong:
        return None
    wins = sum((one > other) + 0.5 * (one == other) for one in right for other in wrong)
    return wins / (len(right) * len(wrong))


def belief(row: dict[str, Any], samples: int) -> float:
    """The confidence that a run would give a sample."""
    return confidence(verification(row, samples), shipped_calibration())


def score(matrix: MatrixEntry, name: str, same: set[str]) -> dict[str, float] | None:
    """A sample's rewards of each kind; None where no check fits its interface."""
    place = matrix.programs.index(name)
    if not matrix.asked[place]:
        return None
    others = [
        failed for program, failed in zip(matrix.programs, matrix.failed, strict=True) if program not in same and failed
    ]
    weights, smallest = weigh(others, len(matrix.checks)), smallest_set(others)
    failed = set(matrix.failed[place]) | (set(range(len(matrix.checks))) - set(matrix.asked[place]))
    kept = set(smallest) or set(range(len(matrix.checks)))
    return {
        "all": float(not failed),
        "share": 1 - len(failed) / len(matrix.checks),
        "weighted": 1 - sum(weights[check] for check in failed),
        "smallest": 1 - len(failed & kept) / len(kept),
    }


async def of_folder(folder: Path) -> list[dict[str, Any]]:
    """The rewards of all samples, with the truth."""
    responses = {}
    for line in gzip.decompress((folder / "recorded.jsonl.gz").read_bytes()).splitlines():
        answer = json.loads(line)
        responses[f"{answer['task']}/{answer['sample']}"] = answer["response"]
    scored = []
    limits = Limits(timeout=10)
    with Journal(None, MatrixEntry) as journal:
        async with Sandbox(limits=limits) as sandbox:
            grader = Grader(sandbox, ExecutionContext(limits, sandbox.tier, ""), journal)
            for recorded in (folder / "evidence.jsonl").read_text().splitlines():
                task = json.loads(recorded)
                rows = [row for row in task["samples"] if row["passed"] and row["drop"]["holds"]]
                if not rows:
                    continue
                row = max(rows, key=lambda row: belief(row, len(task["samples"])))
                parsed = {one["id"]: parse_response(responses[one["id"]]) for one in task["samples"]}
                sections = {name: one.sections for name, one in parsed.items() if isinstance(one, ParsedResponse)}
                others = [(name, one.code, one.tests) for name, one in sections.items() if name != row["id"]]
                own = sections[row["id"]]
                matrix = await grader.grade(own.code, own.tests, others)
                if matrix is None or not matrix.checks:
                    continue
                forms = {name: normal_form(one.code) for name, one in sections.items()}
                for one in task["samples"]:
                    if one["id"] == row["id"] or one["id"] not in matrix.programs:
                        continue
                    same = {name for name in forms if forms[name] == forms[one["id"]]}
                    rewards = score(matrix, one["id"], same)
                    if rewards is not None:
                        scored.append(
                            {"task": task["task"], "right": one["right"], "row_right": row["right"], **rewards}
                        )
    return scored


def within(scored: list[dict[str, Any]], kind: str) -> float:
    """The mean AUC over tasks that have samples of both kinds: what a policy gradient sees, which compares samples of one task."""
    tasks: dict[str, list[tuple[float, bool]]] = {}
    for one in scored:
        tasks.setdefault(one["task"], []).append((one[kind], one["right"]))
    found = [value for one in tasks.values() if (value := auc(one)) is not None]
    return sum(found) / len(found) if found else float("nan")


def report(name: str, scored: list[dict[str, Any]]) -> None:
    """A line for each kind of reward, with the paired 90% interval of its difference to the plain share, by task."""
    tasks = sorted({one["task"] for one in scored})
    print(f"{name}: {len(scored)} samples of {len(tasks)} tasks, {sum(one['right'] for one in scored)} right")
    by_task = {task: [one for one in scored if one["task"] == task] for task in tasks}
    draws = random.Random("weighted")
    samples = [[one for task in draws.choices(tasks, k=len(tasks)) for one in by_task[task]] for _ in range(300)]
    for kind in KINDS:
        pooled = auc([(one[kind], one["right"]) for one in scored])
        differences = sorted(
            (auc([(one[kind], one["right"]) for one in some]) or 0)
            - (auc([(one["share"], one["right"]) for one in some]) or 0)
            for some in samples
        )
        low, high = differences[15], differences[284]
        print(
            f"  {kind:9} AUC {pooled:.3f}, against share {low:+.3f} to {high:+.3f}; within a task {within(scored, kind):.3f}"
        )


async def main() -> None:
    everything = []
    for folder in map(Path, sys.argv[1:]):
        scored = await of_folder(folder)
        report(folder.name, scored)
        everything += [{**one, "task": f"{folder.name}/{one['task']}"} for one in scored]
    report("all together", everything)
    report("where the row is right", [one for one in everything if one["row_right"]])


if __name__ == "__main__":
    asyncio.run(main())
