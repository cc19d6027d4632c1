"""Reads a list of concepts in any usual form: a line with commas, bullets, numbers, JSON, bold text, a fenced block.

Remarks around the list ("Here are the concepts:") and explanations behind a concept are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from snipmill.text.fences import find_fences
from snipmill.text.remarks import is_remark, is_thought, without_label

MAX_LENGTH = 80
MAX_WORDS = 10
_ITEM = re.compile(r"[ \t]*(?:[-*+•–]|\(?\d{1,2}[.):])[ \t]+(?=\S)")
_NUMBER = re.compile(r"\(?\d{1,2}[.):][ \t]+")
_EXPLANATION = re.compile(r":\s|\s[-–—]\s|\*\*\s*:")
_EDGES = " \t.;,:*_`'\"“”‘’"
_LETTER = re.compile(r"[^\W\d_]")
_MARKUP = re.compile(r"```|~~~|</?\w+>|<\||\|>|^#")


def read_concepts(text: str) -> list[str]:
    """The concepts of a completion, in order and without repetitions; none where it is no list.

    A line with commas is taken whole or not at all: one part that is no concept makes it a sentence.
    """
    if is_thought(text):
        return []
    body = _unwrapped(without_label(text))
    from_json = _from_json(body)
    if from_json is not None:
        return _unique(part for part in map(_cleaned, from_json) if _is_concept(part))
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    items = [line for line in lines if _ITEM.match(line)]
    if len(items) > 1 or (items and "," not in items[0]):
        return _unique(part for part in map(_item, items) if _is_concept(part))
    for line in lines:
        rest = without_label(line)
        if not rest or is_remark(rest):
            continue
        parts = [part for part in map(_cleaned, _split(rest)) if part]
        return _unique(parts) if parts and all(map(_is_concept, parts)) else []
    return []


def _unwrapped(text: str) -> str:
    """The content of a fenced block before which there are only remarks."""
    fences = find_fences(text)
    before = text[: fences[0].start].splitlines() if fences else [text]
    is_wrapped = all(not line.strip() or not without_label(line) or is_remark(line.strip()) for line in before)
    return fences[0].code if fences and is_wrapped else text


def _from_json(text: str) -> list[str] | None:
    start, end = text.find("["), text.rfind("]")
    if not 0 <= start < end:
        return None
    try:
        return msgspec.json.decode(text[start : end + 1].encode("utf-8", "replace"), type=list[str])
    except msgspec.DecodeError:
        return None


def _split(line: str) -> list[str]:
    """The parts between commas; a comma in brackets belongs to its part."""
    parts, depth = [""], 0
    for symbol in line:
        depth = max(depth + (symbol in "([{") - (symbol in ")]}"), 0)
        if symbol == "," and not depth:
            parts.append("")
        else:
            parts[-1] += symbol
    return parts if not depth else line.split(",")


def _item(line: str) -> str:
    """The concept of a bullet, without its explanation."""
    text = _ITEM.sub("", line, count=1)
    return _cleaned(_EXPLANATION.split(text, maxsplit=1)[0])


def _cleaned(part: str) -> str:
    part = _NUMBER.sub("", part.strip(), count=1).strip(_EDGES)
    return part[4:].strip(_EDGES) if part[:4].lower() == "and " else part


def _is_concept(part: str) -> bool:
    return (
        len(part) <= MAX_LENGTH
        and len(part.split()) <= MAX_WORDS
        and _LETTER.search(part) is not None
        and _MARKUP.search(part) is None
    )


def _unique(parts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(parts))
