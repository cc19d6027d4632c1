"""Dual execution agreement (CodeT, Chen et al. 2022), over single assertions and the values that they compute.

What independent implementations compute alike is likely right; an assertion that they contradict is likely wrong. Functions over
the questions and their answers. Does not cover running the trials (`stages/evidence_runs.py`), or how much the evidence weighs
(`confidence`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from snipmill.sandbox.program import UnitOutcome
from snipmill.verification.questions import ImplementationIndex, OwnAssertion, QuestionIndex, Questions, SampleIndex
from snipmill.verification.units import Assertion

_WITHOUT_VALUE = ("error", "timeout", "ended")
# What an implementation computes for a question: a text that equal values share; None where it failed, which is like nothing.
Value = str | None


@dataclass(frozen=True)
class Agreement:
    """The questions, and by implementation what came of those that it was asked.

    Attributes:
        questions: what was asked.
        outcomes: as the sandbox told them.
        values: what was computed.
        computed: the values of distinct inputs, where there is one that can be told from others.
    """

    questions: Questions
    outcomes: tuple[dict[QuestionIndex, UnitOutcome], ...]
    values: tuple[dict[QuestionIndex, Value], ...]
    computed: tuple[dict[QuestionIndex, str], ...]

    def implementations(self) -> Iterator[ImplementationIndex]:
        """The index of each implementation."""
        return map(ImplementationIndex, range(len(self.questions.implementations)))


class Majority(NamedTuple):
    """The value that most implementations compute, how many of them, and how many were asked."""

    value: str
    computing: int
    asked: int

    @property
    def is_trusted(self) -> bool:
        """Whether at least two implementations, and more than half of those asked, compute it."""
        return self.computing >= 2 and 2 * self.computing > self.asked


class OwnEvidence(NamedTuple):
    """A sample's own assertion: whether it holds for its code, and for the majority's value (None without a majority)."""

    assertion: Assertion
    holds: bool
    holds_for_majority: bool | None


@dataclass(frozen=True)
class Support:
    """The evidence for and against one sample.

    Attributes:
        own_true: its own assertions that hold for its implementation.
        own_false: those that do not.
        contradicted: its own assertions that hold, and that the majority of implementations contradicts.
        group: distinct implementations, its own included, that compute the same wherever both can be asked.
        share: share of all samples that are in this group, copies included.
        inputs: inputs, those of the assertions and derived ones, from which it computes a value.
        values: how many different values it computes from them; code that always answers None has one.
        alike: share of the other samples, copies included, that compute the same from all inputs from which both compute one;
            those that have no such input in common are not alike.
        likeness: mean over the other samples of the squared share of such inputs from which they compute the same.
        agreement: mean share of the other distinct implementations that compute the same, over all assertions.
        foreign_true: assertions of other implementations' samples that hold for it.
        foreign: assertions of other implementations' samples that it could be asked.
        implementations: distinct implementations of the instruction.
        passed: share of the instruction's samples whose own program passed.
        samples: number of samples that these shares refer to.
    """

    own_true: int = 0
    own_false: int = 0
    contradicted: int = 0
    group: int = 1
    share: float = 0.0
    inputs: int = 0
    values: int = 0
    alike: float = 0.0
    likeness: float = 0.0
    agreement: float = 0.0
    foreign_true: int = 0
    foreign: int = 0
    implementations: int = 1
    passed: float = 0.0
    samples: int = 1


def take_answers(questions: Questions, answers: Sequence[Sequence[UnitOutcome]]) -> Agreement:
    """The agreement that the answers show.

    Args:
        questions: what was asked.
        answers: by implementation, the outcome of each unit of its trial.
    """
    outcomes = tuple(
        dict(zip(asked, found, strict=True)) for asked, found in zip(questions.asked, answers, strict=True)
    )
    values = tuple(
        {question: _value_of(questions, question, outcome) for question, outcome in found.items()} for found in outcomes
    )
    computed = tuple(
        {
            question: value
            for question in questions.inputs
            if question in found and _tells_value(found[question]) and (value := said[question]) is not None
        }
        for found, said in zip(outcomes, values, strict=True)
    )
    return Agreement(questions, outcomes, values, computed)


def _value_of(questions: Questions, question: QuestionIndex, outcome: UnitOutcome) -> Value:
    compares = not questions.is_assertion(question) or questions.questions[question].assertion.unit.value is not None
    # A failure without a value may have come before there was one.
    failed = outcome.status in _WITHOUT_VALUE or (outcome.status == "failed" and compares and not outcome.value)
    return None if failed else outcome.value or outcome.status


def _tells_value(outcome: UnitOutcome) -> bool:
    """Whether a value was computed that can be told from others."""
    return outcome.status not in _WITHOUT_VALUE and outcome.value != ""


def majority(agreement: Agreement, question: QuestionIndex) -> Majority | None:
    """What most implementations compute for a question; None where there is a tie, or nothing was computed."""
    values = [found[question] for found in agreement.values if question in found]
    counts = Counter(value for value in values if value is not None).most_common(2)
    if not counts or (len(counts) == 2 and counts[0][1] == counts[1][1]):
        return None
    return Majority(*counts[0], len(values))


def _holds_for_majority(agreement: Agreement, question: QuestionIndex) -> bool | None:
    """Whether an assertion holds for the majority's value; None where there is no trusted majority."""
    best = majority(agreement, question)
    if best is None or not best.is_trusted:
        return None
    return any(
        found[question].status == "passed"
        for found, said in zip(agreement.outcomes, agreement.values, strict=True)
        if question in said and said[question] == best.value
    )


def own_evidence(agreement: Agreement, sample: SampleIndex) -> list[OwnEvidence]:
    """What is known of a sample's own assertions, in their order."""
    mine = agreement.outcomes[agreement.questions.implementation_of[sample]]
    found = []
    for own in agreement.questions.own[sample]:
        outcome = mine.get(own.question)
        holds = outcome is not None and outcome.status == "passed"
        found.append(OwnEvidence(own.assertion, holds, _holds_for_majority(agreement, own.question)))
    return found


def agreed_value(agreement: Agreement, sample: SampleIndex, assertion: Assertion) -> str | None:
    """What a sample's code computes for one of its assertions, where the trusted majority computes the same."""
    own = _own(agreement.questions.own[sample], assertion)
    best = None if own is None else majority(agreement, own.question)
    if own is None or best is None or not best.is_trusted:
        return None
    mine = agreement.questions.implementation_of[sample]
    if agreement.values[mine].get(own.question) != best.value:
        return None
    return agreement.outcomes[mine][own.question].exact or best.value


def _own(own: Sequence[OwnAssertion], assertion: Assertion) -> OwnAssertion | None:
    return next((one for one in own if one.assertion is assertion), None)


def _group(agreement: Agreement, mine: ImplementationIndex) -> list[ImplementationIndex]:
    """The implementations that compute the same as one, wherever both could be asked, and were at least once."""
    group = [mine]
    for other in agreement.implementations():
        both = [
            question
            for question in agreement.values[mine]
            if agreement.questions.is_assertion(question) and question in agreement.values[other]
        ]
        if other != mine and both and all(_same(agreement, mine, other, question) for question in both):
            group.append(other)
    return group


def _same(agreement: Agreement, one: ImplementationIndex, other: ImplementationIndex, question: QuestionIndex) -> bool:
    value = agreement.values[one][question]
    return value is not None and value == agreement.values[other][question]


def _likeness(agreement: Agreement, mine: ImplementationIndex) -> list[float]:
    """For each other sample: of the inputs from which both compute something, the share from which they compute the same."""
    computed = agreement.computed[mine]
    shares: list[float] = []
    for number, implementation in zip(agreement.implementations(), agreement.questions.implementations, strict=True):
        if number == mine:
            shares += [1.0 if computed else 0.0] * (len(implementation.samples) - 1)
            continue
        theirs = agreement.computed[number]
        both = computed.keys() & theirs.keys()
        same = sum(computed[question] == theirs[question] for question in both)
        shares += [same / len(both) if both else 0.0] * len(implementation.samples)
    return shares


def agreeing_passes(agreement: Agreement) -> int:
    """The largest number of samples whose own programs passed and that compute the same."""
    questions = agreement.questions
    passed = [of for of, sample in zip(questions.implementation_of, questions.samples, strict=True) if sample.passed]
    return max(
        (sum(of in group for of in passed) for group in (_group(agreement, one) for one in set(passed))), default=0
    )


def support(agreement: Agreement, sample: SampleIndex) -> Support:
    """The evidence for and against a sample."""
    questions = agreement.questions
    mine = questions.implementation_of[sample]
    own = own_evidence(agreement, sample)
    group = _group(agreement, mine)
    computed, likeness = agreement.computed[mine], _likeness(agreement, mine)
    shares: list[float] = []
    foreign = foreign_true = 0
    for number, question in enumerate(questions.questions[: questions.assertion_count]):
        index = QuestionIndex(number)
        if index not in agreement.values[mine]:
            continue
        asked = [other for other in agreement.implementations() if other != mine and index in agreement.values[other]]
        if asked:
            shares.append(sum(_same(agreement, mine, other, index) for other in asked) / len(asked))
        if all(questions.implementation_of[asker] != mine for asker in question.samples):
            foreign += 1
            foreign_true += agreement.outcomes[mine][index].status == "passed"
    return Support(
        own_true=sum(one.holds for one in own),
        own_false=sum(not one.holds for one in own),
        contradicted=sum(one.holds and one.holds_for_majority is False for one in own),
        group=len(group),
        share=sum(len(questions.implementations[other].samples) for other in group) / len(questions.samples),
        inputs=len(computed),
        values=len(set(computed.values())),
        alike=sum(share == 1.0 for share in likeness) / len(likeness) if likeness else 0.0,
        likeness=sum(share**2 for share in likeness) / len(likeness) if likeness else 0.0,
        agreement=sum(shares) / len(shares) if shares else 0.0,
        foreign_true=foreign_true,
        foreign=foreign,
        implementations=len(questions.implementations),
        passed=sum(one.passed for one in questions.samples) / len(questions.samples),
        samples=len(questions.samples),
    )
