"""The one configuration of a run: typed and frozen.

Each table of the file is a struct here, and each key says what it means. The command line's options, their help and
docs/configuration.md are generated from these tables. Secrets are not part of it, only the names of the environment variables that
hold them. The tables that speak of models are in `config_model`.
Does not cover reading and writing (`config_file`).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from snipmill.config_model import ModelTable, StageModelTable
from snipmill.config_table import Natural, Positive, Share, Table, key

Category = Literal["function", "class", "program"]
Difficulty = Literal["easy", "medium", "hard"]
Kind = Literal["function", "method", "class"]
Language = Literal["Python", "C++", "Java", "PHP", "Rust", "TypeScript"]
Style = Literal["raw", "plain", "smart", "codeonly"]

CATEGORIES: tuple[Category, ...] = ("function", "class", "program")
DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")


class RunTable(Table, frozen=True, kw_only=True):
    """What the whole run shares."""

    dir: Annotated[str, key("The run directory. The same directory again continues the run.")] = "snipmill-run"
    seed: Annotated[Natural, key("Seed of every random draw.")] = 0
    max_cost: Annotated[
        Annotated[float, msgspec.Meta(gt=0)] | None,
        key("End the run once its tokens have cost this much, by `[model.price]`.", default="no limit"),
    ] = None
    max_tokens_total: Annotated[
        Positive | None, key("End the run once it has used this many tokens, prompts included.", default="no limit")
    ] = None


class ColumnsTable(Table, frozen=True, kw_only=True):
    """Columns of tables and data sets that hold code."""

    code: Annotated[
        str | None,
        key("Column that holds the code.", default="none: JSONL files are ready-made seeds", option="--column"),
    ] = None
    license: Annotated[
        str | None,
        key(
            "Column that holds the licence: a name in any usual spelling, or a list of names.",
            option="--license-column",
        ),
    ] = None
    path: Annotated[str | None, key("Column that holds the path.", option="--path-column")] = None
    source: Annotated[str | None, key("Column that holds the repository.", option="--source-column")] = None
    revision: Annotated[str | None, key("Column that holds the commit or version.", option="--revision-column")] = None
    language: Annotated[str | None, key("Column that holds the language.", option="--language-column")] = None


class SeedsTable(Table, frozen=True, kw_only=True):
    """Where seeds come from, and what they must be like. docs/seeds.md has the rules."""

    sources: Annotated[
        tuple[str, ...],
        key("Folders, git repositories, archives, tables, data sets on the hub, ready-made seeds, or `stdlib`."),
    ] = ("stdlib",)
    columns: ColumnsTable = ColumnsTable()
    start: Annotated[Natural, key("Number of seeds to skip; by hand, of input records.")] = 0
    limit: Annotated[Positive | None, key("Maximum number of seeds; by hand, of input records.", default="all")] = None
    shuffle: Annotated[bool, key("Take seeds in a seeded random order.")] = False
    kinds: Annotated[tuple[Kind, ...], key("Kinds of definitions to take.")] = ("function",)
    languages: Annotated[
        tuple[Language, ...], key("Languages to take. Only Python can be executed; rows in others stay unverified.")
    ] = ("Python",)
    allow: Annotated[tuple[str, ...], key("Rules to disable, by their reason codes.")] = ()
    max_lines: Annotated[Positive, key("Maximum number of lines of a function.")] = 150
    max_context_lines: Annotated[Natural, key("Maximum number of lines of its file that a function may need.")] = 60
    max_line_length: Annotated[Positive, key("Maximum number of characters in a line.")] = 200
    min_ascii: Annotated[Share, key("Minimum share of ASCII characters.")] = 0.9
    denied_modules: Annotated[tuple[str, ...], key("Modules that a function may not import.")] = (
        "os",
        "sys",
        "subprocess",
        "argparse",
        "setuptools",
        "distutils",
        "matplotlib",
        "seaborn",
    )
    license: Annotated[
        str | None,
        key(
            "Licence of sources that state none, as SPDX; `LicenseRef-NAME` for your own. It is allowed.",
            default="unknown, and code without a licence is dropped",
        ),
    ] = None
    licenses: Annotated[
        tuple[str, ...], key("Licences to allow: SPDX ids, `permissive` for a list of permissive ones, or `any`.")
    ] = ("permissive",)
    types: Annotated[bool, key("Check names and types.")] = True
    secrets: Annotated[bool, key("Drop code with secrets or personal data.")] = True
    decontaminate: Annotated[
        bool, key("Drop seeds that contain text of HumanEval, MBPP or a set in `select.benchmarks`.")
    ] = True
    near: Annotated[Share, key("Jaccard similarity from which a seed duplicates an earlier one; 0 is off.")] = 0.5
    min_judge: Annotated[Share, key("Minimum score of seeds that a model has judged.")] = 0.0


class JudgeTable(Table, frozen=True, kw_only=True):
    """A model's opinion of each seed before it is used."""

    enabled: Annotated[bool, key("Ask for it.")] = False
    threshold: Annotated[Share, key('Minimum probability of "yes" for a seed to stay.')] = 0.5
    shots: Annotated[int, msgspec.Meta(ge=0, le=8), key("Examples in the prompt.")] = 6
    model: StageModelTable = StageModelTable()


class ShotsTable(Table, frozen=True, kw_only=True):
    """Examples in each prompt, by stage."""

    concepts: Annotated[Natural, key("Examples in a prompt for concepts.")] = 8
    instructions: Annotated[Natural, key("Examples in a prompt for instructions.")] = 8
    responses: Annotated[Natural, key("Examples in a prompt for responses.")] = 1
    assertions: Annotated[Natural, key("Examples in a prompt for assertions (`verify.tests`).")] = 2


class GenerateTable(Table, frozen=True, kw_only=True):
    """How much is generated, and what about."""

    samples: Annotated[Positive, key("Maximum number of samples for each record.")] = 10
    wave: Annotated[Positive, key("Responses drawn at a time, before it is decided whether more are needed.")] = 5
    accept: Annotated[
        Natural, key("Draw no further wave once this many samples have passed and compute the same; 0 draws all.")
    ] = 3
    per_request: Annotated[Positive, key("Completions that one request asks for.")] = 1
    enough: Annotated[
        Positive | None,
        key(
            "Stop once this many instructions, in the order of the seeds, have a row that clears the bars of `select`.",
            default="never",
        ),
    ] = None
    fewshot: Annotated[
        str | None,
        key("Your own few-shot bank: a folder, or the original project's text file.", default="the built-in bank"),
    ] = None
    shots: ShotsTable = ShotsTable()
    draws: Annotated[
        Natural,
        key(
            "Different sets of examples in the whole run; 0 draws one for each record. A server that caches prefixes "
            "computes each set once: few are fast, many are diverse."
        ),
    ] = 16
    match_examples: Annotated[bool, key("Prefer examples of the task's own category and difficulty.")] = False
    response_examples: Annotated[
        tuple[str, ...],
        key("Names of the examples that prompts for responses may show.", default="all that have a response"),
    ] = ()
    categories: Annotated[tuple[Category, ...], key("Task categories to draw from.")] = CATEGORIES
    difficulties: Annotated[tuple[Difficulty, ...], key("Difficulties to draw from.")] = DIFFICULTIES


class ExecuteTable(Table, frozen=True, kw_only=True):
    """How programs run. docs/sandbox.md describes the tiers."""

    sandbox: Annotated[
        str, key("`auto` for the strongest tier that works here, a tier's name, or `none` for no isolation at all.")
    ] = "auto"
    timeout: Annotated[float, msgspec.Meta(ge=0.1, le=86400), key("Seconds that one program may take.")] = 10.0
    memory: Annotated[int, msgspec.Meta(ge=64, le=1 << 20), key("MiB that one program may use.")] = 1024
    workers: Annotated[int, msgspec.Meta(ge=0, le=4096), key("Programs that run at a time; 0 is one for each CPU.")] = 0
    interpreter: Annotated[str | None, key("The Python whose packages programs see.", default="this one")] = None
    allow_fork: Annotated[bool, key("Let programs start processes in tiers that deny it by default, too.")] = False


class VerifyTable(Table, frozen=True, kw_only=True):
    """What a passing program must withstand beyond its own tests. docs/verification.md explains the evidence."""

    agreement: Annotated[bool, key("Hold the samples of an instruction against each other's assertions.")] = True
    repair: Annotated[
        Literal["drop", "recompute", "off"],
        key("What to do with assertions that the evidence contradicts: drop them, correct the value, or neither."),
    ] = "drop"
    mutation: Annotated[bool, key("Try the tests on mutants of the code.")] = True
    rerun: Annotated[bool, key("Run what passed a second time, with another hash seed and in another folder.")] = True
    tests: Annotated[
        Natural,
        key("Assertions that the model is asked for from the instruction alone, as more evidence; 0 asks for none."),
    ] = 0
    calibration: Annotated[
        str | None,
        key(
            "What evidence is worth for your model: a file that `snipmill calibrate` made.",
            default="weights that were fitted on two small models",
        ),
    ] = None


class ReviewTable(Table, frozen=True, kw_only=True):
    """A model that compares each verified answer with its instruction. docs/review.md explains the evidence."""

    evidence: Annotated[
        Literal["off", "likelihood", "questions", "both"],
        key(
            "`likelihood` of the instruction given the code, two `questions` whether the code does it, `both`, or `off`. "
            "Questions count once a calibration has them."
        ),
    ] = "off"
    shots: Annotated[
        int,
        msgspec.Meta(ge=0, le=2),
        key("Examples in a prompt; questions show twice as many."),
    ] = 2
    model: StageModelTable = StageModelTable()


def overrides(meaning: str) -> msgspec.Meta:
    """What a key means that follows the style until it is set."""
    return key(meaning, default="as the style has it")


class LookTable(Table, frozen=True, kw_only=True):
    """Overrides of the style. Keys that are not set follow the style."""

    tags: Annotated[bool | None, overrides("Show the section tags.")] = None
    comments: Annotated[bool | None, overrides("Keep comments in the code.")] = None
    tests: Annotated[
        Literal["keep", "drop", "asked"] | None,
        overrides("`keep` the tests, `drop` them, or keep them where the instruction mentions tests (`asked`)."),
    ] = None
    reasoning: Annotated[Share | None, overrides("Share of rows that keep the reasoning.")] = None
    explanation: Annotated[Share | None, overrides("Share of rows that keep the explanation.")] = None
    shown_asserts: Annotated[Share | None, overrides("Share of instructions that get some of the assertions.")] = None
    refuse_incomplete: Annotated[bool | None, overrides("Drop code with placeholders.")] = None


class SelectTable(Table, frozen=True, kw_only=True):
    """Which rows stay, and how they look. docs/selection.md has the rules."""

    style: Annotated[
        Style,
        key(
            "`raw` keeps the section tags, `plain` removes them, `smart` varies what a row shows, `codeonly` is code alone."
        ),
    ] = "smart"
    look: LookTable = LookTable()
    keep: Annotated[Literal["one", "all"], key("Rows to keep for each instruction.")] = "one"
    name_diversity: Annotated[bool, key("Drop rows whose function names an earlier row has.")] = False
    near_instructions: Annotated[
        Share, key("Jaccard similarity from which two instructions are near duplicates; 0 is off.")
    ] = 0.7
    near_code: Annotated[
        Share, key("Jaccard similarity from which the code of two rows is a near duplicate; 0 is off.")
    ] = 0.7
    semantic: Annotated[Share, key("Cosine similarity from which two instructions mean the same; 0 is off.")] = 0.0
    embedding_model: Annotated[str, key("The model2vec model for `semantic`: a folder, or a name on the hub.")] = (
        "minishlab/potion-base-8M"
    )
    min_mutation: Annotated[Share, key("Minimum mutation score of a row's tests.")] = 0.0
    min_reached: Annotated[Share, key("Minimum share of the checks in a row's tests that came to a result.")] = 0.0
    min_agreement: Annotated[Positive, key("Minimum number of implementations that compute the same.")] = 1
    min_confidence: Annotated[Share, key("Minimum probability that a row's code is right.")] = 0.0
    max_wrong: Annotated[
        Share, key("Maximum expected share of wrong rows; the most confident rows stay, as many as fit.")
    ] = 1.0
    min_rare_confidence: Annotated[
        Share, key("Minimum confidence for tasks where fewer than a third of the samples passed.")
    ] = 0.0
    max_easy: Annotated[Share, key("Maximum share of rows whose task more than two thirds of the samples solve.")] = 1.0
    unverified: Annotated[bool, key("Keep rows in languages that cannot be executed.")] = False
    decontaminate: Annotated[bool, key("Drop rows that contain text of HumanEval or MBPP, by the built-in index.")] = (
        True
    )
    benchmarks: Annotated[
        tuple[str, ...],
        key(
            "More sets to decontaminate against: JSONL, JSON or Parquet files, `.fingerprints` indexes, or `hub:owner/name/path`.",
            option="--benchmark",
        ),
    ] = ()


class ClusterTable(Table, frozen=True, kw_only=True):
    """How a run is spread over the nodes of a Ray cluster (`--engine ray`). docs/scale.md explains it."""

    address: Annotated[
        str | None, key("Address of the cluster's head.", default="`RAY_ADDRESS`, else this machine alone")
    ] = None
    workers: Annotated[
        Positive | None, key("Shards that grow at a time.", default="one for each node; on one machine, 2")
    ] = None
    cpus: Annotated[
        Positive | None,
        key(
            "CPUs of each worker, which Ray reserves, so that other jobs leave them.",
            default="an equal part of its node's, which is not reserved",
        ),
    ] = None
    unfit_nodes: Annotated[
        Literal["leave-out", "refuse"],
        key(
            "What to do about nodes without the sandbox tier, the Python or the run directory of the others: `leave-out` them, "
            "or `refuse` to run."
        ),
    ] = "leave-out"


class Config(Table, frozen=True, kw_only=True):
    """A run's whole configuration, one table for each part of it."""

    run: Annotated[RunTable, key("Run")] = RunTable()
    seeds: Annotated[SeedsTable, key("Seeds")] = SeedsTable()
    model: Annotated[ModelTable, key("Model and server")] = ModelTable()
    judge: Annotated[JudgeTable, key("Judge")] = JudgeTable()
    generate: Annotated[GenerateTable, key("Generation")] = GenerateTable()
    execute: Annotated[ExecuteTable, key("Execution")] = ExecuteTable()
    verify: Annotated[VerifyTable, key("Verification")] = VerifyTable()
    review: Annotated[ReviewTable, key("Review")] = ReviewTable()
    select: Annotated[SelectTable, key("Selection")] = SelectTable()
    cluster: Annotated[ClusterTable, key("Cluster")] = ClusterTable()


# What `snipmill audit` asks for unless it is told otherwise: tests that notice half of the mutants.
AUDIT_DEFAULTS = {"select.min_mutation": 0.5}
