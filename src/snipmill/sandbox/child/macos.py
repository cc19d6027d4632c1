"""Isolation on macOS without installing anything: a Seatbelt profile that a process applies to itself, irrevocably.

Apple has deprecated `sandbox_init`, but every browser uses it, and command-line programs have no successor. It limits
files, network and processes, but not memory. Processes that a program creates share its process group, not a namespace.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

_ALWAYS_READABLE = ("/usr/lib", "/usr/share", "/System", "/private/var/db/timezone", "/private/var/db/dyld", "/dev")


def seatbelt_profile(readable: Sequence[str], work: str, allow_fork: bool) -> str:
    """Build the profile: programs may only read Python and the system's libraries, and write below `work`."""
    lines = [
        "(version 1)",
        "(deny default)",
        "(allow sysctl-read)",
        "(allow signal (target self))",
        "(allow file-read-metadata)",
        *(f"(allow file-read* (subpath {_quote(path)}))" for path in (*_ALWAYS_READABLE, *readable)),
        f"(allow file* (subpath {_quote(work)}))",
        '(allow file-write-data (literal "/dev/null"))',
    ]
    if allow_fork:
        lines.append("(allow process-fork)")
        lines += [f"(allow process-exec (subpath {_quote(path)}))" for path in readable]
    return "\n".join(lines) + "\n"


def _quote(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def apply_profile(profile: str) -> None:
    """Apply a profile to this process and all its children, irrevocably.

    Raises:
        OSError: this system has no Seatbelt, or refuses the profile.
    """
    try:
        sandbox_init = ctypes.CDLL(None).sandbox_init
    except AttributeError:
        raise OSError("sandbox_init: this system has no Seatbelt") from None
    message = ctypes.c_char_p()
    if sandbox_init(profile.encode(), ctypes.c_uint64(0), ctypes.byref(message)) != 0:
        raise OSError(f"sandbox_init: {(message.value or b'refused').decode('utf-8', 'replace')}")
