"""Type checking: seeds with undefined names or type errors are dropped. No code is run.

The checker is Pyrefly, an optional extra. One process checks a batch, each seed as a separate file, against the
standard library's types only. Installed packages do not affect the verdict, and values from unknown packages may have
any type. Pyrefly was chosen among four checkers for its speed and its agreement with Pyright (docs/seeds.md).
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
from snipmill.reasons import Reason

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


NOT_CHECKED = Reason.TYPES_NOT_CHECKED


class TypeFault(msgspec.Struct, frozen=True):
    """Why a seed is dropped: the reason `undefined-name`, `type-error` or `types-not-checked`, and a message."""

    reason: Reason
    detail: str


@cache
def _program() -> str:
    from pyrefly.__main__ import get_pyrefly_bin

    return str(get_pyrefly_bin())


def require_checker() -> None:
    """Check that the type checker is installed.

    Raises:
        UsageError: the extra is not installed.
    """
    if importlib.util.find_spec("pyrefly") is None:
        raise UsageError(
            "Type checking needs an extra: run `pip install 'snipmill[seeds]'`, or disable it with --no-types."
        )


def check_types(codes: Sequence[str], timeout: float = TIMEOUT) -> list[TypeFault | None]:
    """The first error of each seed, or None. If the checker fails, bisection finds the file at fault and drops only it.

    Args:
        codes: Python sources, each checked as a separate module.
        timeout: seconds for one run of the checker; a longer run counts as failed.
    """
    if not codes:
        return []
    try:
        errors = _run(codes, timeout)
    except OSError as error:
        raise StoreError(
            f"Files for the type checker cannot be written: {error.strerror}. Set TMPDIR to another folder."
        ) from error
    if errors is not None:
        return [_fault(errors.get(number)) for number in range(len(codes))]
    if len(codes) == 1:
        return [TypeFault(NOT_CHECKED, "the type checker fails or times out.")]
    middle = len(codes) // 2
    return check_types(codes[:middle], timeout) + check_types(codes[middle:], timeout)


def _fault(error: _Error | None) -> TypeFault | None:
    if error is None:
        return None
    reason = Reason.UNDEFINED_NAME if error.name in _UNDEFINED else Reason.TYPE_ERROR
    return TypeFault(reason, f"line {error.line}: {error.concise_description} [{error.name}]")


def _run(codes: Sequence[str], timeout: float) -> dict[int, _Error] | None:
    """The first error of each file, by file number; None if the checker fails."""
    with tempfile.TemporaryDirectory(prefix="snipmill-types-") as name:
        folder = Path(name)
        (folder / "pyrefly.toml").write_text(_CONFIG, encoding="utf-8")
        for number, code in enumerate(codes):
            (folder / f"seed{number}.py").write_text(code, encoding="utf-8", errors="replace")
        # Run the binary itself: `python -m pyrefly` starts it as a child process, which the timeout would not stop.
        command = [_program(), "check", "--output-format", "json", "--threads", "1"]
        try:
            done = subprocess.run(
                [*command, "--config", str(folder / "pyrefly.toml")],
                cwd=folder,
                env={"HOME": name},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # keep Ctrl-C from the checker: an interrupted run looks like a failed one
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
