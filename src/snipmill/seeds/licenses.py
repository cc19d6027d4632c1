"""Licences as SPDX expressions: read out of texts, headers and package metadata, and held against an allow-list.

Names in any usual spelling are understood. A licence that is not recognised stays unknown: nothing is guessed from a text
that is merely like a licence.
"""

from __future__ import annotations

import email.parser
import json
import re
import tomllib
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import chain
from typing import Any

from identify.vendor.licenses import LICENSES
from license_expression import AND, OR, ExpressionError, LicenseWithExceptionSymbol, get_spdx_licensing

from snipmill.languages import PYTHON

ANY = "any"
PERMISSIVE = frozenset(
    {
        "0BSD",
        "AFL-3.0",
        "Apache-2.0",
        "Artistic-2.0",
        "BlueOak-1.0.0",
        "BSD-1-Clause",
        "BSD-2-Clause",
        "BSD-2-Clause-Patent",
        "BSD-3-Clause",
        "BSD-3-Clause-Clear",
        "BSL-1.0",
        "CC0-1.0",
        "CNRI-Python",
        "HPND",
        "HPND-sell-variant",
        "ICU",
        "ISC",
        "JSON",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "MIT-Modern-Variant",
        "MulanPSL-2.0",
        "NCSA",
        "PostgreSQL",
        "PSF-2.0",
        "Python-2.0",
        "Python-2.0.1",
        "TCL",
        "Unicode-3.0",
        "Unicode-DFS-2016",
        "Unlicense",
        "UPL-1.0",
        "W3C",
        "WTFPL",
        "X11",
        "Zlib",
        "ZPL-2.1",
    }
)
UNKNOWN = "LicenseRef-unrecognised"
_SPELLINGS = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache software": "Apache-2.0",
    "apache software 2.0": "Apache-2.0",
    "apache2": "Apache-2.0",
    "asl 2.0": "Apache-2.0",
    "boost software 1.0": "BSL-1.0",
    "bsd 2 clause": "BSD-2-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "bsd 2": "BSD-2-Clause",
    "bsd 3": "BSD-3-Clause",
    "2 clause bsd": "BSD-2-Clause",
    "3 clause bsd": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "simplified bsd": "BSD-2-Clause",
    "bsd zero clause": "0BSD",
    "cc0 1.0 universal": "CC0-1.0",
    "cc0": "CC0-1.0",
    "expat": "MIT",
    "isc license iscl": "ISC",
    "gpl": "GPL-1.0-or-later",
    "gplv2": "GPL-2.0-only",
    "gplv3": "GPL-3.0-only",
    "gnu gpl": "GPL-1.0-or-later",
    "gnu gpl 2": "GPL-2.0-only",
    "gnu gpl 3": "GPL-3.0-only",
    "gnu general public 2.0": "GPL-2.0-only",
    "gnu general public 3.0": "GPL-3.0-only",
    "lgplv3": "LGPL-3.0-only",
    "agplv3": "AGPL-3.0-only",
    "mit no attribution": "MIT-0",
    "mpl 2.0": "MPL-2.0",
    "mozilla public 2.0": "MPL-2.0",
    "psf": "PSF-2.0",
    "python software foundation": "PSF-2.0",
    "the unlicense": "Unlicense",
    "public domain": "LicenseRef-public-domain",
    "zope public 2.1": "ZPL-2.1",
}
# Trove classifiers that name one licence; others ("BSD License", "OSI Approved") name a family, and do not count.
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "Zero-Clause BSD (0BSD)": "0BSD",
    "zlib/libpng License": "Zlib",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "Other/Proprietary License": "LicenseRef-proprietary",
}
_TAG = re.compile(r"SPDX-License-Identifier[ \t]*:[ \t]*([^\n]{1,200})", re.IGNORECASE)
_STATED = re.compile(
    r"^[ \t#*/;\"']{0,8}(?:__license__[ \t]*=|licen[cs]e[ \t]*[:=])[ \t]*[\"']?([^\"'\n]{1,80})",
    re.IGNORECASE | re.MULTILINE,
)
# What headers say in words. Wherever one of these stands, the file is not, or not only, under what its folder says.
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
# And these say what the file as a whole is under, where a line begins with them.
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
_MAX_PROSE = 40
_LICENSE_FILE = re.compile(r"licen[cs]e|^copying|^copyright", re.IGNORECASE)
_CODE = re.compile(
    r"\.(py|pyi|json|html|css|js|ts|tsx|rs|java|php|cc|cpp|cxx|h|hh|hpp|go|rb|toml|yml|yaml|svg|png)$", re.IGNORECASE
)
# Files that say what a package is under, and the language whose files they speak for.
METADATA = {
    "pyproject.toml": PYTHON,
    "PKG-INFO": PYTHON,
    "METADATA": PYTHON,
    "setup.cfg": PYTHON,
    "package.json": "TypeScript",
    "Cargo.toml": "Rust",
    "composer.json": "PHP",
}
_FAMILIES = frozenset({"BSD License", "OSI Approved", "Public Domain"})


def is_license_file(name: str) -> bool:
    """Whether a file's name says that it holds a licence."""
    return _LICENSE_FILE.search(name) is not None and _CODE.search(name) is None


@lru_cache(maxsize=4096)
def normalize_license(text: str) -> str | None:
    """An SPDX expression out of a licence's name or expression in any usual spelling; None where it is not known."""
    text = " ".join(text.split())
    if re.fullmatch(r"LicenseRef-[\w.-]+", text):
        return text
    if not text or len(text) > 300 or text.casefold() in ("unknown", "none", "other", "noassertion", "dual license"):
        return None
    try:
        return str(get_spdx_licensing().parse(text, validate=True).render())
    except (ExpressionError, ValueError, TypeError, AttributeError):
        pass
    plain = re.sub(r"[(),\"']|\b(the|licen[cs]ed?|version|under)\b", " ", text.casefold())
    plain = re.sub(r"\bv(?=\d)", "", re.sub(r"(?<=\d)-(?=clause)|(?<=bsd)[- ](?=\d)", " ", plain))
    plain = " ".join(plain.split())
    if plain in _SPELLINGS:
        return _SPELLINGS[plain]
    words = plain.split()
    if len(words) == 2 and words[0] == words[1]:  # "The MIT License (MIT)"
        plain = words[0]
    known = get_spdx_licensing().known_symbols
    return next((key for key in known if key.casefold() == plain and not known[key].is_exception), None)


def normalize_licenses(value: object) -> str | None:
    """As `normalize_license`, of a column that may hold a list of names: all of them hold. None if any is unknown."""
    if isinstance(value, str) and value.startswith("["):
        value = [part.strip(" '\"") for part in value.strip("[]").split(",")]
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | dict):
        names = [normalize_license(str(one)) for one in value]
        return None if not names or None in names else _all_of(name for name in names if name is not None)
    return normalize_license(value) if isinstance(value, str) else None


def _all_of(expressions: Iterable[str]) -> str | None:
    unique = sorted(set(expressions))
    if not unique:
        return None
    return " AND ".join(f"({one})" if " OR " in one and len(unique) > 1 else one for one in unique)


@lru_cache(maxsize=4096)
def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Whether an SPDX expression gives the permissions of the allowed licences: one side of OR is enough, AND needs both."""
    if ANY in allowed or expression in allowed:
        return True
    keys = frozenset(key.casefold() for key in allowed)
    try:
        return _holds(get_spdx_licensing().parse(expression), keys)
    except ExpressionError:
        return False


def _holds(node: Any, allowed: frozenset[str]) -> bool:
    if isinstance(node, OR):
        return any(_holds(part, allowed) for part in node.args)
    if isinstance(node, AND):
        return all(_holds(part, allowed) for part in node.args)
    if str(node).casefold() in allowed:
        return True
    if isinstance(node, LicenseWithExceptionSymbol):  # an exception only adds permissions
        return str(node.license_symbol).casefold() in allowed
    return False


def license_of_header(text: str) -> str | None:
    """The licence that a file states of itself: by SPDX tags anywhere, or in words in its first hundred lines.

    A tag that is not understood, and words of a licence that restricts, count against the file: `UNKNOWN`, or that licence.
    """
    if "spdx-license-identifier" in text.lower():
        tags = [re.split(r"\*/|-->|#", tag)[0].strip(" \t\"'") for tag in _TAG.findall(text)]
        return _all_of(normalize_license(tag) or UNKNOWN for tag in tags) if tags else UNKNOWN
    head = "\n".join(text.split("\n", _HEADER_LINES)[:_HEADER_LINES])
    plain = re.sub(r"^[ \t]*(?:#+|//+|/?\*+|--|;+)?[ \t]*", "", head, flags=re.MULTILINE)
    found = {expression for words, expression in _RESTRICTING if words.search(_in_comments(head))}
    found |= {
        known for stated in _STATED.findall(head) if (known := normalize_license(stated.strip(" .,"))) is not None
    }
    joined = re.sub(r"(?<=[\w,])\n(?=\w)", " ", plain)
    found |= {expression for words, expression in _GRANTING if words.search(plain) or words.search(joined)}
    return _all_of(found)


def _in_comments(head: str) -> str:
    """The lines of a head that are comments or prose, joined: a string or a name in code states no licence."""
    lines = [line.strip() for line in head.split("\n")]
    kept = [
        line.lstrip("#/*-; ")
        for line in lines
        if not re.match(r"(?:def|class|import|from|return|if|for|assert)\b|[\w.\[\]]+ ?[=(]", line)
    ]
    stated = [line for line in lines if line.startswith("__license__")]
    return " ".join(kept + stated)


def license_of_text(raw: bytes) -> str | None:
    """The licence that a LICENSE file holds, or all of them where it holds several.

    Only texts that are word for word a known licence count, but for title, copyright lines and the names of holders.

    Returns:
        An SPDX expression; `UNKNOWN` where the text is another, or a part of it where there is more; None where it holds nothing
        but names and years.
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
        parts.add(UNKNOWN)  # as where a package adds the notices of what it bundles
    return _all_of(parts)


def _words_of(text: str) -> str:
    """A licence as words, without copyright lines and titles."""
    lines = [line for line in text.replace("\r", "\n").split("\n") if not _NOTICE.match(line.strip())]
    plain = " ".join(lines).lower().replace("non-infringement", "noninfringement")
    return " ".join(re.findall(r"[a-z0-9]{2,}", plain))  # single characters number the clauses, or do not


@cache
def _known_texts() -> dict[str, str]:
    return {_words_of(text): spdx for spdx, text in LICENSES}


@cache
def _bodies() -> list[tuple[re.Pattern[str], str]]:
    """The words of licences that stand together with others, from their first to their last; names of holders may differ."""
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


def license_of_metadata(name: str, raw: bytes) -> str | None:
    """The licence that a package's metadata states; None where they state none that is known."""
    text = raw.decode("utf-8", "replace")
    try:
        if name in ("PKG-INFO", "METADATA"):
            headers = email.parser.HeaderParser().parsestr(text)
            classifiers = headers.get_all("Classifier") or []
            return _of_project(headers.get("License-Expression"), headers.get("License"), classifiers)
        if name == "setup.cfg":
            found = re.search(r"^license\s*=\s*(.+)$", text, re.MULTILINE)
            return (normalize_license(found.group(1)) or UNKNOWN) if found else None
        table: Any = json.loads(text) if name.endswith(".json") else tomllib.loads(text)
        if name == "pyproject.toml":
            project = table.get("project", {})
            stated = project.get("license", table.get("tool", {}).get("poetry", {}).get("license"))
            stated = stated.get("text") if isinstance(stated, dict) else stated
            return _of_project(stated, None, project.get("classifiers", []))
        stated = table.get("package", {}).get("license") if name == "Cargo.toml" else table.get("license")
        if not stated:
            return None
        return normalize_licenses(stated.replace("/", " OR ") if isinstance(stated, str) else stated) or UNKNOWN
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None


def _of_project(expression: object, words: object, classifiers: Iterable[str]) -> str | None:
    """What a Python package states. An expression has the last word; words and classifiers hold together."""
    if isinstance(expression, str) and expression.strip():
        return normalize_license(expression) or UNKNOWN
    found: set[str] = set()
    if isinstance(words, str) and (known := normalize_license(words)) is not None:
        found.add(known)
    for line in classifiers:
        name = line.rpartition(" :: ")[2]
        if line.startswith("License ::") and name not in _FAMILIES:
            found.add(_CLASSIFIERS.get(name, UNKNOWN))
    return _all_of(found)


def combine_licenses(stated: Iterable[str], texts: Iterable[str]) -> str | None:
    """The licence of a folder: what metadata state and what licence files hold, together.

    Texts of what the metadata state add nothing to it, be they of both alternatives, or with notices around them.
    """
    found = set(stated)
    mentioned = {word for expression in found for word in re.findall(r"[\w.+-]+", expression)} - {"AND", "OR", "WITH"}
    for text in texts:
        parts = set(text.split(" AND "))
        if text not in mentioned and not (UNKNOWN in parts and mentioned and mentioned <= parts):
            found.add(text)
    parts_of = ([expression] if " OR " in expression else expression.split(" AND ") for expression in found)
    return _all_of(chain.from_iterable(parts_of))
