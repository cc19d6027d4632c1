"""Reads the four sections of a chat model's answer as they are meant: `**[Tests]**`, `## Tests`, `[Tests]:` and their like.

An answer becomes the text that a base model would have written: each tag as `[Tests]` alone on its line, no wrapping fence, no
sentence before the first tag, fences of backticks. Everything else stays as it is, so `sections` decides what is well-formed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from snipmill.text.fences import Fence, find_fences, render_fence
from snipmill.text.remarks import is_thought
from snipmill.text.sections import TAGS, Malformed, cut_after_tests, is_hopeless, parse_sections

_NAMES = "|".join(TAGS)
_DECORATION = r"[*_]{0,3}"
# A heading, bold text, brackets or a colon make a name a tag. In brackets it may be followed by text; else it is alone.
_TAG = re.compile(
    rf"^ {{0,3}}(?P<hashes>\#{{1,6}}[ \t]*)?(?:\d[.)][ \t]*)?(?P<bold>{_DECORATION})"
    rf"(?:\[[ \t]*(?P<bracketed>{_NAMES})[ \t]*\]|(?P<plain>{_NAMES}))"
    rf"(?P<colon>:?){_DECORATION}(?P<late>:?)(?P<rest>.*)$",
    re.MULTILINE | re.IGNORECASE,
)
_WRAPPER = re.compile(r"\s*(?:`{3,}|~{3,})[ \t]*(?:markdown|md|text|txt|plaintext)?[ \t]*\n(?=\s*\S)", re.IGNORECASE)
_LONGEST_LEAD = 400


def from_chat(text: str) -> str:
    """An answer with its tags and fences in the canonical form; one that is well-formed already stays as it is."""
    is_dressed = "~~~" in text or any(map(_is_dressed, _TAG.finditer(text)))
    if not is_dressed and not isinstance(parse_sections(text), Malformed):
        return text
    found = _find_tags(text)
    if found is None:
        return text
    tagged = _rewritten(text, found)
    pieces, position = [], 0
    for fence in find_fences(tagged):
        if fence.closed and not fence.prefix.strip() and tagged[fence.start : fence.end].lstrip(" ").startswith("~"):
            pieces += [tagged[position : fence.start], render_fence(fence.code, fence.info), "\n"]
            position = fence.end
    return "".join([*pieces, tagged[position:]])


def cut_chat(text: str) -> str | None:
    """The text up to the end of its tests, or None while the four sections are not complete."""
    found = _find_tags(text)
    if found is None or tuple(map(_name, found.tags[: len(TAGS)])) != TAGS:
        return None
    if is_thought(found.lead):  # a draft, before the end of a thought whose beginning is part of the prompt
        return None
    start = found.start + found.tags[len(TAGS) - 1].start("rest")
    cut = cut_after_tests(f"[Tests]{text[start:]}")
    return text[: start + len(cut) - len("[Tests]")] if cut is not None else None


def is_hopeless_chat(text: str) -> bool:
    """Whether no continuation can make a partial answer well-formed.

    What precedes the first tag may be a thought whose end is still to come, and whatever tags follow it may be a draft.
    """
    found = _find_tags(text)
    if found is None or found.lead.strip() or not is_hopeless(_rewritten(text, found)):
        return False
    in_brackets = [tag for tag in found.tags if tag["bracketed"]]
    return not in_brackets or is_hopeless(_rewritten(text, _Tags(found.start, found.lead, in_brackets)))


@dataclass(frozen=True)
class _Tags:
    """The tags of a text: where the text without its wrapper begins, what precedes the first tag, and each tag from there."""

    start: int
    lead: str
    tags: list[re.Match[str]]


def _find_tags(text: str) -> _Tags | None:
    """None while there is no tag, or too much text before it."""
    wrapper = _WRAPPER.match(text)
    start = wrapper.end() if wrapper is not None and _TAG.match(text[wrapper.end() :].lstrip()) else 0
    body = text[start:]
    fences = find_fences(body)
    tags = [match for match in _TAG.finditer(body) if _is_tag(match) and not _is_inside(fences, match.start())]
    # Who writes [Tests] means no tag by a heading "Tests".
    in_brackets = {_name(tag) for tag in tags if tag["bracketed"]}
    tags = [tag for tag in tags if tag["bracketed"] or _name(tag) not in in_brackets]
    lead = body[: tags[0].start()] if tags else ""
    return _Tags(start, lead, tags) if tags and _may_be_dropped(lead) else None


def _rewritten(text: str, found: _Tags) -> str:
    """The text from its first tag on, with each tag alone on its line."""
    body = text[found.start :]
    pieces: list[str] = []
    for tag, following in zip(found.tags, [*found.tags[1:], None], strict=True):
        rest = tag["rest"].strip()
        after = body[tag.end() : following.start() if following is not None else len(body)]
        pieces += [f"[{_name(tag)}]", f"\n{rest}" if rest else "", after]
    return "".join(pieces)


def _name(tag: re.Match[str]) -> str:
    return str(tag["bracketed"] or tag["plain"]).capitalize()


def _is_tag(match: re.Match[str]) -> bool:
    return match["bracketed"] is not None or (_is_dressed(match) and not match["rest"].strip(" \t*_:"))


def _is_dressed(match: re.Match[str]) -> bool:
    return bool(match["hashes"] or match["bold"] or match["colon"] or match["late"])


def _is_inside(fences: list[Fence], position: int) -> bool:
    return any(fence.start <= position < fence.end for fence in fences)


def _may_be_dropped(lead: str) -> bool:
    """Whether text before the first tag is no more than a few sentences."""
    return len(lead.strip()) <= _LONGEST_LEAD and "```" not in lead and "~~~" not in lead
