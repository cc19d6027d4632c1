"""Runs whose directory is on a store: each process works in a folder of its own, and the store holds what is shared."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from snipmill.config import Config
from snipmill.engine.gather import Gathered, gather
from snipmill.engine.progress import Progress
from snipmill.engine.shard import Place, run_shard
from snipmill.engine.shard_files import SEEDS, file_names, path_of
from snipmill.engine.sharding import Sharding, dealings
from snipmill.errors import StoreError
from snipmill.stages.spec import STAGES
from snipmill.store.lease import read_lease, take_lease
from snipmill.store.mirror import GROWN, Pulled, Pusher
from snipmill.store.remote import Store
from snipmill.store.run_directory import CALIBRATION, CONFIG, FORGOTTEN, MANIFEST, RunDirectory

_COUNTS = "counts.json"
_SMALL = (_COUNTS, MANIFEST, CONFIG, CALIBRATION)
_PULL_EVERY = 2.0  # seconds
_JOURNALS = tuple(f"journal/{stage.name}.jsonl" for stage in STAGES if stage.entry is not None)


async def run_remote_shard(
    config: Config,
    sharding: Sharding,
    progress: Progress,
    place: Place | None = None,
    *,
    predecessor_is_dead: bool = False,
) -> None:
    """Grow a shard of a run that is on a store.

    Args:
        config, sharding, progress, place: as for `run_shard`.
        predecessor_is_dead: whether the process that grew the shard before is known to be dead.

    Raises:
        StoreError: another process works on the shard, or the store has been gone for too long.
        SnipmillError: as `run_shard`.
    """

    def tell(text: str) -> None:
        progress.store_trouble = text

    progress.phase = "reading the store"
    store = Store(config.run.dir, tell=tell)
    try:
        await _grow_from_store(store, config, sharding, progress, place or Place(), predecessor_is_dead)
    except asyncio.CancelledError:
        store.stopping.set()  # a thread may be waiting for it
        raise


async def _grow_from_store(
    store: Store, config: Config, sharding: Sharding, progress: Progress, place: Place, predecessor_is_dead: bool
) -> None:
    prefix = f"shards/{sharding.index}"
    with tempfile.TemporaryDirectory(prefix="snipmill-shard-") as scratch:
        folder = Path(scratch)
        pulled = Pulled(store, folder)
        await asyncio.to_thread(_pull_what_is_there, store, pulled, folder, sharding)
        lease = await asyncio.to_thread(
            lambda: take_lease(store, prefix, max(pulled.starts(prefix), default=0), at_once=predecessor_is_dead)
        )
        await asyncio.to_thread(pulled.pull, prefix)  # what was pushed while we waited
        directory = RunDirectory(folder).shard(sharding.index)
        directory.path.mkdir(parents=True, exist_ok=True)
        names = [str(path_of(directory, name).relative_to(directory.path)) for name in file_names(config)]
        files = (*_JOURNALS, *names, GROWN)
        pusher = Pusher(store, directory.path, prefix, files, _SMALL, pulled.ends(prefix), lease)
        here = msgspec.structs.replace(config, run=msgspec.structs.replace(config.run, dir=scratch))
        watch = _OthersWork(store, sharding)
        place = replace(place, written=place.written or config, on_cut=pusher.cut, others_work=watch)
        growing = asyncio.create_task(run_shard(here, sharding, progress, place=place))
        loop = asyncio.get_running_loop()
        pusher.on_failure = partial(loop.call_soon_threadsafe, growing.cancel)
        with pusher, _kept_up_to_date(pulled, sharding, config, progress):
            try:
                await growing
            except asyncio.CancelledError:
                if pusher.failed is not None:
                    raise pusher.failed from None
                raise


def _pull_what_is_there(store: Store, pulled: Pulled, folder: Path, sharding: Sharding) -> None:
    """Pull the shard itself, and of others what may hold something of it."""
    own = f"shards/{sharding.index}"
    pulled.pull(own)
    pulled.pull_small(own, (_COUNTS,))
    for index in store.shards():
        if index != sharding.index:
            prefix = f"shards/{index}"
            pulled.pull_small(prefix, (_COUNTS,))
            counts = dealings(RunDirectory(folder).shard(index))
            shares = any(sharding.may_share_seeds(index, count) for count in counts)
            pulled.pull(prefix, lambda name, shares=shares: _is_of_interest(name, shares))  # type: ignore[misc]
    for name in (FORGOTTEN, *_JOURNALS):  # of a run that was gathered
        store.download(name, folder / name)


def _is_of_interest(name: str, shares_seeds: bool) -> bool:
    return name in (GROWN, f"journal/{SEEDS}.jsonl") or (shares_seeds and name.startswith("journal/"))


@contextlib.contextmanager
def _kept_up_to_date(pulled: Pulled, sharding: Sharding, config: Config, progress: Progress) -> Iterator[None]:
    """While the block runs, bring over what other shards have mined, and how far they are where enough tasks end the run."""
    ended = threading.Event()
    mined, grown = (f"journal/{SEEDS}.jsonl",), (GROWN,) if config.generate.enough is not None else ()

    def pull() -> None:
        while not ended.wait(_PULL_EVERY):
            wanted = grown if progress.all_seeds_known else (*mined, *grown)
            for index in range(sharding.count):
                if index != sharding.index and not ended.is_set():
                    with contextlib.suppress(StoreError, OSError):  # whoever pushes says that the store is gone
                        pulled.pull_some(f"shards/{index}", wanted)

    thread = threading.Thread(target=pull, name="snipmill-pull", daemon=True)
    if sharding.count > 1:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread.is_alive():
            thread.join(timeout=30)


class _OthersWork:
    """Whether another shard is at work, by the leases on the store; looked at every few seconds."""

    def __init__(self, store: Store, sharding: Sharding) -> None:
        self._store, self._sharding = store, sharding
        self._looked, self._answer = 0.0, True

    def __call__(self) -> bool:
        if time.monotonic() - self._looked > 5 * _PULL_EVERY:
            others = (index for index in range(self._sharding.count) if index != self._sharding.index)
            leases = (read_lease(self._store, f"shards/{index}") for index in others)
            self._answer = any(lease is not None and not lease.is_over for lease in leases)
            self._looked = time.monotonic()
        return self._answer


def gather_remote(url: str, tell: Callable[[str], None] = lambda _text: None) -> Gathered:
    """Join the shards of a run that is on a store, in a folder here, and put the result there.

    Args:
        url: of the run.
        tell: is told what is being done.

    Raises:
        SnipmillError: as `gather`.
    """
    store = Store(url, tell=lambda text: tell(text) if text else None)
    with tempfile.TemporaryDirectory(prefix="snipmill-gather-") as scratch:
        folder = Path(scratch)
        pulled = Pulled(store, folder)
        for index in store.shards():
            tell(f"reading shard {index}")
            pulled.pull(f"shards/{index}")
            pulled.pull_small(f"shards/{index}", _SMALL)
        store.download(FORGOTTEN, folder / FORGOTTEN)
        found = replace(gather(RunDirectory(folder), tell, url), shown=url)
        tell("writing the result")
        made = [path for path in folder.rglob("*") if path.is_file() and "shards" not in path.relative_to(folder).parts]
        for path in sorted(made, key=lambda one: one.name == MANIFEST):  # the manifest last: it says that all is there
            store.upload(path, str(path.relative_to(folder)))
    return found
