r"""Fenced code blocks in Markdown.

Only ``\n``, ``\r\n`` and ``\r`` end a line here, as in CommonMark: a form feed or U+2028 inside a string literal of a
program is not the end of a line. Does not cover indented code blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from snipmill.languages import PYTHON, names_in_fences

_MOST_SPACES = 3  # before a fence, counted from where the text around it begins
_LIST_ITEM = re.compile(r" *(?:[-*+]|\d{1,9}[.)]) {1,4}(?! )")
_LINES_ABOVE = 400  # in which a list item is looked for
_TICKS = re.compile(r"(```+)([^\n]*)")


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
        return self.is_in(PYTHON)

    def is_in(self, language: str) -> bool:
        """Whether the info string names a language."""
        return self.info.split(None, 1)[0].lower() in names_in_fences(language) if self.info.strip() else False


def find_fences(text: str) -> list[Fence]:
    """All fenced blocks of a text in order; one that is never closed runs to the end of the text.

    A fence may be indented by three spaces, or by three more than the text of the list item that it is in. The content of a block
    loses the indentation of its fence.
    """
    fences: list[Fence] = []
    marker = info = ""
    start = code_start = indent = 0
    for line_start, spaces, fence, rest, line_end in _fence_lines(text):
        if not marker:
            if "`" not in rest and (spaces <= _MOST_SPACES or _is_in_list_item(text, line_start, spaces)):
                marker, info, start, code_start, indent = fence, rest.strip(), line_start, line_end, spaces
        elif (
            fence[0] == marker[0]
            and len(fence) >= len(marker)
            and not rest.strip()
            and spaces <= max(_MOST_SPACES, indent + _MOST_SPACES - 1)
        ):
            code = _dedented(text[code_start:line_start], indent)
            fences.append(Fence(info, code, start, line_end, closed=True))
            marker = ""
    if marker:
        fences.append(Fence(info, _dedented(text[code_start:], indent), start, len(text), closed=False))
    return fences


def _dedented(code: str, spaces: int) -> str:
    """The lines with up to as many spaces less at their beginning."""
    return re.sub(rf"(^|(?<=[\r\n])) {{1,{spaces}}}", "", code) if spaces else code


def _is_in_list_item(text: str, position: int, spaces: int) -> bool:
    """Whether a line that is indented so far belongs to a list item above it, whose text begins at most three spaces before."""
    for line in reversed(text[:position].splitlines()[-_LINES_ABOVE:]):
        item = _LIST_ITEM.match(line)
        if item is not None and 0 <= spaces - len(item[0]) <= _MOST_SPACES:
            return True
        if line.strip() and not line.startswith(" ") and item is None:
            return False
    return False


def _fence_lines(text: str) -> Iterator[tuple[int, int, str, str, int]]:
    """Lines that may open or close a block: start of the line, spaces, the fence, what follows it, end of the line."""
    if "\r" not in text and "~~~" not in text:
        for match in _TICKS.finditer(text):
            start = match.start()
            indent = 0 if start == 0 or text[start - 1] == "\n" else _indent(text, start)
            if indent >= 0:
                yield start - indent, indent, match.group(1), match.group(2), min(match.end() + 1, len(text))
        return
    symbols = "`~" if "~~~" in text else "`"
    found = [(start, symbol) for symbol in symbols for start in _runs(text, symbol)]
    for start, symbol in sorted(found):
        end = start + 3
        while text.startswith(symbol, end):
            end += 1
        line_end = _line_end(text, end)
        rest = text[end:line_end].rstrip("\r\n")
        indent = _indent(text, start)
        yield start - indent, indent, text[start:end], rest, line_end


def _runs(text: str, symbol: str) -> Iterator[int]:
    """The offsets where three or more of a symbol begin a line, after spaces."""
    position = text.find(symbol * 3)
    while position >= 0:
        if _indent(text, position) >= 0:
            yield position
        while text.startswith(symbol, position):
            position += 1
        position = text.find(symbol * 3, position)


def _indent(text: str, position: int) -> int:
    """The number of spaces before a position in its line; -1 if anything else precedes it."""
    start = position
    while start > 0 and text[start - 1] == " ":
        start -= 1
    return position - start if start == 0 or text[start - 1] in "\r\n" else -1


def _line_end(text: str, position: int) -> int:
    """The offset after the line end that follows a position: a newline, a carriage return, or both."""
    newline, carriage = text.find("\n", position), text.find("\r", position)
    if carriage >= 0 and (newline < 0 or carriage < newline):
        return carriage + 2 if newline == carriage + 1 else carriage + 1
    return newline + 1 if newline >= 0 else len(text)


def python_fences(text: str) -> list[Fence]:
    """The fenced blocks whose info string names Python."""
    return [fence for fence in find_fences(text) if fence.is_python]


def render_fence(code: str, info: str = "python") -> str:
    """A block that `find_fences` reads back; the fence is longer if the code itself contains one."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2) if "```" in code else 2
    ticks = "`" * (longest + 1)
    return f"{ticks}{info}\n{code.rstrip()}\n{ticks}"
