"""Mining that several processes share: each mines every Nth batch of documents, and reads what the others mined in their journals.

All of them see the same seeds in the same order. Nobody is waited for in vain: where the others are not at work, or nothing comes
from them for a while, a process mines the rest itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from snipmill.parallel.chunks import map_chunks
from snipmill.stages.mine import Batch, Documents, Mining, batches_of, known_batch, mine_all, mine_tasks, write_down
from snipmill.store.entries import MiningEntry
from snipmill.store.journal import Journal

_LOOK_EVERY = 0.3  # seconds
_FIRST_SIGN = 5.0  # seconds in which processes that start together begin to write
_MOST_WAITING = 4096  # batches whose outcomes are waited for; then no more are mined ahead


@dataclass
class MiningShare:
    """One process's share of the mining (`mine.MinesEntries`).

    Attributes:
        index, count: it mines the batches whose number leaves `index` when divided by `count`.
        others_work: whether another process is at work.
        patience: seconds without anything new from the others after which they are not waited for.
    """

    index: int
    count: int
    others_work: Callable[[], bool]
    patience: float = 300.0
    _looked: float = field(default=0.0, init=False)

    def __call__(
        self,
        documents: Documents,
        mining: Mining,
        journal: Journal[MiningEntry],
        cores: int | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[MiningEntry]:
        """What becomes of all batches of documents, in their order."""
        key, names, given = mining.key, deque[str](), 0
        came, is_over = time.monotonic(), False

        def mine() -> Iterator[tuple[Mining, str, Batch | None]]:
            for number, batch in enumerate(batches_of(documents())):
                if stopped():
                    return
                name, todo = known_batch(batch, key, journal)
                names.append(name)
                if number % self.count == self.index and todo is not None:
                    yield mining, name, todo

        mined = map_chunks(mine_tasks, mine(), cores, size=1, here=1)
        fresh: dict[str, MiningEntry] = {}  # what is not written down, until it is given
        while not stopped():
            if not is_over and len(names) < _MOST_WAITING:
                found = next(mined, None)
                is_over = found is None
                for entry in found or ():
                    assert isinstance(entry, MiningEntry)
                    write_down(entry, journal)
                    if journal.get(entry.id) is None:
                        fresh[entry.id] = entry
            while names and (known := fresh.pop(names[0], None) or self._look_up(names[0], journal)) is not None:
                names.popleft()
                given, came = given + 1, time.monotonic()
                yield known
            if not names and is_over:
                return
            if is_over or len(names) >= _MOST_WAITING:
                waited = time.monotonic() - came
                if waited > self.patience or (waited > _FIRST_SIGN and not self.others_work()):
                    mined.close()  # type: ignore[attr-defined]
                    yield from mine_all(documents, mining, journal, cores, stopped, skip=given)
                    return
                time.sleep(_LOOK_EVERY)

    def _look_up(self, name: str, journal: Journal[MiningEntry]) -> MiningEntry | None:
        found = journal.get(name)
        if found is None and time.monotonic() - self._looked > _LOOK_EVERY:
            journal.refresh()
            self._looked = time.monotonic()
            found = journal.get(name)
        return found
