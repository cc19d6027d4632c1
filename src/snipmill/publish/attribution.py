"""The attribution of a data set: the sources its rows come from, with revision and licence, file by file.

It is made only from the rows' provenance and is as complete as that. It has no licence texts or authors' names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from snipmill.publish.markdown import plain
from snipmill.records import Provenance, Row

Lines = tuple[int, int]


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """A source at a revision under one licence; unknown fields are empty."""

    source: str
    revision: str
    license: str


@dataclass
class Attribution:
    """The number of rows per origin, the source lines they come from per file, and rows without an origin."""

    rows: dict[Origin, int] = field(default_factory=lambda: defaultdict(int))
    files: dict[Origin, dict[str, set[Lines]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    without: int = 0
    total: int = 0

    def add(self, row: Row) -> None:
        """Count one more row."""
        self.total += 1
        provenance = row.provenance
        if provenance is None:
            self.without += 1
            return
        origin = Origin(provenance.source, provenance.revision or "", provenance.license or "")
        self.rows[origin] += 1
        self.files[origin][provenance.path or ""].add(_lines(provenance))


def _lines(provenance: Provenance) -> Lines:
    return provenance.line_start or 0, provenance.line_end or 0


def attribute(rows: Iterable[Row]) -> Attribution:
    """The attribution of some rows."""
    attribution = Attribution()
    for row in rows:
        attribution.add(row)
    return attribution


def render_attribution(attribution: Attribution) -> Iterator[str]:
    """The lines of a Markdown file: a table of origins, then the files of each origin."""
    yield "# Attribution"
    yield ""
    yield (
        f"The {attribution.total:,} rows of this data set were written by a language model. Each task was derived from "
        "a piece of source code, which the row contains as its seed. These are the sources of that code:"
    )
    yield ""
    yield "| source | revision | licence | rows | files |"
    yield "| --- | --- | --- | ---: | ---: |"
    for origin in sorted(attribution.rows):
        files = len(attribution.files[origin])
        cells = (origin.source, origin.revision or "unknown", origin.license or "unknown")
        yield f"| {' | '.join(map(plain, cells))} | {attribution.rows[origin]:,} | {files:,} |"
    if attribution.without:
        yield f"| unknown | unknown | unknown | {attribution.without:,} | |"
    for origin in sorted(attribution.rows):
        yield ""
        yield f"## {plain(origin.source)} {plain(origin.revision)}".rstrip()
        yield ""
        yield f"Licence: {plain(origin.license or 'unknown')}"
        yield ""
        for path, lines in sorted(attribution.files[origin].items()):
            shown = ", ".join(f"{start}-{end}" if end > start else str(start) for start, end in sorted(lines) if start)
            yield f"- {plain(path) or '(no path)'}{f': lines {shown}' if shown else ''}"
