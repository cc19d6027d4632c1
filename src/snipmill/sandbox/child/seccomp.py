"""The system-call filter: refuses, with EPERM, calls that no Python program needs and that kernel exploits often use.

It is a deny-list on top of namespaces and dropped capabilities, not the only protection. `clone3` fails with ENOSYS, so
that the C library falls back to `clone`, whose flags a filter can read. Tier `namespaces` loads it once per slot, and
every program inherits it; the tiers `uid` and `landlock` load it in each program.
"""

from __future__ import annotations

import ctypes
import struct

from snipmill.sandbox.child import linux

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_LAST_KNOWN = 462
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10

# name: (x86-64, generic 64-bit table); None where the architecture has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, None),
    "move_mount": (429, 429),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
_CLONE = {"x86_64": 56, "aarch64": 220}
_FORKS = {"x86_64": (57, 58), "aarch64": ()}
_EXECS = {"x86_64": (59, 322), "aarch64": (221, 281)}
_UNSHARE = {"x86_64": 272, "aarch64": 97}
_MOUNT_CALLS = {"x86_64": (155, 165, 166, 308, 442), "aarch64": (41, 40, 39, 268, 442)}
_SOCKET = {"x86_64": 41, "aarch64": 198}
_IOCTL = {"x86_64": 16, "aarch64": 29}
_SIGNALS = {"x86_64": (62, 234, 129, 297), "aarch64": (129, 131, 138, 240)}  # kill, tgkill, rt_(tg)sigqueueinfo
_TKILL = {"x86_64": 200, "aarch64": 130}
_PRLIMIT = {"x86_64": 302, "aarch64": 261}
_PIDFD_SEND_SIGNAL = 424
# sched_setaffinity, sched_setscheduler, sched_setparam, sched_setattr
_SCHEDULING = {"x86_64": (203, 144, 142, 314), "aarch64": (122, 119, 118, 274)}
_SETPRIORITY = {"x86_64": 141, "aarch64": 140}
_PRIO_PROCESS = 0
# shmget, semget, msgget, mq_open: their objects outlive a program.
_SHARED_IPC = {"x86_64": (29, 64, 68, 240), "aarch64": (194, 190, 186, 180)}
_CLONE3 = 435
_TIOCSTI = 0x5412
_CLONE_THREAD = 0x00010000


def build_filter(
    *,
    allow_mounts: bool,
    allow_fork: bool = True,
    allow_inet: bool = True,
    only_signal: int | None = None,
    machine: str = linux.MACHINE,
) -> bytes:
    """Build the filter's BPF program.

    Args:
        allow_mounts: whether mount, unshare and setns stay allowed, because the zygote of a namespace slot needs them;
            its programs lack the capabilities for them. New user namespaces are refused in any case.
        allow_fork: whether a program may create processes (threads are always allowed) and execute other programs.
        allow_inet: whether sockets of the internet families can be created; they do no harm if the network is private.
        only_signal: the only process that may be signalled, limited or scheduled, if there is no pid namespace; None for all.
        machine: the architecture to build for.
    """
    column = 0 if machine == "x86_64" else 1
    code: list[tuple[int, int, int, int]] = []

    def load(offset: int) -> None:
        code.append((_LD | 0x0, 0, 0, offset))

    def refuse_if(number: int, errno: int = _EPERM) -> None:
        code.append((_JEQ, 0, 1, number))
        code.append((_RET, 0, 0, _ERRNO | errno))

    load(4)
    code.append((_JEQ, 1, 0, _ARCHITECTURES[machine]))
    code.append((_RET, 0, 0, _KILL))
    load(0)
    code.append((_JGE, 0, 1, _X32_BIT))
    code.append((_RET, 0, 0, _ERRNO | _ENOSYS))
    code.append((_JGE, 0, 1, _LAST_KNOWN + 1))
    code.append((_RET, 0, 0, _ERRNO | _ENOSYS))
    refuse_if(_CLONE3, _ENOSYS)
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            refuse_if(number)
    if not allow_mounts:
        for number in (*_MOUNT_CALLS[machine], _UNSHARE[machine]):
            refuse_if(number)
    if not allow_fork:
        for number in (*_FORKS[machine], *_EXECS[machine]):
            refuse_if(number)
    _refuse_flag(code, _CLONE[machine], linux.CLONE_NEWUSER)
    _refuse_flag(code, _UNSHARE[machine], linux.CLONE_NEWUSER)
    if not allow_fork:
        _require_flag(code, _CLONE[machine], _CLONE_THREAD)
    _refuse_value(code, _IOCTL[machine], argument=1, value=_TIOCSTI)
    families = (_AF_UNIX, _AF_INET, _AF_INET6) if allow_inet else (_AF_UNIX,)
    _allow_values(code, _SOCKET[machine], argument=0, values=families)
    for number in _SHARED_IPC[machine]:
        refuse_if(number)
    if only_signal is not None:
        for number in _SIGNALS[machine]:
            _allow_values(code, number, argument=0, values=(only_signal,))
        _allow_values(code, _PRLIMIT[machine], argument=0, values=(0, only_signal))
        for number in (_PIDFD_SEND_SIGNAL, _TKILL[machine]):
            refuse_if(number)
        for number in _SCHEDULING[machine]:
            _allow_values(code, number, argument=0, values=(0, only_signal))
        for argument, values in ((0, (_PRIO_PROCESS,)), (1, (0, only_signal))):
            _allow_values(code, _SETPRIORITY[machine], argument=argument, values=values)
    code.append((_RET, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def _refuse_flag(code: list[tuple[int, int, int, int]], number: int, flag: int) -> None:
    """Refuse a call whose first argument has a flag. Reloads the call's number afterwards."""
    code += [(_JEQ, 0, 4, number), (_LD, 0, 0, 16), (_JSET, 0, 1, flag), (_RET, 0, 0, _ERRNO | _EPERM), (_LD, 0, 0, 0)]


def _require_flag(code: list[tuple[int, int, int, int]], number: int, flag: int) -> None:
    code += [(_JEQ, 0, 4, number), (_LD, 0, 0, 16), (_JSET, 1, 0, flag), (_RET, 0, 0, _ERRNO | _EPERM), (_LD, 0, 0, 0)]


def _refuse_value(code: list[tuple[int, int, int, int]], number: int, argument: int, value: int) -> None:
    offset = 16 + 8 * argument
    code += [
        (_JEQ, 0, 4, number),
        (_LD, 0, 0, offset),
        (_JEQ, 0, 1, value),
        (_RET, 0, 0, _ERRNO | _EPERM),
        (_LD, 0, 0, 0),
    ]


def _allow_values(code: list[tuple[int, int, int, int]], number: int, argument: int, values: tuple[int, ...]) -> None:
    code += [(_JEQ, 0, len(values) + 3, number), (_LD, 0, 0, 16 + 8 * argument)]
    for index, value in enumerate(values):
        code.append((_JEQ, len(values) - index, 0, value))
    code += [(_RET, 0, 0, _ERRNO | _EPERM), (_LD, 0, 0, 0)]


def load_filter(program: bytes) -> None:
    """Apply the filter to this process and all its children, irrevocably; sets no_new_privs."""
    linux.no_new_privileges()
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    linux._syscall("seccomp", linux.syscall_number("seccomp"), 1, 0, header)
