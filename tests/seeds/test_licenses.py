from __future__ import annotations

import pytest
from identify.vendor.licenses import LICENSES

from snipmill.seeds.licenses import (
    PERMISSIVE,
    UNKNOWN,
    combine_licenses,
    is_allowed,
    license_of_header,
    license_of_metadata,
    license_of_text,
    normalize_license,
    normalize_licenses,
)


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("The MIT License (MIT)", "MIT"),
        ("  MIT\n License ", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("apache-2.0 or mit", "Apache-2.0 OR MIT"),
        ("APACHE 2.0", "Apache-2.0"),
        ("3-Clause BSD License", "BSD-3-Clause"),
        ("New BSD License", "BSD-3-Clause"),
        ("GPLv3", "GPL-3.0-only"),
        ("GPL-3.0+", "GPL-3.0-or-later"),
        ("LicenseRef-acme", "LicenseRef-acme"),
        ("BSD", None),
        ("MIT-like", None),
        ("", None),
        ("UNKNOWN", None),
        ("Do what you like, but" * 50, None),
    ],
)
def test_names_in_any_spelling(name: str, expression: str | None) -> None:
    assert normalize_license(name) == expression


def test_lists_of_names_hold_together() -> None:
    assert normalize_licenses(["MIT", "apache 2.0"]) == "Apache-2.0 AND MIT"
    assert normalize_licenses("['MIT', 'GPL-3.0']") == "GPL-3.0-only AND MIT"
    assert normalize_licenses(["MIT", "whatever"]) is None
    assert normalize_licenses([]) is normalize_licenses(None) is normalize_licenses(3) is None


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-2.0-only OR MIT", True),
        ("GPL-2.0-only AND MIT", False),
        ("(MIT AND ISC) OR GPL-3.0-only", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-only WITH GCC-exception-3.1", False),
        ("LicenseRef-acme", False),
        (UNKNOWN, False),
        ("((", False),
    ],
)
def test_expressions_are_evaluated(expression: str, allowed: bool) -> None:
    assert is_allowed(expression, PERMISSIVE) is allowed
    assert is_allowed(expression, frozenset({"any"}))


def test_texts_are_recognised_as_they_are_found() -> None:
    texts = dict(LICENSES)
    for spdx in ("MIT", "Apache-2.0", "BSD-3-Clause", "BSD-2-Clause", "ISC", "MPL-2.0"):
        assert license_of_text(texts[spdx].encode()) == spdx
    both = f"The parser:\n\n{texts['MIT']}\n\nThe rest:\n\n{texts['BSD-3-Clause']}"
    assert license_of_text(both.encode()) == "BSD-3-Clause AND MIT"
    short = texts["Apache-2.0"].partition("END OF TERMS")[0]
    assert license_of_text(short.encode()) == "Apache-2.0"
    added = "The software may be used for non-commercial purposes only. "
    for text in (
        added * 3 + texts["MIT"],
        "All rights reserved.",
        "",
        texts["MIT"].replace("free of charge", "for a fee"),
    ):
        assert license_of_text(text.encode()) in (UNKNOWN, "MIT") if "fee" in text else UNKNOWN
    assert license_of_text((added * 3 + texts["MIT"]).encode()) == UNKNOWN
    assert license_of_text(b"\xff\xfe\x00") == UNKNOWN


@pytest.mark.parametrize(
    ("head", "expression"),
    [
        ("# SPDX-License-Identifier: MIT", "MIT"),
        ("/* SPDX-License-Identifier: GPL-2.0-or-later */", "GPL-2.0-or-later"),
        ("# SPDX-License-Identifier: Acme-Special", UNKNOWN),
        ("# distributed under the terms of the GNU General\n# Public License", "GPL-2.0-or-later"),
        ("# Licensed under the Apache License, Version 2.0", "Apache-2.0"),
        ("# Licensed under the MIT license.", "MIT"),
        ("# All rights reserved. This file is confidential.", "LicenseRef-proprietary"),
        ("# Copyright 2020 Somebody", None),
        ("x = 1\n" * 60 + "# SPDX-License-Identifier: MIT", None),
    ],
)
def test_headers(head: str, expression: str | None) -> None:
    assert license_of_header(head + "\n") == expression


@pytest.mark.parametrize(
    ("name", "raw", "expression"),
    [
        ("METADATA", b"Name: x\nLicense-Expression: MIT OR Apache-2.0\n", "MIT OR Apache-2.0"),
        ("PKG-INFO", b"Name: x\nLicense: BSD\nClassifier: License :: OSI Approved :: MIT License\n", "MIT"),
        ("PKG-INFO", b"Name: x\nLicense: BSD\nClassifier: License :: OSI Approved :: BSD License\n", None),
        ("pyproject.toml", b'[project]\nlicense = {text = "Apache 2.0"}\n', "Apache-2.0"),
        ("pyproject.toml", b'[project]\nlicense = "ISC"\n', "ISC"),
        ("pyproject.toml", b"not toml [", None),
        ("package.json", b'{"license": "(MIT OR GPL-3.0)"}', "GPL-3.0-only OR MIT"),
        ("Cargo.toml", b'[package]\nlicense = "MIT/Apache-2.0"\n', "MIT OR Apache-2.0"),
        ("setup.cfg", b"[metadata]\nlicense = BSD 3-Clause\n", "BSD-3-Clause"),
        ("package.json", b"[" * 100_000, None),
    ],
)
def test_metadata(name: str, raw: bytes, expression: str | None) -> None:
    found = license_of_metadata(name, raw)
    assert (found and sorted(found.split(" OR "))) == (expression and sorted(expression.split(" OR ")))


def test_metadata_and_texts_together() -> None:
    assert combine_licenses("Apache-2.0 OR BSD-2-Clause", ["Apache-2.0", "BSD-2-Clause", UNKNOWN]) == (
        "Apache-2.0 OR BSD-2-Clause"
    )
    assert combine_licenses("MIT", ["GPL-3.0-only"]) == "GPL-3.0-only AND MIT"
    assert combine_licenses(None, ["MIT", UNKNOWN]) == f"{UNKNOWN} AND MIT"
    assert combine_licenses(None, []) is None
