"""The Python that programs run in: where it is, and which one it is."""

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
    """The path of a Python that is named by a path or as on the command line, and its version, as `3.11.7`.

    Raises:
        UsageError: it cannot be run, or is older than Python 3.11.
    """
    if interpreter == sys.executable:  # nothing to be asked, and as old as snipmill needs it
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
            why = "it does not answer as a Python does"
        raise UsageError(f"The interpreter {interpreter!r} cannot be run: {why}. Give the path of a Python.") from error
    if is_old:
        raise UsageError(f"The interpreter {interpreter!r} is Python {version}; the sandbox needs 3.11 or newer.")
    return path, version
