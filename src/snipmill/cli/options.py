"""The options that commands share: each is named, typed and explained once."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from snipmill.errors import UsageError

ONE_STAGE, LOOK = "One stage alone, file to file", "Look"
_GENERATION, _SERVER, _EXECUTION = "Generation", "Server", "Execution"

Source = Annotated[str, typer.Argument(help="Input file of JSON lines, or - for standard input.", show_default=False)]
Out = Annotated[str, typer.Option("--out", "-o", help="File to write, or - for standard output.", show_default=False)]
RejectsFile = Annotated[
    str | None, typer.Option("--rejects", help="File for what is dropped.", show_default="beside --out")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random draw.")]
NO_LICENSE = (
    "No licence was found. If the code is yours, say what it is under with --license (LicenseRef-NAME for none of the public "
    "ones), or take everything with --licenses any; in a configuration, with `license` or `licenses` of [seeds]."
)
License = Annotated[
    str | None,
    typer.Option(
        "--license",
        help="Licence of what does not state its own, as SPDX; LicenseRef-NAME for one of yours. It is taken.",
        show_default=False,
    ),
]
Start = Annotated[int, typer.Option("--start", min=0, help="How many input records to pass over.")]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Use at most so many input records.", show_default="all")
]

BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        help="Address of an OpenAI-compatible server, with /v1; several, with commas between.",
        rich_help_panel=_SERVER,
        show_default="OPENAI_BASE_URL, else the embedded model",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Model to ask for; for the embedded server a GGUF file, a hub file owner/name/file.gguf, or a known name.",
        rich_help_panel=_SERVER,
        show_default="the one that is served",
    ),
]
Prompting = Annotated[
    Literal["completion", "chat"],
    typer.Option("--prompting", help="completion for base models, chat for instruct models.", rich_help_panel=_SERVER),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        min=1,
        help="Requests in flight at each server.",
        rich_help_panel=_SERVER,
        show_default="as many as pay",
    ),
]
Temperature = Annotated[
    float, typer.Option("--temperature", min=0, max=5, help="Sampling temperature.", rich_help_panel=_GENERATION)
]
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", min=1, help="At most so many new tokens.", rich_help_panel=_GENERATION)
]
Shots = Annotated[
    int | None,
    typer.Option(
        "--shots",
        min=0,
        help="Examples in each prompt.",
        rich_help_panel=_GENERATION,
        show_default="8, and 1 for responses",
    ),
]
Draws = Annotated[
    int,
    typer.Option(
        "--draws",
        min=0,
        help="Different sets of examples in the whole run; 0: one per record.",
        rich_help_panel=_GENERATION,
    ),
]
MatchExamples = Annotated[
    bool,
    typer.Option(
        "--match-examples",
        help="Show examples of the task's own category and difficulty first.",
        rich_help_panel=_GENERATION,
    ),
]
Enough = Annotated[
    int,
    typer.Option(
        "--enough", min=1, help="Stop when so many tasks have a verified response.", rich_help_panel=_GENERATION
    ),
]
Samples = Annotated[
    int, typer.Option("--samples", min=1, help="Completions drawn for each record.", rich_help_panel=_GENERATION)
]
PerRequest = Annotated[
    int,
    typer.Option(
        "--per-request", min=1, help="How many completions one request asks for.", rich_help_panel=_GENERATION
    ),
]
Fewshot = Annotated[
    str | None,
    typer.Option(
        "--fewshot",
        help="Your own few-shot bank: a folder, or the original project's text file.",
        rich_help_panel=_GENERATION,
        show_default="our own",
    ),
]
Categories = Annotated[
    str, typer.Option("--categories", help="Task categories to draw from.", rich_help_panel=_GENERATION)
]
Difficulties = Annotated[
    str, typer.Option("--difficulties", help="Difficulties to draw from.", rich_help_panel=_GENERATION)
]

SandboxTier = Annotated[
    str,
    typer.Option("--sandbox", help="auto, a tier's name, or none for no isolation at all.", rich_help_panel=_EXECUTION),
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.1, help="Seconds that one program may take.", rich_help_panel=_EXECUTION)
]
Memory = Annotated[
    int, typer.Option("--memory", min=64, help="MiB that one program may use.", rich_help_panel=_EXECUTION)
]
Workers = Annotated[
    int, typer.Option("--workers", min=0, help="Programs at a time; 0: one per CPU.", rich_help_panel=_EXECUTION)
]
AllowFork = Annotated[
    bool,
    typer.Option(
        "--allow-fork",
        help="Let programs make processes also in tiers that deny it by default.",
        rich_help_panel=_EXECUTION,
    ),
]
Interpreter = Annotated[
    str | None,
    typer.Option(
        "--interpreter",
        help="Python whose packages the programs see.",
        rich_help_panel=_EXECUTION,
        show_default="this one",
    ),
]


def addresses(base_url: str | None) -> tuple[str, ...] | None:
    """The servers in a --base-url."""
    if base_url is None:
        return None
    return tuple(part.strip() for part in base_url.split(",") if part.strip())


def listed(text: str) -> tuple[str, ...]:
    """The parts of a value with commas in it."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def among(text: str, allowed: tuple[str, ...], option: str, *, any_case: bool = False) -> tuple[str, ...]:
    """The parts of a value, each one of those that are allowed and spelled as these are.

    Raises:
        UsageError: one of them is none of these.
    """
    by_name = {name.casefold() if any_case else name: name for name in allowed}
    chosen = [(part, by_name.get(part.casefold() if any_case else part)) for part in listed(text)]
    for part, name in chosen:
        if name is None:
            raise UsageError(f"{option}: {part!r} is none of {', '.join(allowed)}.")
    return tuple(name for _, name in chosen if name is not None)
