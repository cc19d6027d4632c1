"""What a chat model says around what was asked for: "Sure! Here is the task:", "### Instruction", "Let me know if ..."."""

from __future__ import annotations

import re

_INTERJECTION = re.compile(
    r"(?:sure(?: thing)?|certainly|of course|okay|ok|absolutely|great|alright|no problem|got it|understood)[!.,:]+\s+",
    re.IGNORECASE,
)
_INTRODUCTION = (
    r"(?:(?:based on|given|for|from|using)\b[^\n:.]{0,80}\b)?"
    r"(?:here(?:'s|’s| is| are)|below (?:is|are)|the following (?:is|are)|this is|these are"
    r"|i(?:'ve| have)? (?:created|written|wrote))\b"
    r"[^\n:.]{0,80}\b(?:tasks?|instructions?|problem|exercise|challenge|question|concepts?|topics?)\b[^\n:.]{0,80}:[*_]{0,3}"
)
_CLOSING = re.compile(
    r"(?:(?:please )?let me know|i hope|feel free to (?:ask|reach|let)|would you like|good luck|happy coding"
    r"|if you (?:need|want|have|would like)[^.\n]*\b(?:help|questions?|another|more|adjust\w*|clarif\w*))\b",
    re.IGNORECASE,
)


def _labels(words: str, after_introduction: str) -> tuple[re.Pattern[str], ...]:
    """What may stand before what was asked for.

    A label is a heading, bold or in brackets where it stands alone on its line; else a colon ends it.
    """
    name = rf"(?:the )?(?:key |main |core |programming |coding )*(?:{words})"
    label = (
        rf"[ \t]*(?:\#{{1,6}}[ \t]*[*_]{{0,3}}\[?{name}\]?[*_]{{0,3}}[ \t]*(?::[*_]{{0,3}}|(?=\n|$))"
        rf"|[*_]{{1,3}}\[?{name}\]?:?[*_]{{1,3}}[ \t]*:?|\[{name}\][ \t]*:?|{name}[ \t]*:)[ \t]*"
    )
    return (
        _INTERJECTION,
        re.compile(_INTRODUCTION + after_introduction, re.IGNORECASE),
        re.compile(label, re.IGNORECASE),
    )


CONCEPT_LABELS = _labels(r"concepts?(?: (?:used|are|include))?|answer", r"\s*")
TASK_LABELS = _labels(r"instructions?|tasks?|problem(?: statement)?|exercise|question", r"[ \t]*(?=\n)\s*")

# How a model begins that talks to itself, or that declines.
_THOUGHT = re.compile(
    r"(?:(?:okay|ok|alright|hmm|well|so),? (?:so )?)?"
    r"(?:(?:i (?:need|have) to|i should|i'll|i will|we (?:need|have|are asked) to|let me|let's|let us) "
    r"(?:think|see|start|analy[sz]e|figure|break (?:this|it)|look|come up|list (?:the|some)|name (?:the|some)|identify"
    r"|(?:write|produce|create|generate|design|consider|find) (?:(?:a|an|the|some) )?"
    r"(?:(?:programming|coding|python|new) )*(?:tasks?|instructions?|exercises?|problems?|challenges?|concepts?))\b"
    r"|the user (?:wants?|asks?|is asking|has)\b|(?:okay|ok|alright|hmm|well),? so\b|first, i\b|thinking process|<think)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"(?:i(?:'m|’m| am) (?:sorry|unable|not able)|sorry,|as an ai\b"
    r"|i (?:can't|can’t|cannot|won't) (?:help|assist|provide|create|do|comply))",
    re.IGNORECASE,
)


def is_remark(line: str) -> bool:
    """Whether a line only introduces what follows it, or declines."""
    return (
        line.endswith(":")
        or _INTERJECTION.fullmatch(f"{line} ") is not None
        or is_thought(line)
        or _CLOSING.match(line) is not None
    )


def is_thought(text: str) -> bool:
    """Whether a text begins as a model does that talks to itself or declines."""
    begun = text.lstrip()
    return _THOUGHT.match(begun) is not None or _REFUSAL.match(begun) is not None


def without_label(text: str, labels: tuple[re.Pattern[str], ...]) -> str:
    """A text without the interjection, the introduction and the label before what was asked for.

    Args:
        text: what a model said.
        labels: `CONCEPT_LABELS` or `TASK_LABELS`.
    """
    while True:
        rest = text.lstrip()
        for pattern in labels:
            match = pattern.match(rest)
            if match is not None and match.end():
                rest = rest[match.end() :]
                break
        else:
            return rest
        text = rest


def without_closing(text: str) -> str:
    """A text without a last paragraph in which a model offers more help."""
    head, gap, last = text.rstrip().rpartition("\n\n")
    return head.rstrip() if gap and _CLOSING.match(last.lstrip()) else text
