"""Where a record comes from: its ancestors in a run directory, each with the exact prompt that asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from snipmill.config_file import load_config
from snipmill.engine.status import recorded_models
from snipmill.stages.generate import GenerationSettings, SampleTask, make_request
from snipmill.stages.settings import for_models, resolve_generation
from snipmill.stages.spec import BY_NAME, STAGES, StageSpec
from snipmill.store.foreign import as_record
from snipmill.store.run_directory import CONFIG, RunDirectory


@dataclass(frozen=True)
class Ancestor:
    """One record on the way: the stage that made it, its fields, the prompt, and which fields are worth showing."""

    stage: str
    record: dict[str, Any]
    prompt: str | None
    shown: tuple[str, ...]


def trace(directory: RunDirectory, record_id: str) -> list[Ancestor]:
    """The ancestors of a record and itself, in the order of the data; empty where no id begins so.

    Raises:
        UsageError: there is no run, or its configuration cannot be read.
    """
    manifest = directory.read_manifest()
    found = _find(directory, record_id)
    if found is None:
        return []
    parents: dict[str, str] = found.get("parents", {})
    chain: dict[str, dict[str, Any]] = {}
    for stage in STAGES:
        # An ancestor by its id, or the record itself: it has the same id in the files of several stages.
        wanted = parents.get(stage.id_in_children) if stage.id_in_children is not None else None
        record = _record(directory, stage, wanted or str(found["id"]))
        if record is not None:
            chain[stage.name] = record
    generation = resolve_generation(load_config(str(directory.path / CONFIG)))
    settings = for_models(generation, recorded_models(manifest))
    return [
        Ancestor(BY_NAME[name].file, record, _prompt(BY_NAME[name], chain, settings), BY_NAME[name].shown_fields)
        for name, record in chain.items()
        if BY_NAME[name].shown_fields
    ]


def _prompt(stage: StageSpec, chain: dict[str, dict[str, Any]], settings: dict[str, GenerationSettings]) -> str | None:
    if stage.generation is None or stage.reads not in chain:
        return None
    parent = as_record(chain[stage.reads], BY_NAME[stage.reads].makes)
    sample = chain[stage.name].get("sample", 0)
    task = SampleTask(parent, range(sample, sample + 1))
    prompt = make_request(stage.generation, task, settings[stage.name]).request.prompt
    if isinstance(prompt, str):
        return prompt
    return "\n".join(f"<{message['role']}>\n{message['content']}" for message in prompt)


def _find(directory: RunDirectory, beginning: str) -> dict[str, Any] | None:
    """The record of the latest stage whose id begins so."""
    for stage in reversed(STAGES):
        record = _record(directory, stage, beginning, exact=False)
        if record is not None:
            return record
    return None


def _record(directory: RunDirectory, stage: StageSpec, record_id: str, exact: bool = True) -> dict[str, Any] | None:
    path = directory.path / f"{stage.file}.jsonl"
    if not path.exists():
        return None
    needle = f'"{record_id}'.encode()
    with path.open("rb") as handle:
        for line in handle:
            if needle in line:
                record = msgspec.json.decode(line, type=dict[str, Any])
                if record["id"] == record_id or (not exact and str(record["id"]).startswith(record_id)):
                    return record
    return None
