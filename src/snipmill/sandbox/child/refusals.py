"""Notes what a program may not do in a tier that cannot isolate it: then a failure is not the fault of its code.

Without namespaces, a network, shared memory and a /tmp would be those of the host; in the tier `landlock`, so would processes.
Does not cover what refuses: `seccomp` and Landlock do.
"""

from __future__ import annotations

import os
import sys

from snipmill.sandbox.child.exceptions import FILENAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from snipmill.sandbox.child.walls import Walls

NO_PROCESSES = "it creates a process"
NO_NETWORK = "it uses the network"
NO_SHARED_MEMORY = "it shares memory or a lock between processes"
NO_FOLDER = "it writes to a folder that it would share with others"
NO_HOST = "it looks at what belongs to the host"
NO_SIGNALS = "it sends a signal to another process"
REFUSED_BY = "which the sandbox tier"
BY_A_PACKAGE = "by way of a package, "  # which may know how to do without
_PROCESSES = frozenset(
    ("os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.exec", "os.system", "pty.spawn", "subprocess.Popen")
)
_RESOLVING = frozenset(("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"))
_INTERNET = (2, 10)  # AF_INET and AF_INET6 of Linux
_CHANGING = frozenset(("os.mkdir", "os.rename", "os.link", "os.symlink"))
_LISTING = frozenset(("os.listdir", "os.scandir"))
_OF_THE_HOST = ("/proc", "/sys", "/dev/fd", "/dev/std", "/dev/pt", "/dev/tty", "/home", "/root")
_SHARED_FOLDERS = ("/tmp/", "/var/tmp/", "/dev/shm/")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def note_refusals(walls: Walls, source: str, tell: Callable[[str], None]) -> None:
    """From now on, tell what the tier refuses to this program, once each; the program cannot undo that.

    Args:
        walls: of the slot.
        source: the program.
        tell: called with what the program does.
    """
    if walls.tier not in ("uid", "landlock"):
        return
    told: set[str] = set()

    def note(what: str) -> None:
        if what and what not in told:
            told.add(what)
            tell(f"{what}, {REFUSED_BY} {walls.tier!r} refuses")

    if "multiprocessing" in source or "concurrent" in source:
        _watch_shared_memory(note)
    own = (f"{os.getcwd()}/", *walls.readable)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            note(_of_path(arguments[0], arguments[2] & _WRITING, own))
        elif event in _LISTING:
            note(_of_path("/proc/" if arguments[0] == "/" else arguments[0], 0, own))
        elif event in _CHANGING:
            note(_of_path(arguments[0], 1, own))
        elif event == "socket.bind":
            note(_of_path(arguments[1], 1, own))
        elif event in ("os.kill", "os.killpg"):
            note("" if arguments[0] in (0, os.getpid()) and event == "os.kill" else NO_SIGNALS)
        elif event in _PROCESSES:
            note("" if walls.allow_fork or _is_imported() else NO_PROCESSES)
        elif event in _RESOLVING or (event == "socket.__new__" and arguments[1] in _INTERNET):
            note("" if _is_imported() else NO_NETWORK)

    sys.addaudithook(hook)


def _of_path(path: object, writes: int, own: tuple[str, ...]) -> str:
    if not isinstance(path, str) or path.startswith(own):
        return ""
    what = (
        NO_HOST if path.startswith(_OF_THE_HOST) else NO_FOLDER if writes and path.startswith(_SHARED_FOLDERS) else ""
    )
    return what if not what or _is_asked_by_program() else f"{BY_A_PACKAGE}{what}"


def _is_asked_by_program() -> bool:
    """Whether the program itself opens a file, by way of Python's own modules or not."""
    frame = sys._getframe(3)
    while frame is not None and frame.f_code.co_filename != FILENAME:
        if "/site-packages/" in frame.f_code.co_filename:
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


def _is_imported() -> bool:
    """Whether a module does something while the program imports it, as many do only to see what works."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename != FILENAME:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _watch_shared_memory(note: Callable[[str], None]) -> None:
    """Notice where shared memory is refused: Python itself tells nobody."""
    try:
        import _multiprocessing  # type: ignore[import-not-found]
        import _posixshmem  # type: ignore[import-not-found]
    except ImportError:
        return
    original = _multiprocessing.SemLock

    class SemLock(original):  # type: ignore[misc,valid-type]
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            try:
                return original.__new__(cls, *args, **kwargs)
            except OSError:
                note(NO_SHARED_MEMORY)
                raise

    opening = _posixshmem.shm_open

    def shm_open(*args: Any, **kwargs: Any) -> Any:
        try:
            return opening(*args, **kwargs)
        except OSError:
            note(NO_SHARED_MEMORY)
            raise

    _multiprocessing.SemLock = SemLock
    _posixshmem.shm_open = shm_open
