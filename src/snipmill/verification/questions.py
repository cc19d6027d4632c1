"""The questions of a crosswise examination: which assertions are put to which implementations of an instruction.

Every distinct implementation is asked every distinct assertion of all samples that fits its interface, in one trial for each
implementation. Inputs derived from those of the assertions (`derived_inputs`) are asked as well: they show whether implementations
compute the same. Duplicates count once. Everything here is frozen; `agreement` reads the answers. Does not cover running the
trials.

Three kinds of index occur: of samples, of distinct implementations, and of questions (assertions first, variants behind them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType

from snipmill.sandbox.program import Trial, Unit
from snipmill.verification.code_equality import normal_form
from snipmill.verification.derived_inputs import common_key, derive_inputs, input_key, without_expectation
from snipmill.verification.interface import Signature, align, interface, presumed_interface, used_names
from snipmill.verification.units import Assertion, assertions

MOST_ASSERTIONS = 80
MOST_VARIANTS = 40  # three times as many told no more

SampleIndex = NewType("SampleIndex", int)
ImplementationIndex = NewType("ImplementationIndex", int)
QuestionIndex = NewType("QuestionIndex", int)


@dataclass(frozen=True)
class Sample:
    """One response: its code, its tests, and whether its own program passed."""

    id: str
    implementation: str
    tests: str
    passed: bool


@dataclass(frozen=True)
class Implementation:
    """Code that differs from the others in more than names and layout.

    Attributes:
        code: as its first sample has it.
        offers: names that it defines, with their signatures.
        entries: the offered names that its first sample's tests use.
        samples: the samples that have this implementation.
    """

    code: str
    offers: dict[str, Signature | None]
    entries: frozenset[str]
    samples: tuple[SampleIndex, ...]


@dataclass(frozen=True)
class Question:
    """An assertion, or a derived input, that implementations are asked.

    Attributes:
        assertion: as it was first read.
        asker: the sample in which it was first read; behind the samples come tests that belong to none.
        used: the names of the asker's code that it uses.
        samples: all samples that make this assertion; none for a derived input, or where no sample makes it.
    """

    assertion: Assertion
    asker: SampleIndex
    used: frozenset[str] = frozenset()
    samples: tuple[SampleIndex, ...] = ()


@dataclass(frozen=True)
class OwnAssertion:
    """An assertion as one sample states it, and the question that it is."""

    question: QuestionIndex
    assertion: Assertion


@dataclass(frozen=True)
class Questions:
    """Who is asked what.

    Attributes:
        samples: of one instruction.
        implementations: the distinct ones.
        implementation_of: by sample, its implementation.
        questions: distinct assertions first, derived inputs behind them.
        assertion_count: how many questions are assertions.
        own: by sample, its own assertions in order.
        inputs: the first question of each distinct input.
        trials: by implementation, what the sandbox runs.
        asked: by implementation, the question of each unit of its trial.
    """

    samples: tuple[Sample, ...]
    implementations: tuple[Implementation, ...]
    implementation_of: tuple[ImplementationIndex, ...]
    questions: tuple[Question, ...]
    assertion_count: int
    own: tuple[tuple[OwnAssertion, ...], ...]
    inputs: tuple[QuestionIndex, ...]
    trials: tuple[Trial, ...]
    asked: tuple[tuple[QuestionIndex, ...], ...]

    def is_assertion(self, question: QuestionIndex) -> bool:
        """Whether a question is a sample's assertion and not a derived input."""
        return question < self.assertion_count

    @property
    def pairs(self) -> int:
        """How many pairs of implementation and assertion there are."""
        return len(self.implementations) * self.assertion_count

    @property
    def alignable(self) -> int:
        """Of how many of these the assertion fits the implementation's interface."""
        return sum(self.is_assertion(question) for asked in self.asked for question in asked)


def gather_questions(samples: Sequence[Sample], written: Sequence[str] = ()) -> Questions:
    """Work out what is to be asked of the samples of one instruction.

    Args:
        samples: their code and tests.
        written: tests of nobody's code, which were written from the instruction alone.
    """
    offers = [interface(sample.implementation) for sample in samples]
    offers += [presumed_interface(tests) for tests in written]
    texts = [*(sample.tests for sample in samples), *written]
    tests = [assertions(text, offered) for text, offered in zip(texts, offers, strict=True)]
    used = [used_names(offered, asserted) for offered, asserted in zip(offers, tests, strict=True)]
    implementations, implementation_of = _distinct_implementations(samples, offers, used)
    found, own = _distinct_assertions(tests, offers, used, len(samples))
    near, inputs = _questions_near(found)
    questions = (*found, *near)
    trials, asked = [], []
    for implementation in implementations:
        trial, fitting = _trial(implementation, questions, len(found), offers)
        trials.append(trial)
        asked.append(fitting)
    return Questions(
        samples=tuple(samples),
        implementations=implementations,
        implementation_of=implementation_of,
        questions=questions,
        assertion_count=len(found),
        own=own,
        inputs=inputs,
        trials=tuple(trials),
        asked=tuple(asked),
    )


def _distinct_implementations(
    samples: Sequence[Sample], offers: Sequence[dict[str, Signature | None]], used: Sequence[frozenset[str]]
) -> tuple[tuple[Implementation, ...], tuple[ImplementationIndex, ...]]:
    members: dict[str, list[SampleIndex]] = {}
    for number, sample in enumerate(samples):
        members.setdefault(normal_form(sample.implementation), []).append(SampleIndex(number))
    implementations = tuple(
        Implementation(samples[mine[0]].implementation, offers[mine[0]], used[mine[0]], tuple(mine))
        for mine in members.values()
    )
    of_sample = {sample: ImplementationIndex(number) for number, mine in enumerate(members.values()) for sample in mine}
    return implementations, tuple(of_sample[SampleIndex(number)] for number in range(len(samples)))


def _distinct_assertions(
    tests: Sequence[Sequence[Assertion]],
    offers: Sequence[dict[str, Signature | None]],
    used: Sequence[frozenset[str]],
    samples: int,
) -> tuple[tuple[Question, ...], tuple[tuple[OwnAssertion, ...], ...]]:
    """All assertions, equal ones as one question; and for each of the samples, which come first, which of them are its own."""
    places: dict[str, QuestionIndex] = {}
    first: list[tuple[Assertion, SampleIndex]] = []
    askers: list[list[SampleIndex]] = []
    own: list[tuple[OwnAssertion, ...]] = []
    for number, asserted in enumerate(tests):
        mine: list[OwnAssertion] = []
        for assertion in asserted:
            if not assertion.names & offers[number].keys():
                continue  # it asks nothing of the implementation
            key = common_key(assertion.key, used[number])
            if key not in places:
                if len(first) == MOST_ASSERTIONS:
                    continue
                places[key] = QuestionIndex(len(first))
                first.append((assertion, SampleIndex(number)))
                askers.append([])
            if number < samples:
                askers[places[key]].append(SampleIndex(number))
            mine.append(OwnAssertion(places[key], assertion))
        own.append(tuple(mine))
    questions = tuple(
        Question(assertion, asker, used[asker], tuple(making))
        for (assertion, asker), making in zip(first, askers, strict=True)
    )
    return questions, tuple(own[:samples])


def _questions_near(found: Sequence[Question]) -> tuple[list[Question], tuple[QuestionIndex, ...]]:
    """Questions about inputs derived from those of the assertions, and the first question of each distinct input."""
    asked = [(without_expectation(question.assertion, question.used), question.used) for question in found]
    first: dict[str, int] = {}
    bare: dict[str, tuple[int, Assertion]] = {}  # calls out of assertions that do not compare what these compute
    for place, (call, used) in enumerate(asked):
        if call is not None:
            key = input_key(call, used)
            if call.unit.value == found[place].assertion.unit.value:
                first.setdefault(key, place)
            else:
                bare.setdefault(key, (place, call))
    near = [question for key, question in bare.items() if key not in first][:MOST_VARIANTS]
    near += derive_inputs(asked, MOST_VARIANTS - len(near))
    inputs = [*first.values(), *range(len(found), len(found) + len(near))]
    questions = [Question(variant, found[place].asker) for place, variant in near]
    return questions, tuple(map(QuestionIndex, inputs))


def _trial(
    implementation: Implementation,
    questions: Sequence[Question],
    assertion_count: int,
    offers: Sequence[dict[str, Signature | None]],
) -> tuple[Trial, tuple[QuestionIndex, ...]]:
    """All questions that fit an implementation's interface, assertions before derived inputs."""
    units: list[Unit] = []
    asked: list[QuestionIndex] = []
    for number, question in enumerate(questions):
        fitted = align(question.assertion, offers[question.asker], implementation.offers, implementation.entries)
        if fitted is not None:
            units.append(fitted.unit)
            asked.append(QuestionIndex(number))
    extra = sum(number >= assertion_count for number in asked)
    return Trial(source=implementation.code, units=tuple(units), extra=extra), tuple(asked)
