from __future__ import annotations

import pytest

from snipmill.records import Reject
from snipmill.seeds.document import Document
from snipmill.seeds.mine_document import MineSettings, mine_document
from snipmill.seeds.rules import RULES, Rules

GOOD = 'def half(x):\n    """Return half of x."""\n    return x / 2\n'
CASES = {
    "test-file": (GOOD, "pkg/tests/a.py"),
    "generated-file": ("# This file was automatically generated. Do not edit.\n" + GOOD, "a.py"),
    "docstring-not-triple-quoted": (GOOD.replace('"""', "'"), "a.py"),
    "no-arguments": (GOOD.replace("(x)", "()").replace("x / 2", "1"), "a.py"),
    "no-return-value": (GOOD.replace("return x / 2", "print(x)"), "a.py"),
    "too-long": (GOOD + "".join(f"    x += {n}\n" for n in range(150)), "a.py"),
    "long-line": (GOOD.replace("x / 2", f"'{'a' * 200}'"), "a.py"),
    "not-ascii": (GOOD.replace("half of x", "半分の値を返す関数" * 3), "a.py"),
    "unfinished": (GOOD.replace("x / 2", "x / 2  # FIXME"), "a.py"),
    "nested-too-deeply": (GOOD.replace("x / 2", "(" * 61 + "x" + ")" * 61), "a.py"),
    "denied-import": ("import os\n" + GOOD.replace("x / 2", "os.path.join(x)"), "a.py"),
    "needs-its-package": ("from . import y\n" + GOOD.replace("x / 2", "x / y"), "a.py"),
    "undefined-name": (GOOD.replace("x / 2", "x / y"), "a.py"),
    "context-too-long": ("y = [\n" + "    1,\n" * 60 + "]\n" + GOOD.replace("x / 2", "x / y"), "a.py"),
}
FINE = {
    "debug": GOOD.replace("half", "debug"),
    "mastodon": GOOD.replace("half of x", "the Mastodon's todos"),
    "osmnx": "import osmnx\n" + GOOD.replace("x / 2", "osmnx.graph(x)"),
    "word generated": "# How random numbers are generated.\n" + GOOD,
    "another package": "from other import y\n" + GOOD.replace("x / 2", "x / y"),
    "latest.py": GOOD,
}


def outcomes(code: str, path: str, *allow: str, package: str = "") -> list[str]:
    document = Document(path, code, path=path, license="MIT", package=package)
    settings = MineSettings(rules=Rules(allow=frozenset(allow)))
    return [one.reason if isinstance(one, Reject) else "kept" for one in mine_document(document, settings)]


@pytest.mark.parametrize("reason", CASES)
def test_each_rule_has_a_reason_and_a_switch(reason: str) -> None:
    code, path = CASES[reason]
    assert outcomes(code, path) == [reason]
    assert outcomes(code, path, reason) == ["kept"]


def test_every_rule_is_tried() -> None:
    assert set(CASES) == set(RULES) - {"type-error"}


@pytest.mark.parametrize("name", FINE)
def test_words_and_imports_are_matched_as_such(name: str) -> None:
    assert outcomes(FINE[name], "latest.py") == ["kept"]


def test_imports_from_the_own_package_are_those_of_its_folder() -> None:
    code = "from mine.other import y\n" + GOOD.replace("x / 2", "x / y")
    assert outcomes(code, "mine/a.py", package="mine") == ["needs-its-package"]
    assert outcomes(code, "yours/a.py", package="yours") == ["kept"]


@pytest.mark.parametrize(
    ("file", "body", "reason"),
    [
        (
            "try:\n    import subprocess\nexcept ImportError:\n    subprocess = None\n",
            "subprocess.run(x)",
            "denied-import",
        ),
        ("try:\n    from . import fast\nexcept ImportError:\n    fast = None\n", "fast.run(x)", "needs-its-package"),
        ("def helper(x):\n    import os\n    return os.getcwd() + x\n", "helper(x)", "denied-import"),
        ("DATA = '" + "a b " * 100 + "'\n", "DATA + x", "long-line"),
        ("def helper(x):\n    return x  # TODO: more\n", "helper(x)", "unfinished"),
    ],
)
def test_rules_hold_for_what_goes_with_a_function(file: str, body: str, reason: str) -> None:
    assert outcomes(f"{file}\n{GOOD.replace('x / 2', body)}", "a.py") == [reason]


def test_functions_set_off_by_broken_code_are_not_taken_for_others() -> None:
    code = (
        'class A:\n    x = 1\n<<<<<<< HEAD\n\n    def first(self, x):\n        """Return it."""\n        return x\n\n\n'
        + GOOD
    )
    assert outcomes(code, "a.py") == ["kept", "file-syntax-error"]


def test_helpers_bring_their_imports_before_the_rules() -> None:
    code = "import sys\n\ndef helper(x):\n    return sys.getsizeof(x)\n\n" + GOOD.replace("x / 2", "helper(x)")
    assert outcomes(code, "a.py") == ["denied-import"]


def test_methods_and_classes_come_with_what_they_use() -> None:
    code = '''
class Counter(dict):
    """Counts things."""

    step = 1

    def __init__(self, start):
        self.start = start

    def unrelated(self):
        return 0

    def _next(self, x):
        return x + self.step

    def count(self, x):
        """Return the next number after x."""
        return self._next(x) + self.start
'''
    document = Document("a.py", code, path="a.py", license="MIT")
    found = list(mine_document(document, MineSettings(kinds=frozenset({"method", "class"}))))
    assert not any(isinstance(one, Reject) for one in found)
    whole, method = (getattr(one, "seed", "") for one in found)
    assert whole.strip() == code.strip()
    assert "def unrelated" not in method and method.startswith("class Counter(dict):\n    step = 1")
    assert [part in method for part in ("__init__", "_next", "count")] == [True] * 3
    scope: dict[str, type] = {}
    exec(method, scope)  # noqa: S102 - written above
    assert scope["Counter"](5).count(1) == 7
