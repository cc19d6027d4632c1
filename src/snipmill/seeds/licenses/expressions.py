"""SPDX expressions: normalised from licence names, combined, and checked against an allow-list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

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


@lru_cache(maxsize=4096)
def normalize_license(text: str) -> str | None:
    """The SPDX expression for a licence name or expression in any usual spelling; None if it is unknown."""
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
    """Like `normalize_license`, for a value that may list licences that all apply. None if any is unknown."""
    if isinstance(value, str) and value.startswith("["):
        value = [part.strip(" '\"") for part in value.strip("[]").split(",")]
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | dict):
        names = [normalize_license(str(one)) for one in value]
        return None if not names or None in names else all_of(name for name in names if name is not None)
    return normalize_license(value) if isinstance(value, str) else None


def all_of(expressions: Iterable[str]) -> str | None:
    """Licences that all apply, as one expression; None if there are none."""
    unique = sorted(set(expressions))
    if not unique:
        return None
    return " AND ".join(f"({one})" if " OR " in one and len(unique) > 1 else one for one in unique)


@lru_cache(maxsize=4096)
def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Whether the allowed licences satisfy an SPDX expression: OR needs one side, AND needs both."""
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
