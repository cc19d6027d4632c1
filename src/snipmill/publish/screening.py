"""What must not be published: secrets, personal data, licences that were not allowed, text of benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import NamedTuple

from snipmill.config import Config
from snipmill.errors import UsageError
from snipmill.parallel.chunks import map_chunks
from snipmill.publish.sampled import STAGE, read_rows
from snipmill.records import Response, Row, Seed, Snippet
from snipmill.seeds.licenses.expressions import is_allowed
from snipmill.seeds.private import private_findings
from snipmill.stages.benchmark_files import decontaminator
from snipmill.stages.seed_stream import resolve_seeds
from snipmill.store.reading import read_records
from snipmill.store.run_directory import RunDirectory
from snipmill.text.fences import find_fences

FAULTS = ("secret", "personal-data", "license", "contaminated")
_NAMED = 3  # records of each fault that are named


class Fault(NamedTuple):
    """What is wrong with a record, and where."""

    kind: str
    record: str
    detail: str


class _Screen(NamedTuple):
    """What is looked for."""

    wanted: frozenset[str]
    licenses: frozenset[str]
    benchmarks: tuple[str, ...]


def check_release(directory: RunDirectory, config: Config, allow: frozenset[str], *, samples: bool) -> None:
    """Refuse to publish what must not be.

    Args:
        directory: of the run.
        config: of the run.
        allow: faults that are published all the same.
        samples: whether seeds and samples that are no rows are published too; they are searched for secrets and personal data.

    Raises:
        UsageError: there is something; the sentence names it.
    """
    unknown = sorted(allow - set(FAULTS))
    if unknown:
        raise UsageError(f"--allow: {unknown[0]!r} is none of {', '.join(FAULTS)}.")
    screen = _Screen(frozenset(FAULTS) - allow, resolve_seeds(config).mining.mine.licenses, config.select.benchmarks)
    rows: Iterable[Snippet] = read_rows(str(directory.dataset), lambda _reject: None)
    if samples:
        rows = chain(rows, _samples(directory))
    found: dict[str, list[Fault]] = {}
    for faults in map_chunks(partial(_faults, screen=screen), rows):
        for fault in faults:
            found.setdefault(fault.kind, []).append(fault)
    if found:
        raise UsageError(
            f"Not pushed: {'; '.join(map(_told, found.values()))}. Take them out (`snipmill forget --ids`, or a stricter "
            f"[select]), or publish them all the same with {' '.join(f'--allow {kind}' for kind in found)}."
        )


def _samples(directory: RunDirectory) -> Iterator[Snippet]:
    """The seeds and all answers, rows or not."""
    for stage, kind in (("seeds", Seed), ("responses", Response)):
        for record in read_records(str(directory.kept(stage)), kind, STAGE):
            if isinstance(record, Snippet):
                yield record


def _told(faults: list[Fault]) -> str:
    named = ", ".join(f"{fault.record} ({fault.detail})" for fault in faults[:_NAMED])
    return f"{len(faults):,} records with {faults[0].kind}: {named}"


def _faults(records: list[Snippet], screen: _Screen) -> list[Fault]:
    return [fault for record in records for fault in _faults_of(record, screen)]


def _faults_of(record: Snippet, screen: _Screen) -> Iterator[Fault]:
    texts = {name: getattr(record, name, None) or "" for name in ("seed", "instruction", "response", "thinking")}
    seen: set[str] = set()
    for name, text in texts.items() if screen.wanted & {"secret", "personal-data"} else ():
        for kind, finding in private_findings(text):
            if kind in screen.wanted and kind not in seen:
                seen.add(kind)
                yield Fault(kind, record.id, f"{finding.kind} in its {name}, line {finding.line}")
    if not isinstance(record, Row):
        return
    license = record.provenance.license if record.provenance is not None else None
    if "license" in screen.wanted and not is_allowed(license or "unknown", screen.licenses):
        yield Fault("license", record.id, license or "unknown")
    if "contaminated" in screen.wanted:
        looker = decontaminator(True, screen.benchmarks)
        codes = [fence.code for fence in find_fences(record.response)] or [record.response]
        match = looker.find([record.instruction, record.response], codes) if looker is not None else None
        if match is not None:
            yield Fault("contaminated", record.id, match.item)
