"""The directory of a run that all nodes share: a folder that each of them mounts, or a store."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from snipmill.config import Config
from snipmill.engine.gather import Gathered, gather
from snipmill.engine.remote import gather_remote
from snipmill.errors import StoreError, UsageError
from snipmill.store.mirror import Pulled
from snipmill.store.remote import Store, is_remote
from snipmill.store.run_directory import MANIFEST, RunDirectory

_MARKS = "marks"
_PROBE_PATIENCE = 20.0  # seconds
_PATIENCE = 600.0  # seconds
_LOOK_EVERY = 3.0  # seconds between two looks at a store


class SharedRun:
    """A shared run as the driver sees it.

    Args:
        config: of the run.
        scratch: a folder of the driver's own, for what is read from a store.
        tell: is told what keeps the store from working.

    Raises:
        UsageError: the store is of no kind that is known.
        StoreError: the directory cannot be created, or contains other files.
    """

    def __init__(self, config: Config, scratch: Path, tell: Callable[[str], None]) -> None:
        self.url = config.run.dir
        self._store = Store(self.url, tell=tell) if is_remote(self.url) else None
        self._looked = 0.0
        self._pulled = None if self._store is None else Pulled(self._store, scratch)
        self.directory = RunDirectory(self.url if self._store is None else scratch)
        if self._store is None:
            self.directory.create()

    def refresh(self, count: int, *, at_once: bool = False) -> None:
        """Read what the shards tell of themselves. A store that is gone holds up nothing: the workers wait for it, too."""
        if self._pulled is None or self._store is None:
            return
        if not at_once and time.monotonic() - self._looked < _LOOK_EVERY:
            return
        self._store.patience = 0.0
        with contextlib.suppress(StoreError):
            for index in range(count):
                self._pulled.pull_small(f"shards/{index}", (MANIFEST,))
        self._store.patience = _PATIENCE
        self._looked = time.monotonic()

    @contextlib.contextmanager
    def marked(self) -> Iterator[str]:
        """While the block runs, there is a mark by which a node can tell that it sees the directory."""
        name = f"{_MARKS}/{uuid.uuid4().hex}"
        if self._store is not None:
            self._store.write(name, b"seen\n")
            try:
                yield name
            finally:
                self._store.remove(name)
            return
        path = self.directory.path / "shards" / ".marks" / uuid.uuid4().hex
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        try:
            yield str(path)
        finally:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()

    def gather(self, tell: Callable[[str], None]) -> Gathered:
        """Join the shards."""
        return gather(self.directory, tell) if self._store is None else gather_remote(self.url, tell)


def why_unseen(url: str, mark: str) -> str:
    """On a node: why a mark is not seen; empty where it is."""
    shared = f"does not see the run directory {url}, which must be on storage that all nodes share"
    if not is_remote(url):
        return "" if Path(mark).exists() else shared
    try:
        return "" if Store(url, patience=_PROBE_PATIENCE).read(mark) is not None else shared
    except (StoreError, UsageError) as error:
        return f"{shared} ({error})"
