"""`snipmill seeds` and `snipmill judge`: from anyone's code to seeds, and whether a model finds them fit."""

from __future__ import annotations

from typing import Annotated

import typer

from snipmill.cli import options
from snipmill.cli.configured import Choice, configured
from snipmill.cli.display import finish_stage, live_count, say
from snipmill.cli.stage_commands import generate_by_hand
from snipmill.config import Config
from snipmill.config_file import change_config
from snipmill.stages.stage_count import StageCount

_SEEDS = (
    "seeds.licenses",
    "seeds.license",
    "seeds.kinds",
    "seeds.languages",
    "seeds.allow",
    "seeds.max_lines",
    "seeds.max_context_lines",
    "seeds.types",
    "seeds.secrets",
    "seeds.decontaminate",
    "seeds.near",
    "seeds.min_judge",
    "seeds.columns.code",
    "seeds.columns.license",
    "seeds.columns.path",
    "seeds.columns.source",
    "seeds.columns.revision",
    "seeds.columns.language",
    "run.seed",
    *options.WINDOW,
    "seeds.shuffle",
)
_JUDGE = ("judge.threshold", Choice("judge.shots", "--shots"), *options.SERVER, "run.seed", *options.WINDOW)
Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Folder; git repository (its last commit, or PATH@REVISION, git+URL, git+URL@REVISION); sdist, wheel or "
        "archive; file of code; JSONL, CSV or Parquet with --column (patterns and .gz .bz2 .xz .zst are fine); "
        "hub:OWNER/NAME with --column; ready-made seeds as JSONL; stdlib[:MODULE,...].",
        show_default=False,
    ),
]


def seeds(config: Config, sources: Sources, out: options.Out, rejects: options.RejectsFile = None) -> None:
    """Mine seeds: documented functions from real code, each with what it needs to stand alone, licensed and traced.

    Nothing is imported or executed. The same command again continues where it was stopped.
    """
    from snipmill.engine.by_hand import seeds_file

    count = StageCount()
    with live_count("seeds", count):
        seeds_file(change_config(config, {"seeds.sources": sources}, "SOURCE"), out, rejects, count)
    finish_stage("seeds", count)
    if not count.kept and count.rejected["license-unknown"]:
        say(options.NO_LICENSE)


def judge(config: Config, source: options.Source, out: options.Out, rejects: options.RejectsFile = None) -> None:
    """Ask a model whether each seed's docstring describes the function correctly, and well enough to write it.

    The probability stands in the seed's column `judge`: with --threshold 0 all seeds stay, and `snipmill seeds FILE
    --min-judge 0.7` moves the threshold later, without a model.
    """
    generate_by_hand("judge", config, source, out, rejects)


COMMANDS = {
    "seeds": lambda: configured(seeds, _SEEDS),
    "judge": lambda: configured(judge, _JUDGE, {"generate.samples": 1}),
}
