"""Puts the fork server of a slot, and with it every program, behind the walls of its tier.

Tier `namespaces`: user, mount, pid, net, ipc and uts namespaces, a root of its own that shows nothing but Python, the
system-call filter, and Landlock on top where the kernel has it. Tier `uid`: root without user namespaces; programs run as
a user of the slot's own, under Landlock and a stricter filter. Tier `landlock`: an ordinary user without user namespaces;
programs run under Landlock and a filter that denies new processes, so that one kill is complete. Tier `seatbelt`: macOS.
Tier `none`: no walls at all, only by explicit wish.
"""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from snipmill.sandbox.child import linux, macos, seccomp

NEW_ROOT = "/sys"  # exists everywhere and never holds Python; a private tmpfs is mounted over it
BOX = "/box"
WORK, TEMPORARY = f"{BOX}/work", f"{BOX}/tmp"
_DEVICES = ("null", "zero", "full", "random", "urandom")
_UNPRIVILEGED = 65534
_WORK_MARK = "/snipmill-work-folder"
_FIRST_UID = 61_200  # beyond the ranges that distributions give to people and services, within any 16-bit map


@dataclass(frozen=True)
class Limits:
    """What one program may use: seconds of wall time, bytes of address space, of output and of files, and tasks."""

    timeout: float = 10.0
    memory: int = 1 << 30
    output: int = 1 << 20
    disk: int = 128 << 20
    tasks: int = 64


@dataclass
class Walls:
    """What a set-up slot knows about itself.

    `uid` is the user that programs become, where that is a wall; `claim` keeps it ours.
    """

    tier: str
    uid: int | None = None
    claim: socket.socket | None = None
    allow_fork: bool = True
    tasks_of_user: int = 0
    profile: str = ""
    landlock: int | None = None  # descriptor of the ruleset
    readable: tuple[str, ...] = ()
    own_proc: bool = False
    work: str = WORK
    private_box: bool = False


class StepFailed(Exception):
    """A step of the set-up was refused; the message names it."""


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Name the step in which an OSError arises."""
    try:
        yield
    except OSError as error:
        raise StepFailed(f"{name}: {error}") from error


def enter_namespaces(readable: Sequence[str], limits: Limits) -> Walls:
    """Enter the tier `namespaces`. Forks: only the new pid namespace's init returns, its parent waits for it.

    Raises:
        StepFailed: this machine refuses a step; nothing of the outside is changed.
    """
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    rest = linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    if os.geteuid() == 0:
        # Host uid 0 is exempt from RLIMIT_NPROC, so the user namespace must belong to another user; the root is built
        # before, because that user may not be allowed to look into the folder that holds Python.
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
    with step("private tmpfs"):
        mount_box(limits)
    with contextlib.suppress(OSError):  # a container may hide parts of /proc; then programs have none
        linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        walls.own_proc = True
    with step("empty /proc"):
        linux.mount("tmpfs", "/proc", "tmpfs", linux.MS_RDONLY | linux.MS_NOSUID, "size=4k,mode=555")
    with contextlib.suppress(OSError):
        linux.bring_loopback_up()
    with step("seccomp filter"):
        seccomp.load_filter(seccomp.build_filter(allow_mounts=True))
    if linux.landlock_abi() > 0:
        with step("landlock"):
            walls.landlock = _ruleset(walls)
    return walls


def _ruleset(walls: Walls) -> int:
    if walls.private_box:
        return linux.landlock_ruleset([*walls.readable, "/etc"], [BOX, "/dev"], block_tcp=False)
    devices = [f"/dev/{name}" for name in _DEVICES]
    return linux.landlock_ruleset(
        [*walls.readable, "/etc/passwd", "/etc/localtime"], [walls.work, *devices], block_tcp=True
    )


def enter_without_namespaces(tier: str, readable: Sequence[str], work: str, *, allow_fork: bool) -> Walls:
    """Enter the tier `uid` (as root) or `landlock` (as anyone). The walls themselves go up around each program.

    Raises:
        StepFailed: the kernel has no Landlock or no seccomp, or we are not root.
    """
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    walls = Walls(tier=tier, readable=tuple(readable), work=work, allow_fork=allow_fork)
    if allow_fork:
        # What a program leaves behind becomes our child, and is found, ended and reaped there.
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    if tier == "landlock" and allow_fork:
        walls.tasks_of_user = _count_tasks(os.geteuid())
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
    """A user id that no other slot on this machine has: the name of an abstract socket says that it is taken."""
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
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with step("mount, pid, net, ipc and uts namespaces"):
        linux.unshare(more)


def _become_init() -> None:
    """Fork into the new pid namespace; the parent only waits, and dies with its child and the other way round."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)


def _shown(readable: Sequence[str]) -> list[str]:
    return [path for path in readable if not Path(path).is_symlink()]


def _enter_new_root(readable: Sequence[str]) -> None:
    with step("private mounts"):
        linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    with step("new root"):
        linux.mount("tmpfs", NEW_ROOT, "tmpfs", linux.MS_NOSUID, "size=1m,mode=755")
        for name in (BOX, "/proc", "/dev", "/etc"):
            Path(NEW_ROOT + name).mkdir()
        for path in readable:
            _show(path)
        for device in _DEVICES:
            target = f"{NEW_ROOT}/dev/{device}"
            Path(target).touch()
            linux.mount(f"/dev/{device}", target, None, linux.MS_BIND)
        linux.mount("/proc", f"{NEW_ROOT}/proc", None, linux.MS_BIND | linux.MS_REC)
        if not os.path.lexists(f"{NEW_ROOT}/tmp"):  # Python itself may live below /tmp; TMPDIR names the box anyway
            os.symlink(TEMPORARY, f"{NEW_ROOT}/tmp")
        os.symlink(TEMPORARY, f"{NEW_ROOT}/dev/shm")
        uid = os.geteuid() or _UNPRIVILEGED
        Path(f"{NEW_ROOT}/etc/passwd").write_text(f"sandbox:x:{uid}:{uid}:sandbox:{TEMPORARY}:/bin/false\n")
    with step("read-only root"):
        linux.make_read_only(NEW_ROOT, recursive=False)
    with step("pivot_root"):
        linux.pivot_root(NEW_ROOT)


def _show(path: str) -> None:
    """Bind a path of the host read-only at the same place in the new root; symbolic links are copied."""
    target = Path(NEW_ROOT + path)
    if target.exists() or target.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = Path(path)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir()
    elif source.exists():
        target.touch()
    else:
        return
    linux.mount(path, str(target), None, linux.MS_BIND | linux.MS_REC)
    linux.make_read_only(str(target), recursive=True)


def show_own_proc(walls: Walls) -> None:
    """Mount the /proc of this process's own pid namespace, and let Landlock show it."""
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    if walls.landlock is not None:
        walls.landlock = linux.landlock_ruleset([*walls.readable, "/etc", "/proc"], [BOX, "/dev"], block_tcp=False)


def hide_proc() -> None:
    """Take the view of a program's processes away again: the next one must not see it."""
    with contextlib.suppress(OSError):  # the program may have died before it was mounted
        if os.path.exists("/proc/version"):
            linux.unmount("/proc")


def mount_box(limits: Limits) -> None:
    """A fresh, empty, private file system for one program."""
    linux.mount("tmpfs", BOX, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, f"size={limits.disk},nr_inodes=20000,mode=755")
    for folder in (WORK, TEMPORARY):
        Path(folder).mkdir(mode=0o700)


def clean_box(walls: Walls, limits: Limits) -> None:
    """Make the box empty again, whatever a program left in it."""
    if len(os.listdir(BOX)) == 2 and not any(os.listdir(folder) for folder in (WORK, TEMPORARY)):
        return
    linux.unmount(BOX)
    mount_box(limits)
    if walls.landlock is not None:  # its rules name the file system that is gone
        os.close(walls.landlock)
        walls.landlock = _ruleset(walls)


def confine_program(walls: Walls, limits: Limits, work: str) -> None:
    """The last walls, put up in the program's own process: limits, user, Landlock, no capabilities, filter."""
    tasks = limits.tasks + walls.tasks_of_user if walls.allow_fork and walls.tier != "none" else None
    set_limits(limits, tasks)
    if walls.uid is not None:
        os.setgroups([])
        os.setresgid(walls.uid, walls.uid, walls.uid)
        os.setresuid(walls.uid, walls.uid, walls.uid)
    if walls.landlock is not None:
        linux.landlock_restrict(walls.landlock)
    if walls.tier in ("namespaces", "uid", "landlock"):
        linux.drop_capabilities()
    if walls.tier == "seatbelt":
        macos.apply_profile(walls.profile.replace(_WORK_MARK, os.path.realpath(work)))
    if walls.tier in ("uid", "landlock"):
        seccomp.load_filter(
            seccomp.build_filter(
                allow_mounts=False, allow_inet=False, allow_fork=walls.allow_fork, only_signal=os.getpid()
            )
        )


def prepare_seatbelt(readable: Sequence[str], work: str, *, allow_fork: bool) -> Walls:
    """Prepare the tier `seatbelt` of macOS; the profile is applied in each program.

    Raises:
        StepFailed: this is no macOS.
    """
    with step("seatbelt"):
        if platform.system() != "Darwin":
            raise OSError("only macOS has it")
    profile = macos.seatbelt_profile(readable, _WORK_MARK, allow_fork)
    return Walls(tier="seatbelt", work=work, profile=profile, allow_fork=allow_fork)


def _count_tasks(uid: int) -> int:
    """How many processes and threads a user has: the base that a limit of tasks is counted from."""
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == uid:
                    count += len(os.listdir(f"/proc/{entry.name}/task"))
    return count


def end_leftovers(walls: Walls) -> None:
    """End what a program left running, where no pid namespace has ended it."""
    if walls.uid is not None:
        kill_user(walls.uid)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    elif walls.tier == "landlock" and walls.allow_fork:
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        while pids := [int(pid) for pid in children.read_text().split()]:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in pids:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def kill_user(uid: int) -> None:
    """End every process of a slot's own user."""
    helper = os.fork()
    if helper == 0:
        try:
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(helper, 0)


def remove_tree(path: str) -> None:
    """Remove a folder however deeply it is nested: folders inside it are moved to its top before they are emptied."""
    number = 0
    pending = [path]
    while pending:
        folder = pending.pop()
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
            for entry in list(os.scandir(folder)):
                if entry.is_dir(follow_symlinks=False):
                    number += 1
                    moved = f"{path}.{number}"
                    os.rename(entry.path, moved)
                    pending.append(moved)
                else:
                    os.unlink(entry.path)
            os.rmdir(folder)


def set_limits(limits: Limits, tasks: int | None) -> None:
    """Resource limits of one program and all its children.

    The kernel counts tasks by user. None sets no limit: where no process can be made, the stacks of threads count as
    memory, which is limited.
    """
    wanted = [
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CPU, int(limits.timeout) + 2),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits.disk),
        (resource.RLIMIT_NOFILE, 256),
    ]
    if tasks is not None:
        wanted.append((resource.RLIMIT_NPROC, tasks))
    for kind, value in wanted:
        _, hard = resource.getrlimit(kind)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))
