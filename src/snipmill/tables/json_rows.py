"""Rows as JSON: one in each line, or all of them in one list."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from itertools import count
from typing import BinaryIO

import msgspec

from snipmill.tables.compression import DAMAGE
from snipmill.tables.values import BrokenOff, Unreadable, Value

LONGEST_LINE = 64 << 20
_BOM = b"\xef\xbb\xbf"
_BETWEEN = re.compile(r"[\s,]*")


def json_lines(handle: BinaryIO) -> Iterator[tuple[int, Value]]:
    """Each line with its number, from 1, and without its end; empty ones are left out.

    A line over 64 MiB is not kept in memory. Lines end at newlines alone.
    """
    for number in count(1):
        try:
            line = handle.readline(LONGEST_LINE)
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                while (rest := handle.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield number, Unreadable(f"is longer than {LONGEST_LINE >> 20} MiB.")
                continue
        except DAMAGE as error:
            yield number, BrokenOff(_what(error))
            return
        if not line:
            return
        if number == 1:
            line = line.removeprefix(_BOM)
        if line and not line.isspace():
            yield number, line


def _what(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__).rstrip(".")


def begins_list(begin: bytes) -> bool:
    """Whether a file that begins so may hold one list, not one value in each line."""
    first, _, rest = begin.removeprefix(_BOM).lstrip().partition(b"\n")
    return first.startswith(b"[") and not (first.rstrip().endswith(b"]") and rest.strip())


def begins_object(begin: bytes) -> bool:
    """Whether a file that begins so may hold one object over many lines."""
    first, newline, _ = begin.removeprefix(_BOM).lstrip().partition(b"\n")
    if not newline or not first.startswith(b"{"):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return True
    return False


def whole_value(handle: BinaryIO, *, may_be_lines: bool) -> Iterator[tuple[int, Value]]:
    """The items of a file that holds one list, each with its number from 1. Holds the whole text in memory.

    An object whose only list of objects is the data (`{"data": [...]}`) counts as that list, another one as the only row. A list
    that is cut off gives its complete items.

    Args:
        handle: the file.
        may_be_lines: whether a text that is no list holds a value in each line instead.
    """
    problem = ""
    pieces: list[bytes] = []
    try:
        while piece := handle.read(1 << 22):
            pieces.append(piece)
    except DAMAGE as error:
        problem = _what(error)
    text = b"".join(pieces).removeprefix(_BOM)
    items = _items(text)
    if items is not None:
        yield from enumerate(items, start=1)
    elif may_be_lines or text.lstrip().startswith(b"{"):
        yield from json_lines(io.BytesIO(text))
    else:
        yield from _items_one_by_one(text.decode("utf-8", "replace"), problem)


def _items(text: bytes) -> list[bytes] | None:
    """The items of a list, or of the one list of objects in an object; None where a text is neither."""
    try:
        if text.lstrip().startswith(b"["):
            return [bytes(item) for item in msgspec.json.decode(text, type=list[msgspec.Raw])]
        values = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    lists = [value for value in map(bytes, values.values()) if re.match(rb"\[\s*\{", value)]
    return _items(lists[0]) if len(lists) == 1 else [text]


def _items_one_by_one(text: str, problem: str) -> Iterator[tuple[int, Value]]:
    """The items of a list that is not JSON to the letter (NaN, lone surrogates), or that breaks off."""
    decoder = json.JSONDecoder()
    position = text.find("[") + 1
    for number in count(1):
        position = _BETWEEN.match(text, position).end()  # type: ignore[union-attr]
        if text.startswith("]", position):
            return
        try:
            if position >= len(text):
                raise ValueError("the list is never closed")
            _, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            yield number, BrokenOff(problem or str(error))
            return
        yield number, text[position:end].encode("utf-8", "replace")
        position = end
