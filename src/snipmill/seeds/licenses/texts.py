"""Recognises the licence in a LICENSE file, word for word. The known texts come from `identify`."""

from __future__ import annotations

import re
from functools import cache

from identify.vendor.licenses import LICENSES

from snipmill.seeds.licenses.expressions import UNKNOWN, all_of

_NOTICE = re.compile(
    r"^[#*/ -]*(?:(?:portions )?copyright\b(?! (?:notice|holder|owner|law)).*|\(c\).*|\u00a9.*|all rights reserved\.?"
    r"|(?:the )?[\w. -]{0,40}licen[cs]e(?: \([\w -]+\))?:?|[=*_#~-]*)$",
    re.IGNORECASE,
)
_PARTS = (
    ("BSD-3-Clause", "redistribution and use in source", "possibility of such damage"),
    ("BSD-2-Clause", "redistribution and use in source", "possibility of such damage"),
    ("MIT", "permission is hereby granted free", "dealings in the software"),
    ("ISC", "permission to use copy modify", "performance of this software"),
    ("Apache-2.0", "version january 2004", "warranty or additional liability"),
)
_HOLDER = r"(?:[a-z0-9]+ ){1,12}?[a-z0-9]+"
_HOLDERS = (
    "the copyright holder nor the names of its contributors",
    "the copyright holders and contributors",
    "the copyright holder or contributors",
    "the authors or copyright holders",
    "the author",
)
_APPENDIX = (
    r"(?: end of terms and conditions)?(?: appendix how to apply (?:[a-z0-9]+ ){60,190}?limitations under the license)?"
)
_RESTRICTION = re.compile(
    r"gpl|general public|\bnot\b|prohibit|proprietary|redistribution|permission|creative|\bcc\b|mozilla|except|\bonly\b"
    r"|\bmust\b|covered"
)
_FORBIDDING = re.compile(
    r"commercial|commons clause|business source|enterprise|server side|right to sell|training of models"
)
# A title or copyright line that contains one of these is kept as part of the text.
_TELLING = re.compile(
    r"gpl|general public|proprietary|non-?commercial|commercial (?:use|purpose)|commons clause|business source|server side"
    r"|right to sell|training of models|creative commons|mozilla public",
    re.IGNORECASE,
)
_MAX_PROSE = 40


def license_of_text(raw: bytes) -> str | None:
    """The licence that a LICENSE file holds, or all of them if it holds several.

    A text must match a known licence word for word, apart from title, copyright lines and the names of holders.

    Returns:
        An SPDX expression. It is `UNKNOWN` if the text is not recognised, and includes `UNKNOWN` if there is other text
        as well. None if the file holds only names and years.
    """
    text = raw.decode("utf-8", "replace")
    rest, parts = _words_of(text), set[str]()
    if not rest.strip():
        return UNKNOWN if "\ufffd" in text else None
    if rest in _known_texts():
        return _known_texts()[rest]
    for body, expression in _bodies():
        rest, count = body.subn(" ", rest)
        if count:
            parts.add(expression)
    if not parts or _FORBIDDING.search(rest):
        return UNKNOWN
    if len(rest.split()) > _MAX_PROSE or _RESTRICTION.search(rest):
        parts.add(UNKNOWN)  # for example, notices of bundled software
    return all_of(parts)


def _words_of(text: str) -> str:
    """A licence as words, without copyright lines and titles."""
    lines = [
        line
        for line in text.replace("\r", "\n").split("\n")
        if not _NOTICE.match(line.strip()) or _TELLING.search(line)
    ]
    plain = " ".join(lines).lower().replace("non-infringement", "noninfringement")
    return " ".join(re.findall(r"[a-z0-9]{2,}", plain))  # drop single characters: clause numbering varies


@cache
def _known_texts() -> dict[str, str]:
    return {_words_of(text): spdx for spdx, text in LICENSES}


@cache
def _bodies() -> list[tuple[re.Pattern[str], str]]:
    """Patterns for licences that may be part of a longer text, from first to last word; names of holders may differ."""
    texts = dict(LICENSES)
    found: list[tuple[re.Pattern[str], str]] = []
    for spdx, first, last in _PARTS:
        words = _words_of(texts[spdx])
        body = words[words.index(first) : words.rindex(last) + len(last)]
        pattern = re.escape(body).replace("\\ ", " ")
        for fixed in _HOLDERS:
            pattern = pattern.replace(fixed, _HOLDER)
        found.append((re.compile(pattern + (_APPENDIX if spdx == "Apache-2.0" else "")), spdx))
    return found
