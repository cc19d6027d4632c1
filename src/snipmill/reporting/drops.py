"""What each stage kept and dropped, for which reasons, with examples: the funnel as a person reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from snipmill.errors import UsageError
from snipmill.reasons import Reason
from snipmill.records import Response
from snipmill.reporting.reading import find, structs_of
from snipmill.reporting.shown_text import Span, marked, visible
from snipmill.stages.spec import ASKING, EXECUTE, RESPONSES, STAGES
from snipmill.store.entries import CompletionEntry
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


class _Text(NamedTuple):
    """What a model wrote, and what stands before it."""

    before: str = ""
    written: str = ""


class _Verdict(msgspec.Struct):
    line: int | None = None


class _Reject(msgspec.Struct):
    id: str
    reason: str
    detail: str = ""
    where: str | None = None
    verdict: _Verdict | None = None


class Count(msgspec.Struct, rename={"came_in": "in"}):
    """The counts of a stage, as a manifest has them."""

    came_in: int = 0
    kept: int = 0
    rejected: dict[str, int] = {}
    completion_tokens: int = 0
    seconds: float = 0.0
    rescued: int = 0
    mended: int = 0
    spared: int = 0


def read_counts(funnel: Any, manifest: Path) -> dict[str, Count]:
    """The funnel of a manifest, by stage.

    Raises:
        UsageError: it is none.
    """
    try:
        return msgspec.convert(funnel, dict[str, Count])
    except msgspec.ValidationError as error:
        raise UsageError(f"The funnel in {manifest} is damaged: {error}. `snipmill run` writes it again.") from None


def read_steps(files: RunDirectory, journals: RunDirectory, funnel: dict[str, Count]) -> list[Step]:
    """The funnel, with examples of what was dropped.

    Args:
        files: where the stages' outputs and rejects lie.
        journals: the run directory, whose journals hold what models wrote.
        funnel: counts by stage.

    Raises:
        UsageError: a file is damaged.
    """
    chosen = {stage.name: _first_rejects(files.rejects(stage.name)) for stage in STAGES if stage.name in funnel}
    behind = {
        reject.id for name, by_reason in chosen.items() if name in _AFTER_A_RESPONSE for reject in _all(by_reason)
    }
    texts = {
        key: _Text(f"{one.instruction}\n\n", one.response)
        for key, one in find(files.kept(RESPONSES), Response, behind).items()
    }
    for name in chosen.keys() & set(ASKING) - set(_AFTER_A_RESPONSE):
        texts |= _completions(journals.journal(name), {reject.id for reject in _all(chosen[name])})
    return [_step(name, funnel[name], by_reason, texts) for name, by_reason in chosen.items()]


def _step(stage: str, count: Count, rejects: Mapping[str, list[_Reject]], texts: Mapping[str, _Text]) -> Step:
    notes = [f"{count.rescued:,} rescued by repairing their tests"] if count.rescued else []
    notes += [f"{count.mended:,} with mended tags"] if count.mended else []
    notes += [f"{count.spared:,} samples not needed"] if count.spared else []
    drops = [
        Drop(visible(reason), number, _meaning(reason), [_example(one, texts) for one in rejects.get(reason, ())])
        for reason, number in sorted(count.rejected.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Step(stage, count.came_in, count.kept, drops, count.completion_tokens, count.seconds, notes)


def _meaning(reason: str) -> str:
    try:
        return Reason(reason).example
    except ValueError:  # of another version
        return ""


def _first_rejects(path: Path) -> dict[str, list[_Reject]]:
    """The first records that a stage dropped, by reason."""
    chosen: dict[str, list[_Reject]] = {}
    for reject in structs_of(path, _Reject):
        sofar = chosen.setdefault(reject.reason, [])
        if len(sofar) < _EXAMPLES:
            sofar.append(reject)
    return chosen


def _all(by_reason: Mapping[str, list[_Reject]]) -> Iterator[_Reject]:
    return chain.from_iterable(by_reason.values())


def _completions(journal: Path, ids: set[str]) -> dict[str, _Text]:
    """What a model wrote, where a journal holds it."""
    entries = find(journal, CompletionEntry, ids)
    return {key: _Text("", one.completion.text) for key, one in entries.items() if one.completion is not None}


def _example(reject: _Reject, texts: Mapping[str, _Text]) -> Example:
    text = texts.get(reject.id, _Text())  # code that was no seed is not kept
    spans = [] if reject.verdict is None else _failed_line(text.written, reject.verdict)
    for parts in _QUOTED.findall(reject.detail) if not spans else ():
        fragment = next(filter(None, parts))
        place = text.written.find(fragment)
        if place >= 0:
            spans.append((place, place + len(fragment)))
    before = len(text.before)
    return Example(
        id=visible(reject.id),
        detail=visible(reject.detail, _MOST_CHARACTERS),
        where=visible(reject.where or ""),
        text=marked(
            text.before + text.written, [(start + before, end + before) for start, end in spans], _MOST_CHARACTERS
        ),
    )


def _failed_line(response: str, verdict: _Verdict) -> list[Span]:
    """The line of a response at which its program failed; none where that is not known."""
    parsed = parse_response(response)
    if isinstance(parsed, Malformed) or verdict.line is None or parsed.program.tests_line is None:
        return []
    in_tests = verdict.line >= parsed.program.tests_line
    part = parsed.sections.tests if in_tests else parsed.sections.code
    number = verdict.line - (parsed.program.tests_line if in_tests else 1)
    start, lines = response.find(part), part.split("\n")
    if start < 0 or not 0 <= number < len(lines):
        return []
    start += sum(len(line) + 1 for line in lines[:number])
    return [(start, start + len(lines[number].rstrip()))]
