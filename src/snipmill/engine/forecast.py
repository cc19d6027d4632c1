"""What the rest of a run will cost: completions, tokens and money, with an interval.

Prompts are really built for a sample of seeds. How many tokens come back, how many records each stage keeps and how many samples
are drawn is taken from the run's journals where they have enough of it, else from the few-shot examples and wide guesses. The
interval holds nine of ten simulated runs. Tokens of thought are counted once the journals have some.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from snipmill.config import Config, GenerateTable
from snipmill.engine.plan import StagePlan
from snipmill.prompts.fewshot import Example
from snipmill.prompts.prompt import render_completion
from snipmill.prompts.review import likelihood_prompt, question_prompt
from snipmill.randomness import generator
from snipmill.records import Concepts, Instruction, Record, Seed, Usage
from snipmill.stages.budget import cost, prices_by_stage
from snipmill.stages.fewshot_files import load_reviewing
from snipmill.stages.generate import KEPT, GenerationSettings, SampleTask, make_request
from snipmill.stages.seed_stream import iterate_seeds
from snipmill.stages.settings import Settings, for_models
from snipmill.stages.spec import ASSERTIONS, BY_NAME, CONCEPTS, INSTRUCTIONS, JUDGE, RESPONSES, REVIEW
from snipmill.stages.stage_models import asked_stages
from snipmill.store.entries import CompletionEntry, MiningEntry
from snipmill.store.journal import Journal, read_journal
from snipmill.store.run_directory import RunDirectory
from snipmill.text.sections import Sections, parse_sections

SAMPLE = 40
_RUNS = 400
_ENOUGH = 20  # entries of a journal from which it is believed
_CHARACTERS_PER_TOKEN = 3.6
_CODE_SPREAD = 0.12  # of the characters in a token, as a standard deviation of the logarithm
_LENGTH_SPREAD = 0.4  # of lengths that are guessed from the examples
_VERIFIED = (0.3, 0.8)  # share of the samples that may become rows; the others are not reviewed
_KEPT = 0.95  # share of records that a stage keeps; the guess counts as two records that were seen


@dataclass(frozen=True)
class Range:
    """A number with the interval that holds nine of ten simulated runs."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """What is still to be spent, how many entries of the run's journals it rests on, and which stages are guessed."""

    completions: Range
    prompt_tokens: Range
    completion_tokens: Range
    cost: Range
    known: int
    guessed: tuple[str, ...]


@dataclass(frozen=True)
class _Stage:
    """What is known of a stage.

    Attributes:
        prompts: characters of its prompts.
        tokens: of a completion, on average.
        spread: of that average, as a share of it.
        variation: of single completions, as a share of the average.
        kept, seen: how many records it has kept, of how many.
    """

    prompts: Sequence[int]
    tokens: float
    spread: float
    variation: float
    kept: int
    seen: int


def forecast(
    settings: Settings, directory: RunDirectory, models: Mapping[str, str], plan: Mapping[str, StagePlan]
) -> Forecast:
    """Work out what a run would still cost.

    Args:
        settings: those under which it would go on.
        directory: where its journals are, if there are any.
        models: the model's name, by stage.
        plan: what is still to be done.

    Raises:
        SnipmillError: a source of seeds or a journal cannot be read.
    """
    config = settings.config
    generation = for_models(settings.generation, models)
    asked = asked_stages(config)
    seeds = _sample(settings)
    stages = {
        name: _look_at_review(settings, directory, plan)
        if name == REVIEW
        else _look_at(name, generation[name], directory, seeds, plan)
        for name in asked
    }
    prices, each = prices_by_stage(config), _samples_of_each(config.generate, stages)
    rounds = []
    for number in range(_RUNS if seeds else 1):
        draws = generator(config.run.seed, "forecast", number)
        completions_made = prompt_used = completion_used = spent = 0.0
        arriving: float | None = None  # records that come from the stage before
        ratio = _CHARACTERS_PER_TOKEN * math.exp(draws.gauss(0, _CODE_SPREAD))
        for name in asked:
            stage, todo = stages[name], plan[name]
            wanted = _wanted(name, todo, arriving, each, draws, config.generate)
            group = config.generate.per_request if name == RESPONSES else 1
            per_prompt = statistics.fmean(draws.choices(stage.prompts, k=len(stage.prompts))) if stage.prompts else 0.0
            # The mean that was seen differs from the true one, and so will that of the completions to come.
            spread = math.hypot(stage.spread, stage.variation / math.sqrt(max(wanted, 1.0)))
            per_completion = stage.tokens * math.exp(draws.gauss(0, spread))
            usage = Usage(
                prompt_tokens=round(wanted / group * per_prompt / ratio),
                completion_tokens=round(wanted * per_completion),
            )
            completions_made += wanted
            prompt_used += usage.prompt_tokens
            completion_used += usage.completion_tokens
            spent += cost(usage, prices[name])
            kept = draws.betavariate(2 * _KEPT + stage.kept, 2 * (1 - _KEPT) + stage.seen - stage.kept)
            arriving = min(max(draws.gauss(wanted * kept, math.sqrt(wanted * kept * (1 - kept))), 0.0), wanted)
        rounds.append((completions_made, prompt_used, completion_used, spent))
    made, prompt, completion, money = (_range(column) for column in zip(*rounds, strict=True))
    guessed = tuple(name for name, stage in stages.items() if not stage.seen)
    return Forecast(made, prompt, completion, money, sum(stage.seen for stage in stages.values()), guessed)


def _sample(settings: Settings) -> list[Seed]:
    with Journal(None, MiningEntry) as nowhere:
        return list(islice(iterate_seeds(settings.seeds, lambda _reject: None, nowhere), SAMPLE))


def _wanted(
    name: str,
    todo: StagePlan,
    arriving: float | None,
    each: tuple[float, float],
    draws: random.Random,
    table: GenerateTable,
) -> float:
    """How many completions of a stage are asked for: those that are missing, and those that follow from earlier stages.

    `each` is the range of how many samples an instruction draws.
    """
    if arriving is None:
        return todo.missing
    if name == REVIEW:  # of samples that were verified
        return todo.missing + todo.may_follow * draws.uniform(*each) / table.samples * draws.uniform(*_VERIFIED)
    return todo.missing + min(float(todo.may_follow), arriving * (draws.uniform(*each) if name == RESPONSES else 1.0))


def _samples_of_each(table: GenerateTable, stages: Mapping[str, _Stage]) -> tuple[float, float]:
    """The least and the most samples that an instruction may draw on average."""
    before, drawn = stages[INSTRUCTIONS], stages[RESPONSES]
    if not table.accept:
        return table.samples, table.samples
    if drawn.seen and before.kept:
        seen = drawn.seen / before.kept
        return max(0.9 * seen, 1.0), min(1.1 * seen, table.samples)
    return min(table.wave, table.samples), table.samples


def _look_at(
    name: str,
    settings: GenerationSettings,
    directory: RunDirectory,
    seeds: Sequence[Seed],
    plan: Mapping[str, StagePlan],
) -> _Stage:
    stage = BY_NAME[name].generation
    assert stage is not None
    prompts = []
    for number, seed in enumerate(seeds):
        example = settings.bank.examples[number % len(settings.bank.examples)]
        prompt = make_request(stage, SampleTask(_stand_in(name, seed, example), range(1)), settings).request.prompt
        prompts.append(len(prompt) if isinstance(prompt, str) else sum(len(message["content"]) for message in prompt))
    entries = {entry.id: entry for entry in read_journal(directory.journal(name), CompletionEntry)}
    lengths = [entry.completion.usage.completion_tokens for entry in entries.values() if entry.completion is not None]
    # A journal whose entries are of no use under this configuration says nothing about it.
    if len(lengths) >= _ENOUGH and plan[name].there:
        mean = statistics.fmean(lengths)
        variation = statistics.stdev(lengths) / max(mean, 1.0)
        kept = sum(entry.outcome == KEPT for entry in entries.values())
        if name == JUDGE:  # the judge's threshold is applied after the journal
            kept = min(kept, round(len(entries) * plan[CONCEPTS].total / max(plan[JUDGE].there, 1)))
        return _Stage(prompts, mean, variation / math.sqrt(len(lengths)), variation, kept, len(entries))
    answers = [len(_answer(name, example)) for example in settings.bank.examples]
    return _Stage(prompts, statistics.fmean(answers) / _CHARACTERS_PER_TOKEN, _LENGTH_SPREAD, 0.5, 0, 0)


def _look_at_review(settings: Settings, directory: RunDirectory, plan: Mapping[str, StagePlan]) -> _Stage:
    """The review: its questions about the answers of the few-shot examples, until it has been asked some of its own."""
    entries = {entry.id: entry for entry in read_journal(directory.journal(REVIEW), CompletionEntry)}
    usages = [entry.completion.usage for entry in entries.values() if entry.completion is not None]
    prompts: list[int] = []
    for example in settings.generation[RESPONSES].bank.usable("I->R"):
        sections = parse_sections(example.response or "")
        if isinstance(sections, Sections):
            prompts += _review_prompts(settings.config, example.instruction, sections.code)
    if len(usages) >= _ENOUGH and plan[REVIEW].there:
        lengths = [usage.completion_tokens for usage in usages]
        mean = statistics.fmean(lengths)
        variation = statistics.stdev(lengths) / max(mean, 1.0)
        return _Stage(prompts, mean, variation / math.sqrt(len(lengths)), variation, len(usages), len(usages))
    return _Stage(prompts, 1.0, _LENGTH_SPREAD, 0.5, 0, 0)


def _review_prompts(config: Config, instruction: str, code: str) -> list[int]:
    """Characters of what is asked of the reviewer about an answer."""
    table, examples, found = config.review, load_reviewing(), list[int]()
    if table.evidence in ("likelihood", "both"):
        found.append(len(likelihood_prompt(code, examples, table.shots)) + len(instruction))
    if table.evidence in ("questions", "both"):
        asked = question_prompt("does", instruction, code, examples, 2 * table.shots)
        found += [len(render_completion(asked))] * 2
    return found


def _stand_in(name: str, seed: Seed, example: Example) -> Record:
    """What a stage would read, as far as it is not known yet: an example's concepts and instruction in place of the seed's own."""
    if BY_NAME[name].reads in (None, "seeds"):
        return seed
    concepts = list(example.concepts)
    if BY_NAME[name].reads == "concepts":
        return Concepts(id=seed.id, seed=seed.seed, language=seed.language, concepts=concepts)
    return Instruction(
        id=seed.id, seed=seed.seed, language=seed.language, concepts=concepts, instruction=example.instruction
    )


def _answer(name: str, example: Example) -> str:
    if name == JUDGE:
        return "yes"
    if name in (RESPONSES, ASSERTIONS):
        return example.response or ""
    return example.instruction if BY_NAME[name].reads == "concepts" else ", ".join(example.concepts)


def _range(values: Sequence[float]) -> Range:
    ordered = sorted(values)
    last = len(ordered) - 1
    return Range(statistics.median(ordered), ordered[round(0.05 * last)], ordered[round(0.95 * last)])
