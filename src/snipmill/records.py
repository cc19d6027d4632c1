"""Frozen records of the pipeline, their content-hash ids, and rejects.

A record grows: each kind has all columns of the kind before it and adds its own, so that every stage's file can be read,
filtered and continued by hand. Columns stand in files in the order in which a record grew. An `Execution` and a `Row` are
both `Response`s, so `isinstance(x, Response)` is true of them too; code that tells outcomes apart asks for `Reject`.
Does not cover how records are read or written (`store`).

    Record                  id, foreign columns
    ├── Snippet             seed, language, provenance
    │   ├── Seed            judge
    │   └── Concepts        concepts, parents, usage
    │       └── Instruction instruction, category, difficulty
    │           └── Response          response, sample, thinking
    │               ├── Execution     verdict, verification
    │               └── Row           verdict (shortened), verification, style
    └── Reject              stage, reason, detail, verdict
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, TypeVar

import msgspec

DATA_VERSION = 1
COLUMNS = "\ue000columns"  # the key of foreign columns while they are in memory; of private use, so that no file has it
SOURCE_ID = "source_id"  # the foreign column that keeps an id of the user's that cannot be a record's


def content_hash(*parts: str | int | float | bool | None) -> str:
    """20 hex digits (80 bits) of BLAKE2b over the parts, in which neighbours cannot run into each other."""
    digest = hashlib.blake2b(digest_size=10)
    for part in parts:
        kind = "str" if isinstance(part, str) else type(part).__name__  # an enum's text is a text
        raw = f"{kind}:{part}".encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest.hexdigest()


def hash64(*parts: str) -> int:
    """A 64-bit hash of texts, for keys that are many and need not be unforgeable."""
    return hash_bytes("\x1f".join(parts).encode("utf-8", "surrogatepass"))


def hash_bytes(raw: bytes) -> int:
    """As `hash64`, of a text in UTF-8."""
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "big")


def encode_json(value: Any) -> bytes:
    """JSON. Lone surrogates, which UTF-8 cannot carry, become question marks."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(msgspec.to_builtins(value, enc_hook=_decode_raw)))


def _decode_raw(value: Any) -> Any:
    """A foreign column, which is kept as the JSON that it came as."""
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    raise NotImplementedError(type(value).__name__)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all records share: an id that hashes what the record was made from.

    `columns` are those of a foreign row that are none of ours. They are carried along, and stand beside ours in files.
    """

    id: str
    columns: dict[str, msgspec.Raw] | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name=COLUMNS)


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a seed came from.

    `path` is relative to `source`; lines count from 1, both ends included; `license` is an SPDX expression; `content_hash` is
    the SHA-256 of the whole file, or of the column's text in UTF-8, as hex digits.
    """

    source: str
    revision: str | None = None
    path: str | None = None
    line_start: int | None = None
    line_end: int | None = None
    license: str | None = None
    content_hash: str | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one completion, as the server counted them. Those of thought are a part of the generated ones."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    thinking_tokens: int = 0


class Snippet(Record, frozen=True, kw_only=True):
    """Source code, and where it came from."""

    seed: str
    language: str = "Python"
    provenance: Provenance | None = None


class Seed(Snippet, frozen=True, kw_only=True):
    """One source function with a docstring. `judge` is a model's probability that it is fit to be a seed."""

    judge: float | None = None


class Concepts(Snippet, frozen=True, kw_only=True):
    """S->C: the programming concepts that a model named in a seed.

    `parents` are the ids of the ancestors by kind; `usage` counts tokens by stage.
    """

    concepts: list[str]
    parents: dict[str, str] = {}
    usage: dict[str, Usage] = {}


class Instruction(Concepts, frozen=True, kw_only=True):
    """C->I: a task that a model wrote from concepts and drawn properties."""

    instruction: str
    category: str = "function"
    difficulty: str = "medium"


class Response(Instruction, frozen=True, kw_only=True):
    """I->R: sample number `sample` (from 0) of a model's answers to an instruction.

    `thinking` is the trace of thought before the answer, where the model gave one.
    """

    response: str
    sample: int = 0
    thinking: str | None = None


class WrittenTests(Instruction, frozen=True, kw_only=True):
    """Assertions that a model wrote from an instruction alone."""

    tests: str


VerdictStatus = Literal[
    "passed",
    "failed",
    "timeout",
    "memory",
    "output-limit",
    "killed",
    "vacuous",
    "syntax-error",
    "unsupported",
    "unverified",
    "sandbox-error",
]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a row keeps of its verdict: the part that is the same for every execution of the same program.

    Times, memory and output stay in the run's journal, so that a row has the same bytes however often it is made.

    `checks_executed` counts each time that a check came to a result. `checks_written` is the number of checks in the tests;
    `checks_reached` of them came to a result at least once. `tests_run` counts tests, each set of parameters on its own.
    `tests_skipped` is `name: reason` of those that were skipped, `tests_never_run` is `name, line` of those that began nowhere.
    """

    status: VerdictStatus
    tier: str = ""
    checks_executed: int = 0
    checks_written: int = 0
    checks_reached: int = 0
    tests_run: int = 0
    tests_skipped: list[str] = []
    tests_never_run: list[str] = []

    @property
    def reached(self) -> float | None:
        """The share of the written checks that came to a result; None where none is known."""
        return self.checks_reached / self.checks_written if self.checks_written else None


class Verdict(Evidence, frozen=True, kw_only=True):
    """The result of one execution, with its evidence.

    Times are in milliseconds, memory is the peak in bytes, `line` counts from 1 within the program; `output_head` and
    `output_tail` hold the beginning and the end of what it wrote to stdout and stderr.
    """

    checks_failed: int = 0
    detail: str = ""
    exception: str | None = None
    line: int | None = None
    failed_check: str | None = None
    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    peak_memory: int = 0
    output_head: str = ""
    output_tail: str = ""
    output_dropped: int = 0


class Review(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model found that compared an answer's code with its instruction, in nats.

    `without_code` is the mean log probability of the instruction's tokens where only the signature of the code is shown, and `gain`
    how much more it is where the code is shown. `yes` is half of how much more likely yes is than no to the question whether the
    code does the task, minus the same for the question whether it fails to.
    """

    reviewer: str
    gain: float | None = None
    without_code: float | None = None
    yes: float | None = None


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What the other samples and the tests' strength say of a row. Shares are from 0 to 1.

    `samples` of the instruction had a program, `passed` of them as written; `implementations` of them differ. `group` of
    these compute the same as this one wherever both could be asked, `group_share` is their share of all samples, and
    `agreement` the mean share of the others that compute the same. From `inputs`, those of all assertions and derived ones, it
    computes `values` that differ; `alike` is the share of the other samples that compute the same from all of them, `likeness`
    the mean squared share of inputs from which the others do. `own_assertions` hold; `contradicted` ones do too, but not
    for the majority; `changed` were taken out or given another value, since the evidence was against them. `foreign_true` of
    `foreign` assertions of other samples hold. `mutants` are changed implementations, `killed` those that the tests notice;
    `lines` and `branches` are the tests' coverage. `review` is what a reviewer found. `confidence` is the fitted probability
    that the code is right.
    """

    samples: int
    passed: int
    implementations: int = 1
    group: int = 1
    group_share: float = 0.0
    agreement: float = 0.0
    inputs: int = 0
    values: int = 0
    alike: float = 0.0
    likeness: float = 0.0
    own_assertions: int = 0
    contradicted: int = 0
    changed: int = 0
    foreign: int = 0
    foreign_true: int = 0
    mutants: int = 0
    killed: int = 0
    lines: float = 0.0
    branches: float = 0.0
    review: Review | None = None
    confidence: float = 0.0

    @property
    def ease(self) -> float:
        """The share of the task's samples that passed as written."""
        return self.passed / self.samples if self.samples else 0.0

    @property
    def mutation(self) -> float | None:
        """Mutation score; None where nothing could be changed."""
        return self.killed / self.mutants if self.mutants else None


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """The assertions of all samples of an instruction, and what each sample's code makes of them.

    `samples` are ids of responses. `outcomes` has a text for each sample, with one character for each of `assertions`: `+` it
    holds, `-` it does not, `!` the code raised an error or ran out of time, `.` the assertion does not fit the code. `authors`
    lists for each assertion the samples that make it, by their place.
    """

    samples: list[str]
    assertions: list[str]
    outcomes: list[str]
    authors: list[list[int]]


class Execution(Response, frozen=True, kw_only=True):
    """A response with the verdict on its program."""

    verdict: Verdict
    verification: Verification | None = None

    @property
    def is_unverified(self) -> bool:
        """Whether nothing was executed, because its language cannot be."""
        return self.verdict.status == "unverified"


class Row(Response, frozen=True, kw_only=True):
    """A finished line of the data set."""

    verdict: Evidence | None = None
    verification: Verification | None = None
    style: str = ""

    @property
    def is_unverified(self) -> bool:
        """Whether nothing was executed, because its language cannot be."""
        return self.verdict is not None and self.verdict.status == "unverified"


class Reject(Record, frozen=True, kw_only=True):
    """A dropped record: which (`id`), where (`stage`), why (`reason`), and a sentence for a person.

    `reason` is a code of `reasons.Reason`. A program that did not pass keeps its verdict here. `where` is the place of the
    record in the file that a command read, as `file:line`.
    """

    stage: str
    reason: str
    detail: str = ""
    verdict: Verdict | None = None
    where: str | None = None


R = TypeVar("R", bound=Record)


def extend(kind: type[R], record: Record, **columns: Any) -> R:
    """A record of a later kind: all columns of an earlier one, and those that the later kind adds or changes."""
    return kind(**{**msgspec.structs.asdict(record), **columns})


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What a server answered to one request.

    `finish_reason` is `stop`, `length`, or another word of the server. It is `cut` where the stream was stopped because the text
    was complete, `hopeless` where no continuation could be parsed any more, `thinking` where the model thought without coming
    to an answer, and `unstated` where the server gave no reason. `first` has the log probabilities of tokens that could have
    begun the text, where they were asked for and the server gave them. `thinking` is the trace of thought before the text.
    Where a given text was to be scored, `scores` are the log probabilities of its tokens.
    """

    text: str
    finish_reason: str
    usage: Usage = Usage()
    first: dict[str, float] = {}
    thinking: str = ""
    scores: list[float] = []

    @property
    def stopped_by_itself(self) -> bool:
        """Whether more tokens could not have changed the text."""
        return self.finish_reason in ("stop", "eos_token", "eos", "stop_sequence", "cut", "unstated")


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request has no completion: a stable reason code and a sentence."""

    reason: str
    detail: str
