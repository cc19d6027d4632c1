"""The recorded samples of the false-pass benchmark, with the evidence on each, its review where there is one, and its truth."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snipmill.records import Review, Verification
from snipmill.verification.fitting import Judged

HERE = Path(__file__).parent
REVIEWS = "reviews.jsonl.gz"  # beside the samples; written by review.py


@dataclass(frozen=True)
class Recorded:
    """One sample.

    Attributes:
        setting: the folder that it was recorded in.
        task: the MBPP task.
        found: the evidence, as a run would write it down.
        is_right: by MBPP's own tests.
        line: of evidence.jsonl.
    """

    setting: str
    task: str
    found: Verification
    is_right: bool
    line: dict[str, Any]

    @property
    def judged(self) -> Judged:
        """As the product fits it."""
        return Judged(self.task, self.found, self.is_right)

    @property
    def can_be_row(self) -> bool:
        """Whether its tests hold, after repair where that is needed."""
        return bool(self.line["drop"]["holds"])


def load(review: str | None = None, kind: str = "both", evidence: str = "evidence.jsonl") -> list[Recorded]:
    """All samples of all settings.

    Args:
        review: the reviewer whose scores are added, by the beginning of its name; None for none; `own` is the model itself.
        kind: which of its scores: `likelihood`, `questions` or `both`.
        evidence: the file with the evidence, in each folder.
    """
    samples = []
    for path in sorted(HERE.glob(f"*/{evidence}")):
        reviews = _reviews(path.parent, review, kind) if review is not None else {}
        for task in map(json.loads, path.read_text().splitlines()):
            for line in task["samples"]:
                found = verification(line, len(task["samples"]), reviews.get(line["id"]))
                samples.append(Recorded(path.parent.name, task["task"], found, line["right"], line))
    return samples


def answers_by_task(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The recorded answers of a setting, well-formed or not."""
    answers: dict[str, list[dict[str, Any]]] = {}
    for line in gzip.decompress((folder / "recorded.jsonl.gz").read_bytes()).splitlines():
        answer = json.loads(line)
        answers.setdefault(answer["task"], []).append(answer)
    return answers


def verification(line: dict[str, Any], samples: int, review: Review | None = None) -> Verification:
    """A sample's line of evidence as a run would write it down."""
    strength = line["drop"]["strength"] or line["recompute"]["strength"] or {}
    return Verification(
        samples=samples,
        passed=round(line["passed_share"] * samples),
        implementations=line["implementations"],
        group=line["group"],
        group_share=line["share"],
        agreement=line["agreement"],
        inputs=line["inputs"],
        values=line["values"],
        alike=line["alike"],
        likeness=line["likeness"],
        own_assertions=line["own_true"],
        contradicted=line["contradicted"],
        foreign=line["foreign"],
        foreign_true=line["foreign_true"],
        mutants=strength.get("mutants", 0),
        killed=strength.get("killed", 0),
        review=review,
    )


def _reviews(folder: Path, reviewer: str, kind: str) -> dict[str, Review]:
    path = folder / REVIEWS
    wanted = folder.name.removesuffix("-six") if reviewer == "own" else reviewer
    found = {}
    for line in gzip.decompress(path.read_bytes()).splitlines() if path.exists() else ():
        one = json.loads(line)
        if one["reviewer"].lower().startswith(wanted.lower()):
            found[one["id"]] = Review(
                reviewer=one["reviewer"],
                gain=one["gain"] if kind != "questions" else None,
                without_code=one["without_code"] if kind != "questions" else None,
                yes=one["yes"] if kind != "likelihood" else None,
            )
    return found
