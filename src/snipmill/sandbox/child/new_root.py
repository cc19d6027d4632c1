"""The private root file system of the tier `namespaces`: this Python, the system's commands and libraries, and little else."""

from __future__ import annotations

import os

from snipmill.sandbox.child import linux
from snipmill.sandbox.child.walls import step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NEW_ROOT = "/sys"  # exists everywhere and never holds Python; a private tmpfs is mounted over it
BOX = "/box"
USER, HOME, HOSTNAME = "sandbox", "/home/sandbox", "sandbox"
# Folders of a program's own, and where they lie in its box.
OWN_FOLDERS = {"/tmp": "tmp", "/var/tmp": "var-tmp", "/dev/shm": "shm", HOME: "home"}
DEVICES = ("null", "zero", "full", "random", "urandom")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
UNPRIVILEGED = 65534
_COPIES = "/shown"  # a second place of what lies in a folder that will be covered by a program's own
SYSTEM_FILES = (
    "/etc/alternatives",
    "/etc/services",
    "/etc/protocols",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/fonts",
)
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n"


def enter_new_root(readable: Sequence[str]) -> None:
    """Build the root file system and make it that of this process.

    Args:
        readable: host paths that are shown read-only at the same place.

    Raises:
        StepFailed: this machine refuses a step.
    """
    with step("private mounts"):
        linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    with step("new root"):
        linux.mount("tmpfs", NEW_ROOT, "tmpfs", linux.MS_NOSUID, "size=1m,mode=755")
        for name in (BOX, "/proc", "/dev", "/etc", _COPIES):
            os.mkdir(NEW_ROOT + name)
        for path in (*readable, *SYSTEM_FILES):
            _show(path, path)
        for device in DEVICES:
            target = f"{NEW_ROOT}/dev/{device}"
            _write(target)
            linux.mount(f"/dev/{device}", target, None, linux.MS_BIND)
        linux.mount("/proc", f"{NEW_ROOT}/proc", None, linux.MS_BIND | linux.MS_REC)
        for number, path in enumerate(covered(readable)):
            _show(path, f"{_COPIES}/{number}")
        for folder in OWN_FOLDERS:
            os.makedirs(NEW_ROOT + folder, exist_ok=True)
        uid = os.geteuid() or UNPRIVILEGED
        for name, target in _LINKS.items():
            os.symlink(target, f"{NEW_ROOT}/dev/{name}")
        _write(f"{NEW_ROOT}/etc/hosts", f"127.0.0.1 localhost {HOSTNAME}\n::1 localhost\n")
        _write(f"{NEW_ROOT}/etc/nsswitch.conf", _NSSWITCH)
        _write(f"{NEW_ROOT}/etc/passwd", f"root:x:0:0:root:/root:/bin/sh\n{USER}:x:{uid}:{uid}:{USER}:{HOME}:/bin/sh\n")
        _write(f"{NEW_ROOT}/etc/group", f"root:x:0:\n{USER}:x:{os.getegid() or UNPRIVILEGED}:\n")
    with step("read-only root"):
        linux.make_read_only(NEW_ROOT, recursive=False)
    with step("pivot_root"):
        linux.pivot_root(NEW_ROOT)


def shown(readable: Sequence[str]) -> list[str]:
    """The paths that are shown as they are; symbolic links are copied."""
    return [path for path in readable if not os.path.islink(path)]


def covered(readable: Sequence[str]) -> list[str]:
    """The paths that lie in a folder which every program has for itself, such as a Python below /tmp."""
    return [path for path in readable if any(path.startswith(f"{folder}/") for folder in OWN_FOLDERS)]


def folders_above(paths: Sequence[str]) -> list[str]:
    """The folders between a program's own and what lies in these besides, outermost first."""
    found: list[str] = []
    for path in paths:
        own = next(folder for folder in OWN_FOLDERS if path.startswith(f"{folder}/"))
        parts = path[len(own) + 1 :].split("/")[:-1]
        found += ["/".join((own, *parts[: end + 1])) for end in range(len(parts))]
    return list(dict.fromkeys(found))


def uncover(paths: Sequence[str]) -> None:
    """Show in a program's own folders what lies there besides: what `covered` says of the paths that were shown."""
    _bring_back(_COPIES, paths)


def _bring_back(copies: str, paths: Sequence[str]) -> None:
    """Show paths where they were, from a folder in which each has a copy by its number."""
    for number, path in enumerate(paths):
        copy = f"{copies}/{number}"
        if os.path.islink(copy):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(os.readlink(copy), path)
        elif os.path.lexists(copy):
            _make_place(copy, path)
            linux.mount(copy, path, None, linux.MS_BIND | linux.MS_REC)


def _show(path: str, place: str) -> None:
    """Bind-mount a host path read-only in the new root; symbolic links are copied."""
    target = NEW_ROOT + place
    if os.path.lexists(target) or not os.path.lexists(path):
        return
    if os.path.islink(path):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.readlink(path), target)
    elif os.path.exists(path):
        _make_place(path, target)
        linux.mount(path, target, None, linux.MS_BIND | linux.MS_REC)
        linux.make_read_only(target, recursive=True)


def _make_place(path: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        _write(target)


def _write(path: str, text: str = "") -> None:
    with open(path, "w") as file:
        file.write(text)


# Without a private root -------------------------------------------------------------------------------------------------


def open_closed_folders(readable: Sequence[str], uid: int) -> None:
    """Show another user the paths that lie in folders which only root can enter, such as a Python in root's home.

    Raises:
        StepFailed: such a path cannot be shown; the message says what to do.
    """
    closed = [path for path in readable if not _can_enter(path, uid)]
    if not closed:
        return
    folder = _closed_folder(closed[0], uid)
    advice = f"{folder} is closed to other users; run `chmod o+x {folder}`, or choose a Python elsewhere"
    with step(f"showing Python to another user ({advice})"):
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
        linux.mount("tmpfs", NEW_ROOT, "tmpfs", linux.MS_NOSUID, "size=1m,mode=755")
        for number, path in enumerate(closed):
            _show(path, f"/{number}")
        for folder in dict.fromkeys(_closed_folder(path, uid) for path in closed):
            linux.mount("tmpfs", folder, "tmpfs", linux.MS_NOSUID, "size=1m,mode=755")
        _bring_back(NEW_ROOT, closed)
        linux.unmount(NEW_ROOT)


def _can_enter(path: str, uid: int) -> bool:
    """Whether a user can get to a path and read it."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os._exit(0 if os.access(path, os.R_OK) or os.path.islink(path) else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def _closed_folder(path: str, uid: int) -> str:
    """The highest folder above a path that a user cannot enter."""
    parts = path.split("/")
    for end in range(2, len(parts)):
        folder = "/".join(parts[:end])
        if not _can_enter(f"{folder}/.", uid):
            return folder
    return os.path.dirname(path)
