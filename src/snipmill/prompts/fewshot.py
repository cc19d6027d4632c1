"""The few-shot bank: its two text formats, and which examples a record's prompt shows.

Our own format is a folder of Markdown files (see docs/fewshot.md); the original project's single text file with
`### System: I->R`, `### Example n` and `[Code]` ... `[Response]` blocks is read as well. Does not cover
reading files: the functions take texts and return a `Bank`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from snipmill.errors import UsageError
from snipmill.randomness import generator
from snipmill.records import content_hash
from snipmill.text.fences import find_fences

Mode = Literal["S->C", "C->I", "I->R", "I->T", "judge"]
MODES: tuple[Mode, ...] = ("S->C", "C->I", "I->R")
SYSTEM_FILE = "system"


@dataclass(frozen=True, slots=True)
class Example:
    """One solved example. `response` is None if the example must not be shown for I->R.

    `category` is our name of it, `written_category` the bank's own, which prompts show.
    """

    name: str
    snippet: str
    category: str
    written_category: str
    language: str
    concepts: tuple[str, ...]
    difficulty: str
    instruction: str
    response: str | None


@dataclass(frozen=True, slots=True)
class Bank:
    """System sentences by mode, and examples in a fixed order."""

    systems: Mapping[Mode, str]
    examples: tuple[Example, ...]

    def usable(self, mode: Mode) -> tuple[Example, ...]:
        """The examples that can be shown in a mode."""
        if mode in ("I->R", "I->T", "judge"):
            return tuple(example for example in self.examples if example.response is not None)
        return self.examples

    def answering_with(self, names: Sequence[str]) -> Bank:
        """The same bank with only the named examples usable for I->R, or all of them if no name is given.

        Raises:
            UsageError: there is no such example, or it has no response.
        """
        usable = {example.name for example in self.usable("I->R")}
        for name in names:
            if name not in usable:
                raise UsageError(
                    f"The few-shot bank has no example {name!r} with a response; it has {', '.join(sorted(usable))}."
                )
        if not names:
            return self
        return Bank(self.systems, tuple(e if e.name in names else replace(e, response=None) for e in self.examples))

    @property
    def hash(self) -> str:
        """Content hash of the whole bank."""
        parts = [str(example) for example in self.examples]
        return content_hash(*self.systems.values(), *parts)


@dataclass(frozen=True, slots=True)
class Shots:
    """How examples are drawn.

    Attributes:
        count: number of examples in a prompt; at most the number usable in its mode.
        sets: number of different sets in the whole run. A record always gets the same one of them, so that servers can
            reuse a cached prefix. 0 draws a set for each record, as the original does.
        seed: the run's seed.
    """

    count: int
    sets: int
    seed: int


def draw_examples(
    bank: Bank, mode: Mode, shots: Shots, record_id: str, like: tuple[str, str] | None = None
) -> tuple[Example, ...]:
    """The examples that the prompt of one record shows, in order.

    Args:
        bank: the examples to draw from.
        mode: the generation stage.
        shots: how many, and how they are drawn.
        record_id: the record that the prompt is for.
        like: a (category, difficulty); examples that share both are taken first, then those that share one.

    Raises:
        UsageError: more shots than usable examples.
    """
    usable = bank.usable(mode)
    if not 0 <= shots.count <= len(usable):
        raise UsageError(
            f"{mode} needs {shots.count} examples, but the few-shot bank has {len(usable)} usable ones. Set fewer shots."
        )
    key: str | int = record_id
    if shots.sets > 0:
        key = generator(shots.seed, "fewshot-draw", mode, record_id).randrange(shots.sets)
    random = generator(shots.seed, "fewshot", mode, key, *(like or ()))
    drawn = random.sample(usable, len(usable))
    if like is not None:
        drawn.sort(key=lambda example: (example.category != like[0]) + (example.difficulty != like[1]))
        drawn = random.sample(drawn[: shots.count], shots.count)
    return tuple(drawn[: shots.count])


# Our own format -------------------------------------------------------------------------------------------------------

_HEADING = re.compile(r"^## (Snippet|Property|Instruction|Response|S->C|C->I|I->R)[ \t]*$", re.MULTILINE)
_JUDGE_HEADING = re.compile(r"^## (Function|Answer)[ \t]*$", re.MULTILINE)


def parse_bank(texts: Mapping[str, str]) -> Bank:
    """A bank from texts by name: one for each example, and one named `system`.

    Raises:
        UsageError: a part is missing or malformed; the message names the text and the part.
    """
    if SYSTEM_FILE not in texts:
        raise UsageError("The few-shot bank has no system.md with the headings '## S->C', '## C->I' and '## I->R'.")
    system_parts = _split(SYSTEM_FILE, texts[SYSTEM_FILE], MODES)
    examples = tuple(_parse_example(name, texts[name]) for name in sorted(texts) if name != SYSTEM_FILE)
    if not examples:
        raise UsageError("The few-shot bank has no examples. Add a Markdown file for each.")
    return Bank({mode: system_parts[mode] for mode in MODES}, examples)


def parse_judging(texts: Mapping[str, str]) -> Bank:
    """The examples of the judge from texts by name: one for each function, and one named `system`.

    Raises:
        UsageError: a part is missing or malformed.
    """
    examples: list[Example] = []
    for name in sorted(texts.keys() - {SYSTEM_FILE}):
        parts = _split(name, texts[name], ("Function", "Answer"), heading=_JUDGE_HEADING)
        fences = find_fences(parts["Function"])
        code = fences[0].code.rstrip() if fences else parts["Function"]
        examples.append(Example(name, code, "", "", "Python", (), "", "", parts["Answer"]))
    return Bank({"judge": texts[SYSTEM_FILE].strip()}, tuple(examples))


def _split(
    name: str,
    text: str,
    wanted: Sequence[str],
    optional: Sequence[str] = (),
    heading: re.Pattern[str] = _HEADING,
) -> dict[str, str]:
    pieces = heading.split(text)
    parts = {part: body.strip() for part, body in zip(pieces[1::2], pieces[2::2], strict=True)}
    for part in wanted:
        if not parts.get(part):
            raise UsageError(f"Few-shot example {name!r} has no text under the heading '## {part}'.")
    for part in parts:
        if part not in wanted and part not in optional:
            raise UsageError(f"Few-shot example {name!r} has the unexpected heading '## {part}'. Remove it.")
    return parts


def _parse_example(name: str, text: str) -> Example:
    parts = _split(name, text, ("Snippet", "Property", "Instruction"), optional=("Response",))
    properties: dict[str, str] = {}
    for line in parts["Property"].splitlines():
        key, colon, value = line.partition(":")
        if colon:
            properties[key.strip().lower()] = value.strip()
    return _example(name, parts["Snippet"], properties, parts["Instruction"], parts.get("Response") or None)


def _example(name: str, snippet: str, properties: Mapping[str, str], instruction: str, response: str | None) -> Example:
    for key in ("category", "language", "concepts", "difficulty"):
        if not properties.get(key):
            raise UsageError(f"Few-shot example {name!r} has no '{key}: ...' line among its properties. Add one.")
    fences = find_fences(snippet)
    return Example(
        name=name,
        snippet=fences[0].code.rstrip() if fences else snippet,
        category=_short_category(properties["category"]),
        written_category=properties["category"],
        language=properties["language"],
        concepts=tuple(part.strip() for part in properties["concepts"].split(",") if part.strip()),
        difficulty=properties["difficulty"],
        instruction=instruction,
        response=response,
    )


def _short_category(category: str) -> str:
    """Our name of a category; the original's `code generation (class implementation)` is `class` here."""
    match = re.fullmatch(r"code generation \((\w+) implementation\)", category)
    return match.group(1) if match else category


# The original project's format ----------------------------------------------------------------------------------------

_ORIGINAL_SYSTEM = re.compile(r"^### System: (S->C|C->I|I->R)[ \t]*$", re.MULTILINE)
_ORIGINAL_EXAMPLE = re.compile(r"^### Example (\d+)[ \t]*$", re.MULTILINE)
_ORIGINAL_PART = re.compile(r"^\[(Code|Property|Instruction|Solution|Response)\][ \t]*$", re.MULTILINE)


def parse_original_bank(text: str) -> Bank:
    """A bank in the original project's text format; an empty [Solution] makes an example unusable for I->R.

    Raises:
        UsageError: a part is missing; the message names the example and the part.
    """
    head, *numbered = _ORIGINAL_EXAMPLE.split(text)
    pieces = _ORIGINAL_SYSTEM.split(head)
    systems = dict(zip(pieces[1::2], (body.strip() for body in pieces[2::2]), strict=True))
    for mode in MODES:
        if not systems.get(mode):
            raise UsageError(f"The few-shot file has no '### System: {mode}' block.")
    examples = tuple(
        _parse_original_example(number, body) for number, body in zip(numbered[::2], numbered[1::2], strict=True)
    )
    if not examples:
        raise UsageError("The few-shot file has no '### Example n' block.")
    return Bank({mode: systems[mode] for mode in MODES}, examples)


def _parse_original_example(number: str, body: str) -> Example:
    pieces = _ORIGINAL_PART.split(body)
    parts = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    for part in ("Code", "Property", "Instruction", "Solution", "Response"):
        if part not in parts:
            raise UsageError(f"Example {number} of the few-shot file has no [{part}] block.")
    properties: dict[str, str] = {}
    for line in parts["Property"].splitlines():
        key, colon, value = line.partition(":")
        if colon:
            properties[key.strip().lower()] = value.strip()
    response = parts["Response"].strip() if parts["Solution"].strip() else None
    return _example(f"example-{number}", parts["Code"].strip("\n"), properties, parts["Instruction"].strip(), response)
