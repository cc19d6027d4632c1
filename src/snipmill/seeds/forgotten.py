"""What a run has forgotten: sources, licences, files and seeds that must not be mined again, known by hashes alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from snipmill.records import Seed, content_hash
from snipmill.seeds.document import Document

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Wanted:
    """What shall be forgotten. Everything that any of these names is.

    Attributes:
        sources: by name, as provenance has it.
        licenses: SPDX expressions, as provenance has them; `unknown` for code that has none.
        paths: patterns over the path within a source (`*` matches any characters).
        ids: of seeds.
    """

    sources: frozenset[str] = frozenset()
    licenses: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()
    ids: frozenset[str] = frozenset()

    def has_file(self, source: str, path: str | None) -> bool:
        """Whether a file is named by its source or its path."""
        return source in self.sources or (path is not None and any(fnmatchcase(path, one) for one in self.paths))

    def has_seed(self, seed: Seed) -> bool:
        """Whether a seed is named."""
        origin = seed.provenance
        if seed.id in self.ids or license_of(seed) in self.licenses:
            return True
        return origin is not None and self.has_file(origin.source, origin.path)


@dataclass
class Forgotten:
    """Tombstones: hashes of what was forgotten, and of what is being forgotten now.

    Attributes:
        hashes: of earlier times.
        wanted: what shall be forgotten now; it adds to the hashes as it is met.
    """

    hashes: set[str] = field(default_factory=set)
    wanted: Wanted = field(default_factory=Wanted)

    def __post_init__(self) -> None:
        self.hashes |= {tombstone("source", name) for name in self.wanted.sources}
        self.hashes |= {tombstone("license", name) for name in self.wanted.licenses}
        self.hashes |= {tombstone("seed", name) for name in self.wanted.ids}

    def has_document(self, document: Document) -> bool:
        """Whether a document is forgotten, by its source or its path."""
        if self.wanted.has_file(document.source, document.path):
            self.hashes.add(tombstone("file", document.source, document.path or ""))
        return not self.hashes.isdisjoint(_of_file(document.source, document.path))

    def has_seed(self, seed: Seed) -> bool:
        """Whether a seed is forgotten, by anything that is known of it."""
        origin = seed.provenance
        if (
            origin is not None
            and origin.path is not None
            and self.wanted.has_seed(seed)
            and seed.id not in self.wanted.ids
        ):
            self.hashes.add(tombstone("file", origin.source, origin.path))  # its file, with what was refused there
        return bool(self.hashes) and not self.hashes.isdisjoint(_of_seed(seed))


def license_of(seed: Seed) -> str:
    """The licence of a seed; `unknown` where it has none."""
    return (seed.provenance.license if seed.provenance is not None else None) or UNKNOWN


def tombstone(kind: str, *parts: str) -> str:
    """The hash by which something is known that must not be named any more."""
    return content_hash("forgotten", kind, *parts)


def _of_file(source: str, path: str | None) -> Iterator[str]:
    yield tombstone("source", source)
    if path is not None:
        yield tombstone("file", source, path)


def _of_seed(seed: Seed) -> Iterable[str]:
    yield tombstone("seed", seed.id)
    yield tombstone("license", license_of(seed))
    if seed.provenance is not None:
        yield from _of_file(seed.provenance.source, seed.provenance.path)
