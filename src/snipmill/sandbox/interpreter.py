"""Which paths of the host a Python interpreter needs, so that a sandbox can show these and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from snipmill.errors import UsageError

_SYSTEM = ("/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")
_QUERY = """
import json, platform, sys, sysconfig
paths = sysconfig.get_paths()
print(json.dumps({
    "version": list(sys.version_info[:2]),
    "full_version": platform.python_version(),
    "prefixes": sorted({sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}),
    "paths": [paths[k] for k in ("stdlib", "platstdlib", "purelib", "platlib")] + sys.path[1:],
}))
"""


@cache
def _facts(interpreter: str) -> dict[str, Any]:
    try:
        done = subprocess.run([interpreter, "-I", "-c", _QUERY], capture_output=True, text=True, timeout=30, check=True)
        facts: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UsageError(
            f"The interpreter {interpreter!r} cannot be run: {error}. Give the path of a Python."
        ) from error
    if facts["version"] < [3, 11]:
        raise UsageError(
            f"The interpreter {interpreter!r} is Python {facts['version']}; the sandbox needs 3.11 or newer."
        )
    return facts


def interpreter_version(interpreter: str = sys.executable) -> str:
    """The version of a Python, as `3.11.7`.

    Raises:
        UsageError: as `readable_paths`.
    """
    return str(_facts(interpreter)["full_version"])


@cache
def readable_paths(interpreter: str = sys.executable) -> tuple[str, ...]:
    """Host paths that a sandbox shows read-only, parents before children.

    Raises:
        UsageError: the interpreter cannot be run, or is older than Python 3.11.
    """
    facts = _facts(interpreter)
    wanted: set[str] = {path for path in _SYSTEM if os.path.lexists(path)}
    for prefix in facts["prefixes"]:
        wanted.update(f"{prefix}/{name}" for name in ("bin", "lib", "lib64", "pyvenv.cfg"))
    wanted.update(path for path in facts["paths"] if path.startswith("/"))
    wanted.add(os.path.realpath(interpreter))
    existing = sorted(path for path in wanted if os.path.lexists(path) and not _is_home(path))
    covered: list[str] = []
    for path in existing:
        if not any(Path(path).is_relative_to(other) and not Path(other).is_symlink() for other in covered):
            covered.append(path)
    return tuple(covered)


def _is_home(path: str) -> bool:
    """A whole home folder or the root is never shown, whatever an installation names."""
    return path == "/" or Path(path) == Path.home()
