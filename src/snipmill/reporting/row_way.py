"""The way of a row from its seed: prompts, concepts, instruction, all samples with their verdicts, and the evidence."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from snipmill.config import Config
from snipmill.engine.flow import waves
from snipmill.engine.status import recorded_models
from snipmill.errors import UsageError
from snipmill.prompts.prompt import Prompt, render_completion
from snipmill.records import (
    Concepts,
    Examination,
    Execution,
    Instruction,
    Provenance,
    Reject,
    Response,
    Row,
    Seed,
    Verification,
)
from snipmill.reporting.reading import Key, find, find_children, find_of_responses
from snipmill.reporting.shown_text import highlighted, visible
from snipmill.stages.generate import KEPT, GenerationSettings, SampleTask, make_request
from snipmill.stages.settings import for_models, resolve_generation
from snipmill.stages.spec import BY_NAME, CONCEPTS, INSTRUCTIONS, RESPONSES
from snipmill.store.entries import CompletionEntry, VerificationEntry
from snipmill.store.run_directory import RunDirectory

_MOST_SHOWN = 40  # samples of a task


@dataclass
class PromptBook:
    """Few-shot examples that many prompts begin with, each kept once."""

    beginnings: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def place(self, beginning: str) -> int:
        """Where a beginning stands in the book."""
        if beginning not in self._places:
            self._places[beginning] = len(self.beginnings)
            self.beginnings.append(beginning)
        return self._places[beginning]


@dataclass(frozen=True)
class Ways:
    """What is known of the tasks of some rows, by the ids of instructions, responses and seeds."""

    settings: dict[str, GenerationSettings]
    seeds: dict[str, Seed]
    concepts: dict[str, Concepts]
    instructions: dict[str, Instruction]
    responses: dict[str, list[Response]]
    executed: dict[str, Execution]
    failed: dict[str, Reject]
    verified: dict[str, Execution]
    refused: dict[str, Reject]
    entries: dict[str, VerificationEntry | None]
    unreadable: dict[str, CompletionEntry]
    keys: dict[str, list[str]]
    chosen: frozenset[str]
    book: PromptBook = field(default_factory=PromptBook)


def read_ways(rows: Sequence[Row], files: RunDirectory, run: RunDirectory, config: Config) -> Ways:
    """Read what the details of some rows need, each file once.

    Args:
        rows: those whose way is wanted.
        files: where the stages' outputs lie.
        run: the run directory, whose journals hold what was paid for.
        config: of the run.

    Raises:
        UsageError: a file is damaged.
    """
    settings = _settings(run, config)
    instruction_ids = _parents(rows, "instruction")
    instructions = find(files.kept(INSTRUCTIONS), Instruction, instruction_ids)
    responses = find_children(files.kept(RESPONSES), Response, "instruction", instruction_ids)
    samples = {one.id for group in responses.values() for one in group}
    keys = {one.id: _sample_keys(one, settings[RESPONSES], config) for one in instructions.values()} if settings else {}
    missing = {key for group in keys.values() for key in group} - samples
    verified = find(files.kept("review"), Execution, samples) or find(files.kept("verify"), Execution, samples)
    entries = find_of_responses(run.journal("verify"), VerificationEntry, samples)
    return Ways(
        settings=settings,
        seeds=find(files.kept("seeds"), Seed, _parents(rows, "seed")),
        concepts=find(files.kept(CONCEPTS), Concepts, _parents(rows, "concepts")),
        instructions=instructions,
        responses=responses,
        executed=find(files.kept("execute"), Execution, samples),
        failed=find(files.rejects("execute"), Reject, samples),
        verified=verified,
        refused={
            **find(files.rejects("verify"), Reject, samples),
            **find(files.rejects("sanitize"), Reject, samples),
            **find(files.rejects("select"), Reject, samples),
        },
        entries={key: _entry_of(one, entries.get(key, [])) for key, one in verified.items()},
        unreadable=find(run.journal(RESPONSES), CompletionEntry, missing),
        keys=keys,
        chosen=_chosen(files, instruction_ids),
    )


def _settings(run: RunDirectory, config: Config) -> dict[str, GenerationSettings]:
    """What decided the prompts; nothing where the few-shot examples of the run are gone."""
    try:
        return for_models(resolve_generation(config), recorded_models(run.read_manifest()))
    except UsageError:
        return {}


def _entry_of(execution: Execution, entries: Sequence[VerificationEntry]) -> VerificationEntry | None:
    """The newest entry whose evidence the run uses: a journal also holds what other configurations found."""
    wanted = _evidence_alone(execution.verification)
    return next((one for one in reversed(entries) if _evidence_alone(one.verification) == wanted), None)


def _evidence_alone(found: Verification | None) -> Verification | None:
    return found and msgspec.structs.replace(found, confidence=0.0, review=None)


def _chosen(files: RunDirectory, instructions: Collection[str]) -> frozenset[str]:
    """The ids of all rows of some instructions."""
    rows = find_children(files.dataset, Key, "instruction", instructions)
    return frozenset(row.id for group in rows.values() for row in group)


def _parents(rows: Sequence[Row], kind: str) -> set[str]:
    return {row.parents[kind] for row in rows if kind in row.parents}


def _sample_keys(instruction: Instruction, settings: GenerationSettings, config: Config) -> list[str]:
    """The ids that an instruction's samples have, in their order, also of those that could not be read."""
    stage = BY_NAME[RESPONSES].generation
    assert stage is not None
    requests = (request for wave in waves(config.generate) for request in wave.requests)
    return [key for request in requests for key in make_request(stage, SampleTask(instruction, request), settings).keys]


def describe_row(row: Row, ways: Ways) -> dict[str, Any]:
    """Everything that opens with a row, as the page takes it. Texts are visible; fields that end in `html` are markup."""
    instruction = row.parents.get("instruction", "")
    samples = _samples(instruction, ways)
    seed = ways.seeds.get(row.parents.get("seed", ""))
    return {
        "id": visible(row.id),
        "instruction": visible(row.instruction),
        "concepts": [visible(one) for one in row.concepts],
        "asked": f"{visible(row.category)}, {visible(row.difficulty)}, {visible(row.language)}",
        "seed_html": highlighted(row.seed, row.language),
        "origin": _origin(row.provenance),
        "row_html": highlighted(row.response, "markdown"),
        "thinking": visible(row.thinking) if row.thinking else "",
        "prompts": _prompts(row, seed, ways),
        "samples": samples[:_MOST_SHOWN],
        "left_out": max(len(samples) - _MOST_SHOWN, 0),
        "evidence": _evidence(row),
        "matrix": _matrix(samples, ways),
        "survivors_html": _survivors(row.id, ways),
    }


def _origin(origin: Provenance | None) -> dict[str, Any]:
    if origin is None:
        return {}
    lines = f"lines {origin.line_start}–{origin.line_end}" if origin.line_start is not None else ""
    return {
        "source": visible(origin.source),
        "revision": visible(origin.revision or ""),
        "path": visible(origin.path or ""),
        "lines": lines,
        "license": visible(origin.license or "unknown"),
        "link": source_link(origin),
    }


def source_link(origin: Provenance) -> str:
    """The address of a seed's lines on the web, for repositories whose host shows files in the usual way; else empty."""
    base = origin.source.removesuffix(".git").rstrip("/")
    if not base.startswith("https://") or origin.revision is None or origin.path is None:
        return ""
    if any(character in base + origin.path for character in "\"'<>\\ \n\r\t?#"):
        return ""
    lines = f"#L{origin.line_start}-L{origin.line_end}" if origin.line_start is not None else ""
    return f"{base}/blob/{origin.revision}/{origin.path}{lines}"


def _prompts(row: Row, seed: Seed | None, ways: Ways) -> list[dict[str, Any]]:
    """The prompt of each stage, split into the examples that it begins with and its own question."""
    parents = {
        CONCEPTS: seed,
        INSTRUCTIONS: ways.concepts.get(row.parents.get("concepts", "")),
        RESPONSES: ways.instructions.get(row.parents.get("instruction", "")),
    }
    found = []
    for name, parent in parents.items():
        stage = BY_NAME[name].generation
        if parent is None or stage is None or name not in ways.settings:
            continue
        settings = ways.settings[name]
        prompt = make_request(stage, SampleTask(parent, range(1)), settings).prompt
        beginning = _beginning(prompt, settings.is_chat)
        found.append(
            {
                "stage": name,
                "examples": len(prompt.examples),
                "beginning": ways.book.place(visible(beginning)),
                "question": visible(prompt.question),
            }
        )
    return found


def _beginning(prompt: Prompt, is_chat: bool) -> str:
    """What a prompt begins with: the system sentence and the solved examples."""
    if not is_chat:
        whole = render_completion(prompt)
        return whole[: whole.rindex(prompt.question)].rstrip()
    turns = [f"<user>\n{question}\n<assistant>\n{answer}" for question, answer in prompt.examples]
    return "\n\n".join([f"<system>\n{prompt.system}", *turns])


def _samples(instruction: str, ways: Ways) -> list[dict[str, Any]]:
    """All samples of a task in the order in which they were drawn, also those that could not be read."""
    known = {one.id: one for one in ways.responses.get(instruction, ())}
    keys = ways.keys.get(instruction, [])
    unread = {key: place for place, key in enumerate(keys) if key in ways.unreadable and key not in known}
    read = [_sample(one, ways) for one in known.values()]
    return sorted(
        [*read, *(_unreadable(key, place, ways.unreadable[key]) for key, place in unread.items())],
        key=lambda one: int(one["number"]),
    )


def _unreadable(key: str, place: int, entry: CompletionEntry) -> dict[str, Any]:
    """A sample that could not be read as an answer, or whose response is missing."""
    text = entry.completion.text if entry.completion is not None else ""
    is_kept = entry.outcome == KEPT
    detail = "It could not be read as an answer."
    if is_kept:
        detail = "It is in the journal, and not in responses.jsonl; `snipmill run` writes that file again."
    elif entry.refusal is not None:
        detail = entry.refusal.detail
    return {
        "id": key,
        "number": place,
        "status": "missing" if is_kept else visible(entry.outcome),
        "detail": visible(detail),
        "html": highlighted(text, "markdown"),
    }


def _sample(response: Response, ways: Ways) -> dict[str, Any]:
    key = response.id
    executed, failed, verified = ways.executed.get(key), ways.failed.get(key), ways.verified.get(key)
    refused = ways.refused.get(key)
    verdict = executed.verdict if executed is not None else failed.verdict if failed is not None else None
    usage = response.usage.get(RESPONSES)
    found: dict[str, Any] = {
        "id": key,
        "number": response.sample,
        "status": "passed" if executed is not None else failed.reason if failed is not None else "not executed",
        "detail": visible(failed.detail if failed is not None else ""),
        "chosen": key in ways.chosen,
        "html": highlighted(response.response, "markdown"),
        "thinking": visible(response.thinking) if response.thinking else "",
        "tokens": usage.completion_tokens if usage is not None else None,
    }
    if refused is not None:
        found["later"] = f"{refused.stage}: {refused.reason}. {visible(refused.detail, 2_000)}"
    if verified is not None and verified.verification is not None:
        found["confidence"] = verified.verification.confidence
        if verified.response != response.response:
            found["repaired"] = verified.verification.changed
            found["repair_html"] = highlighted(_difference(response.response, verified.response), "diff")
    if verdict is not None:
        found["checks"] = verdict.checks_executed
        found["milliseconds"] = round(verdict.wall_ms, 1)
        found["output"] = visible(verdict.output_head, 2_000)
    return found


def _difference(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")
    return "\n".join(list(lines)[2:])  # without the names of two files


def _evidence(row: Row) -> list[list[str]]:
    """What is known of a row, as pairs of a name and a value."""
    pairs: list[list[str]] = []
    if row.verdict is not None:
        verdict = row.verdict
        pairs.append(["verdict", f"{verdict.status} in the tier {verdict.tier or 'none'}"])
        pairs.append(["checks executed", f"{verdict.checks_executed:,}, of {verdict.checks_written:,} written checks"])
    found = row.verification
    if found is None:
        return pairs
    pairs += [
        ["confidence", f"{found.confidence:.3f}"],
        ["samples", f"{found.passed} of {found.samples} passed as written"],
        [
            "same results",
            f"{found.group} of {found.implementations} different implementations, from {found.inputs} inputs",
        ],
        ["agreement", f"{found.agreement:.2f}"],
        ["assertions of others", f"{found.foreign_true} of {found.foreign} hold"],
        ["mutants noticed", f"{found.killed} of {found.mutants}" if found.mutants else "nothing could be changed"],
        ["coverage", f"{found.lines:.0%} of lines, {found.branches:.0%} of branches"],
    ]
    if found.changed:
        pairs.append(["assertions repaired", f"{found.changed}"])
    if found.review is not None:
        gain = f"{found.review.gain:.3f} nats" if found.review.gain is not None else "not measured"
        pairs.append(["reviewed by", f"{visible(found.review.reviewer)}, gain {gain}"])
    return pairs


def _matrix(samples: Sequence[dict[str, Any]], ways: Ways) -> dict[str, Any]:
    """Samples against assertions; empty where no journal holds it."""
    ids = [one["id"] for one in samples]
    examination = _examination(ids, ways)
    if examination is None:
        return {}
    number = {one["id"]: one["number"] for one in samples}
    return {
        "assertions": [visible(text) for text in examination.assertions],
        "outcomes": examination.outcomes,
        "authors": examination.authors,
        "samples": [number.get(one, "?") for one in examination.samples],
    }


def _examination(ids: Collection[str], ways: Ways) -> Examination | None:
    found = (entry.examination for one in ids if (entry := ways.entries.get(one)) is not None)
    return next((one for one in found if one is not None), None)


def _survivors(row: str, ways: Ways) -> list[str]:
    entry = ways.entries.get(row)
    return [highlighted(text, "diff") for text in entry.survivors] if entry is not None else []
