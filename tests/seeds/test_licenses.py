from __future__ import annotations

import pytest
from identify.vendor.licenses import LICENSES

from snipmill.seeds.licenses.expressions import PERMISSIVE, UNKNOWN, is_allowed, normalize_license, normalize_licenses
from snipmill.seeds.licenses.headers import license_of_header
from snipmill.seeds.licenses.packages import combine_licenses, license_of_metadata
from snipmill.seeds.licenses.texts import license_of_text


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
    held = texts["BSD-3-Clause"].replace("the copyright holder nor", "Some Company, Inc. nor")
    assert license_of_text(held.replace("1.", "a.").encode()) == "BSD-3-Clause"
    assert license_of_text(b"Copyright (c) 2020 Somebody\nAll rights reserved.\n") is None
    assert license_of_text(b"\xff\xfe\x00") == UNKNOWN
    company = texts["MIT"].replace("<copyright holders>", "The Mozilla Foundation and Some Enterprise, Inc.")
    assert license_of_text(f"The MIT License (MIT)\n\nCopyright (c) 2020 Acme Enterprise\n{company}".encode()) == "MIT"


MIT, BSD, APACHE = (dict(LICENSES)[name] for name in ("MIT", "BSD-3-Clause", "Apache-2.0"))


@pytest.mark.parametrize(
    "text",
    [
        f"{MIT}\nFor non-commercial use only.",
        MIT.replace("and/or sell", "but not sell"),
        MIT.replace("use, copy, modify, merge, publish, distribute, sublicense, and/or sell", "use"),
        MIT.replace("free of charge", "for a fee"),
        BSD.replace("are permitted provided", "are permitted for non-commercial purposes only, provided"),
        f"Commons Clause: the License does not grant to you the right to Sell the Software.\n\n{APACHE}",
        f"{MIT}\nEverything in ee/ is under the Business Source License 1.1.",
        f"{MIT}\nThe files in foo/ are covered by CC-BY-NC-SA 4.0.",
        "You may look at it.",
        f"Copyright (c) 2020 Foo. For non-commercial use only.\n\n{MIT}",
        "This software is under the GPL license",
        "Proprietary License\nCopyright (c) 2020 Foo Inc. All rights reserved.",
    ],
)
def test_what_is_merely_like_a_licence_is_none(text: str) -> None:
    found = license_of_text(text.encode())
    assert found is not None and UNKNOWN in found
    assert not is_allowed(found, PERMISSIVE)


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
        ("x = 1\n" * 200 + "# SPDX-License-Identifier: MIT", "MIT"),
        ("# SPDX-License-Identifier: GPL-3.0-only  # noqa", "GPL-3.0-only"),
        ("####\n# SPDX-License-Identifier: AGPL-3.0-only   #\n####", "AGPL-3.0-only"),
        ("# spdx-license-identifier: GPL-3.0-only", "GPL-3.0-only"),
        ("# licensed under the GPL, version 2", "GPL-2.0-or-later"),
        ("# Released under the LGPL.", "LGPL-2.1-or-later"),
        ("# Server Side Public License", "SSPL-1.0"),
        ("# licensed under CC BY-SA 4.0", UNKNOWN),
        ("# Proprietary and confidential.", "LicenseRef-proprietary"),
        ("# Apache License, Version 2.0. Parts under GPL.", "GPL-2.0-or-later"),
        ("# Includes a snippet of foo, released under the MIT license", None),
        ('"""Doc."""\nNAME = "GPL"\n', None),
        ('__license__ = "MIT"', "MIT"),
        ("# license = MIT", "MIT"),
        ('def scaffold(name):\n    license = "MIT"\n', None),
        ('license = "MIT"\n', None),
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
        ("METADATA", b"Name: x\nLicense-Expression: LicenseRef-Foo AND Whatever\nLicense: MIT\n", UNKNOWN),
        ("pyproject.toml", b'[project]\nlicense = "Proprietary"\n', UNKNOWN),
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


def test_classifiers_hold_together() -> None:
    osi = "License :: OSI Approved :: "
    for other in (f"{osi}GNU General Public License (GPL)", "License :: Free for non-commercial use"):
        raw = f"Name: x\nClassifier: {osi}MIT License\nClassifier: {other}\n".encode()
        found = license_of_metadata("METADATA", raw)
        assert found is not None and not is_allowed(found, PERMISSIVE)


def test_metadata_and_texts_together() -> None:
    assert (
        combine_licenses(["Apache-2.0 OR BSD-2-Clause"], ["Apache-2.0", "BSD-2-Clause"]) == "Apache-2.0 OR BSD-2-Clause"
    )
    assert combine_licenses(["MIT"], ["GPL-3.0-only"]) == "GPL-3.0-only AND MIT"
    assert combine_licenses(["BSD-3-Clause"], [f"{UNKNOWN} AND BSD-3-Clause"]) == "BSD-3-Clause"
    for stated in ([], ["MIT"]):
        found = combine_licenses(stated, [UNKNOWN])
        assert found is not None and not is_allowed(found, PERMISSIVE)
    assert combine_licenses([], ["MIT", UNKNOWN]) == f"{UNKNOWN} AND MIT"
    assert combine_licenses([], []) is None
