"""Proves a published data set: the same bytes again out of its journals, without a model, and some programs executed once more."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import msgspec

from snipmill import __version__
from snipmill.config import Config, ExecuteTable
from snipmill.config_file import change_config, load_config
from snipmill.errors import StoreError, UsageError
from snipmill.id_index import IdIndex
from snipmill.publish.digests import Difference, compare_with_digests, fields_of, is_inside, read_sums, sha256
from snipmill.publish.export import Exported, export, request_of
from snipmill.publish.formats.catalogue import TABLES
from snipmill.publish.journals import DIGESTS, FOLDER, SUMS, replay_directory
from snipmill.publish.shard_files import MARK
from snipmill.randomness import rank
from snipmill.records import Execution, Reject, Response
from snipmill.sandbox.program import Program
from snipmill.stages.attempts import parse_candidate
from snipmill.stages.settings import resolve_execution
from snipmill.stages.spec import STAGES
from snipmill.store.jsonl import decode_record
from snipmill.store.run_directory import CONFIG, MANIFEST, RunDirectory
from snipmill.tables.table import Table
from snipmill.tables.values import decode_row

_TIMEOUT, _MEMORY = 60.0, 4096  # seconds and MiB: the most that a stranger's configuration may ask for
_MOST = 1000  # differences of one file
_DOUBTFUL = ("timeout", "memory", "sandbox-error", "unsupported")  # verdicts that another machine may give differently


@dataclass
class Proof:
    """What was found.

    Attributes:
        rows: of the data set.
        seeds: how many were grown again.
        executed: programs that ran once more.
        doubtful: of these, those whose verdict another machine may give differently, and gave.
        differences: what is not as it was published; empty where all is proven.
        sha256: of the data set that the journals give; empty where they could not be followed.
        notes: what else the reader should know.
    """

    rows: int = 0
    seeds: int = 0
    executed: int = 0
    doubtful: int = 0
    differences: list[Difference] = field(default_factory=list)
    sha256: str = ""
    notes: list[str] = field(default_factory=list)


async def _execute_again(programs: list[tuple[str, Program, str]], config: Config, sandbox: str, proof: Proof) -> None:
    """Run programs once more, and compare their verdicts.

    Args:
        programs: id, program and recorded status.
        config: of the run. It may be a stranger's: its limits are bounded, and it does not choose how programs are isolated.
        sandbox: the tier.
        proof: receives what differs.
    """
    limits = {"timeout": min(config.execute.timeout, _TIMEOUT), "memory": min(config.execute.memory, _MEMORY)}
    execution = resolve_execution(msgspec.structs.replace(ExecuteTable(), sandbox=sandbox, **limits))
    async with execution.sandbox(sandbox) as place:
        numbers = iter(programs)
        async for verdict in place.stream(program for _, program, _ in programs):
            name, _, status = next(numbers)
            proof.executed += 1
            if verdict.status == status:
                continue
            if status in _DOUBTFUL or verdict.status in _DOUBTFUL:
                proof.doubtful += 1
                continue
            detail = f"was recorded as {status}, and is {verdict.status} here: {verdict.detail}"
            proof.differences.append(Difference("verdicts", name, "status", detail))


def find_run(folder: Path) -> RunDirectory:
    """The run in a published folder, or the folder itself.

    Raises:
        UsageError: there is none.
    """
    for path in (folder / FOLDER, folder):
        if (path / CONFIG).exists() and (path / MANIFEST).exists():
            return RunDirectory(path)
    raise UsageError(
        f"{folder} holds no journals of a run. It must have been published with `snipmill push --journals`, or be a run directory."
    )


def prove(folder: Path, share: float, sandbox: str, tell: Callable[[str], None]) -> Proof:
    """Compare a folder with what its journals give, and run some programs once more.

    Args:
        folder: a run directory, or a published folder, which may be a stranger's.
        share: of the programs that shall run once more.
        sandbox: the tier in which they run.
        tell: called with what is being done.

    Raises:
        UsageError: there is no run, or what it needs is not here.
        StoreError: a journal is damaged, and nothing tells where.
    """
    directory, proof = find_run(folder), Proof()
    is_published = directory.path != folder or (folder / SUMS).exists()
    tell("comparing files with their checksums")
    if is_published:
        proof.differences += _compare_release(folder, directory.path)
    try:
        config = load_config(directory.path / CONFIG)
        manifest = directory.read_manifest()
        if is_published:
            config = _confined(config, directory.path)
        if manifest.get("snipmill") != __version__:
            proof.notes.append(f"It was made by snipmill {manifest.get('snipmill')}; this is {__version__}.")
        with tempfile.TemporaryDirectory(prefix="snipmill-") as scratch:
            programs = _make_again(folder, directory, config, share, Path(scratch), proof, tell)
    except (UsageError, StoreError) as error:
        if not proof.differences:
            raise
        proof.notes.append(f"The journals were not followed to their end: {error}")
        return proof
    if programs:
        tell(f"running {len(programs):,} programs once more")
        asyncio.run(_execute_again(programs, config, sandbox, proof))
    proof.differences = list(dict.fromkeys(proof.differences))
    return proof


def _make_again(
    folder: Path,
    directory: RunDirectory,
    config: Config,
    share: float,
    scratch: Path,
    proof: Proof,
    tell: Callable[[str], None],
) -> list[tuple[str, Program, str]]:
    """Make the run's files and tables again, and compare them; the programs that shall run once more."""
    made = RunDirectory(scratch / "made")
    made.path.mkdir()
    below = "" if directory.path == folder else f"{FOLDER}/"
    tell("making the data set again from its journals")
    replayed = asyncio.run(replay_directory(directory, config, made))
    proof.seeds, proof.sha256 = replayed.seeds, sha256(made.dataset)
    for name in _derived_files(directory):
        if (made.path / name).exists():  # else it is of an earlier configuration of the run
            proof.differences += islice(
                _compare_files(directory.path / name, made.path / name, f"{below}{name}"), _MOST
            )
    for stage, name in replayed.missing[:_MOST]:
        proof.differences.append(Difference(f"{below}journal/{stage}.jsonl", name, "verdict", "is not there."))
    with made.dataset.open("rb") as lines:
        proof.rows = sum(1 for _ in lines)
    for mark in sorted(folder.glob(f"*/{MARK}")) if directory.path != folder else ():
        tell(f"exporting {mark.parent.name} again")
        proof.differences += islice(_compare_export(mark.parent, directory, scratch / "export", proof), _MOST)
    return _chosen_programs(made, share, config.run.seed) if share > 0 else []


def _confined(config: Config, folder: Path) -> Config:
    """A stranger's configuration, with the files that it names in the published folder.

    Raises:
        UsageError: it names a file elsewhere, or on the hub.
    """
    bank, benchmarks = config.generate.fewshot, config.select.benchmarks
    for name in (*benchmarks, *filter(None, (bank, config.verify.calibration))):
        if not is_inside(name) or not (folder / name).exists():
            raise UsageError(f"{folder / CONFIG} names {name!r}, which is not a part of what was published.")
    changes: dict[str, Any] = {"select.benchmarks": [str(folder / name) for name in benchmarks]}
    if bank is not None:
        changes["generate.fewshot"] = str(folder / bank)
    if config.verify.calibration is not None:
        changes["verify.calibration"] = str(folder / config.verify.calibration)
    return change_config(config, changes)


def _compare_release(folder: Path, run: Path) -> Iterator[Difference]:
    """Where a published folder differs from its checksums: files that changed, are missing, or were not published."""
    for place in dict.fromkeys((folder, run)):
        shown = "" if place == folder else f"{place.relative_to(folder)}/"
        if not (place / SUMS).exists():
            yield Difference(f"{shown}{SUMS}", "", "", "is missing, so that nothing says what was published.")
            continue
        sums = read_sums(place / SUMS)
        for name, expected in sums.items():
            yield from _compare_with_sum(place, name, expected, shown)
        there = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
        for name in sorted(there - sums.keys() - {SUMS}):
            if not name.startswith((".git", ".cache/")):
                yield Difference(f"{shown}{name}", "", "", "was not published.")
    card = folder / "README.md"
    has_both = run != folder and card.exists() and (run / SUMS).exists()
    if has_both and sha256(run / SUMS) not in card.read_text(encoding="utf-8", errors="replace"):
        yield Difference("README.md", "", "", f"does not have the SHA-256 of {FOLDER}/{SUMS}.")


def _compare_with_sum(folder: Path, name: str, expected: str, shown: str) -> Iterator[Difference]:
    path, digests = folder / name, folder / DIGESTS / name.replace("/", "-")
    if name.startswith(f"{FOLDER}/") and (folder / FOLDER / SUMS).exists():
        digests = folder / FOLDER / DIGESTS / name.removeprefix(f"{FOLDER}/").replace("/", "-")
    if not path.is_file():
        yield Difference(f"{shown}{name}", "", "", "is missing.")
    elif sha256(path) != expected:
        found = list(islice(compare_with_digests(path, digests, f"{shown}{name}"), _MOST)) if digests.exists() else None
        if found is None:
            yield Difference(f"{shown}{name}", "", "", "was changed since it was published.")
        elif found:
            yield from found
        else:
            yield Difference(f"{shown}{SUMS}", "", "", f"does not fit {name}, of which no record was changed.")


def _compare_export(published: Path, directory: RunDirectory, out: Path, proof: Proof) -> Iterator[Difference]:
    """Where the tables of an export differ from one that is made of the published data set now."""
    request = request_of(published, str(directory.path), out / published.name)
    table = TABLES.get(request.format)
    if table is None or table.of_row is None:
        proof.notes.append(f"{published.name} holds what programs did, and was not made again.")
        return
    asyncio.run(export(request, Exported()))
    made = {path.name: path for path in sorted((Path(request.out) / "data").iterdir())}
    for path in sorted(published.iterdir()):
        name = f"{published.name}/{path.name}"
        if path.name in made and sha256(path) != sha256(made[path.name]):
            yield from _compare_tables(path, made[path.name], name)
        elif path.name not in made and path.name != MARK:
            yield Difference(name, "", "", "does not come of the data set.")
    for missing in sorted(made.keys() - {path.name for path in published.iterdir()}):
        yield Difference(f"{published.name}/{missing}", "", "", "is missing.")


def _compare_tables(published: Path, made: Path, name: str) -> Iterator[Difference]:
    """Where two tables differ, row by row."""
    differs = False
    rows, expected = (map(decode_row, (value for _, value in Table(str(path)).rows())) for path in (published, made))
    for number, (found, wanted) in enumerate(zip_longest(rows, expected), start=1):
        if found == wanted:
            continue
        differs = True
        if not isinstance(found, dict) or not isinstance(wanted, dict):
            yield Difference(name, "", "", f"row {number} is not what the data set gives, nor what comes after it.")
            return
        yield from _changed_fields(found, wanted, name, str(wanted.get("id", f"row {number}")))
    if not differs:
        yield Difference(
            name, "", "", "is written in other bytes, with the same rows; another version of pyarrow may do so."
        )


def _derived_files(directory: RunDirectory) -> list[str]:
    """The files of a run that its journals give, in the order of the data: where several differ, the first shows why."""
    stages = [stage.name for stage in STAGES[1:]]
    paths = [make(stage) for stage in stages for make in (directory.kept, directory.rejects)] + [directory.dataset]
    return [path.name for path in paths if path.exists()]


def _compare_files(published: Path, made: Path, name: str) -> Iterator[Difference]:
    """Where a file differs from what the journals give, by record and field."""
    if made.exists() and sha256(published) == sha256(made):
        return
    places, seen, differs = IdIndex(), IdIndex(), False
    with made.open("rb") as expected:
        offset = 0
        for line in expected:
            places.put(str(msgspec.json.decode(line)["id"]), offset)
            offset += len(line)
        with published.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    record = msgspec.json.decode(line, type=dict[str, Any])
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    differs = True
                    yield Difference(name, "", "", f"line {number} is no record: {error}.")
                    continue
                record_id = str(record.get("id", ""))
                place = places.get(record_id)
                if place is None:
                    differs = True
                    yield Difference(name, record_id, "", "is not what the journals give.")
                    continue
                seen.put(record_id)
                expected.seek(place)
                if (original := expected.readline()) != line:
                    differs = True
                    yield from _changed_fields(record, msgspec.json.decode(original), name, record_id)
        expected.seek(0)
        for line in expected:
            record_id = str(msgspec.json.decode(line)["id"])
            if record_id not in seen:
                differs = True
                yield Difference(name, record_id, "", "is missing; the journals give it.")
    if not differs:
        yield Difference(name, "", "", "holds its records in another order than the journals give them.")


def _changed_fields(found: dict[str, Any], expected: dict[str, Any], name: str, record_id: str) -> Iterator[Difference]:
    mine, theirs = dict(fields_of(found)), dict(fields_of(expected))
    changed = [path for path in sorted(mine.keys() | theirs.keys()) if mine.get(path) != theirs.get(path)]
    for path in changed:
        yield Difference(name, record_id, path, "is not what the journals give.")
    if not changed:
        yield Difference(name, record_id, "", "is written in other bytes, with the same content.")


def _chosen_programs(made: RunDirectory, share: float, seed: int) -> list[tuple[str, Program, str]]:
    """The programs of a share of the verified and of the failed samples, drawn by their ids."""
    bar = share * 2**64
    failed: dict[str, str] = {}
    with made.rejects("execute").open("rb") as lines:
        for line in lines:
            reject = decode_record(line, Reject)
            if reject.verdict is not None and rank(seed, "reproduce", reject.id) < bar:
                failed[reject.id] = reject.verdict.status
    found: list[tuple[str, Program, str]] = []
    for path, kind in ((made.kept("verify"), Execution), (made.kept("responses"), Response)):
        with path.open("rb") as lines:
            for line in lines:
                record = decode_record(line, kind)
                status = "passed" if kind is Execution else failed.get(record.id)
                if status is None or rank(seed, "reproduce", record.id) >= bar:
                    continue
                program = parse_candidate(record).program
                if program is not None:
                    found.append((record.id, program, status))
    return found
