"""Mining at size: documents become seeds on all cores, checked for contamination, secrets and types, and journaled.

What a batch of documents gave is written down before it is used, under a key of the documents and of everything that could
change it: a mining that was stopped goes on where it was. What looks across batches (duplicates) is found here again.
"""

from __future__ import annotations

import hashlib
import platform
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import islice, takewhile
from pathlib import Path
from typing import Protocol

import msgspec

from snipmill import __version__
from snipmill.languages import PYTHON
from snipmill.parallel.chunks import map_chunks
from snipmill.reasons import Reason
from snipmill.records import Reject, Seed, content_hash, encode_json
from snipmill.seeds.document import MAX_BYTES, STAGE, Document
from snipmill.seeds.extract.languages import require_grammar
from snipmill.seeds.mine_document import MineSettings, mine_document
from snipmill.seeds.private import find_private
from snipmill.seeds.types import NOT_CHECKED, check_types, require_checker
from snipmill.similarity.streaming import NearDuplicates
from snipmill.stages.benchmark_files import decontaminator, forget_benchmarks, read_benchmark
from snipmill.store.entries import MiningEntry
from snipmill.store.journal import Journal

_TOOLS = (
    "bc-detect-secrets",
    "identify",
    "license-expression",
    "phonenumberslite",
    "pyrefly",
    "python-stdnum",
    "tree-sitter",
    "tree-sitter-python",
)
_DOCUMENTS = 256
_BYTES = 2 * MAX_BYTES


@dataclass(frozen=True, slots=True)
class Mining:
    """How documents are mined.

    `benchmarks` are files beside the shipped index; None leaves decontamination out. `languages` need a grammar beside Python's.
    """

    mine: MineSettings = field(default_factory=MineSettings)
    types: bool = True
    secrets: bool = True
    benchmarks: tuple[str, ...] | None = ()
    languages: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A hash of all that could change an outcome: settings, the bytes of benchmarks, the versions of Python and of tools.

        Raises:
            UsageError: a benchmark cannot be read.
        """
        tools = [__version__, platform.python_version(), *map(_version, _TOOLS)]
        benchmarks = [hashlib.sha256(read_benchmark(name)).hexdigest() for name in self.benchmarks or ()]
        return content_hash(*tools, *benchmarks, msgspec.json.encode(self, order="deterministic").decode())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


Batch = list[Document | Reject]


Documents = Callable[[], Iterable[Document | Reject]]


class MinesEntries(Protocol):
    """What becomes of all batches of documents, in their order; written down in the journal."""

    def __call__(
        self,
        documents: Documents,
        mining: Mining,
        journal: Journal[MiningEntry],
        cores: int | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[MiningEntry]:
        """The entries."""


def mine_all(
    documents: Documents,
    mining: Mining,
    journal: Journal[MiningEntry],
    cores: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    skip: int = 0,
) -> Iterator[MiningEntry]:
    """Mine here what the journal does not hold.

    Args:
        documents: read as entries are taken, a few batches ahead.
        mining: what is done with them.
        journal: where outcomes are written down.
        cores: how many processes; None for one per CPU.
        stopped: asked between batches; after it has said yes, no further one is begun.
        skip: so many batches are passed over.

    Raises:
        StoreError: a process was killed, or the journal cannot be written.
    """
    key = mining.key
    batches = takewhile(lambda _: not stopped(), islice(batches_of(documents()), skip, None))
    tasks = ((mining, *known_batch(batch, key, journal)) for batch in batches)
    for (found,) in map_chunks(mine_tasks, tasks, cores, size=1, here=1):
        mined = journal.get(found) if isinstance(found, str) else found
        assert mined is not None
        if mined is found:
            write_down(mined, journal)
        yield mined


def write_down(mined: MiningEntry, journal: Journal[MiningEntry]) -> None:
    """Append what was mined. What the checker could not do now it may do next time."""
    if not any(reject.reason == NOT_CHECKED for reject in mined.rejects):
        journal.append(mined)


def mine_documents(
    documents: Documents,
    mining: Mining,
    near: float,
    journal: Journal[MiningEntry],
    cores: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    left_out: Callable[[Seed], bool] = lambda _seed: False,
    mines: MinesEntries = mine_all,
) -> Iterator[Seed | Reject]:
    """The seeds of documents, without near duplicates, and everything that was dropped.

    Args:
        documents: opens them; they are read as seeds are taken, a few batches ahead.
        mining: what is done with them.
        near: Jaccard similarity from which a seed is too like one before it; 0 looks for none.
        journal: where outcomes are written down.
        cores: how many processes; None for one per CPU.
        stopped: asked between batches; after it has said yes, no further one is begun.
        left_out: whether a seed is passed over, so that it hides no other.
        mines: who mines: this process, or several that share the work.

    Raises:
        UsageError: an extra is missing.
        StoreError: a process was killed, or the journal cannot be written.
    """
    if mining.types:
        require_checker()
    for language in mining.languages:
        require_grammar(language)
    if mining.secrets:
        find_private("")
    if mining.benchmarks:
        forget_benchmarks()  # the key names their bytes of now
    seen = NearDuplicates(near) if near > 0 else None
    for mined in mines(documents, mining, journal, cores, stopped):
        yield from mined.rejects
        seeds = [seed for seed in mined.seeds if not left_out(seed)]
        yield from seeds if seen is None else without_near_duplicates(seeds, seen)


def batches_of(documents: Iterable[Document | Reject]) -> Iterator[Batch]:
    """Documents as the journal has them: a few hundred at a time, or a few megabytes."""
    batch: Batch = []
    size = 0
    for document in documents:
        batch.append(document)
        if isinstance(document, Document) and not isinstance(document.content, Path):
            size += len(document.content)
        if len(batch) >= _DOCUMENTS or size >= _BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def known_batch(batch: Batch, key: str, journal: Journal[MiningEntry]) -> tuple[str, Batch | None]:
    """A batch's key, and the batch where its outcome is not there yet."""
    digest = hashlib.blake2b(key.encode(), digest_size=10)
    for one in batch:
        digest.update(_fingerprint(one))
    name = f"b-{digest.hexdigest()}"
    return name, (batch if journal.get(name) is None else None)


def _fingerprint(one: Document | Reject) -> bytes:
    if isinstance(one, Reject):
        return encode_json(one)
    content = one.content
    if isinstance(content, Path):
        try:
            status = content.stat()
            readable = stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES
            digest = hashlib.sha256(content.read_bytes()).hexdigest() if readable else f"{status.st_size} bytes"
        except OSError:
            digest = "gone"
    else:
        raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        digest = hashlib.blake2b(raw, digest_size=16).hexdigest()
    parts = (
        one.shown,
        one.language,
        one.source,
        one.revision,
        one.path,
        one.license,
        one.license_is_final,
        one.package,
        digest,
    )
    return content_hash(*parts).encode()


def mine_tasks(tasks: list[tuple[Mining, str, Batch | None]]) -> list[MiningEntry | str]:
    """What batches gave; the name alone where it is in the journal."""
    return [name if batch is None else mine_batch(name, batch, mining) for mining, name, batch in tasks]


def mine_batch(name: str, batch: Batch, mining: Mining) -> MiningEntry:
    """What becomes of some documents, in order."""
    rejects: list[Reject] = []
    seeds: list[Seed] = []
    for one in batch:
        for outcome in (one,) if isinstance(one, Reject) else mine_document(one, mining.mine):
            if isinstance(outcome, Seed):
                outcome = _screen(outcome, mining)
            (seeds if isinstance(outcome, Seed) else rejects).append(outcome)  # type: ignore[arg-type]
    if mining.types:
        python = [seed.seed for seed in seeds if seed.language == PYTHON]
        faults = iter(check_types(python))
        kept: list[Seed] = []
        for seed in seeds:
            fault = next(faults) if seed.language == PYTHON else None
            if fault is None or fault.reason in mining.mine.rules.allow:
                kept.append(seed)
            else:
                rejects.append(_reject(seed, fault.reason, fault.detail))
        seeds = kept
    return MiningEntry(id=name, seeds=seeds, rejects=rejects)


def _screen(seed: Seed, mining: Mining) -> Seed | Reject:
    """A seed that is no benchmark's and holds nothing private."""
    if mining.benchmarks is not None:
        looker = decontaminator(True, mining.benchmarks)
        match = looker.find((seed.seed,), (seed.seed,)) if looker is not None else None
        if match is not None:
            return _reject(seed, Reason.CONTAMINATED, f"{match.kind} of {match.item}.")
    if mining.secrets:
        private = find_private(seed.seed)
        if private is not None:
            reason, finding = private
            return _reject(seed, reason, f"line {finding.line} of the seed holds what looks like: {finding.kind}.")
    return seed


def _reject(seed: Seed, reason: str, detail: str) -> Reject:
    origin = seed.provenance
    where = f"{origin.path or origin.source}:{origin.line_start}: " if origin is not None else ""
    return Reject(id=seed.id, stage=STAGE, reason=reason, detail=where + detail)


def without_near_duplicates(seeds: list[Seed], seen: NearDuplicates) -> Iterator[Seed | Reject]:
    """The seeds, with a reject in place of each that is nearly an earlier one."""
    found = seen.find([seed.id for seed in seeds], [own_text(seed) for seed in seeds])
    for seed, earlier in zip(seeds, found, strict=True):
        if earlier is None:
            yield seed
        else:
            detail = f"Too like the seed s-{earlier}..., which came before it."
            yield Reject(id=seed.id, stage=STAGE, reason=Reason.NEAR_DUPLICATE, detail=detail)


def own_text(seed: Seed) -> str:
    """A seed without what stands before it for its sake: two functions are not alike because they share a helper."""
    origin = seed.provenance
    if origin is None or origin.line_start is None or origin.line_end is None:
        return seed.seed
    lines = seed.seed.split("\n")
    own = lines[-(origin.line_end - origin.line_start + 1) :]
    return "\n".join(own) if own and not own[0].startswith((" ", "\t")) else seed.seed
