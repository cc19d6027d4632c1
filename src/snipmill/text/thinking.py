"""Thinking traces inside a model's answer: `<think>...</think>` and the markers of other model families.

A trace stands before the answer. Its opening marker may be missing, since some chat templates begin the answer with it, and
its closing marker too, where the answer was cut off. Several traces in a row belong together. Does not cover traces that a
server sends in a field of their own (`llm.answer`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Opening markers, and how their traces close, by model family: most; Seed-OSS; Magistral; Kimi; Gemma; gpt-oss.
_MARKERS: tuple[tuple[tuple[str, ...], str], ...] = (
    *(((f"<{name}>",), f"</{name}>") for name in ("think", "thinking", "thought", "reasoning", "seed:think")),
    (("[THINK]",), r"\[/THINK\]"),
    (("◁think▷",), r"◁/think▷"),
    (("<|channel>thought",), r"<channel\|>"),
    (
        tuple(
            f"{start}<|channel|>{channel}<|message|>"
            for start in ("", "<|start|>assistant")
            for channel in ("analysis", "commentary")
        ),
        r"<\|end\|>(?:\s*<\|start\|>assistant)?(?:\s*<\|channel\|>final<\|message\|>)?",
    ),
)
_OPENING = tuple(
    (re.compile(rf"\s*(?:{'|'.join(map(re.escape, openings))})"), re.compile(closing)) for openings, closing in _MARKERS
)
# Without its opening, a marker counts at an end of a line, or where an answer begins right behind it: answers may name it in their
# code, or use it in markup of their own, where its opening stands before it.
_BARE = re.compile(
    r"(?<![`'\"(])(?:</(?P<name>think|thinking|thought|reasoning|seed:think)>|\[/THINK\]|◁/think▷)"
    r"(?:[ \t]*(?=\n|$)|(?=[A-Z\[#*]))"
    r"|(?m:^)[ \t]*</(?P<first>think|thinking)>"
)
_FINAL = re.compile(r"\s*<\|channel\|>final<\|message\|>")


@dataclass(frozen=True, slots=True)
class Split:
    """An answer without its traces: `thinking` is None where there are none; `open` where the last one never ends."""

    thinking: str | None
    answer: str
    open: bool = False


def split_thinking(text: str) -> Split:
    """Separate the traces at the beginning of a text from the answer after them."""
    traces: list[str] = []
    position = 0
    while (opened := _opening_at(text, position)) is not None:
        start, closing = opened
        closed = closing.search(text, start)
        if closed is None:
            return Split(_joined([*traces, text[start:]]), "", open=True)
        traces.append(text[start : closed.start()])
        position = closed.end()
    if not traces and (bare := _bare_closing(text)) is not None:
        rest = split_thinking(text[bare.end() :])
        return Split(_joined([text[: bare.start()], rest.thinking or ""]), rest.answer, rest.open)
    if (final := _FINAL.match(text, position)) is not None:
        position = final.end()
    return Split(_joined(traces) if traces else None, text[position:] if position else text)


def may_be_marker(text: str) -> bool:
    """Whether a text that has just begun may still turn out to begin with a marker."""
    begun = text.lstrip()
    if not begun:
        return True
    return any(opening.startswith(begun) for openings, _ in _MARKERS for opening in openings)


def _opening_at(text: str, position: int) -> tuple[int, re.Pattern[str]] | None:
    for opening, closing in _OPENING:
        match = opening.match(text, position)
        if match is not None:
            return match.end(), closing
    return None


def _bare_closing(text: str) -> re.Match[str] | None:
    """The first closing marker that was never opened."""
    for match in _BARE.finditer(text):
        name = match["name"] or match["first"]
        if name is None or text.rfind(f"<{name}>", 0, match.start()) < 0:
            return match
    return None


def _joined(traces: list[str]) -> str:
    return "\n\n".join(trace.strip() for trace in traces if trace.strip())
