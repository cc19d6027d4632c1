"""The directory of a run that all nodes share: a folder that each of them mounts, or a store."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from snipmill.config import Config
from snipmill.engine.gather import Gathered, gather
from snipmill.engine.remote import gather_remote
from snipmill.errors import StoreError
from snipmill.store.mirror import Pulled
from snipmill.store.remote import Store, is_remote
from snipmill.store.run_directory import MANIFEST, RunDirectory

_MARKS = "marks"
_PROBE_PATIENCE = 20.0  # seconds


class SharedRun:
    """A shared run as the driver sees it.

    Args:
        config: of the run.
        scratch: a folder of the driver's own, for what is read from a store.

    Raises:
        UsageError: the store is of no kind that is known.
        StoreError: the directory cannot be created, or contains other files.
    """

    def __init__(self, config: Config, scratch: Path) -> None:
        self.url = config.run.dir
        self._store = Store(self.url) if is_remote(self.url) else None
        self._pulled = None if self._store is None else Pulled(self._store, scratch)
        self.directory = RunDirectory(self.url if self._store is None else scratch)
        if self._store is None:
            self.directory.create()

    def refresh(self, count: int) -> None:
        """Read what the shards tell of themselves."""
        if self._pulled is not None:
            for index in range(count):
                self._pulled.pull_small(f"shards/{index}", (MANIFEST,))

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


def sees(url: str, mark: str) -> bool:
    """On a node: whether a mark is seen."""
    if not is_remote(url):
        return Path(mark).exists()
    try:
        return Store(url, patience=_PROBE_PATIENCE).read(mark) is not None
    except StoreError:
        return False
