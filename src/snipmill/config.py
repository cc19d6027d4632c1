"""The one configuration of a run: typed, frozen, read from TOML, checked when it is read.

Each table of the file is a struct here; docs/configuration.md explains every key. Secrets are not part of it: the key of
a server comes from OPENAI_API_KEY.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from snipmill.errors import UsageError

Positive = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Category = Literal["function", "class", "program"]
Difficulty = Literal["easy", "medium", "hard"]
Kind = Literal["function", "method", "class"]
Language = Literal["Python", "C++", "Java", "PHP", "Rust", "TypeScript"]
Style = Literal["raw", "plain", "smart", "codeonly"]

CATEGORIES: tuple[Category, ...] = ("function", "class", "program")
DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file."""


class RunTable(Table, frozen=True, kw_only=True):
    """What the whole run shares."""

    dir: str = "snipmill-run"
    seed: Natural = 0


class ColumnsTable(Table, frozen=True, kw_only=True):
    """Which columns of a table hold what. Without `code`, JSONL files are ready-made seeds."""

    code: str | None = None
    license: str | None = None
    path: str | None = None
    source: str | None = None
    revision: str | None = None
    language: str | None = None


class SeedsTable(Table, frozen=True, kw_only=True):
    """Where seeds come from, and what they must be like.

    `allow` names rules that do not hold; `license` is that of sources that state none; `licenses` are SPDX ids,
    `permissive` or `any`; `near` is a Jaccard similarity, 0 is off.
    """

    sources: tuple[str, ...] = ("stdlib",)
    columns: ColumnsTable = ColumnsTable()
    start: Natural = 0
    limit: Positive | None = None
    shuffle: bool = False
    kinds: tuple[Kind, ...] = ("function",)
    languages: tuple[Language, ...] = ("Python",)
    allow: tuple[str, ...] = ()
    max_lines: Positive = 150
    max_context_lines: Natural = 60
    max_line_length: Positive = 200
    min_ascii: Share = 0.9
    denied_modules: tuple[str, ...] = (
        "os",
        "sys",
        "subprocess",
        "argparse",
        "setuptools",
        "distutils",
        "matplotlib",
        "seaborn",
    )
    license: str | None = None
    licenses: tuple[str, ...] = ("permissive",)
    types: bool = True
    secrets: bool = True
    decontaminate: bool = True
    near: Share = 0.5
    min_judge: Share = 0.0


class JudgeTable(Table, frozen=True, kw_only=True):
    """Whether a model judges seeds before they are used, and the probability of "yes" from which they are."""

    enabled: bool = False
    threshold: Share = 0.5
    shots: Natural = 6


class PriceTable(Table, frozen=True, kw_only=True):
    """What a million tokens cost; `cached` None is as `prompt`."""

    prompt: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    cached: Annotated[float, msgspec.Meta(ge=0)] | None = None
    completion: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class ModelTable(Table, frozen=True, kw_only=True):
    """Who writes. Without `base_url` an embedded server is started and serves `name`, or vLLM with `serve = "vllm"`.

    `concurrency` None finds it out; `timeout` and `give_up` in seconds; `price` in any currency per million tokens.
    """

    base_url: str | tuple[str, ...] | None = None
    serve: Literal["vllm"] | None = None
    serve_args: tuple[str, ...] = ()
    serve_python: str | None = None
    name: str | None = None
    prompting: Literal["completion", "chat"] = "completion"
    temperature: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.7
    max_tokens: Positive = 1536
    concurrency: Positive | None = None
    timeout: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    give_up: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    stream: bool = True
    price: PriceTable = PriceTable()
    context: Positive = 6144


class ShotsTable(Table, frozen=True, kw_only=True):
    """How many examples each prompt shows."""

    concepts: Natural = 8
    instructions: Natural = 8
    responses: Natural = 1


class GenerateTable(Table, frozen=True, kw_only=True):
    """How much is written, and what about.

    `samples` is the budget of an instruction, drawn in waves of `wave` until `accept` of them have passed (0: all of
    them are drawn); `per_request` is how many are asked for at a time.
    """

    samples: Positive = 10
    wave: Positive = 5
    accept: Natural = 3
    per_request: Positive = 1
    enough: Positive | None = None
    fewshot: str | None = None
    shots: ShotsTable = ShotsTable()
    draws: Natural = 16
    match_examples: bool = False
    response_examples: tuple[str, ...] = ()
    categories: tuple[Category, ...] = CATEGORIES
    difficulties: tuple[Difficulty, ...] = DIFFICULTIES


class ExecuteTable(Table, frozen=True, kw_only=True):
    """How programs run. `timeout` in seconds, `memory` in MiB; `workers` 0 means one per CPU."""

    sandbox: str = "auto"
    timeout: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    memory: Positive = 1024
    workers: Natural = 0
    interpreter: str | None = None
    allow_fork: bool = False


class VerifyTable(Table, frozen=True, kw_only=True):
    """What a passing program has to stand beyond its own tests.

    `repair` says what becomes of assertions that fail for code that others agree with, or that the majority contradicts.
    """

    agreement: bool = True
    repair: Literal["drop", "recompute", "off"] = "drop"
    mutation: bool = True
    rerun: bool = True


class LookTable(Table, frozen=True, kw_only=True):
    """Parts of the rows' look that differ from the style; None is as the style has it."""

    tags: bool | None = None
    comments: bool | None = None
    tests: Literal["keep", "drop", "asked"] | None = None
    reasoning: Share | None = None
    explanation: Share | None = None
    shown_asserts: Share | None = None
    refuse_incomplete: bool | None = None


class SelectTable(Table, frozen=True, kw_only=True):
    """Which rows stay, and how they look. `near_...` are Jaccard similarities from which rows are too alike; 0 is off."""

    style: Style = "smart"
    look: LookTable = LookTable()
    keep: Literal["one", "all"] = "one"
    name_diversity: bool = False
    near_instructions: Share = 0.7
    near_code: Share = 0.7
    semantic: Share = 0.0
    embedding_model: str = "minishlab/potion-base-8M"
    min_mutation: Share = 0.0
    min_agreement: Positive = 1
    min_confidence: Share = 0.0
    min_rare_confidence: Share = 0.0
    max_easy: Share = 1.0
    unverified: bool = False
    decontaminate: bool = True
    benchmarks: tuple[str, ...] = ()


class Config(Table, frozen=True, kw_only=True):
    """A run's whole configuration."""

    run: RunTable = RunTable()
    seeds: SeedsTable = SeedsTable()
    judge: JudgeTable = JudgeTable()
    model: ModelTable = ModelTable()
    generate: GenerateTable = GenerateTable()
    execute: ExecuteTable = ExecuteTable()
    verify: VerifyTable = VerifyTable()
    select: SelectTable = SelectTable()


def load_config(path: str) -> Config:
    """Read a configuration file.

    Raises:
        UsageError: it is not there, no TOML, or says something that cannot be; the message names file and key.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"There is no configuration file {path}.") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; give the configuration file itself.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The configuration file {path} cannot be read: {error}.") from error
    return parse_config(text, path)


def parse_config(text: str, name: str) -> Config:
    """A configuration from TOML.

    Raises:
        UsageError: as `load_config`.
    """
    try:
        config = msgspec.toml.decode(text, type=Config)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        key = where.strip("`$.") or "the top level"
        raise UsageError(f"{name}: {key}: {message}. docs/configuration.md lists all keys.") from None
    except msgspec.DecodeError as error:
        raise UsageError(f"{name} is no TOML: {error}.") from None
    if not config.generate.categories or not config.generate.difficulties:
        raise UsageError(f"{name}: generate.categories and generate.difficulties need at least one value each.")
    return config


def render_config(config: Config) -> str:
    """The configuration as TOML, every key resolved; `parse_config` reads it back unchanged."""
    tables: dict[str, Any] = msgspec.to_builtins(config)
    lines: list[str] = []
    for name, table in tables.items():
        _render_table(name, table, lines)
    return "\n".join(lines).strip() + "\n"


def _render_table(name: str, table: dict[str, Any], lines: list[str]) -> None:
    lines.append(f"\n[{name}]")
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    for key, value in table.items():
        if key not in inner and value is not None:
            lines.append(f"{key} = {_render_value(value)}")
    for key, value in inner.items():
        _render_table(f"{name}.{key}", value, lines)


def _render_value(value: Any) -> str:
    # JSON strings, numbers, booleans and lists of them are TOML as well.
    return msgspec.json.encode(value).decode()
