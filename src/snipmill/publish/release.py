"""What is published of a run: tables for trainers, the card, the attribution, and what proves it. Checked before it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from snipmill.config_file import load_config
from snipmill.errors import UsageError
from snipmill.publish.attribution import attribute, render_attribution
from snipmill.publish.card import Files, render_card, take_census
from snipmill.publish.digests import sha256, write_sums
from snipmill.publish.export import Exported, Request, export
from snipmill.publish.formats import harbor
from snipmill.publish.formats.catalogue import ROW_FORMATS, TABLES
from snipmill.publish.formats.item import FIELDS_OF_THOUGHT
from snipmill.publish.journals import FOLDER, SUMS, publish_journals
from snipmill.publish.sampled import read_rows
from snipmill.publish.screening import check_release
from snipmill.publish.shard_files import Kind, features
from snipmill.records import Row
from snipmill.stages.calibration_file import calibration_of
from snipmill.store.run_directory import CONFIG, RunDirectory

CARD, ATTRIBUTION = "README.md", "ATTRIBUTION.md"


@dataclass(frozen=True)
class Release:
    """What to publish.

    Attributes:
        run: the run directory.
        formats: by name, the first is what `load_dataset` gives.
        repository: OWNER/NAME.
        split: share of the rows for testing.
        journals: whether what reproduces the data set goes along.
        allow: faults of rows under which it is published all the same.
        kind, shard_rows: of the tables.
    """

    run: str
    formats: Sequence[str]
    repository: str | None = None
    split: float = 0.0
    journals: bool = False
    allow: frozenset[str] = frozenset()
    kind: Kind = "parquet"
    shard_rows: int = 50_000


def write_card(directory: RunDirectory, files: Files) -> str:
    """The card of a run.

    Raises:
        UsageError: the run has no rows yet.
    """
    config = load_config(directory.path / CONFIG)
    census = take_census(_rows(directory), calibration_of(directory, config))
    return render_card(directory.read_manifest(), config, census, files)


def write_attribution(directory: RunDirectory) -> str:
    """The attribution of a run."""
    return "\n".join(render_attribution(attribute(_rows(directory)))) + "\n"


def refresh_pages(directory: RunDirectory) -> None:
    """Make card and attribution in a run directory anew, where they are; without rows, there is nothing to say."""
    pages: dict[str, Callable[[], str]] = {
        CARD: lambda: write_card(directory, Files()),
        ATTRIBUTION: lambda: write_attribution(directory),
    }
    for name, text in pages.items():
        path = directory.path / name
        if path.exists() and directory.dataset.stat().st_size:
            directory.write_text(name, text())
        else:
            path.unlink(missing_ok=True)


def _rows(directory: RunDirectory) -> Iterator[Row]:
    _require_rows(directory)
    return read_rows(str(directory.dataset), lambda _reject: None)


def _require_rows(directory: RunDirectory) -> None:
    if not directory.dataset.exists() or not directory.dataset.stat().st_size:
        raise UsageError(f"{directory.path} has no rows yet; go on with `snipmill run {directory.path / CONFIG}`.")


def stage_release(release: Release, folder: Path, tell: Callable[[str], None]) -> dict[str, dict[str, int]]:
    """Write everything that is published into a folder.

    Args:
        release: what to publish.
        folder: an empty folder.
        tell: called with what is being done.

    Returns:
        by format, how many examples each split has.

    Raises:
        UsageError: rows must not be published, or the run does not give what is asked for.
    """
    directory = RunDirectory(release.run)
    if not directory.is_there:
        raise UsageError(f"{release.run} is no run directory.")
    _require_rows(directory)
    config = load_config(directory.path / CONFIG)
    tell("looking for secrets, licences and contamination")
    samples = release.journals or any(name not in ROW_FORMATS for name in release.formats)
    check_release(directory, config, release.allow, samples=samples)
    splits: dict[str, dict[str, int]] = {}
    for name in release.formats:
        tell(f"exporting {name}")
        splits[name] = _export(release, name, folder, tell)
    if release.journals:
        tell("gathering journals")
        publish_journals(directory, folder / FOLDER, release.allow)
    tables = {name: counts for name, counts in splits.items() if name != harbor.NAME and counts}
    sums = sha256(folder / FOLDER / SUMS) if release.journals else None
    types = {name: features(TABLES[name].columns, FIELDS_OF_THOUGHT) for name in tables}
    card = write_card(directory, Files(tables, types, release.repository, release.journals, sums))
    (folder / CARD).write_text(card, encoding="utf-8")
    (folder / ATTRIBUTION).write_text(write_attribution(directory), encoding="utf-8")
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    write_sums(folder, names, folder / SUMS)
    return splits


def _export(release: Release, name: str, folder: Path, tell: Callable[[str], None]) -> dict[str, int]:
    """One format, in a folder of its name."""
    progress, target = Exported(), folder / name
    request = Request(release.run, name, str(target), release.split, release.kind, release.shard_rows)
    asyncio.run(export(request, progress))
    if progress.unfinished:
        tell(f"{release.run} is not finished; this is what is there")
    _flatten(target)
    return progress.examples


def _flatten(exported: Path) -> None:
    """An export as a part of a release: its tables right in its folder, and neither a card nor rejects."""
    if (exported / "data").exists():
        for path in (exported / "data").iterdir():
            path.rename(exported / path.name)
        (exported / "data").rmdir()
        (exported / CARD).unlink(missing_ok=True)
    (exported / "rejects.jsonl").unlink(missing_ok=True)
