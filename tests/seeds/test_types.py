from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from snipmill.seeds.types import check_types

GOOD = "import numpy as np\n\ndef f(x: int) -> int:\n    return np.anything(x)\n"
CODES = [
    GOOD,
    "def f(x: int) -> int:\n    return 'a'\n",
    "def f(x):\n    return y\n",
    "from os import nothing_like_it\n",
    "def f(:\n",
    "def f(x):\n    if x:\n        y = 1\n    return y\n",
    "def f(x):\n    return '\ud800'\n",
]


def reasons(codes: list[str], timeout: float = 60.0) -> list[str | None]:
    return [None if fault is None else fault.reason for fault in check_types(codes, timeout)]


def test_each_file_is_judged_alone() -> None:
    expected = [None, "type-error", "undefined-name", "type-error", "type-error", None, None]
    assert reasons(CODES) == expected
    assert reasons(CODES[::-1]) == expected[::-1]
    assert [reasons([code])[0] for code in CODES] == expected
    assert reasons([]) == []


def test_a_file_that_takes_too_long_is_found_and_alone_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # Every value of one list is looked up in the next: types grow with every line; the checker would take more than a minute.
    slow = "x0 = [0]\n" + "".join(f"x{n} = [{', '.join(f'x{m}' for m in range(n))}]\n" for n in range(1, 400))
    assert reasons([GOOD, slow, GOOD], timeout=3.0) == [None, "types-not-checked", None]
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in _read(path)]
    assert not left


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
