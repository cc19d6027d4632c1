"""Seeds from sources, in the order that a run uses them, with what was dropped on the way."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

import msgspec

from snipmill.config import Config, SeedsTable
from snipmill.errors import UsageError
from snipmill.id_index import IdIndex
from snipmill.languages import PYTHON
from snipmill.prompts.judge import apply_threshold
from snipmill.randomness import generator
from snipmill.reasons import Reason
from snipmill.records import Reject, Seed
from snipmill.seeds.document import STAGE, Document
from snipmill.seeds.forgotten import Forgotten
from snipmill.seeds.licenses.expressions import PERMISSIVE, normalize_license
from snipmill.seeds.mine_document import MineSettings
from snipmill.seeds.rules import RULES, Rules
from snipmill.seeds.sources.repository import refuse_password
from snipmill.seeds.sources.resolve import expand_glob, is_ready_made, open_source
from snipmill.seeds.sources.table import Columns
from snipmill.seeds.sources.tree import Origin
from snipmill.stages.mine import MinesEntries, Mining, mine_all, mine_documents
from snipmill.store.entries import MiningEntry
from snipmill.store.foreign import without_stale_columns
from snipmill.store.journal import Journal
from snipmill.store.jsonl import decode_record, encode_line
from snipmill.store.reading import read_records

_PERMISSIVE = "permissive"


@dataclass(frozen=True, slots=True)
class SeedSettings:
    """Where seeds come from, and what they must be like.

    Attributes:
        table: as it was configured.
        mining: how documents are mined.
        stated_license: of sources that state none, as SPDX.
        seed: the run's, for shuffling.
        forgotten: what is left out as if it had never been there.
        documents: of a Python program, beside those of the sources.
    """

    table: SeedsTable
    mining: Mining
    stated_license: str | None
    seed: int
    forgotten: Forgotten = field(default_factory=Forgotten)
    documents: tuple[Iterable[Document | Reject], ...] = ()


def iterate_seeds(
    settings: SeedSettings,
    on_reject: Callable[[Reject], None],
    journal: Journal[MiningEntry] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    mines: MinesEntries = mine_all,
) -> Iterator[Seed]:
    """The seeds of a configuration: mined or read, deduplicated, shuffled if wanted, from `start` to `limit`.

    Shuffled seeds are spooled to a temporary file.

    Args:
        settings: sources, and what seeds must be like.
        on_reject: called with each reject.
        journal: where mining writes down what it found; None for nowhere.
        stopped: asked between batches of documents; mining ends once it has returned True.
        mines: who mines documents.

    Raises:
        UsageError: a source does not exist, an extra is missing, or a setting is invalid.
    """
    table = settings.table
    found = _sourced(settings, Journal(None, MiningEntry) if journal is None else journal, stopped, mines)
    seeds = _unique(found, table, on_reject)
    if table.shuffle:
        seeds = _shuffled(seeds, settings.seed)
    yield from islice(seeds, table.start, None if table.limit is None else table.start + table.limit)


def _shuffled(seeds: Iterator[Seed], seed: int) -> Iterator[Seed]:
    offsets, draws = array("Q"), array("d")
    end = 0
    with tempfile.TemporaryFile() as spool:
        for record in seeds:
            line = encode_line(record)
            spool.write(line)
            offsets.append(end)
            draws.append(generator(seed, "shuffle", record.id).random())
            end += len(line)
        for index in sorted(range(len(draws)), key=draws.__getitem__):
            spool.seek(offsets[index])
            yield decode_record(spool.readline(), Seed)


def _unique(records: Iterator[Seed | Reject], table: SeedsTable, on_reject: Callable[[Reject], None]) -> Iterator[Seed]:
    seen = IdIndex()
    for record in records:
        if isinstance(record, Reject):
            on_reject(record)
        elif record.id in seen:
            detail = "The same code was already there under the same id."
            on_reject(Reject(id=record.id, stage=STAGE, reason=Reason.DUPLICATE_SEED, detail=detail))
        elif isinstance(unfit := apply_threshold(record, table.min_judge), Reject):
            on_reject(unfit)
        else:
            seen.put(record.id)
            yield record


def _sourced(
    settings: SeedSettings, journal: Journal[MiningEntry], stopped: Callable[[], bool], mines: MinesEntries
) -> Iterator[Seed | Reject]:
    """The seeds of all sources: first the ready-made ones, as they are, then documents, through mining."""
    table = settings.table
    ready_made, opened = _open_all(settings)
    opened += [iter(documents) for documents in settings.documents]
    forgotten = settings.forgotten
    for source in ready_made:
        for record in read_records(source, Seed, STAGE):
            if isinstance(record, Reject):
                yield record
            elif not forgotten.has_seed(record):
                yield without_stale_columns(record, asks=True)
    if opened:
        first = [opened]  # what is opened already is read first; who needs the documents again opens them again

        def documents() -> Iterator[Document | Reject]:
            sources = first.pop() if first else _open_all(settings)[1]
            # One stream for all of them: near duplicates are found across sources.
            for one in chain.from_iterable(sources):
                if isinstance(one, Reject) or not forgotten.has_document(one):
                    yield one

        yield from mine_documents(
            documents,
            settings.mining,
            table.near,
            journal,
            stopped=stopped,
            left_out=forgotten.has_seed,
            mines=mines,
        )


def _open_all(settings: SeedSettings) -> tuple[list[str], list[Iterator[Document | Reject]]]:
    """The files of ready-made seeds among the sources, and the documents of each other source.

    All are opened before any is read: a source that does not exist is told at once.
    """
    table = settings.table
    columns = Columns(**msgspec.structs.asdict(table.columns)) if table.columns.code is not None else None
    origin = Origin("", None, settings.stated_license, frozenset(table.languages))
    sources = [found for source in table.sources for found in expand_glob(source)]
    opened = [open_source(source, columns, origin) for source in sources if not is_ready_made(source, columns)]
    return [source for source in sources if is_ready_made(source, columns)], opened


def first_origin(config: Config, source: str) -> str | None:
    """The name that provenance has for a source of a configuration, by its first document; None where it cannot be read.

    Tables may have another name in each row, and files of ready-made seeds have one for each seed.
    """
    table = msgspec.structs.replace(config.seeds, sources=(source,))
    try:
        ready_made, opened = _open_all(resolve_seeds(msgspec.structs.replace(config, seeds=table)))
    except UsageError:
        return None
    if ready_made or table.columns.code is not None:
        return source
    return next((one.source for one in chain.from_iterable(opened) if isinstance(one, Document)), source)


def resolve_seeds(config: Config) -> SeedSettings:
    """Where the seeds of a configuration come from, and what they must be like.

    Raises:
        UsageError: it names a rule or a licence that does not exist, or a source with a password.
    """
    table = config.seeds
    for source in table.sources:
        refuse_password(source)
    unknown = sorted(set(table.allow) - RULES.keys())
    if unknown:
        raise UsageError(f"seeds.allow: there is no rule {unknown[0]!r}; the rules are {', '.join(RULES)}.")
    rules = Rules(
        allow=frozenset(table.allow),
        max_lines=table.max_lines,
        max_context_lines=table.max_context_lines,
        max_line_length=table.max_line_length,
        min_ascii=table.min_ascii,
        denied_modules=frozenset(table.denied_modules),
    )
    licenses: set[str] = set()
    for name in table.licenses:
        if name in (_PERMISSIVE, "any"):
            licenses |= PERMISSIVE if name == _PERMISSIVE else {"any"}
        else:
            known = normalize_license(name)
            if known is None:
                raise UsageError(
                    f"seeds.licenses: {name!r} is no SPDX id; give ids such as MIT, LicenseRef-NAME for one of your own, "
                    f"`{_PERMISSIVE}` or `any`."
                )
            licenses.add(known)
    stated = _stated_license(table)
    if stated is not None:
        licenses.add(stated)  # who says under which licence the sources are has thought about it
    mining = Mining(
        mine=MineSettings(rules, frozenset(table.kinds), frozenset(licenses)),
        types=table.types,
        secrets=table.secrets,
        benchmarks=config.select.benchmarks if table.decontaminate else None,
        languages=tuple(sorted(set(table.languages) - {PYTHON})),
    )
    return SeedSettings(table, mining, stated, config.run.seed)


def _stated_license(table: SeedsTable) -> str | None:
    if table.license is None:
        return None
    known = normalize_license(table.license)
    if known is None:
        raise UsageError(
            f"seeds.license: {table.license!r} is no SPDX expression; give one, or LicenseRef-NAME for one of your own."
        )
    return known
