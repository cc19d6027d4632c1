"""Licences as SPDX expressions: read out of texts, headers and package metadata, and held against an allow-list.

Names in any usual spelling are understood. A licence that is not recognised stays unknown: nothing is guessed from a text
that is merely like a licence.
"""

from __future__ import annotations

import email.parser
import json
import re
import tempfile
import tomllib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from identify.identify import license_id
from license_expression import AND, OR, ExpressionError, LicenseWithExceptionSymbol, get_spdx_licensing

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
_TAG = re.compile(r"SPDX-License-Identifier:\s*([^\n*#]+?)\s*(?:\*/|-->|$)", re.MULTILINE)
# What headers say in words, from the narrowest to the widest.
_PHRASES = (
    (re.compile(r"GNU Affero General Public Licen[cs]e", re.I), "AGPL-3.0-or-later"),
    (re.compile(r"GNU (?:Lesser|Library) General Public Licen[cs]e", re.I), "LGPL-2.1-or-later"),
    (re.compile(r"GNU General Public Licen[cs]e", re.I), "GPL-2.0-or-later"),
    (re.compile(r"Mozilla Public\s+Licen[cs]e", re.I), "MPL-2.0"),
    (re.compile(r"Apache Licen[cs]e,?\s+Version 2\.0", re.I), "Apache-2.0"),
    (re.compile(r"Permission is hereby granted, free of charge, to any person obtaining", re.I), "MIT"),
    (re.compile(r"(?:licensed|released|distributed) under (?:the )?(?:terms of )?(?:the )?MIT\b", re.I), "MIT"),
    (re.compile(r"all rights reserved.{0,80}(?:confidential|proprietary)", re.I | re.S), "LicenseRef-proprietary"),
)
_HEADER_LINES = 40
# Whole texts from their first to their last words, with room for a holder's name and for line breaks only.
_BODIES = (
    (
        re.compile(
            r"Redistribution and use in source and binary forms(?:(?!Redistribution and use|advertising material).){300,900}?"
            r"(?:Neither the names? of|The names? of the contributors may not)"
            r"(?:(?!Redistribution and use).){500,1100}?POSSIBILITY OF SUCH DAMAGE\.?",
            re.I,
        ),
        "BSD-3-Clause",
    ),
    (
        re.compile(
            r"Redistribution and use in source and binary forms"
            r"(?:(?!Redistribution and use|advertising material|Neither the name|The names? of).){700,1300}?"
            r"POSSIBILITY OF SUCH DAMAGE\.?",
            re.I,
        ),
        "BSD-2-Clause",
    ),
    (
        re.compile(
            r"Permission is hereby granted, free of charge, to any person obtaining a copy"
            r"(?:(?!Permission is hereby).){600,1000}?DEALINGS IN THE SOFTWARE\.?",
            re.I,
        ),
        "MIT",
    ),
    (
        re.compile(
            r"Apache License\W+Version 2\.0, January 2004(?:(?!Apache License\W+Version 2\.0, January).){7800,10500}?"
            r"(?:warranty or additional liability\.|END OF TERMS AND CONDITIONS)(?: END OF TERMS AND CONDITIONS)?"
            r"(?: APPENDIX: How to apply.{500,1900}?limitations under the License\.)?"
        ),
        "Apache-2.0",
    ),
    (
        re.compile(
            r"Permission to use, copy, modify, and(?:/or)? distribute this software for any purpose with or without fee"
            r".{300,700}?PERFORMANCE OF THIS SOFTWARE\.?",
            re.I,
        ),
        "ISC",
    ),
)
_RESTRICTION = re.compile(
    r"\bA?L?GPL|General Public|non-?commercial|\bnot be (?:used|sold)|prohibited|commons clause|proprietary"
    r"|Redistribution and use|Permission (?:is|to)|Creative Commons|Mozilla",
    re.I,
)
_MAX_PROSE = 3000
_LICENSE_FILE = re.compile(r"^(licen[cs]es?|copying|unlicen[cs]e)([-_.].*)?$", re.IGNORECASE)
METADATA = frozenset(
    {"pyproject.toml", "PKG-INFO", "METADATA", "setup.cfg", "package.json", "Cargo.toml", "composer.json"}
)


def is_license_file(name: str) -> bool:
    """Whether a file's name says that it holds a licence."""
    return _LICENSE_FILE.match(name) is not None and not name.endswith((".py", ".json", ".html", ".rs", ".ts", ".java"))


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
    """The licence that the head of a file states: by an SPDX tag, or in words that only one licence has."""
    head = "\n".join(text.split("\n", _HEADER_LINES)[:_HEADER_LINES])
    tags = [normalize_license(tag.strip(" \"'")) or UNKNOWN for tag in _TAG.findall(head)]
    if tags:
        return _all_of(tags)
    words = " ".join(re.sub(r"^\s*(?:#+|//+|/?\*+|--|;+)", " ", line) for line in head.split("\n"))
    words = " ".join(words.split())
    return next((expression for phrase, expression in _PHRASES if phrase.search(words)), None)


def license_of_text(raw: bytes) -> str:
    """The licence that a LICENSE file holds, or all of them where it holds several; `UNKNOWN` where its text is another."""
    decoded = raw.decode("utf-8", "replace")
    with tempfile.NamedTemporaryFile(suffix=".txt") as handle:
        handle.write(decoded.encode())
        handle.flush()
        found = license_id(handle.name)
    if found is not None:
        return str(found)
    # Files with several licences, with a notice before them, or without an appendix are too unlike any single text.
    rest, parts = " ".join(decoded.split()), set[str]()
    for body, expression in _BODIES:
        rest, count = body.subn(" ", rest)
        if count:
            parts.add(expression)
    if not parts or len(rest) > _MAX_PROSE or _RESTRICTION.search(rest):
        return UNKNOWN
    return _all_of(parts) or UNKNOWN


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
            return normalize_license(found.group(1)) if found else None
        table: Any = json.loads(text) if name.endswith(".json") else tomllib.loads(text)
        if name == "pyproject.toml":
            project = table.get("project", {})
            stated = project.get("license", table.get("tool", {}).get("poetry", {}).get("license"))
            stated = stated.get("text") if isinstance(stated, dict) else stated
            return _of_project(stated, None, project.get("classifiers", []))
        stated = table.get("package", {}).get("license") if name == "Cargo.toml" else table.get("license")
        return normalize_licenses(stated.replace("/", " OR ") if isinstance(stated, str) else stated)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None


def _of_project(expression: object, words: object, classifiers: Iterable[str]) -> str | None:
    for stated in (expression, words):
        found = normalize_license(stated) if isinstance(stated, str) else None
        if found is not None:
            return found
    names = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License ::")]
    return _all_of(_CLASSIFIERS[name] for name in names if name in _CLASSIFIERS)


def combine_licenses(stated: str | None, texts: Iterable[str]) -> str | None:
    """The licence of a folder: what its metadata state, and what its licence files hold beyond that.

    Where the metadata name a licence, a text that is not recognised says nothing against it.
    """
    found = set(texts)
    if stated is not None:
        mentioned = set(re.findall(r"[\w.+-]+", stated))
        return _all_of({stated} | {text for text in found - {UNKNOWN} if text not in mentioned})
    return _all_of(found)
