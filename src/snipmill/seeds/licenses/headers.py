"""The licence that a file states for itself, in an SPDX tag or in words."""

from __future__ import annotations

import re

from snipmill.seeds.licenses.expressions import UNKNOWN, all_of, normalize_license

_TAG = re.compile(r"SPDX-License-Identifier[ \t]*:[ \t]*([^\n]{1,200})", re.IGNORECASE)
# Apart from `__license__`, an assignment counts only in a comment: a variable in code states no licence.
_STATED = re.compile(
    r"^(?:__license__[ \t]*=|[ \t#*/;\"']{0,8}licen[cs]e[ \t]*:|[ \t]*[#*/;][ \t#*/;]*licen[cs]e[ \t]*=)"
    r"[ \t]*[\"']?([^\"'\n]{1,80})",
    re.IGNORECASE | re.MULTILINE,
)
# Wording in headers. If any of these occurs, the file is not, or not only, under the licence of its folder.
_RESTRICTING = (
    (re.compile(r"Affero|\bAGPL", re.I), "AGPL-3.0-or-later"),
    (re.compile(r"(?:Lesser|Library) General Public|\bLGPL", re.I), "LGPL-2.1-or-later"),
    (
        re.compile(r"(?<!Lesser )(?<!Library )(?<!Affero )General Public Licen[cs]e|\bGPL|\bGNU GPL", re.I),
        "GPL-2.0-or-later",
    ),
    (re.compile(r"Mozilla Public|\bMPL\b", re.I), "MPL-2.0"),
    (re.compile(r"Server Side Public|\bSSPL\b", re.I), "SSPL-1.0"),
    (re.compile(r"Business Source Licen[cs]e|\bBUSL\b", re.I), "BUSL-1.1"),
    (re.compile(r"\bEUPL\b|\bCDDL\b|Eclipse Public|Common Development and Distribution", re.I), UNKNOWN),
    (re.compile(r"\bCC[ -]BY|Creative Commons Attribution", re.I), UNKNOWN),
    (re.compile(r"\bproprietary\b|\bconfidential\b|non-?commercial|commons clause", re.I), "LicenseRef-proprietary"),
)
# These state the licence of the whole file, if a line begins with them.
_UNDER = (
    r"^(?:(?:this|the) (?:file|code|software|program|module|project|source code)(?: is|'s)? )?"
    r"(?:licensed|released|distributed|made available) under "
)
_GRANTING = (
    (
        re.compile(_UNDER + r"(?:the )?(?:terms of )?(?:the )?Apache Licen[cs]e,? Version 2\.0", re.I | re.M),
        "Apache-2.0",
    ),
    (re.compile(_UNDER + r"(?:the )?(?:terms of )?(?:the )?(?:Expat|MIT)\b", re.I | re.M), "MIT"),
    (re.compile(r"^Permission is hereby granted, free of charge, to any person obtaining", re.I | re.M), "MIT"),
)
_STATEMENT = re.compile(r"(?:def|class|import|from|return|if|for|assert)\b|[\w.\[\]]+ ?[=(]")
_HEADER_LINES = 100


def license_of_header(text: str) -> str | None:
    """The licence that a file states for itself: in SPDX tags anywhere, or in words in its first 100 lines.

    An unrecognised tag counts as `UNKNOWN`. Wording of a restrictive licence counts as that licence, or as `UNKNOWN`.
    """
    if "spdx-license-identifier" in text.lower():
        tags = [re.split(r"\*/|-->|#", tag)[0].strip(" \t\"'") for tag in _TAG.findall(text)]
        return all_of(normalize_license(tag) or UNKNOWN for tag in tags) if tags else UNKNOWN
    head = "\n".join(text.split("\n", _HEADER_LINES)[:_HEADER_LINES])
    plain = re.sub(r"^[ \t]*(?:#+|//+|/?\*+|--|;+)?[ \t]*", "", head, flags=re.MULTILINE)
    prose = _in_comments(head)
    found = {expression for words, expression in _RESTRICTING if words.search(prose)}
    found |= {
        known for stated in _STATED.findall(head) if (known := normalize_license(stated.strip(" .,"))) is not None
    }
    joined = re.sub(r"(?<=[\w,])\n(?=\w)", " ", plain)
    found |= {expression for words, expression in _GRANTING if words.search(plain) or words.search(joined)}
    return all_of(found)


def _in_comments(head: str) -> str:
    """The comment and prose lines of a file's head, joined. Strings and names in code do not state a licence."""
    lines = [line.strip() for line in head.split("\n")]
    kept = [line.lstrip("#/*-; ") for line in lines if not _STATEMENT.match(line)]
    stated = [line for line in lines if line.startswith("__license__")]
    return " ".join(kept + stated)
