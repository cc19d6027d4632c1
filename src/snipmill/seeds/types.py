"""Names and types: seeds that a type checker finds errors in are dropped. It reads code and runs none. An extra.

Pyrefly checks them in one process for a batch, each as a file of its own, against nothing but the standard library's
types: what is installed here changes no verdict, and what an unknown package gives may be anything. It was chosen among
four by speed and by agreement with Pyright (docs/seeds.md).
"""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from snipmill.errors import StoreError, UsageError

PYTHON_VERSION = "3.13"
TIMEOUT = 60.0
_CONFIG = f"""
project-includes = ["*.py"]
search-path = []
site-package-path = []
skip-interpreter-query = true
disable-search-path-heuristics = true
python-version = "{PYTHON_VERSION}"
python-platform = "linux"
[errors]
missing-import = false
unbound-name = false
"""
_UNDEFINED = ("unknown-name",)


class _Error(msgspec.Struct):
    path: str
    line: int
    name: str
    concise_description: str = ""
    severity: str = "error"


class _Report(msgspec.Struct):
    errors: list[_Error]


NOT_CHECKED = "types-not-checked"


class TypeFault(msgspec.Struct, frozen=True):
    """Why a seed is dropped: `undefined-name`, `type-error` or `types-not-checked`, and a sentence."""

    reason: str
    detail: str


@cache
def _program() -> str:
    from pyrefly.__main__ import get_pyrefly_bin

    return str(get_pyrefly_bin())


def require_checker() -> None:
    """See that the type checker is there.

    Raises:
        UsageError: the extra is not installed.
    """
    if importlib.util.find_spec("pyrefly") is None:
        raise UsageError(
            "Seeds are type-checked: install `pip install 'snipmill[seeds]'`, or switch it off with --no-types."
        )


def check_types(codes: Sequence[str], timeout: float = TIMEOUT) -> list[TypeFault | None]:
    """The first fault of each seed, or None. A file that the checker fails on is found by halving, and is alone dropped.

    Args:
        codes: Python code, each a module of its own.
        timeout: seconds for one run of the checker; a run that takes longer has failed.
    """
    if not codes:
        return []
    try:
        errors = _run(codes, timeout)
    except OSError as error:
        raise StoreError(
            f"Files for the type checker cannot be written: {error.strerror}. TMPDIR names another place."
        ) from error
    if errors is not None:
        return [_fault(errors.get(number)) for number in range(len(codes))]
    if len(codes) == 1:
        return [TypeFault(NOT_CHECKED, "the type checker fails on it, or takes too long.")]
    middle = len(codes) // 2
    return check_types(codes[:middle], timeout) + check_types(codes[middle:], timeout)


def _fault(error: _Error | None) -> TypeFault | None:
    if error is None:
        return None
    reason = "undefined-name" if error.name in _UNDEFINED else "type-error"
    return TypeFault(reason, f"line {error.line}: {error.concise_description} [{error.name}]")


def _run(codes: Sequence[str], timeout: float) -> dict[int, _Error] | None:
    """The first error of each file by its number; None where the checker fails."""
    with tempfile.TemporaryDirectory(prefix="snipmill-types-") as name:
        folder = Path(name)
        (folder / "pyrefly.toml").write_text(_CONFIG, encoding="utf-8")
        for number, code in enumerate(codes):
            (folder / f"seed{number}.py").write_text(code, encoding="utf-8", errors="replace")
        # The program itself: the module would start it as a child, which a time limit does not reach.
        command = [_program(), "check", "--output-format", "json", "--threads", "1"]
        try:
            done = subprocess.run(
                [*command, "--config", str(folder / "pyrefly.toml")],
                cwd=folder,
                env={"HOME": name},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us: a checker that it ended would look like one that failed
                capture_output=True,
                timeout=timeout,
                check=False,
            )
            report = msgspec.json.decode(done.stdout, type=_Report)
        except (subprocess.TimeoutExpired, msgspec.DecodeError):
            return None
        if done.returncode not in (0, 1):
            return None
    found: dict[int, _Error] = {}
    for error in report.errors:
        if error.severity == "error":
            found.setdefault(int(Path(error.path).stem.removeprefix("seed")), error)
    return found
