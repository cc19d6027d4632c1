"""The box: what each zygote has for its programs alone. In the tier `namespaces`, it is a private file system.

A program finds it empty; what the program leaves in it is gone before the next one runs.
"""

from __future__ import annotations

import contextlib
import os

from snipmill.sandbox.child import linux
from snipmill.sandbox.child.limits import Limits
from snipmill.sandbox.child.new_root import BOX, DEVICES, HOME, OWN_FOLDERS, SYSTEM_FILES, folders_above, uncover
from snipmill.sandbox.child.walls import Walls, step

WORK = f"{BOX}/work"
_OF_THE_MACHINE = ("cpuinfo", "meminfo")
FOLDERS = (WORK, *(f"{BOX}/{name}" for name in OWN_FOLDERS.values()))


def enter_box(walls: Walls, limits: Limits) -> None:
    """Set up what each zygote has for itself.

    Raises:
        StepFailed: this machine refuses a step.
    """
    if walls.tier in ("uid", "landlock") and walls.allow_fork:
        # Processes that a program leaves behind become children of the zygote, which finds, kills and reaps them.
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    if not walls.private_box:
        return
    with step("private tmpfs"):
        linux.unshare(linux.CLONE_NEWNS)
        _mount_box(walls, limits)
    if linux.landlock_abi() > 0:
        with step("landlock"):
            walls.landlock = ruleset(walls)


def leave_box(walls: Walls) -> None:
    """Forget the box of another zygote, from which this one was forked."""
    if walls.private_box:
        os.chdir("/")
        linux.unshare(linux.CLONE_NEWNS)
        _unmount_box()
        if walls.landlock is not None:
            os.close(walls.landlock)
            walls.landlock = None


def clean_box(walls: Walls, limits: Limits) -> bool:
    """Empty the box, whatever a program left in it. Returns whether there was anything to do."""
    if not is_box_touched(walls):
        return False
    _unmount_box()
    _mount_box(walls, limits)
    if walls.landlock is not None:  # its rules name the unmounted file system
        os.close(walls.landlock)
        walls.landlock = ruleset(walls)
    return True


def is_box_touched(walls: Walls) -> bool:
    """Whether anything in the box has changed."""
    return _look_of_box(walls) != walls.empty_box


def _mount_box(walls: Walls, limits: Limits) -> None:
    options = f"size={limits.disk},nr_inodes=20000,mode=755"
    linux.mount("tmpfs", BOX, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)
    for folder in FOLDERS:
        os.mkdir(folder, 0o700)
    for target, name in OWN_FOLDERS.items():
        if target != HOME:
            os.chmod(f"{BOX}/{name}", 0o1777)
        linux.mount(f"{BOX}/{name}", target, None, linux.MS_BIND)
    uncover(walls.covered)
    walls.box_places = (BOX, *FOLDERS, *folders_above(walls.covered))
    walls.empty_box = _look_of_box(walls)


def _unmount_box() -> None:
    for target in OWN_FOLDERS:
        linux.unmount(target)
    linux.unmount(BOX)


def _look_of_box(walls: Walls) -> tuple[object, ...]:
    """A fingerprint that any change in the box alters.

    It consists of the inodes, modes, owners, sizes and change times of the box's folders.
    """
    try:
        return tuple(
            (found.st_ino, found.st_mode, found.st_uid, found.st_size, found.st_ctime_ns)
            for found in map(os.stat, walls.box_places)
        )
    except OSError:
        return ()


def ruleset(walls: Walls, more: tuple[str, ...] = ()) -> int:
    """A descriptor of the Landlock rules of a tier.

    Args:
        walls: of the slot.
        more: further paths that may be read where there is no private root.
    """
    if walls.private_box:
        readable = [*walls.readable, "/etc", "/proc"]
        return linux.landlock_ruleset(readable, [BOX, "/dev", *OWN_FOLDERS], block_tcp=False, listable=["/"])
    devices = [f"/dev/{name}" for name in DEVICES]
    readable = [*walls.readable, "/etc/passwd", "/etc/localtime", *SYSTEM_FILES, *more]
    return linux.landlock_ruleset(readable, [walls.work, *devices], block_tcp=True)


def mount_small_proc() -> None:
    """Replace /proc by what it says of the machine, without its processes: packages read this when they are imported."""
    told = {}
    for name in _OF_THE_MACHINE:
        with contextlib.suppress(OSError), open(f"/proc/{name}", "rb") as file:
            told[name] = file.read()
    linux.mount("tmpfs", "/proc", "tmpfs", linux.MS_NOSUID, "size=8m,mode=755")
    for name, content in told.items():
        with open(f"/proc/{name}", "wb") as file:
            file.write(content)
    linux.make_read_only("/proc", recursive=False)


def show_own_proc(walls: Walls) -> None:
    """Mount the /proc of this process's own pid namespace, and allow it in Landlock."""
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    if walls.landlock is not None:
        walls.landlock = ruleset(walls)


def hide_proc() -> None:
    """Unmount a program's /proc, because the next program must not see it."""
    with contextlib.suppress(OSError):  # the program may have died before it was mounted
        if os.path.exists("/proc/version"):
            linux.unmount("/proc")
