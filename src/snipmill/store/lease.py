"""Leases of shards on a store: they keep a second process out, where files cannot be locked."""

from __future__ import annotations

import os
import socket
import time
import uuid
from pathlib import Path

import msgspec

from snipmill.errors import StoreError
from snipmill.store.remote import Store

LEASE = "lease.json"
LEASE_SECONDS = 60.0  # after which a process that does not renew its lease is taken for dead


class Lease(msgspec.Struct, frozen=True):
    """Who works on a shard, and until when that holds without being renewed, in seconds since 1970.

    `host` and `process` tell where the owner runs, so that on the same machine its death is seen at once.
    """

    owner: str
    until: float
    session: int
    host: str = ""
    process: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the owner has let go, has been silent, or is dead."""
        return self.until < time.time() or (self.host == _this_host() and not _is_alive(self.process))


def _this_host() -> str:
    """A name for the machine, and for the container where processes are numbered apart."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {namespace.readlink() if namespace.exists() else ''}".strip()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def read_lease(store: Store, prefix: str) -> Lease | None:
    """The lease of a shard; None where there is none that can be read."""
    raw = store.read(f"{prefix}/{LEASE}")
    try:
        return None if raw is None else msgspec.json.decode(raw, type=Lease)
    except msgspec.DecodeError:
        return None


def release_lease(store: Store, prefix: str, lease: Lease) -> None:
    """Let go of a shard, unless another process has taken it over."""
    found = read_lease(store, prefix)
    if found is None or found.owner == lease.owner:
        store.write(f"{prefix}/{LEASE}", msgspec.json.encode(Lease("", 0.0, lease.session)))


def take_lease(
    store: Store, prefix: str, session: int, *, at_once: bool = False, patience: float = LEASE_SECONDS + 5
) -> Lease:
    """Take a shard for this process, when the one before has let go of it or has been silent.

    Args:
        store: where it is.
        prefix: of the shard.
        session: the newest one that is known.
        at_once: do not wait, since the process before is known to be dead.
        patience: seconds to wait for the process before to let go.

    Raises:
        StoreError: another process works on the shard.
    """
    owner, began = uuid.uuid4().hex, time.monotonic()
    while True:
        found = read_lease(store, prefix)
        if found is None or found.is_over or at_once:
            newest = max(session, found.session if found else 0)
            lease = Lease(owner, time.time() + LEASE_SECONDS, newest + 1, _this_host(), os.getpid())
            store.write(f"{prefix}/{LEASE}", msgspec.json.encode(lease))
            store.stopping.wait(0.2)  # of two that take it at the same time, one is seen by both
            again = read_lease(store, prefix)
            if again is not None and again.owner == owner:
                return lease
            at_once = False
        if time.monotonic() - began > patience:
            raise StoreError(f"Another process works on {store.url}/{prefix}. Stop it, or run another shard.")
        if store.stopping.wait(1):
            raise StoreError(f"Nobody waits for {store.url}/{prefix} any longer.")
