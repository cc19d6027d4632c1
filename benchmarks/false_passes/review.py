"""Review the recorded samples of the false-pass benchmark, and write down what the reviewer says of each.

    python benchmarks/false_passes/review.py benchmarks/false_passes/FOLDER [MODEL] [--questions] [--base-url URL]

Asks as the product's own stage does; without --base-url, MODEL runs in the embedded engine. The answers are journaled in /tmp, so
that the command continues where it was stopped. It writes reviews.jsonl.gz into the folder; what another reviewer said there stays.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recorded import REVIEWS, answers_by_task

from snipmill.config import Config, ReviewTable
from snipmill.config_model import ModelTable
from snipmill.llm.connect import connect
from snipmill.parallel.in_order import gather_or_raise
from snipmill.records import Execution, Verdict, Verification
from snipmill.stages.budget import open_budget
from snipmill.stages.calibration_file import shipped_calibration
from snipmill.stages.review import AskReviewer, Reviewer, ReviewQuestion, resolve_review
from snipmill.stages.runner import Runner
from snipmill.stages.stage_count import StageCount
from snipmill.store.entries import CompletionEntry
from snipmill.store.journal import Journal

_AT_A_TIME = 4  # tasks


def executions(folder: Path) -> list[list[Execution]]:
    """The samples of each task, as the stage reads them."""
    answers = answers_by_task(folder)
    texts = {f"{task}/{answer['sample']}": answer for task, mine in answers.items() for answer in mine}
    found = []
    for task in map(json.loads, (folder / "evidence.jsonl").read_text().splitlines()):
        found.append([_execution(sample["id"], texts[sample["id"]]) for sample in task["samples"]])
    return found


def _execution(name: str, answer: dict[str, Any]) -> Execution:
    return Execution(
        id=name,
        seed="",
        concepts=[],
        instruction=answer["instruction"],
        response=answer["response"],
        verdict=Verdict(status="passed"),
        verification=Verification(samples=1, passed=1),
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--questions", action="store_true")
    parser.add_argument("--base-url")
    args = parser.parse_args()
    table = ModelTable(name=args.model, base_url=args.base_url, prompting="chat", context=2048)
    config = Config(model=table, review=ReviewTable(evidence="both" if args.questions else "likelihood"))
    count, lines = StageCount(), list[str]()
    path = Path(tempfile.gettempdir()) / f"snipmill-review-{args.folder.name}.jsonl"
    with Journal(path, CompletionEntry) as journal:
        async with connect(table) as connection:
            settings = resolve_review(config, connection.model)
            assert settings is not None
            runner = Runner(AskReviewer(settings, connection.fleet, open_budget(config)), journal, count)
            reviewer = Reviewer(settings, shipped_calibration())

            async def ask(question: ReviewQuestion) -> float | None:
                (found,) = await runner.make(question)
                return found

            async def review(samples: Sequence[Execution]) -> list[str]:
                found = await reviewer.review(samples, lambda _: None, ask, gather_or_raise)
                return [_line(one) for one in found if isinstance(one, Execution)]

            tasks = executions(args.folder)
            for start in range(0, len(tasks), _AT_A_TIME):
                for done in await asyncio.gather(*map(review, tasks[start : start + _AT_A_TIME])):
                    lines += done
                print(f"{min(start + _AT_A_TIME, len(tasks))} of {len(tasks)} tasks", flush=True)
    target = args.folder / REVIEWS
    kept = gzip.decompress(target.read_bytes()).decode().splitlines() if target.exists() else []
    kept = [line for line in kept if json.loads(line)["reviewer"] != connection.model]
    target.write_bytes(gzip.compress("\n".join([*kept, *lines]).encode() + b"\n", mtime=0))
    print(
        f"{len(lines)} samples; {count.requests} questions in this session, {count.prompt_tokens} prompt tokens of which "
        f"{count.cached_tokens} were cached, {count.completion_tokens} generated, {count.seconds:.0f} s of requests"
    )


def _line(execution: Execution) -> str:
    assert execution.verification is not None
    found = execution.verification.review
    fields = {} if found is None else {name: getattr(found, name) for name in found.__struct_fields__}
    return json.dumps({"id": execution.id, "reviewer": "", "gain": None, "without_code": None, "yes": None, **fields})


if __name__ == "__main__":
    asyncio.run(main())
