"""Samples or reviews: right rows and tokens with 1, 2, 4 and 8 samples of each task, with and without a review.

    python benchmarks/false_passes/samples.py ../shared/benchmarks/sanitized-mbpp.json benchmarks/false_passes/FOLDER

Executes the first n recorded samples of each task again for each n (minutes), takes the recorded reviews, and ranks the best row
of each task by confidences that are cross-validated by task. Answers are tokens that the server generates; reviews are tokens
that it reads. Both are told by their length (3.6 characters each); the examples of a review's prompt are cached.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from evidence import of_task
from recorded import Recorded, answers_by_task, load, verification

from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits
from snipmill.verification.fitting import cross_validated, roc_area

COUNTS = (1, 2, 4, 8)
WRONG_SHARES = (0.5, 0.4, 0.3, 0.2)
CHARACTERS_PER_TOKEN = 3.6
REVIEW_SHELL = 40  # tokens of a review's prompt beside code and instruction, behind the examples that are cached


@dataclass
class Tokens:
    """What a number of samples costs."""

    answers: float = 0.0
    reviews: float = 0.0


def right_at(best: list[tuple[float, bool]], share: float) -> int:
    """How many right rows there are, if rows are taken by confidence as long as the share of wrong ones is small enough."""
    truth = np.array([is_right for _, is_right in sorted(best, reverse=True)])
    kept = np.arange(1, len(truth) + 1)
    right = np.cumsum(truth)
    return int(np.max(right[(kept - right) <= share * kept], initial=0))


async def main() -> None:
    given = json.loads(Path(sys.argv[1]).read_text())  # noqa: ASYNC240
    folder = Path(sys.argv[2])
    tasks = {f"mbpp-{task['task_id']}": task for task in given}
    answers = answers_by_task(folder)
    reviews = {one.line["id"]: one.found.review for one in load("own", "likelihood") if one.setting == folder.name}
    most = max(len(mine) for mine in answers.values())
    async with Sandbox(limits=Limits(timeout=10)) as sandbox:
        for count in [count for count in COUNTS if count <= most]:
            recorded, tokens = [], Tokens()
            for name, mine in answers.items():
                drawn = sorted(mine, key=lambda answer: answer["sample"])[:count]
                tokens.answers += sum(len(answer["response"] or "") for answer in drawn) / CHARACTERS_PER_TOKEN
                found = await of_task(drawn, tasks[name], sandbox)
                for line in found["samples"]:
                    evidence = verification(line, len(found["samples"]), reviews.get(line["id"]))
                    recorded.append(Recorded(folder.name, name, evidence, line["right"], line))
                if found["samples"]:
                    code = sum(
                        len(answer["response"] or "") / 3 for answer in drawn
                    )  # one section of four, the longest
                    asked = len(drawn[0]["instruction"]) * (len(drawn) + 1)
                    tokens.reviews += (code + asked) / CHARACTERS_PER_TOKEN + REVIEW_SHELL * (len(drawn) + 1)
            report(count, recorded, tokens)


def report(count: int, recorded: list[Recorded], tokens: Tokens) -> None:
    """Two lines: without and with the review."""
    bare = [replace(one, found=msgspec.structs.replace(one.found, review=None)) for one in recorded]
    for name, samples, read in (("alone", bare, 0.0), ("reviewed", recorded, tokens.reviews)):
        scores = cross_validated([one.judged for one in samples])
        area = roc_area([one.is_right for one in samples], scores)
        best: dict[str, tuple[float, bool]] = {}
        for one, score in zip(samples, scores, strict=True):
            if one.can_be_row and score > best.get(one.task, (-1.0, False))[0]:
                best[one.task] = (score, one.is_right)
        told = ", ".join(f"{right_at(list(best.values()), share)} at {share:.0%}" for share in WRONG_SHARES)
        spent = f"{tokens.answers:,.0f} tokens generated, {read:,.0f} read"
        print(
            f"{count} samples, {name}: area {area or 0:.3f}; {spent}; right rows at shares of wrong ones: {told}",
            flush=True,
        )


if __name__ == "__main__":
    asyncio.run(main())
