"""What a chat model says around what was asked for: "Sure! Here is the task:", "### Instruction", "Let me know if ..."."""

from __future__ import annotations

import re

_INTERJECTION = re.compile(
    r"(?:sure(?: thing)?|certainly|of course|okay|ok|absolutely|great|alright|no problem|got it|understood)[!.,:]+\s+",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"(?:(?:based on|given|for|from|using)\b[^\n:]*\b)?"
    r"(?:here(?:'s|’s| is| are)|below (?:is|are)|the following (?:is|are)|this is|these are"
    r"|i(?:'ve| have)? (?:created|written|wrote))\b"
    r"[^\n:]*\b(?:tasks?|instructions?|problem|exercise|challenge|question|concepts?|topics?)\b[^\n:]*:[*_]{0,3}\s*",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?:let me know|i hope|feel free|would you like|please let me|if you (?:need|want|have|would)|good luck|happy coding)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"[ \t]*(?:\#{1,6}[ \t]*)?[*_]{0,3}\[?(?:the )?(?:programming |coding )?"
    r"(?:concepts?|instructions?|tasks?|problem(?: statement)?|exercise|question|answer)\]?[*_]{0,3}[ \t]*"
    r"(?::[*_]{0,3}|(?=\n|$))[ \t]*",
    re.IGNORECASE,
)
# How a model begins that talks to itself, or that declines.
_THOUGHT = re.compile(
    r"(?:(?:(?:okay|ok|alright|hmm|well|so),? (?:so )?)?"
    r"(?:i (?:need|have) to|i should|i'll|i will|the user|we (?:need|have|are asked) to|let me|let's|let us) "
    r"(?:wants?|asks?|is asking|has|think|see|start|analy[sz]e|work|figure|break|look|write|produce|create|generate|come|design"
    r"|list|name|identify|consider)\b"
    r"|(?:okay|ok|alright|hmm|well),? so\b|first, i\b|thinking process|<think)",
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


def without_label(text: str) -> str:
    """A text without the interjection, the introduction and the label before what was asked for."""
    while True:
        rest = text.lstrip()
        for pattern in (_INTERJECTION, _OPENING, _LABEL):
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
