"""The licence of a folder, combined from its package metadata and licence files."""

from __future__ import annotations

import email.parser
import json
import re
import tomllib
from collections.abc import Iterable
from itertools import chain
from typing import Any

from snipmill.languages import PYTHON
from snipmill.seeds.licenses.expressions import UNKNOWN, all_of, normalize_license, normalize_licenses

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
_LICENSE_FILE = re.compile(r"licen[cs]e|^copying|^copyright", re.IGNORECASE)
_CODE = re.compile(
    r"\.(py|pyi|json|html|css|js|ts|tsx|rs|java|php|cc|cpp|cxx|h|hh|hpp|go|rb|toml|yml|yaml|svg|png)$", re.IGNORECASE
)
# Files that state the licence of a package, and the language of the files that it applies to.
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
    """Whether a file is a licence file, judged by its name."""
    return _LICENSE_FILE.search(name) is not None and _CODE.search(name) is None


def license_of_metadata(name: str, raw: bytes) -> str | None:
    """The licence that package metadata state; None if they state no known licence."""
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
    """The licence that a Python package states. An SPDX expression overrides words and classifiers."""
    if isinstance(expression, str) and expression.strip():
        return normalize_license(expression) or UNKNOWN
    found: set[str] = set()
    if isinstance(words, str) and (known := normalize_license(words)) is not None:
        found.add(known)
    for line in classifiers:
        name = line.rpartition(" :: ")[2]
        if line.startswith("License ::") and name not in _FAMILIES:
            found.add(_CLASSIFIERS.get(name, UNKNOWN))
    return all_of(found)


def combine_licenses(stated: Iterable[str], texts: Iterable[str]) -> str | None:
    """The licence of a folder, combined from its metadata (`stated`) and its licence files (`texts`).

    A text adds nothing if the metadata state its licence, even as one of two alternatives or with added notices.
    """
    found = set(stated)
    mentioned = {word for expression in found for word in re.findall(r"[\w.+-]+", expression)} - {"AND", "OR", "WITH"}
    for text in texts:
        parts = set(text.split(" AND "))
        if text not in mentioned and not (UNKNOWN in parts and mentioned and mentioned <= parts):
            found.add(text)
    parts_of = ([expression] if " OR " in expression else expression.split(" AND ") for expression in found)
    return all_of(chain.from_iterable(parts_of))
