"""Where a record comes from: its ancestors in a run directory, each with the exact prompt that asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from snipmill.config import load_config
from snipmill.pipeline.generate import make_task
from snipmill.pipeline.settings import generations
from snipmill.prompts.concepts import STAGE as CONCEPTS
from snipmill.prompts.instructions import STAGE as INSTRUCTIONS
from snipmill.prompts.judge import STAGE as JUDGE
from snipmill.prompts.responses import STAGE as RESPONSES
from snipmill.prompts.stage import Stage
from snipmill.records import Concepts, Instruction, Seed
from snipmill.store.jsonl import as_record
from snipmill.store.run_directory import RunDirectory

_FILES = ("seeds", "judge", "concepts", "instructions", "responses", "execute", "verify", "dataset")
_SHOWN = {
    "seeds": ("provenance", "seed"),
    "judge": ("judge",),
    "concepts": ("concepts", "usage"),
    "instructions": ("category", "difficulty", "instruction"),
    "responses": ("sample", "response"),
    "execute": ("verdict",),
    "verify": ("verification",),
    "dataset": ("style", "instruction", "response"),
}
_STAGES: dict[str, tuple[Stage[Any, Any], type[Any], str]] = {
    "judge": (JUDGE, Seed, "seeds"),
    "concepts": (CONCEPTS, Seed, "seeds"),
    "instructions": (INSTRUCTIONS, Concepts, "concepts"),
    "responses": (RESPONSES, Instruction, "instructions"),
}
_PARENT = {"seeds": "seed", "judge": "seed", "concepts": "concepts", "instructions": "instruction"}


@dataclass(frozen=True)
class Ancestor:
    """One record on the way: the stage that made it, its fields, the prompt, and which fields are worth showing."""

    stage: str
    record: dict[str, Any]
    prompt: str | None
    shown: tuple[str, ...]


def trace(directory: RunDirectory, record_id: str) -> list[Ancestor]:
    """The ancestors of a record and itself, in the way of the data; empty where no id begins so.

    Raises:
        UsageError: there is no run, or its configuration cannot be read.
    """
    manifest = directory.read_manifest()
    found = _find(directory, record_id)
    if found is None:
        return []
    parents: dict[str, str] = found.get("parents", {})
    chain: list[tuple[str, dict[str, Any]]] = []
    for stage in ("seeds", "judge", "concepts", "instructions"):
        wanted = parents.get(_PARENT[stage])
        record = _record(directory, stage, wanted) if wanted is not None else None
        if record is not None:
            chain.append((stage, record))
    for stage in _FILES:
        record = _record(directory, stage, str(found["id"]))
        if record is not None:
            chain.append((stage, record))
    settings = generations(load_config(str(directory.path / "config.toml")), str(manifest.get("model")))
    records = dict(chain)
    return [
        Ancestor(stage, record, _prompt(stage, record, records, settings), _SHOWN[stage]) for stage, record in chain
    ]


def _prompt(stage: str, record: dict[str, Any], records: dict[str, dict[str, Any]], settings: Any) -> str | None:
    if stage not in _STAGES:
        return None
    definition, kind, parent = _STAGES[stage]
    if parent not in records:
        return None
    task = make_task(definition, as_record(records[parent], kind), (record.get("sample", 0),), settings[stage])
    prompt = task.request.prompt
    if isinstance(prompt, str):
        return prompt
    return "\n".join(f"<{message['role']}>\n{message['content']}" for message in prompt)


def _find(directory: RunDirectory, beginning: str) -> dict[str, Any] | None:
    for stage in reversed(_FILES):
        record = _record(directory, stage, beginning, exact=False)
        if record is not None:
            return record
    return None


def _record(directory: RunDirectory, stage: str, record_id: str, exact: bool = True) -> dict[str, Any] | None:
    path = directory.dataset if stage == "dataset" else directory.kept(stage)
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
