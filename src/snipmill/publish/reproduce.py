"""Proves a published data set: the same bytes again out of its journals, without a model, and some programs executed once more."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec

from snipmill import __version__
from snipmill.config import Config
from snipmill.config_file import change_config, load_config
from snipmill.errors import StoreError, UsageError
from snipmill.id_index import IdIndex
from snipmill.publish.digests import Difference, compare_with_digests, fields_of, read_sums, sha256
from snipmill.publish.export import Exported, export, request_of
from snipmill.publish.formats.catalogue import TABLES
from snipmill.publish.journals import DIGESTS, FEWSHOT, FOLDER, SUMS, replay_directory
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


async def _execute_again(programs: list[tuple[str, Program, str]], config: Config, proof: Proof) -> None:
    """Run programs once more, and compare their verdicts.

    Args:
        programs: id, program and recorded status.
        config: limits and sandbox.
        proof: receives what differs.
    """
    execution = resolve_execution(msgspec.structs.replace(config.execute, interpreter=None))
    async with execution.sandbox("auto" if config.execute.sandbox != "none" else "none") as sandbox:
        place = 0
        async for verdict in sandbox.stream(program for _, program, _ in programs):
            name, _, status = programs[place]
            place += 1
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


def prove(folder: Path, share: float, tell: Callable[[str], None]) -> Proof:
    """Compare a folder with what its journals give, and run some programs once more.

    Args:
        folder: a run directory, or a published folder.
        share: of the programs that shall run once more.
        tell: called with what is being done.

    Raises:
        UsageError: there is no run, or what it needs is not here.
        StoreError: a journal is damaged, and nothing tells where.
    """
    directory, proof = find_run(folder), Proof()
    tell("comparing files with their checksums")
    proof.differences += _compare_sums(directory.path)
    try:
        config = load_config(directory.path / CONFIG)
        manifest = directory.read_manifest()
    except UsageError as error:
        if not proof.differences:
            raise
        proof.notes.append(f"The journals were not followed: {error}")
        return proof
    if manifest.get("snipmill") != __version__:
        proof.notes.append(f"It was made by snipmill {manifest.get('snipmill')}; this is {__version__}.")
    if (bank := directory.path / FEWSHOT).exists():
        only = bank / "bank.txt"
        config = change_config(config, {"generate.fewshot": str(only if only.exists() else bank)})
    with tempfile.TemporaryDirectory(prefix="snipmill-") as scratch:
        made = RunDirectory(scratch)
        tell("making the data set again from its journals")
        try:
            replayed = replay_directory(directory, config, made)
        except StoreError as error:
            if not proof.differences:
                raise
            proof.notes.append(f"The journals were not followed: {error}")
            return proof
        proof.seeds, proof.sha256 = replayed.seeds, sha256(made.dataset)
        for name in _derived_files(directory):
            proof.differences += _compare_files(directory.path / name, made.path / name, name)
        for stage, name in replayed.missing:
            proof.differences.append(Difference(f"journal/{stage}.jsonl", name, "verdict", "is not there."))
        proof.rows = sum(1 for _ in made.dataset.open("rb"))
        if directory.path != folder:
            for mark in sorted(folder.glob(f"*/{MARK}")):
                tell(f"exporting {mark.parent.name} again")
                proof.differences += _compare_export(mark.parent, directory, Path(scratch) / "export", proof)
        programs = _chosen_programs(made, share, config.run.seed) if share > 0 else []
    if programs:
        tell(f"running {len(programs):,} programs once more")
        asyncio.run(_execute_again(programs, config, proof))
    proof.differences = list(dict.fromkeys(proof.differences))
    return proof


def _compare_sums(folder: Path) -> Iterator[Difference]:
    """Where published files differ from their checksums; nothing of a folder without any."""
    if not (folder / SUMS).exists():
        return
    for name, expected in read_sums(folder / SUMS).items():
        path, digests = folder / name, folder / DIGESTS / name.replace("/", "-")
        if not path.is_file():
            yield Difference(name, "", "", "is missing.")
        elif sha256(path) != expected:
            known = list(compare_with_digests(path, digests, name)) if digests.exists() else []
            yield from known or [Difference(name, "", "", "was changed since it was published.")]


def _compare_export(published: Path, directory: RunDirectory, out: Path, proof: Proof) -> Iterator[Difference]:
    """Where the tables of an export differ from one that is made of the published data set now."""
    request = request_of(published, str(directory.path), out / published.name)
    table = TABLES.get(request.format)
    if table is None or table.of_row is None:
        proof.notes.append(f"{published.name} holds what programs did, and was not made again.")
        return
    asyncio.run(export(request, Exported()))
    made = {path.name: path for path in sorted((request.out / "data").iterdir())}
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
