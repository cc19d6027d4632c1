"""The zygotes of a slot: three that it begins with, and some that have learned what programs import.

A learned zygote has imported a set of installed modules. A program may run in it if the program imports all of them, so that
it finds nothing loaded that it would not load itself. A new one is forked from the zygote that has most of its modules already.
Their number and memory are bounded; the least used one is given up.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter

from snipmill.sandbox.child.limits import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from snipmill.sandbox.child.zygote import Newcomer, Zygote

MOST = 16  # learned zygotes of a slot
PATIENCE = 2.0  # seconds that a program waits for a zygote which is importing what it needs
_MOST_DOUBTS = 2
_HALF_LIFE = 512  # programs after which all counts are halved

_Key = tuple[int, frozenset[str]]


class Learned:
    """A zygote and the modules that it has loaded beside those of its base.

    Attributes:
        zygote: ready for jobs.
        base: the zygote that it descends from.
        modules: what it has loaded.
        uses: how often it was chosen, lately.
        seconds: CPU time that a program saves which runs in it.
        is_proven: whether a program that ran out of time in it also did so elsewhere.
        doubts: how many programs ended in it by a signal or late, and not elsewhere.
    """

    def __init__(
        self, newcomer: Newcomer, base: Zygote, modules: frozenset[str], parent: Learned | None, uses: int
    ) -> None:
        self.zygote = newcomer.zygote
        self.newcomer = newcomer
        self.base = base
        self.modules = modules
        self.uses = uses
        self.seconds: float = newcomer.seconds + (parent.seconds if parent is not None else 0.0)
        self.is_proven = False
        self.doubts = 0

    @property
    def memory(self) -> int:
        """Bytes that it holds for itself."""
        return self.newcomer.memory


class _Growing:
    """A zygote that is importing modules: what it will be, and when it is given up."""

    def __init__(
        self, newcomer: Newcomer, base: Zygote, modules: frozenset[str], parent: Learned | None, deadline: float
    ) -> None:
        self.newcomer = newcomer
        self.base = base
        self.modules = modules
        self.parent = parent
        self.deadline = deadline


class Family:
    """Chooses a zygote for each program, and lets new ones grow.

    Args:
        limits: of programs; an import may take as long as a program.
        memory: bytes that all learned zygotes together may hold.
        tell: called with the bytes that they do hold, whenever that changes.
    """

    def __init__(self, limits: Limits, memory: int, tell: Callable[[int], None]) -> None:
        self._limits = limits
        self._memory = memory
        self._tell = tell
        self._learned: list[Learned] = []
        self._growing: _Growing | None = None
        self._asked: Counter[_Key] = Counter()
        self._programs = 0
        self.unfit: dict[str, str] = {}
        self._eager: dict[str, frozenset[str]] = {}

    def choose(self, base: Zygote, wanted: Sequence[str]) -> Learned | None:
        """The learned zygote for a program; None if its base serves it best.

        Args:
            base: ready for jobs; what the zygote must descend from.
            wanted: the installed modules that the program imports.
        """
        _reap()
        self._adopt(0.0)
        self._forget()
        modules = self._fit(wanted)
        if not modules:
            return None
        best = self._best(base, modules)
        if best is None or len(best.modules) < len(modules):
            key = self._to_grow(base, modules, best)
            if key is not None:
                self._grow(base, key, [name for name in modules if name in key], best)
                self._adopt(PATIENCE)
                best = self._best(base, self._fit(modules))
        if best is not None:
            best.uses += 1
        return best

    def _fit(self, wanted: Iterable[str]) -> list[str]:
        """What of a program's imports makes a difference, and does no harm in a zygote."""
        return [name for name in wanted if not self._is_unfit(name) and not self._is_eager(name)]

    def _is_unfit(self, name: str) -> bool:
        return any(name == bad or name.startswith((f"{bad}.", f"{bad}:")) for bad in self.unfit)

    def _is_eager(self, name: str) -> bool:
        module, _, attribute = name.partition(":")
        return attribute in self._eager.get(module, ())

    def doubt(self, learned: Learned, why: str) -> None:
        """Note that a program ended otherwise in a zygote than elsewhere. A single one may do so by chance."""
        learned.doubts += 1
        if learned.doubts >= _MOST_DOUBTS:
            self.give_up(learned, why)

    def give_up(self, learned: Learned, why: str = "") -> None:
        """End a zygote; with a reason, its modules are not loaded again."""
        if learned in self._learned:
            self._learned.remove(learned)
            learned.newcomer.end()
            self._tell(self._held())
        for name in learned.modules if why else ():
            self.unfit[name.partition(":")[0]] = why
        if why:
            for other in [other for other in self._learned if not other.modules.isdisjoint(learned.modules)]:
                self.give_up(other)

    def _best(self, base: Zygote, modules: Sequence[str]) -> Learned | None:
        wanted = frozenset(modules)
        fitting = (one for one in self._learned if one.base is base and one.modules <= wanted)
        return max(fitting, key=lambda one: one.seconds, default=None)

    def _to_grow(self, base: Zygote, modules: Sequence[str], best: Learned | None) -> frozenset[str] | None:
        """The set of modules for which a zygote should grow now, if any: all of them, or one that is often asked for."""
        missing = [name for name in modules if best is None or name not in best.modules]
        keys = [frozenset(modules), *(frozenset((name,)) for name in missing if len(modules) > 1)]
        for modules_asked in keys:
            self._asked[id(base), modules_asked] += 1
        if self._growing is not None:
            return None
        if len(self._learned) < MOST:
            return keys[0]
        least = min(one.uses for one in self._learned)
        return next((key for key in keys if self._asked[id(base), key] > least), None)

    def _grow(self, base: Zygote, key: frozenset[str], order: Sequence[str], best: Learned | None) -> None:
        parent = best if best is not None and best.modules <= key else self._best(base, order)
        loaded = parent.modules if parent is not None else frozenset()
        try:
            newcomer = (parent.zygote if parent is not None else base).grow(
                [name for name in order if name not in loaded]
            )
        except OSError:
            if parent is None:
                raise
            self.give_up(parent)  # it has ended
            return
        self._growing = _Growing(newcomer, base, key, parent, time.monotonic() + self._limits.timeout)

    def _adopt(self, patience: float) -> None:
        """Take in the zygote that is growing, once it is ready; give it up if it failed or takes too long."""
        growing = self._growing
        if growing is None:
            return
        newcomer = growing.newcomer
        if not newcomer.wait(patience):
            if time.monotonic() < growing.deadline:
                return
            newcomer.problem = "its import takes too long"
        self._growing = None
        if not newcomer.problem and newcomer.memory > self._memory:
            newcomer.problem = "it takes too much memory"
        if newcomer.problem:
            self.unfit[newcomer.loading] = newcomer.problem
            newcomer.end()
            self._tell(self._held())  # for the memory that it took is free again
            return
        self._eager.update({module: frozenset(names) for module, names in newcomer.eager.items()})
        modules = frozenset(self._fit(growing.modules))
        if any(one.base is growing.base and one.modules == modules for one in self._learned):
            newcomer.end()
            return
        uses = self._asked[id(growing.base), growing.modules]
        self._learned.append(Learned(newcomer, growing.base, modules, growing.parent, uses))
        while len(self._learned) > MOST or self._held() > self._memory:
            self.give_up(min(self._learned[:-1], key=lambda one: one.uses))
        self._tell(self._held())

    def _held(self) -> int:
        return sum(one.memory for one in self._learned)

    def _forget(self) -> None:
        """Let old counts fade."""
        self._programs += 1
        if self._programs % _HALF_LIFE == 0:
            self._asked = Counter({key: count // 2 for key, count in self._asked.items() if count > 1})
            for one in self._learned:
                one.uses //= 2


def _reap() -> None:
    """Let processes go that have ended: a zygote's program becomes our child when the zygote ends before it."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
