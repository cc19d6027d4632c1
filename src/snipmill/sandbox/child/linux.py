"""The Linux system calls for isolation, through ctypes: namespaces, mounts, capabilities, Landlock.

Each function raises OSError with the call's name, so that a probe can report which step a machine refuses. Does not
decide which calls are made (`isolation`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
from collections.abc import Callable, Sequence

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38

# Numbers that are the same on all architectures with the generic table, x86-64 included.
_SYS_MOUNT_SETATTR = 442
_SYS_LANDLOCK = (444, 445, 446)
_SYS_PIDFD_SEND_SIGNAL = 424
_SYS_BY_MACHINE = {
    "x86_64": {"pivot_root": 155, "capset": 126, "seccomp": 317, "prctl": 157},
    "aarch64": {"pivot_root": 41, "capset": 91, "seccomp": 277, "prctl": 167},
}
_MACHINE = os.uname().machine.lower()
MACHINE = {"arm64": "aarch64", "amd64": "x86_64"}.get(_MACHINE, _MACHINE)


def _check(name: str, result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


_Argument = int | bytes | ctypes.Array[ctypes.c_char] | None


def _syscall(name: str, number: int, *args: _Argument) -> int:
    return _prepared(name, number, *args)()


def _prepared(name: str, number: int, *args: _Argument) -> Callable[[], int]:
    """A system call with its arguments already converted, because a program's process should touch little memory."""
    converted = (ctypes.c_long(number), *(ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args))
    call = _libc.syscall
    return lambda: _check(name, call(*converted))


def syscall_number(name: str) -> int:
    """The number of a system call on this machine; raises OSError if the architecture is unknown."""
    try:
        return _SYS_BY_MACHINE[MACHINE][name]
    except KeyError:
        raise OSError(f"{name}: no system call table for {MACHINE}") from None


def unshare(flags: int) -> None:
    """Enter new namespaces."""
    _check("unshare", _libc.unshare(flags))


def setns(descriptor: int, kind: int) -> None:
    """Enter the namespace behind a descriptor."""
    _check("setns", _libc.setns(descriptor, kind))


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Call mount(2)."""

    def encode(text: str | None) -> bytes | None:
        return None if text is None else os.fsencode(text)

    result = _libc.mount(encode(source), encode(target), encode(kind), ctypes.c_ulong(flags), encode(data))
    _check(f"mount {target}", result)


def unmount(target: str) -> None:
    """Detach a mount, even if it is busy."""
    _check(f"umount {target}", _libc.umount2(os.fsencode(target), MNT_DETACH))


def make_read_only(target: str, *, recursive: bool) -> None:
    """Make a mount, and with `recursive` all mounts below it, read-only, nosuid and nodev (Linux 5.12)."""
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd. MOUNT_ATTR_RDONLY | NOSUID | NODEV.
    attributes = struct.pack("QQQQ", 1 | 2 | 4, 0, 0, 0)
    flags, at_fdcwd = 0x8000 if recursive else 0, -100
    _syscall("mount_setattr", _SYS_MOUNT_SETATTR, at_fdcwd, os.fsencode(target), flags, attributes, len(attributes))


def pivot_root(new_root: str) -> None:
    """Make a mount the root of this mount namespace and detach the old root."""
    os.chdir(new_root)
    _syscall("pivot_root", syscall_number("pivot_root"), b".", b".")
    unmount(".")
    os.chdir("/")


def prctl(option: int, value: int = 0) -> None:
    """Set an attribute of this process."""
    _check("prctl", _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def no_new_privileges() -> None:
    """Prevent programs that are executed from now on from gaining privileges; all children inherit this."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def dropping_capabilities() -> Callable[[], object]:
    """Return a function that drops all capabilities, irrevocably."""
    header = struct.pack("Ii", 0x20080522, 0)
    return _prepared("capset", syscall_number("capset"), header, bytes(24))


def set_hostname(name: str) -> None:
    """Set the name of the machine in this uts namespace."""
    _check("sethostname", _libc.sethostname(name.encode(), len(name)))


def dying_with_parent() -> Callable[[], object]:
    """Return a function that lets the kernel kill the calling process when its parent ends."""
    return _prepared("prctl", syscall_number("prctl"), PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def bring_loopback_up() -> None:
    """Enable the loopback interface of this network namespace."""
    import fcntl

    handle = _check("socket", _libc.socket(2, 2, 0))  # AF_INET, SOCK_DGRAM
    try:
        request = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(handle, 0x8914, request)  # SIOCSIFFLAGS
    finally:
        os.close(handle)


# Landlock (kernel documentation, userspace-api/landlock.rst) ------------------------------------------------------------

_FS_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read file, read directory
_FS_LIST = 1 << 3
_FS_BITS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NET_TCP = 0b11  # bind and connect, from ABI 4
_SCOPES = 0b11  # abstract sockets and signals, from ABI 6


def landlock_abi() -> int:
    """The kernel's Landlock ABI version, 0 if it has no Landlock."""
    try:
        return _syscall("landlock", _SYS_LANDLOCK[0], None, 0, 1)
    except OSError:
        return 0


def landlock_ruleset(
    readable: Sequence[str], writable: Sequence[str], block_tcp: bool, listable: Sequence[str] = ()
) -> int:
    """A descriptor of the rules: read and execute in `readable`, everything in `writable`, lists of folders in `listable`."""
    abi = landlock_abi()
    if abi == 0:
        raise OSError("landlock: not supported by this kernel")
    all_fs = (1 << _FS_BITS_BY_ABI.get(abi, 16)) - 1
    net = _NET_TCP if abi >= 4 and block_tcp else 0
    attributes = struct.pack("QQQ", all_fs, net, _SCOPES if abi >= 6 else 0)[
        : 24 if abi >= 6 else 16 if abi >= 4 else 8
    ]
    ruleset = _syscall("landlock_create_ruleset", _SYS_LANDLOCK[0], attributes, len(attributes), 0)
    for paths, access in ((readable, _FS_READ), (writable, all_fs), (listable, _FS_LIST)):
        for path in paths:
            _landlock_allow(ruleset, path, access)
    return ruleset


def _landlock_allow(ruleset: int, path: str, access: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            access &= 1 << 0 | 1 << 1 | 1 << 2 | (1 << 14 if landlock_abi() >= 3 else 0)
        _syscall("landlock_add_rule", _SYS_LANDLOCK[1], ruleset, 1, struct.pack("=Qi", access, handle), 0)
    finally:
        os.close(handle)


def landlock_restricting(ruleset: int) -> Callable[[], object]:
    """Return a function that applies the rules to the calling process and all its children, irrevocably.

    The process must have called `no_new_privileges`.
    """
    return _prepared("landlock_restrict_self", _SYS_LANDLOCK[2], ruleset, 0)


def kill_pidfd(pidfd: int, signal: int) -> None:
    """Send a signal to the process behind a pidfd; does nothing if it has ended."""
    with contextlib.suppress(ProcessLookupError):
        _syscall("pidfd_send_signal", _SYS_PIDFD_SEND_SIGNAL, pidfd, signal, None, 0)
