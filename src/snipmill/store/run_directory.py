"""The layout of a run directory, and its manifest. One directory contains all files of a run.

config.toml                      the configuration, every key resolved
manifest.json                    versions, model, hashes, funnel
journal/STAGE.jsonl              completions and verdicts, append-only: all else is derived from them
STAGE.jsonl                      the output of each stage, in order: derived
STAGE.jsonl.rejects.jsonl        the rejects of each stage, with reasons: derived
dataset.jsonl                    the rows
report.html                      what a person looks at, where `report` was used
calibration.json                 what evidence is worth
own-seeds.jsonl                  the seeds, where a Python program gave them
shards/I/                        the part of the run that shard I grows, with journals of its own; `gather` joins them
forgotten.jsonl                  hashes of what must not be mined again, where `forget` was used
forgetting.json                  what a `forget` takes out that is under way, or was interrupted
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from snipmill.errors import StoreError, UsageError

_LEFTOVER = re.compile(r"\.[\w.-]+\.(jsonl\.\w{8}|rejects\.jsonl\.\w{8}|partial)")
MANIFEST, CONFIG, DATASET, FORGOTTEN = "manifest.json", "config.toml", "dataset.jsonl", "forgotten.jsonl"
CALIBRATION, OWN_SEEDS, SHARDS = "calibration.json", "own-seeds.jsonl", "shards"


def rejects_path(out: str | Path) -> Path:
    """The path of an output file's rejects, beside it."""
    return Path(f"{out}.rejects.jsonl")


def journal_path(out: str | Path) -> Path:
    """The path of the journal of a single stage's output file, beside it."""
    return Path(f"{out}.journal.jsonl")


class RunDirectory:
    """The paths of a run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def dataset(self) -> Path:
        """The finished rows."""
        return self.path / DATASET

    @property
    def is_there(self) -> bool:
        """Whether the directory is one of a run, finished or not."""
        return (self.path / CONFIG).is_file()

    def journal(self, stage: str) -> Path:
        """The journal of a stage."""
        return self.path / "journal" / f"{stage}.jsonl"

    def shard(self, index: int) -> RunDirectory:
        """The directory of a shard."""
        return RunDirectory(self.path / SHARDS / str(index))

    def shards(self) -> dict[int, RunDirectory]:
        """The directories of all shards that were begun, by number."""
        folder = self.path / SHARDS
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        return {number: self.shard(number) for number in sorted(int(name) for name in names if name.isdecimal())}

    @property
    def grown(self) -> Path:
        """Of a shard, what came of each seed, in their order."""
        return self.path / "grown.jsonl"

    def kept(self, stage: str) -> Path:
        """The output of a stage."""
        return self.path / f"{stage}.jsonl"

    def rejects(self, stage: str) -> Path:
        """The rejects of a stage."""
        return rejects_path(self.kept(stage))

    @property
    def report(self) -> Path:
        """The page that `snipmill report` writes if no other file is given."""
        return self.path / "report.html"

    @property
    def own_seeds(self) -> Path:
        """The seeds that a Python program gave to the run."""
        return self.path / OWN_SEEDS

    @property
    def forgotten(self) -> Path:
        """The tombstones."""
        return self.path / FORGOTTEN

    def read_forgotten(self) -> set[str]:
        """The tombstones; none where nothing was forgotten.

        Raises:
            StoreError: they cannot be read, so that nobody knows what must not be mined.
        """
        try:
            lines = self.forgotten.read_bytes().splitlines() if self.forgotten.exists() else []
            return {msgspec.json.decode(line, type=dict[str, str])["hash"] for line in lines}
        except (OSError, msgspec.DecodeError, KeyError) as error:
            raise StoreError(
                f"{self.forgotten} cannot be read: {error}. It says what must not be mined again; restore it."
            ) from error

    def write_forgotten(self, hashes: set[str]) -> None:
        """Replace the tombstones."""
        self.write_text(FORGOTTEN, "".join(f'{{"hash":"{one}"}}\n' for one in sorted(hashes)))

    def remove_leftovers(self) -> None:
        """Remove files that a killed process was writing. Call it only while the journals are locked."""
        for path in self.path.glob(".*"):
            if path.is_file() and _LEFTOVER.fullmatch(path.name):
                path.unlink(missing_ok=True)

    @property
    def forgetting(self) -> Path:
        """What a `forget` that is under way, or was interrupted, takes out."""
        return self.path / "forgetting.json"

    def create(self) -> None:
        """Create the directory.

        Raises:
            StoreError: it cannot be created, or contains other files.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The run directory {self.path} cannot be created: {error.strerror}.") from error
        names = {entry.name for entry in self.path.iterdir()}
        if names and not names & {MANIFEST, CONFIG, OWN_SEEDS, SHARDS, "journal"}:
            raise StoreError(f"{self.path} holds other files and no run. Choose an empty or new directory.")

    def write_text(self, name: str, text: str) -> None:
        """Replace a small file atomically."""
        target = self.path / name
        partial = target.with_name(f".{name}.partial")
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(target)
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error.strerror}.") from error

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Replace the manifest."""
        self.write_text(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode() + "\n")

    @property
    def has_run(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / MANIFEST).exists()

    def read_manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises:
            UsageError: the directory contains no run.
        """
        try:
            manifest = msgspec.json.decode((self.path / MANIFEST).read_bytes(), type=dict[str, Any])
        except FileNotFoundError:
            if self.shards():
                raise UsageError(
                    f"{self.path} was grown in shards, which are not joined yet. `snipmill gather {self.path}` joins what is there."
                ) from None
            raise UsageError(f"{self.path} is no run directory: it has no {MANIFEST}. Give another path.") from None
        except (OSError, msgspec.DecodeError) as error:
            raise UsageError(f"{self.path / MANIFEST} cannot be read: {error}.") from error
        return manifest
