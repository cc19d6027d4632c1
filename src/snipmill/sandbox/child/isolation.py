"""Isolates the server of a slot, its zygotes and every program, as its tier specifies.

Tier `namespaces`: user, mount, pid, net, ipc and uts namespaces, a private root file system that contains only Python,
the system-call filter, and Landlock in addition if the kernel has it. Tier `uid`: root without user namespaces;
programs run as a user reserved for the slot, under Landlock and a stricter filter. Tier `landlock`: an ordinary user
without user namespaces; programs run under Landlock and a filter that denies new processes, so that one kill ends the
whole program. Tier `seatbelt`: macOS. Tier `none`: no isolation at all, only on explicit request.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from functools import partial

from snipmill.sandbox.child import linux, macos, seccomp
from snipmill.sandbox.child.box import WORK, mount_small_proc, ruleset
from snipmill.sandbox.child.leftovers import count_tasks
from snipmill.sandbox.child.limits import Limits, limiting
from snipmill.sandbox.child.new_root import HOSTNAME, UNPRIVILEGED, covered, enter_new_root, open_closed_folders, shown
from snipmill.sandbox.child.walls import Walls, step

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

_LINUX, _MACOS = sys.platform.startswith("linux"), sys.platform == "darwin"
_WORK_MARK = "/snipmill-work-folder"
_FIRST_UID = 61_200  # above the ranges that distributions give to users and services, within any 16-bit map


def enter_namespaces(readable: Sequence[str]) -> Walls:
    """Enter the tier `namespaces`, except for the box of each zygote.

    Forks: only the init process of the new pid namespace returns; its parent waits for it.

    Raises:
        StepFailed: this machine refuses a step; nothing outside the slot is changed.
    """
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    rest = linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    if os.geteuid() == 0:
        # Host uid 0 is exempt from RLIMIT_NPROC, so the user namespace must belong to another user. The root is built
        # first, because that user may not have access to the folder that contains Python.
        with step("mount namespace"):
            linux.unshare(linux.CLONE_NEWNS)
        enter_new_root(readable)
        with step("giving up root"):
            os.setgroups([])
            os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
            os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
            linux.prctl(linux.PR_SET_DUMPABLE, 1)
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        _enter_user_namespace(rest | linux.CLONE_NEWNS)
    else:
        _enter_user_namespace(rest | linux.CLONE_NEWNS)
        enter_new_root(readable)
    _become_init()
    walls = Walls(
        tier="namespaces",
        work=WORK,
        private_box=True,
        readable=tuple(shown(readable)),
        covered=tuple(covered(readable)),
    )
    with contextlib.suppress(OSError):  # a container may hide parts of /proc; then programs get no /proc
        linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        walls.own_proc = True
    with step("/proc without processes"):
        mount_small_proc()
    with contextlib.suppress(OSError):
        linux.set_hostname(HOSTNAME)
    with contextlib.suppress(OSError):
        linux.bring_loopback_up()
    with step("seccomp filter"):
        seccomp.load_filter(seccomp.build_filter(allow_mounts=True))
    return walls


def enter_without_namespaces(tier: str, readable: Sequence[str], work: str, *, allow_fork: bool) -> Walls:
    """Enter the tier `uid` (as root) or `landlock` (as any user). The isolation itself is applied in each program.

    Raises:
        StepFailed: the kernel has no Landlock or no seccomp, or we are not root.
    """
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    walls = Walls(tier=tier, readable=tuple(readable), work=work, allow_fork=allow_fork)
    if tier == "landlock" and allow_fork:
        walls.tasks_of_user = count_tasks(os.geteuid())
    if tier == "uid":
        with step("becoming another user"):
            if os.geteuid() != 0:
                raise OSError("only root can")
            walls.uid, walls.claim = _claim_uid()
            os.chmod(work, 0o711)
        open_closed_folders(readable, walls.uid)
    with step("landlock"):
        walls.landlock = ruleset(walls)
    with step("seccomp filter"):
        linux.syscall_number("seccomp")
    return walls


def _claim_uid() -> tuple[int, socket.socket]:
    """Reserve a user id that no other slot on this machine has; an abstract socket's name marks it as taken."""
    import socket

    for uid in range(_FIRST_UID, _FIRST_UID + 1000):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0snipmill-uid-{uid}")
        except OSError:
            claim.close()
            continue
        return uid, claim
    raise OSError("a thousand slots are running already")


def _enter_user_namespace(more: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    with step("user namespace"):
        linux.unshare(linux.CLONE_NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    with step("mount, pid, net, ipc and uts namespaces"):
        linux.unshare(more)


def _become_init() -> None:
    """Fork into the new pid namespace. The parent only waits; if either process ends, so does the other."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)


def _write(path: str, text: str = "") -> None:
    with open(path, "w") as file:
        file.write(text)


def last_walls(walls: Walls, limits: Limits) -> list[Callable[[], object]]:
    """Prepare the last isolation steps: limits, user, Landlock, no capabilities, filter.

    They are prepared here and applied, in this order, in the program's own process.
    """
    forks = walls.allow_fork and walls.tier != "none"
    steps = limiting(limits, limits.tasks + walls.tasks_of_user if forks else None)
    if walls.uid is not None:
        user = (walls.uid, walls.uid, walls.uid)
        steps += [partial(os.setgroups, []), partial(os.setresgid, *user), partial(os.setresuid, *user)]
    if _LINUX:
        # This kills a program when its zygote dies. It comes after the change of user, which would reset it.
        steps.append(linux.dying_with_parent())
    if walls.landlock is not None:
        steps.append(linux.landlock_restricting(walls.landlock))
    if walls.tier in ("namespaces", "uid", "landlock"):
        steps.append(linux.dropping_capabilities())
    if walls.tier == "seatbelt":
        steps.append(lambda: macos.apply_profile(walls.profile.replace(_WORK_MARK, os.path.realpath("."))))
    if walls.tier in ("uid", "landlock"):
        steps.append(lambda: _filter_for_this_process(walls))
    return steps


def _filter_for_this_process(walls: Walls) -> None:
    seccomp.load_filter(
        seccomp.build_filter(allow_mounts=False, allow_inet=False, allow_fork=walls.allow_fork, only_signal=os.getpid())
    )


def wall_importer(walls: Walls) -> None:
    """Wall in a zygote that is about to import packages, where nothing else does: it keeps little but the right to fork."""
    if walls.tier in ("uid", "landlock"):
        linux.landlock_restricting(ruleset(walls, ("/proc",)))()
        seccomp.load_filter(seccomp.build_filter(allow_mounts=False, allow_inet=False))


def prepare_seatbelt(readable: Sequence[str], work: str, *, allow_fork: bool) -> Walls:
    """Prepare the tier `seatbelt` of macOS; the profile is applied in each program.

    Raises:
        StepFailed: this is not macOS.
    """
    with step("seatbelt"):
        if not _MACOS:
            raise OSError("only macOS has it")
    profile = macos.seatbelt_profile(readable, _WORK_MARK, allow_fork)
    return Walls(tier="seatbelt", work=work, profile=profile, allow_fork=allow_fork)
