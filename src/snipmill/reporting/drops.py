"""What each stage kept and dropped, for which reasons, with examples: the funnel as a person reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from snipmill.reasons import Reason
from snipmill.records import Response
from snipmill.reporting.reading import find, structs_of
from snipmill.reporting.shown_text import marked, visible
from snipmill.stages.spec import ASKING, BY_NAME, EXECUTE, STAGES
from snipmill.store.journal import CompletionEntry
from snipmill.store.run_directory import RunDirectory
from snipmill.text.sections import Malformed
from snipmill.verification.programs import parse_response

_EXAMPLES = 3  # for each reason
_MOST_CHARACTERS = 4_000  # of an example
_QUOTED = re.compile(r"'([^']{3,200})'|\"([^\"]{3,200})\"|`([^`]{3,200})`")
_NAMES = [stage.name for stage in STAGES]
_AFTER_A_RESPONSE = _NAMES[_NAMES.index(EXECUTE) :]  # their records have the ids of responses


@dataclass(frozen=True)
class Example:
    """A record that was dropped. `text` is HTML, with the place that broke the rule marked where it is known."""

    id: str
    detail: str
    where: str
    text: str


@dataclass(frozen=True)
class Drop:
    """A reason, how many records it took, its documentation, and the first of them."""

    reason: str
    count: int
    meaning: str
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class Step:
    """One stage of the funnel. Seconds add up over concurrent tasks."""

    stage: str
    came_in: int
    kept: int
    drops: list[Drop]
    tokens: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def dropped(self) -> int:
        """How many records did not go on."""
        return self.came_in - self.kept

    @property
    def kept_share(self) -> float:
        """The share of what came in that went on; 1 where nothing came in."""
        return self.kept / self.came_in if self.came_in else 1.0


class _Verdict(msgspec.Struct):
    line: int | None = None
    failed_check: str | None = None
    exception: str | None = None


class _Reject(msgspec.Struct):
    id: str
    reason: str
    detail: str = ""
    where: str | None = None
    verdict: _Verdict | None = None


def read_steps(files: RunDirectory, journals: RunDirectory, funnel: dict[str, Any]) -> list[Step]:
    """The funnel, with examples of what was dropped.

    Args:
        files: where the stages' outputs and rejects lie.
        journals: the run directory, whose journals hold what models wrote.
        funnel: counts by stage, as the manifest has them.

    Raises:
        UsageError: a file is damaged.
    """
    return [
        _step(stage.name, funnel[stage.name], _examples(stage.name, files, journals))
        for stage in STAGES
        if stage.name in funnel
    ]


def _step(stage: str, count: dict[str, Any], examples: dict[str, list[Example]]) -> Step:
    notes = []
    if count.get("rescued"):
        notes.append(f"{count['rescued']:,} rescued by repairing their tests")
    if count.get("mended"):
        notes.append(f"{count['mended']:,} with mended tags")
    if count.get("spared"):
        notes.append(f"{count['spared']:,} samples not needed")
    return Step(
        stage=stage,
        came_in=count["in"],
        kept=count["kept"],
        drops=[
            Drop(reason, number, _meaning(reason), examples.get(reason, []))
            for reason, number in count["rejected"].items()
        ],
        tokens=count.get("completion_tokens", 0),
        seconds=count.get("seconds", 0.0),
        notes=notes,
    )


def _meaning(reason: str) -> str:
    try:
        return Reason(reason).example
    except ValueError:  # of another version
        return ""


def _examples(stage: str, files: RunDirectory, journals: RunDirectory) -> dict[str, list[Example]]:
    """The first records that a stage dropped, by reason."""
    chosen: dict[str, list[_Reject]] = {}
    for reject in structs_of(files.rejects(BY_NAME[stage].name), _Reject):
        sofar = chosen.setdefault(reject.reason, [])
        if len(sofar) < _EXAMPLES:
            sofar.append(reject)
    texts = _texts(stage, {reject.id for rejects in chosen.values() for reject in rejects}, files, journals)
    return {reason: [_example(one, texts.get(one.id, "")) for one in rejects] for reason, rejects in chosen.items()}


def _texts(stage: str, ids: set[str], files: RunDirectory, journals: RunDirectory) -> dict[str, str]:
    """What was dropped, where a file holds it: what a model wrote, or the response. Code that was no seed is not kept."""
    if stage in _AFTER_A_RESPONSE:
        found = find(files.kept("responses"), Response, ids)
        return {key: f"{one.instruction}\n\n{one.response}" for key, one in found.items()}
    if stage in ASKING:
        entries = find(journals.journal(stage), CompletionEntry, ids)
        return {key: one.completion.text for key, one in entries.items() if one.completion is not None}
    return {}


def _line(text: str, verdict: _Verdict) -> str:
    """The line of a program at which it failed; empty where that is not known."""
    if verdict.failed_check:
        return verdict.failed_check.partition("\n")[0]  # behind it stand the values of both sides
    _, found, response = text.partition("[Reasoning]")
    parsed = parse_response(found + response)
    lines = [] if isinstance(parsed, Malformed) else parsed.program.source.split("\n")
    return lines[verdict.line - 1] if verdict.line is not None and 0 < verdict.line <= len(lines) else ""


def _example(reject: _Reject, text: str) -> Example:
    fragments = [part for parts in _QUOTED.findall(reject.detail) for part in parts if part]
    if reject.verdict is not None:
        fragments.insert(0, _line(text, reject.verdict))
    return Example(
        id=visible(reject.id),
        detail=visible(reject.detail, _MOST_CHARACTERS),
        where=visible(reject.where or ""),
        text=marked(text, fragments, _MOST_CHARACTERS),
    )
