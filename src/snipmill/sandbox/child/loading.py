"""Imports packages in a zygote, and notices what a fork would not survive or a program could see.

A package is given up if its import fails, ends the process, takes too long, starts threads, prints, changes the working folder or
signal handlers. Programs then import it themselves.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import sys

from snipmill.sandbox.child import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from typing import Any

_FIONREAD = 0x541B
_CLONE_VM = 0x00000100
_HANDLER_SIZE = 152  # struct sigaction of glibc; the handler's address comes first


class Loader:
    """Imports modules, and remembers the random states that it must renew in every process that is forked.

    Attributes:
        eager: by package of which a name was asked, the names that it has without importing more.
    """

    def __init__(self) -> None:
        self.eager: dict[str, list[str]] = {}
        self._generators: list[random.Random] = []
        self._before = 0

    def load(self, modules: Sequence[str], tell: Callable[[str], None]) -> str:
        """Import modules one after the other. Returns why the last one is unfit for a zygote; empty if all are fit.

        Args:
            modules: dotted names; `PACKAGE:NAME` for what a package is asked for, since it may import a module only then.
            tell: called with each name before its import.
        """
        import random  # not earlier: the zygote for programs that import nothing does without it

        self._before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        folder, handlers = os.getcwd(), _signal_handlers()
        seed = random.Random.seed
        random.Random.seed = self._noting(seed)  # type: ignore[method-assign]
        try:
            for name in modules:
                tell(name)
                try:
                    self._load_one(name)
                    sys.stdout.flush()
                    sys.stderr.flush()
                except BaseException as error:  # anything that a package can raise
                    return f"its import raises {type(error).__name__}"
                if _has_printed():
                    return "its import prints"
                if not _is_single_threaded():
                    return "its import starts threads"
                if _signal_handlers() != handlers:
                    return "its import changes signal handlers"
                if os.getcwd() != folder:
                    return "its import changes the working folder"
        finally:
            random.Random.seed = seed  # type: ignore[method-assign]
        return ""

    def _load_one(self, name: str) -> None:
        module, _, attribute = name.partition(":")
        __import__(module)
        if attribute:
            loaded = sys.modules[module]
            self.eager.setdefault(module, [str(known) for known in vars(loaded)])
            getattr(loaded, attribute, None)

    def _noting(self, seed: Any) -> Any:
        """`random.Random.seed`, which also notes the generators whose seed is random."""

        def noting(generator: random.Random, a: Any = None, version: int = 2) -> None:
            self._generators = [other for other in self._generators if other is not generator]
            if a is None:
                self._generators.append(generator)
            seed(generator, a, version)

        return noting

    def renew_random_states(self) -> None:
        """Seed anew what was seeded randomly at import; to be called in a program's process."""
        for generator in self._generators:
            generator.seed()
        numpy = sys.modules.get("numpy.random")
        if numpy is not None:
            numpy.seed()

    def memory(self) -> int:
        """Bytes by which the process has grown while it loaded."""
        return max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self._before) * 1024


def _has_printed() -> bool:
    """Whether something waits in the pipe that standard output and error go to."""
    return any(fcntl.ioctl(1, _FIONREAD, bytes(4)))


def _is_single_threaded() -> bool:
    """Whether this process has one thread, also by what C libraries start."""
    if os.path.exists("/proc/self/task"):
        return len(os.listdir("/proc/self/task")) == 1
    try:  # the kernel allows this call, which changes nothing, to processes with one thread alone
        linux.unshare(_CLONE_VM)
    except OSError:
        return False
    return True


def _signal_handlers() -> list[object]:
    """The handlers of all signals, those of Python and those of C libraries."""
    libc = ctypes.CDLL(None)
    found: list[object] = []
    for number in signal.valid_signals():
        action = ctypes.create_string_buffer(_HANDLER_SIZE)
        libc.sigaction(int(number), None, action)
        found.append((number, action.raw[:8], signal.getsignal(number)))
    return found
