"""Finds the host paths that this Python needs, so that a sandbox can expose these and nothing else."""

from __future__ import annotations

import os
import sys

_SYSTEM = (
    *("/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/usr/share", "/etc/ld.so.cache"),
    *("/bin", "/usr/bin"),  # the shell and small commands
)


def readable_paths(home: str) -> tuple[str, ...]:
    """The host paths that a sandbox exposes read-only, parents first: this Python, its packages, the C library, and the
    system's commands.

    Args:
        home: the user's home folder; neither it nor a folder above it is ever exposed as a whole, even if an
            installation lists it.
    """
    wanted = {*sys.path, os.path.realpath(sys.executable)}
    for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix):
        wanted.update(f"{prefix}/{name}" for name in ("bin", "lib", "lib64", "pyvenv.cfg"))
    home = f"{_real(home)}/"
    # Exclude the home folder and all folders above it, even under another name (a symbolic link).
    allowed = {path for path in wanted if path.startswith("/") and not home.startswith(f"{_real(path)}/")}
    covered: list[str] = []
    for path in sorted(allowed.union(_SYSTEM)):
        shown = any(path.startswith(f"{other}/") and not os.path.islink(other) for other in covered)
        if os.path.lexists(path) and not shown:
            covered.append(path)
    return tuple(covered)


def _real(path: str) -> str:
    return os.path.realpath(path).rstrip("/")
