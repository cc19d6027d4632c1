"""What assertions add that the model writes from the instruction alone (`verify.tests`), and what they cost.

    python benchmarks/false_passes/written_tests.py benchmarks/false_passes/FOLDER [MODEL] [--tests 5] [--tasks 60]

Asks as the product's own stage does (without MODEL: the embedded default), executes the recorded samples crosswise once without and
once with these assertions, and compares confidences that are cross-validated by task. The answers are journaled in /tmp.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from recorded import Recorded, answers_by_task, load

from snipmill.config import Config, GenerateTable, VerifyTable
from snipmill.config_model import ModelTable, SamplingTable
from snipmill.llm.connect import connect
from snipmill.prompts.assertions import STAGE, asking_for
from snipmill.records import Instruction, WrittenTests
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits
from snipmill.stages.budget import open_budget
from snipmill.stages.evidence_runs import execute_crosswise
from snipmill.stages.generate import Generate, SampleTask
from snipmill.stages.runner import Runner
from snipmill.stages.settings import for_models, resolve_generation
from snipmill.stages.stage_count import StageCount
from snipmill.store.entries import CompletionEntry
from snipmill.store.journal import Journal
from snipmill.verification.agreement import support
from snipmill.verification.fitting import cross_validated, roc_area
from snipmill.verification.programs import ParsedResponse, parse_response
from snipmill.verification.questions import Sample, SampleIndex

RESAMPLES = 1000


async def ask(
    folder: Path, model: str | None, tests: int, instructions: dict[str, str]
) -> tuple[dict[str, str], StageCount]:
    """The assertions for each task, and what they cost."""
    table = ModelTable(name=model, max_tokens=400, context=4096, sampling=SamplingTable(temperature=0.2))
    config = Config(model=table, verify=VerifyTable(tests=tests), generate=GenerateTable(draws=1))
    count, found = StageCount(), dict[str, str]()
    path = Path(tempfile.gettempdir()) / f"snipmill-written-{folder.name}-{tests}.jsonl"
    with Journal(path, CompletionEntry) as journal:
        async with connect(table) as connection:
            settings = for_models(resolve_generation(config), {STAGE.name: connection.model})[STAGE.name]
            work: Generate[Instruction, WrittenTests] = Generate(
                asking_for(tests), settings, connection.fleet, budget=open_budget(config)
            )
            runner = Runner(work, journal, count)

            async def one(task: str, text: str) -> None:
                record = Instruction(id=f"i-{task}", seed="", concepts=[], instruction=text)
                (outcome,) = await runner.make(SampleTask(record, range(1)))
                if isinstance(outcome, WrittenTests):
                    found[task] = outcome.tests

            await asyncio.gather(*(one(task, text) for task, text in instructions.items()))
    return found, count


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--tests", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=60)
    args = parser.parse_args()
    answers = answers_by_task(args.folder)
    tasks = sorted(answers)[: args.tasks]
    written, count = await ask(
        args.folder, args.model, args.tests, {task: answers[task][0]["instruction"] for task in tasks}
    )
    lines = sum(tests.count("\n") + 1 for tests in written.values())
    print(
        f"{len(written)} of {len(tasks)} tasks with assertions, {lines} in all; {count.prompt_tokens} prompt tokens "
        f"({count.cached_tokens} cached), {count.completion_tokens} generated"
    )
    before = {one.line["id"]: one for one in load() if one.setting == args.folder.name and one.task in tasks}
    after: dict[str, Recorded] = {}
    async with Sandbox(limits=Limits(timeout=10)) as sandbox:
        for task in tasks:
            samples = []
            for answer in answers[task]:
                name = f"{task}/{answer['sample']}"
                parsed = parse_response(answer["response"]) if answer["response"] else None
                if isinstance(parsed, ParsedResponse) and name in before:
                    samples.append(
                        Sample(name, parsed.sections.code, parsed.sections.tests, before[name].line["passed"])
                    )
            extra = (written[task],) if task in written else ()
            agreement = await execute_crosswise(samples, sandbox, extra)
            for number, sample in enumerate(samples):
                found = support(agreement, SampleIndex(number))
                evidence = {"foreign": found.foreign, "foreign_true": found.foreign_true, "alike": found.alike}
                changed = msgspec.structs.replace(
                    before[sample.id].found, **evidence, likeness=found.likeness, values=found.values
                )
                after[sample.id] = replace(before[sample.id], found=changed)
    compare([before[name] for name in after], list(after.values()))


def compare(before: list[Recorded], after: list[Recorded]) -> None:
    """The area under the ROC curve, with the interval of the difference over tasks, and the best row of each task."""
    truths = np.array([one.is_right for one in before])
    scores = [np.array(cross_validated([one.judged for one in samples])) for samples in (before, after)]
    tasks = sorted({one.task for one in before})
    members = {task: np.array([n for n, one in enumerate(before) if one.task == task]) for task in tasks}
    random, differences = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[tasks[place]] for place in random.integers(0, len(tasks), len(tasks))])
        areas = [roc_area(truths[rows].tolist(), score[rows].tolist()) for score in scores]
        if areas[0] is not None and areas[1] is not None:
            differences.append(areas[1] - areas[0])
    low, high = np.percentile(differences, [5, 95])
    without, with_them = (roc_area(truths.tolist(), score.tolist()) or 0.0 for score in scores)
    print(f"area {without:.3f} -> {with_them:.3f} (difference 90%: {low:+.3f} to {high:+.3f}), {len(truths)} samples")
    for name, score in zip(("without", "with"), scores, strict=True):
        best = [max(rows, key=lambda row: score[row]) for rows in members.values()]
        print(f"{name}: the best row of {sum(truths[best])} of {len(tasks)} tasks is right")


if __name__ == "__main__":
    asyncio.run(main())
