"""What the stages of the public API share: input of a kind, filters, and outcomes for synchronous and asynchronous programs.

What is dropped goes to `on_reject`. A filter (`keep`) returns None for what stays, or a reason and a detail. With `journal`, what
was paid for is written to that file, and a second call does not pay for it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from snipmill.api.iteration import iterate, taken_apart
from snipmill.config import Config
from snipmill.config_file import change_config
from snipmill.errors import UsageError
from snipmill.records import Record, Reject

R = TypeVar("R", bound=Record)
Items = Iterable[R] | AsyncIterator[R]
Keep = Callable[[R], tuple[str, str] | None]
OnReject = Callable[[Reject], None]
Outcomes = AsyncGenerator[Record, None]


def ignore(_reject: Reject) -> None:
    """Let a reject go."""
    return


def checked(config: Config | None) -> Config:
    """A configuration that was built in Python, checked as one from a file is."""
    return change_config(config or Config(), {})


def to_path(journal: str | Path | None) -> Path | None:
    """The path of a journal; None for nowhere."""
    return Path(journal) if journal is not None else None


def all_of_kind(items: Iterable[Any], kind: type[Any], stage: str) -> Generator[Any, None, None]:
    """The items, each of which must be of a kind.

    Raises:
        UsageError: one is not.
    """
    for place, item in enumerate(items):
        if not isinstance(item, kind):
            raise UsageError(f"{stage} takes {kind.__name__} records; number {place} is {type(item).__name__}.")
        yield item


@contextlib.asynccontextmanager
async def records_of(items: Items[Any], kind: type[Any], stage: str) -> AsyncIterator[AsyncIterator[Any]]:
    """The input of a stage, read in a thread where it is synchronous."""
    checked = items if isinstance(items, AsyncIterator) else all_of_kind(items, kind, stage)
    async with taken_apart(checked) as found:
        yield found


async def flat(outcomes: AsyncGenerator[Sequence[Record], None]) -> Outcomes:
    """Outcomes one by one."""
    async with contextlib.aclosing(outcomes) as found:
        async for some in found:
            for outcome in some:
                yield outcome


def refused_by(record: Any, stage: str, keep: Keep[Any] | None) -> Reject | None:
    """The reject of a record that a filter drops; None where it stays."""
    found = keep(record) if keep is not None else None
    return None if found is None else Reject(id=record.id, stage=stage, reason=found[0], detail=found[1])


def synchronous(
    outcomes: Outcomes, stage: str, keep: Keep[Any] | None, on_reject: OnReject
) -> Generator[Any, None, None]:
    """What stays of the outcomes, for a synchronous program, in whose thread the filter and `on_reject` are called."""
    with contextlib.closing(iterate(outcomes)) as found:
        for outcome in found:
            refused = outcome if isinstance(outcome, Reject) else refused_by(outcome, stage, keep)
            if refused is None:
                yield outcome
            else:
                on_reject(refused)


async def asynchronous(
    outcomes: Outcomes, stage: str, keep: Keep[Any] | None, on_reject: OnReject
) -> AsyncGenerator[Any, None]:
    """What stays of the outcomes, for an asynchronous program."""
    """What stays of the outcomes, for an asynchronous program."""
    async with contextlib.aclosing(outcomes) as found:
        async for outcome in found:
            refused = outcome if isinstance(outcome, Reject) else refused_by(outcome, stage, keep)
            if refused is None:
                yield outcome
            else:
                on_reject(refused)
