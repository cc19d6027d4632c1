"""Reads a list of concepts in any usual form: a line with commas, bullets, numbers, JSON, bold text, a fenced block.

Remarks around the list ("Here are the concepts:") and explanations behind a concept are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from snipmill.text.fences import find_fences
from snipmill.text.remarks import CONCEPT_LABELS, is_remark, is_thought, without_label

MAX_LENGTH = 80
MAX_WORDS = 10
_ITEM = re.compile(r"[ \t]*(?:[-*+•–]|\(?\d{1,2}[.):])[ \t]+(?=\S)")
_NUMBER = re.compile(r"\(?\d{1,2}[.):][ \t]+")
_EXPLANATION = re.compile(r":\s|\s[-–—]\s")
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
_DUNDER = re.compile(r"__\w+__.*")
_WRAPPERS = ("", "text", "txt", "json", "markdown", "md", "plaintext")
_LETTER = re.compile(r"[^\W\d_]")
_MARKUP = re.compile(r"```|~~~|(?<!\w)</?\w+>|<\||\|>|^#")


def read_concepts(text: str) -> list[str]:
    """The concepts of a completion, in order and without repetitions; none where it is no list.

    A line with commas is taken whole or not at all: one part that is no concept makes it a sentence.
    """
    if is_thought(text):
        return []
    body = _unwrapped(without_label(text, CONCEPT_LABELS))
    from_json = _from_json(body)
    if from_json:
        return _unique(part for part in map(_cleaned, from_json) if _is_concept(part))
    lines = [line.rstrip() for line in body.splitlines() if line.strip()]
    items = [line for line in lines if _ITEM.match(line)]
    if len(items) > 1 or (items and "," not in items[0]):
        outermost = min(map(_indentation, items))
        named = (_item(line) for line in items if _indentation(line) == outermost)
        return _unique(part for part in named if _is_concept(part))
    for line in lines:
        rest = without_label(line, CONCEPT_LABELS)
        if not rest or is_remark(rest):
            continue
        parts = [part for part in map(_cleaned, _split(rest)) if part]
        return _unique(parts) if parts and all(map(_is_concept, parts)) else []
    return []


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _unwrapped(text: str) -> str:
    """The content of a fenced block before which there are only remarks; code is left out."""
    fences = find_fences(text)
    if not fences:
        return text
    if fences[0].info.lower() not in _WRAPPERS:
        return f"{text[: fences[0].start]}\n{text[fences[0].end :]}"
    before = text[: fences[0].start].splitlines()
    is_wrapped = all(is_remark(line.strip()) for line in before if without_label(line, CONCEPT_LABELS))
    return fences[0].code if is_wrapped else text


def _from_json(text: str) -> list[str] | None:
    """The list in a text that is JSON, or in an object there."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    start, end = text.find("["), text.rfind("]")
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
    bold = _BOLD.match(text)
    return _cleaned(bold[1].removesuffix(":") if bold is not None else _EXPLANATION.split(text, maxsplit=1)[0])


def _cleaned(part: str) -> str:
    """A concept without its number, quotes, emphasis and the code marks of Markdown."""
    part = _NUMBER.sub("", part.strip(), count=1).replace("`", "").strip(" \t;,:").removesuffix(".")
    for pair in ("***", "**", "*", "__", "_", '"', "'", "“”", "‘’"):
        opening, closing = (pair[0], pair[1]) if pair in ("“”", "‘’") else (pair, pair)
        inner = part.removeprefix(opening).removesuffix(closing)
        if len(inner) == len(part) - len(opening) - len(closing) and not _DUNDER.fullmatch(part):
            part = inner.strip(" \t;,:.")
    return (part[4:] if part[:4].lower() == "and " else part).strip()


def _is_concept(part: str) -> bool:
    return (
        len(part) <= MAX_LENGTH
        and len(part.split()) <= MAX_WORDS
        and _LETTER.search(part) is not None
        and _MARKUP.search(part) is None
    )


def _unique(parts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(parts))
