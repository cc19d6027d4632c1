"""Finds the Python that programs run in: its path and its version."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from functools import cache

from snipmill.errors import UsageError

_OLDEST = (3, 11)
_QUERY = "import platform, sys; print(platform.python_version(), *sys.version_info[:2], sep='\\n')"


@cache
def find_interpreter(interpreter: str) -> tuple[str, str]:
    """Return the path and the version (such as `3.11.7`) of a Python that is given as a path or as a command name.

    Raises:
        UsageError: the interpreter cannot be run, or is older than Python 3.11.
    """
    if interpreter == sys.executable:  # no need to run it; snipmill itself requires 3.11
        return interpreter, platform.python_version()
    path = os.path.abspath(shutil.which(interpreter) or interpreter)
    try:
        done = subprocess.run([path, "-I", "-c", _QUERY], capture_output=True, text=True, timeout=30, check=True)
        version, *release = done.stdout.splitlines()
        is_old = tuple(map(int, release)) < _OLDEST
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        why = str(error)
        if isinstance(error, subprocess.CalledProcessError):
            said = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
            why = said[-1 if said[0].startswith("Traceback") else 0].rstrip(".")
        elif isinstance(error, ValueError):
            why = "it does not behave like a Python interpreter"
        raise UsageError(f"The interpreter {interpreter!r} cannot be run: {why}. Give the path of a Python.") from error
    if is_old:
        raise UsageError(
            f"The interpreter {interpreter!r} is Python {version}; the sandbox needs 3.11 or newer. "
            "Give the path of a newer Python."
        )
    return path, version
