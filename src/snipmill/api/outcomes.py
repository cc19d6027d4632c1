"""What the stages of the public API share: input of a kind, filters, and what becomes of outcomes.

What is dropped goes to `on_reject`. A filter (`keep`) returns None for what stays, or a reason and a detail. Both are called in the
thread in which the stage works. With `journal`, what was paid for is written to that file, and a second call does not pay again.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from snipmill.api.iteration import AsyncStream, Make, Stream, read_apart
from snipmill.config import Config
from snipmill.config_file import change_config
from snipmill.engine.over_records import closing
from snipmill.engine.record_ids import RecordIds
from snipmill.engine.shared import Shared
from snipmill.errors import BudgetSpent, UsageError
from snipmill.reasons import Reason
from snipmill.records import Record, Reject

R = TypeVar("R", bound=Record)
Items = Iterable[R] | AsyncIterator[R]
Keep = Callable[[R], tuple[str, str] | None]
OnReject = Callable[[Reject], None]
Outcomes = AsyncGenerator[Sequence[Any], None]


def ignore(_reject: Reject) -> None:
    """Let a reject go."""
    return


def checked(config: Config | None) -> Config:
    """A configuration that was built in Python, checked as one from a file is."""
    return change_config(config or Config(), {})


def to_path(journal: str | Path | None) -> Path | None:
    """The path of a journal; None for nowhere."""
    return Path(journal) if journal is not None else None


def check_kind(item: object, kinds: Sequence[type[Any]], stage: str, place: int) -> None:
    """Refuse what is no record of a kind. A record of a later kind is refused, too: it says what was found of an earlier one.

    Raises:
        UsageError: it is none.
    """
    if type(item) not in kinds and not (kinds == (Record,) and isinstance(item, Record)):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise UsageError(f"{stage} takes {names} records; number {place} is {type(item).__name__}.")


async def records_of(
    items: Items[Any], kinds: Sequence[type[Any]], stage: str, on_reject: OnReject, shared: Shared
) -> AsyncGenerator[Any, None]:
    """The input of a stage, each record once.

    Raises:
        UsageError: an item is no record of the kind.
    """
    ids, place = RecordIds(), 0
    async with contextlib.aclosing(_taken(items, shared)) as found:
        try:
            async for item in found:
                check_kind(item, kinds, stage, place)
                record, earlier = ids.admit(item, place)
                place += 1
                if earlier is None:
                    yield record
                    continue
                detail = f"A record with this id was already given, as number {earlier}."
                on_reject(Reject(id=record.id, stage=stage, reason=Reason.DUPLICATE_RECORD, detail=detail))
        except GeneratorExit:
            if isinstance(items, Stream | AsyncStream) and shared.is_spent:
                await _let_end(found)
            raise


async def _let_end(items: AsyncGenerator[Any, None]) -> None:
    """Wait for what an earlier stage has in flight: it is paid for, and the stage asks nothing more."""
    with contextlib.suppress(BudgetSpent):
        async for _ in items:
            pass


def _taken(items: Items[Any], shared: Shared) -> AsyncGenerator[Any, None]:
    """The items on this loop: those of another stage are made here, too."""
    if isinstance(items, Stream | AsyncStream):
        make = items.taken_over()
        if make is not None:
            return make(shared)
    if isinstance(items, AsyncIterator):
        return closing(items)
    if not isinstance(items, Iterable):
        raise UsageError(f"A stage takes an iterable of records, and was given {type(items).__name__} {items!r:.60}.")
    return read_apart(iter(items))


def refused_by(record: Any, stage: str, keep: Keep[Any] | None) -> Reject | None:
    """The reject of a record that a filter drops; None where it stays.

    Raises:
        UsageError: the filter returned something else than it should.
    """
    found = keep(record) if keep is not None else None
    if found is None:
        return None
    reason, detail = reason_and_detail(found, f"{stage}: the filter returned", record.id)
    return Reject(id=record.id, stage=stage, reason=reason, detail=detail)


def reason_and_detail(found: Any, what: str, record_id: str) -> tuple[str, str]:
    """A reason and a detail.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(found, tuple) and len(found) == 2 and all(isinstance(part, str) for part in found):
        return found
    raise UsageError(f"{what} {found!r:.100} for {record_id}, which is no pair of a reason and a detail.")


async def admitted(
    outcomes: Outcomes, stage: str, keep: Keep[Any] | None, on_reject: OnReject
) -> AsyncGenerator[Any, None]:
    """What stays of the outcomes, one by one."""
    async with contextlib.aclosing(outcomes) as found:
        async for some in found:
            for outcome in some:
                refused = outcome if isinstance(outcome, Reject) else refused_by(outcome, stage, keep)
                if refused is None:
                    yield outcome
                else:
                    on_reject(refused)


def making(
    name: str,
    kinds: Sequence[type[Any]],
    records: Items[Any],
    stage: Callable[[AsyncGenerator[Any, None], Shared], Outcomes],
    keep: Keep[Any] | None = None,
    on_reject: OnReject = ignore,
) -> Make[Any]:
    """How the records of a stage are made, on whichever loop.

    Args:
        name: of the stage.
        kinds: of the records that it takes.
        records: what it is given.
        stage: its input and what the chain shares -> its outcomes.
        keep: a filter of the user's.
        on_reject: called with what is dropped.
    """

    async def make(shared: Shared) -> AsyncGenerator[Any, None]:
        given = records_of(records, kinds, name, on_reject, shared)
        outcomes = admitted(stage(given, shared), name, keep, on_reject)
        async with contextlib.aclosing(given), contextlib.aclosing(outcomes) as found:
            async for record in found:
                yield record

    return make
