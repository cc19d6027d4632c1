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
from snipmill.sandbox.child.leftovers import count_tasks
from snipmill.sandbox.child.limits import Limits, limiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

NEW_ROOT = "/sys"  # exists everywhere and never holds Python; a private tmpfs is mounted over it
BOX = "/box"
WORK, TEMPORARY = f"{BOX}/work", f"{BOX}/tmp"
_DEVICES = ("null", "zero", "full", "random", "urandom")
_UNPRIVILEGED = 65534
_LINUX, _MACOS = sys.platform.startswith("linux"), sys.platform == "darwin"
_WORK_MARK = "/snipmill-work-folder"
_FIRST_UID = 61_200  # above the ranges that distributions give to users and services, within any 16-bit map


class Walls:
    """The isolation of a slot that has been set up.

    Attributes:
        tier: the tier's name.
        readable: host paths that programs see.
        work: the folder in which programs work, or in which their work folders are created.
        allow_fork: whether programs can create processes.
        private_box: whether the work folder is in a private file system of the slot.
        uid: the user that programs run as, if the tier changes it; `claim` reserves it for this slot.
        tasks_of_user: number of processes and threads that the user has besides the program.
        profile: the Seatbelt profile.
        landlock: descriptor of the ruleset.
        own_proc: whether a program can get a /proc of its own.
        empty_box: fingerprint of the box while it is untouched.
    """

    def __init__(
        self,
        tier: str,
        *,
        readable: tuple[str, ...] = (),
        work: str = WORK,
        allow_fork: bool = True,
        private_box: bool = False,
        profile: str = "",
    ) -> None:
        self.tier = tier
        self.readable = readable
        self.work = work
        self.allow_fork = allow_fork
        self.private_box = private_box
        self.profile = profile
        self.uid: int | None = None
        self.claim: socket.socket | None = None
        self.tasks_of_user = 0
        self.landlock: int | None = None
        self.own_proc = False
        self.empty_box: tuple[object, ...] = ()


class StepFailed(Exception):
    """A step of the set-up was refused; the message names it."""


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Turn an OSError into a `StepFailed` that names the step."""
    try:
        yield
    except OSError as error:
        raise StepFailed(f"{name}: {error}") from error


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
        _enter_new_root(readable)
        with step("giving up root"):
            os.setgroups([])
            os.setresgid(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)
            os.setresuid(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)
            linux.prctl(linux.PR_SET_DUMPABLE, 1)
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        _enter_user_namespace(rest | linux.CLONE_NEWNS)
    else:
        _enter_user_namespace(rest | linux.CLONE_NEWNS)
        _enter_new_root(readable)
    _become_init()
    walls = Walls(tier="namespaces", private_box=True, readable=tuple(_shown(readable)))
    with contextlib.suppress(OSError):  # a container may hide parts of /proc; then programs get no /proc
        linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        walls.own_proc = True
    with step("empty /proc"):
        linux.mount("tmpfs", "/proc", "tmpfs", linux.MS_RDONLY | linux.MS_NOSUID, "size=4k,mode=555")
    with contextlib.suppress(OSError):
        linux.bring_loopback_up()
    with step("seccomp filter"):
        seccomp.load_filter(seccomp.build_filter(allow_mounts=True))
    return walls


def enter_box(walls: Walls, limits: Limits) -> None:
    """Set up what each zygote has for itself: in the tier `namespaces`, a private file system and rules that name it.

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
        mount_box(walls, limits)
    if linux.landlock_abi() > 0:
        with step("landlock"):
            walls.landlock = _ruleset(walls)


def _ruleset(walls: Walls) -> int:
    if walls.private_box:
        return linux.landlock_ruleset([*walls.readable, "/etc"], [BOX, "/dev"], block_tcp=False)
    devices = [f"/dev/{name}" for name in _DEVICES]
    return linux.landlock_ruleset(
        [*walls.readable, "/etc/passwd", "/etc/localtime"], [walls.work, *devices], block_tcp=True
    )


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
    with step("landlock"):
        walls.landlock = _ruleset(walls)
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


def _shown(readable: Sequence[str]) -> list[str]:
    return [path for path in readable if not os.path.islink(path)]


def _enter_new_root(readable: Sequence[str]) -> None:
    with step("private mounts"):
        linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    with step("new root"):
        linux.mount("tmpfs", NEW_ROOT, "tmpfs", linux.MS_NOSUID, "size=1m,mode=755")
        for name in (BOX, "/proc", "/dev", "/etc"):
            os.mkdir(NEW_ROOT + name)
        for path in readable:
            _show(path)
        for device in _DEVICES:
            target = f"{NEW_ROOT}/dev/{device}"
            _write(target)
            linux.mount(f"/dev/{device}", target, None, linux.MS_BIND)
        linux.mount("/proc", f"{NEW_ROOT}/proc", None, linux.MS_BIND | linux.MS_REC)
        if not os.path.lexists(f"{NEW_ROOT}/tmp"):  # Python itself may live below /tmp; TMPDIR names the box anyway
            os.symlink(TEMPORARY, f"{NEW_ROOT}/tmp")
        os.symlink(TEMPORARY, f"{NEW_ROOT}/dev/shm")
        uid = os.geteuid() or _UNPRIVILEGED
        _write(f"{NEW_ROOT}/etc/hosts", "127.0.0.1 localhost\n")
        _write(f"{NEW_ROOT}/etc/passwd", f"sandbox:x:{uid}:{uid}:sandbox:{TEMPORARY}:/bin/false\n")
    with step("read-only root"):
        linux.make_read_only(NEW_ROOT, recursive=False)
    with step("pivot_root"):
        linux.pivot_root(NEW_ROOT)


def _show(path: str) -> None:
    """Bind-mount a host path read-only at the same place in the new root; symbolic links are copied."""
    target = NEW_ROOT + path
    if os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.mkdir(target)
    elif os.path.exists(path):
        _write(target)
    else:
        return
    linux.mount(path, target, None, linux.MS_BIND | linux.MS_REC)
    linux.make_read_only(target, recursive=True)


def show_own_proc(walls: Walls) -> None:
    """Mount the /proc of this process's own pid namespace, and allow it in Landlock."""
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    if walls.landlock is not None:
        walls.landlock = linux.landlock_ruleset([*walls.readable, "/etc", "/proc"], [BOX, "/dev"], block_tcp=False)


def hide_proc() -> None:
    """Unmount a program's /proc, because the next program must not see it."""
    with contextlib.suppress(OSError):  # the program may have died before it was mounted
        if os.path.exists("/proc/version"):
            linux.unmount("/proc")


def mount_box(walls: Walls, limits: Limits) -> None:
    """Mount a new, empty, private file system for one program."""
    linux.mount("tmpfs", BOX, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, f"size={limits.disk},nr_inodes=20000,mode=755")
    for folder in (WORK, TEMPORARY):
        os.mkdir(folder, 0o700)
    walls.empty_box = _look_of_box()


def _look_of_box() -> tuple[object, ...]:
    """A fingerprint that any change in the box alters.

    It consists of the inodes, modes, owners, sizes and change times of the box's three folders.
    """
    try:
        return tuple(
            (found.st_ino, found.st_mode, found.st_uid, found.st_size, found.st_ctime_ns)
            for found in map(os.stat, (BOX, WORK, TEMPORARY))
        )
    except OSError:
        return ()


def clean_box(walls: Walls, limits: Limits) -> bool:
    """Empty the box, whatever a program left in it. Returns whether there was anything to do."""
    if _look_of_box() == walls.empty_box:
        return False
    linux.unmount(BOX)
    mount_box(walls, limits)
    if walls.landlock is not None:  # its rules name the unmounted file system
        os.close(walls.landlock)
        walls.landlock = _ruleset(walls)
    return True


def last_walls(walls: Walls, limits: Limits) -> list[Callable[[], object]]:
    """Prepare the last isolation steps: limits, user, Landlock, no capabilities, filter.

    They are prepared here and applied, in this order, in the program's own process.
    """
    forks = walls.allow_fork and walls.tier != "none"
    steps = limiting(limits, limits.tasks + walls.tasks_of_user if forks else None)
    if walls.uid is not None:
        user = (walls.uid, walls.uid, walls.uid)
        steps += [partial(os.setgroups, []), partial(os.setresgid, *user), partial(os.setresuid, *user)]
    if walls.tier != "namespaces" and _LINUX:
        # Without a pid namespace, this kills a program when its zygote dies. It comes after the change of user,
        # which would reset it.
        steps.append(partial(linux.prctl, linux.PR_SET_PDEATHSIG, signal.SIGKILL))
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
