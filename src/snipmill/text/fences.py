r"""Fenced code blocks in Markdown.

Only ``\n``, ``\r\n`` and ``\r`` end a line here, as in CommonMark: a form feed or U+2028 inside a string literal of a
program is not the end of a line. Does not cover indented code blocks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_OPEN = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([^\r\n`]*)")
_PYTHON = frozenset({"python", "py", "python3"})


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block: `code` is what is between the fences; `start` and `end` are offsets that include them."""

    info: str
    code: str
    start: int
    end: int
    closed: bool

    @property
    def is_python(self) -> bool:
        """Whether the info string names Python."""
        return self.info.split(None, 1)[0].lower() in _PYTHON if self.info.strip() else False


def find_fences(text: str) -> list[Fence]:
    """All fenced blocks of a text in order; one that is never closed runs to the end of the text."""
    fences: list[Fence] = []
    marker = info = ""
    start = code_start = position = 0
    if "```" not in text and "~~~" not in text:
        return fences
    while position < len(text):
        match = _LINE.match(text, position)
        assert match is not None
        line, line_end = match.group(), match.end()
        if not marker:
            opening = _OPEN.fullmatch(line.rstrip("\r\n"))
            if opening:
                marker, info = opening.group(1), opening.group(2).strip()
                start, code_start = position, line_end
        elif _closes(line, marker):
            fences.append(Fence(info, text[code_start:position], start, line_end, closed=True))
            marker = ""
        position = line_end
    if marker:
        fences.append(Fence(info, text[code_start:], start, len(text), closed=False))
    return fences


def _closes(line: str, marker: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= len(marker) and set(stripped) == {marker[0]} and len(line) - len(line.lstrip(" ")) <= 3


def python_fences(text: str) -> list[Fence]:
    """The fenced blocks whose info string says Python."""
    return [fence for fence in find_fences(text) if fence.is_python]


def render_fence(code: str, info: str = "python") -> str:
    """A block that `find_fences` reads back, with a longer fence where the code itself holds one."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    ticks = "`" * (longest + 1)
    return f"{ticks}{info}\n{code.rstrip()}\n{ticks}"
