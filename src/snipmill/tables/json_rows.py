"""Rows as JSON: one in each line, or all of them in one list."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from itertools import count
from typing import BinaryIO

import msgspec

from snipmill.tables.compression import DAMAGE, what_broke
from snipmill.tables.values import BrokenOff, Unreadable, Value

LONGEST_LINE = 64 << 20
_PIECE = 1 << 16
_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"\s*")
_OF_ROWS = ("data", "rows", "train", "test", "examples", "instances", "items", "records", "samples")


def json_lines(handle: BinaryIO) -> Iterator[tuple[int, Value]]:
    """Each line with its number, from 1; empty ones are left out.

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
            yield number, BrokenOff(what_broke(error))
            return
        if not line:
            return
        if number == 1:
            line = line.removeprefix(_BOM)
        if line and not line.isspace():
            yield number, line


def begins_list(begin: bytes) -> bool:
    """Whether a file that begins so may hold one list, not one value in each line."""
    first, _, rest = begin.removeprefix(_BOM).lstrip().partition(b"\n")
    return first.startswith(b"[") and not (first.rstrip().endswith(b"]") and rest.strip())


def begins_whole_object(begin: bytes) -> bool:
    """Whether a file that begins so may hold one object: over many lines, or as its only line."""
    first, newline, rest = begin.removeprefix(_BOM).lstrip().partition(b"\n")
    if not first.startswith(b"{"):
        return False
    if not newline:
        return True
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return True
    return not rest.strip()


def whole_value(handle: BinaryIO, *, may_be_lines: bool) -> Iterator[tuple[int, Value]]:
    """The items of a file that holds one list, each with its number from 1. Holds the whole text in memory.

    An object that holds the rows under a usual name (`{"data": [...]}`) counts as that list, another one as the only row. A list
    that is cut off gives its complete items.

    Args:
        handle: the file.
        may_be_lines: whether a text that is no list holds a value in each line instead.
    """
    problem = ""
    pieces: list[bytes] = []
    try:
        while piece := handle.read1(_PIECE):  # type: ignore[attr-defined]  # what stands before a damage is not lost
            pieces.append(piece)
    except DAMAGE as error:
        problem = what_broke(error)
    text = b"".join(pieces).removeprefix(_BOM)
    pieces.clear()
    items = _items(text)
    is_lines = (may_be_lines and b"\n" in text.strip()) or text.lstrip().startswith(b"{")
    if items is None and not is_lines:
        yield from _items_one_by_one(text.decode("utf-8", "surrogateescape"), problem)
        return
    number = 0
    for number, value in json_lines(io.BytesIO(text)) if items is None else _numbered(items):
        yield number, value
    if problem:
        yield number + 1, BrokenOff(problem)


def _numbered(items: list[msgspec.Raw] | str) -> Iterator[tuple[int, Value]]:
    if isinstance(items, str):
        yield 1, Unreadable(items)
    else:
        yield from ((number, bytes(item)) for number, item in enumerate(items, start=1))


def _items(text: bytes) -> list[msgspec.Raw] | str | None:
    """The items of a list, or of the one list of rows in an object; None where a text is neither, a text why it cannot be read."""
    try:
        if text.lstrip().startswith(b"["):
            return msgspec.json.decode(text, type=list[msgspec.Raw])
        values = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    lists = [value for name, value in values.items() if name.lower() in _OF_ROWS and re.match(rb"\[\s*\{", value)]
    if len(lists) == 1:
        return msgspec.json.decode(lists[0], type=list[msgspec.Raw])
    begins = {bytes(memoryview(value)[:1]) for value in values.values()}
    if len(values) > 1 and begins in ({b"["}, {b"{"}):
        return "holds columns, not rows; write one row in each line, as `to_json(orient='records', lines=True)` of pandas does."
    return [msgspec.Raw(text)]


def _items_one_by_one(text: str, problem: str) -> Iterator[tuple[int, Value]]:
    """The items of a list that is not JSON to the letter (NaN, lone surrogates), or that breaks off."""
    decoder = json.JSONDecoder()
    position = text.find("[") + 1
    for number in count(1):
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
        if text.startswith("]", position):
            if text[position + 1 :].strip():
                yield number, BrokenOff("something stands behind the end of the list")
            return
        try:
            if number > 1:
                if not text.startswith(",", position):
                    raise ValueError("a comma is missing, or the list is never closed")
                position = _SPACE.match(text, position + 1).end()  # type: ignore[union-attr]
            _, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            yield number, BrokenOff(problem or str(error))
            return
        yield number, text[position:end].encode("utf-8", "surrogateescape")
        position = end
