r"""Fenced code blocks in Markdown, as CommonMark has them, also in lists and quotes.

Only ``\n``, ``\r\n`` and ``\r`` end a line here: a form feed or U+2028 inside a string literal of a program is not the end of a
line. A text whose fences all begin their lines needs no parser; any other goes through markdown-it. Two things differ from
CommonMark: HTML hides no block, since answers stand in tags such as `<answer>`, and indented code blocks are not found.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from snipmill.languages import PYTHON, names_in_fences

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_TICKS = re.compile(r"(```+)([^\r\n]*)(?:\r\n?|\n|$)")
_TICKS_OR_TILDES = re.compile(r"(```+|~~~+)([^\r\n]*)(?:\r\n?|\n|$)")
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|$)")
# The language in an info string: `python`, `python title=x`, `{.python .numberLines}`, `{python}`, `python:main.py`, `rust,ignore`.
_LANGUAGE = re.compile(r"\{?\s*\.?([^\s{}:,;]+)")
_VERSION = re.compile(r"(?<=python)[\d.]+$")
_CONTAINERS = " \t>-*+.)0123456789"  # what may stand before a fence: indentation, marks of quotes and of list items
_MOST_SPACES = 3  # before a fence


class Fence(NamedTuple):
    """One fenced block.

    Attributes:
        info: what follows the opening fence.
        code: what is between the fences.
        start, end: offsets of the block, with its first and last line.
        code_start, code_end: offsets of the lines between the fences.
        closed: whether there is a closing fence.
        prefix: what stands before each line of code, in a list, in a quote, or where the block is indented.
    """

    info: str
    code: str
    start: int
    end: int
    code_start: int
    code_end: int
    closed: bool
    prefix: str = ""

    @property
    def language(self) -> str:
        """What the info string calls the language, in lower case; empty where it says nothing."""
        match = _LANGUAGE.match(self.info)
        return _VERSION.sub("", match[1].lower()) if match is not None else ""

    @property
    def is_python(self) -> bool:
        """Whether the info string names Python."""
        return self.is_in(PYTHON)

    def is_in(self, language: str) -> bool:
        """Whether the info string names a language."""
        info, names = self.info, names_in_fences(language)
        return info in names or (bool(info) and self.language in names)


def find_fences(text: str) -> list[Fence]:
    """All fenced blocks of a text in order; one that is never closed runs to the end of what it stands in.

    The content of a block loses the indentation of its fence, and the marks of the lists and quotes around it.
    """
    if "```" not in text and "~~~" not in text:
        return []
    found = _plain_fences(text) if "~~~" not in text and "\r" not in text else None
    if found is None:
        found = _fences_at_margin(text)
    return found if found is not None else _fences_anywhere(text)


def _plain_fences(text: str) -> list[Fence] | None:
    """The blocks of a text in which each three backticks begin a line and each block is closed; None for any other text.

    Nearly all texts are like that, and need no more than a few searches.
    """
    fences: list[Fence] = []
    position = 0
    while (start := text.find("```", position)) >= 0:
        code_start = text.find("\n", start) + 1
        end = text.find("```", code_start)
        info = text[start + 3 : code_start - 1]
        if not 0 < code_start <= end or text[end - 1] != "\n" or "`" in info or (start and text[start - 1] != "\n"):
            return None
        position = text.find("\n", end) + 1 or len(text)
        if text[end + 3 : position].strip(" \t\n"):
            return None
        fences.append(Fence(info.strip(), text[code_start:end], start, position, code_start, end, True))
    return fences


def _fences_at_margin(text: str) -> list[Fence] | None:
    """The blocks of a text if each one opens at the very beginning of a line; None if one may open elsewhere."""
    fences: list[Fence] = []
    marker = info = ""
    start = code_start = 0
    has_carriages = "\r" in text
    for match in (_TICKS_OR_TILDES if "~~~" in text else _TICKS).finditer(text):
        run = match.start()
        fence, rest = match.groups()
        line_start = run if run == 0 or text[run - 1] == "\n" else _line_start(text, run, has_carriages)
        if marker:
            if (
                fence[0] == marker[0]
                and len(fence) >= len(marker)
                and not rest.strip(" \t")
                and (line_start == run or (run - line_start <= _MOST_SPACES and not text[line_start:run].strip(" ")))
            ):
                code = text[code_start:line_start]
                fences.append(Fence(info, code, start, match.end(), code_start, line_start, True))
                marker = ""
        elif fence[0] == "`" and "`" in rest:
            continue  # code within a line of text
        elif line_start == run:
            marker, info, start, code_start = fence, rest.strip(), run, match.end()
        elif not text[line_start:run].strip(_CONTAINERS):
            return None
    if marker:
        fences.append(Fence(info, text[code_start:], start, len(text), code_start, len(text), False))
    return fences


def _line_start(text: str, position: int, has_carriages: bool) -> int:
    start = text.rfind("\n", 0, position) + 1
    return max(start, text.rfind("\r", start, position) + 1) if has_carriages else start


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # few texts need it

    parser = MarkdownIt("commonmark").disable("html_block")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _fences_anywhere(text: str) -> list[Fence]:
    """The blocks of any text."""
    lines = [line for line in _LINE.findall(text) if line]
    offsets = [0, *accumulate(map(len, lines))]
    found: list[Fence] = []
    for token in _parser().parse(text if text.endswith(("\n", "\r")) else f"{text}\n"):
        if token.type != "fence" or token.map is None:
            continue
        first, last = token.map
        content = token.content.split("\n")[:-1]
        inside = lines[first + 1 : first + 1 + len(content)]
        code = "".join(_as_written(one, line) for one, line in zip(content, inside, strict=True))
        found.append(
            Fence(
                info=token.info.strip(),
                code=code,
                start=offsets[first],
                end=offsets[min(last, len(lines))],
                code_start=offsets[min(first + 1, len(lines))],
                code_end=offsets[min(first + 1 + len(content), len(lines))],
                closed=len(content) == last - first - 2,
                prefix=_prefix(lines[first]),
            )
        )
    return found


def _as_written(code: str, line: str) -> str:
    """A line of code as its text has it: the parser makes all line ends one, and replaces NUL."""
    bare = line.rstrip("\r\n")
    if code and "\0" in bare and bare.replace("\0", "\ufffd").endswith(code):
        code = bare[-len(code) :]
    return code + line[len(bare) :]


def _prefix(opening: str) -> str:
    """What must stand before a line to put it into the block of an opening fence: its indentation, and the marks of quotes."""
    before = re.split("`|~", opening, maxsplit=1)[0]
    return re.sub(r"[^>\s]", " ", before)


def python_fences(text: str) -> list[Fence]:
    """The fenced blocks whose info string names Python."""
    return [fence for fence in find_fences(text) if fence.is_python]


def replace_code(text: str, fence: Fence, code: str) -> str:
    """A block with other code between its fences, which stay as they were written.

    Args:
        text: in which `find_fences` found the block.
        fence: the block.
        code: what shall stand in it, with complete lines.
    """
    if fence.prefix:
        empty = fence.prefix.rstrip()
        lines = (line for line in _LINE.findall(code) if line)
        code = "".join((fence.prefix if line.strip() else empty) + line for line in lines)
    return f"{text[fence.start : fence.code_start]}{code}{text[fence.code_end : fence.end]}"


def render_fence(code: str, info: str = "python") -> str:
    """A block that `find_fences` reads back; the fence is longer if the code itself contains one."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2) if "```" in code else 2
    ticks = "`" * (longest + 1)
    return f"{ticks}{info}\n{code.rstrip()}\n{ticks}"
