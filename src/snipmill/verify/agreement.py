"""Dual execution agreement (CodeT, Chen et al. 2022), over single assertions and the values that they compute.

Every distinct implementation of an instruction is asked every distinct assertion of all its samples, in one trial for each
implementation. What independent implementations compute alike is likely right; an assertion that they contradict is likely
wrong. Inputs near those of the assertions are asked as well (`inputs`): they show whether implementations compute the same.
Duplicates count once. Does not cover running the trials (`pipeline`), or how much the evidence weighs (`confidence`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from snipmill.sandbox.program import Trial, Unit, UnitOutcome
from snipmill.verify.inputs import common_key, input_key, variants, without_expectation
from snipmill.verify.interface import Signature, align, interface, used_names
from snipmill.verify.normal import normal_form
from snipmill.verify.units import Assertion, assertions

MOST_ASSERTIONS = 80
MOST_VARIANTS = 40  # three times as many told no more
_WRONG = ("error", "timeout")


@dataclass(frozen=True)
class Sample:
    """One response: its code, its tests, and whether its own program passed."""

    id: str
    implementation: str
    tests: str
    passed: bool


@dataclass
class _Implementation:
    code: str
    offers: dict[str, Signature | None]
    entries: frozenset[str] = frozenset()
    samples: list[int] = field(default_factory=list)


@dataclass
class _Question:
    """A distinct assertion, the sample that it was first read in, the names it asks there, and all samples that make it."""

    assertion: Assertion
    asker: int
    used: frozenset[str]
    samples: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Support:
    """What speaks for and against one sample.

    Attributes:
        own_true: its own assertions that hold for its implementation.
        own_false: those that do not.
        contradicted: its own assertions that hold, and that the majority of implementations contradicts.
        group: distinct implementations, its own among them, that compute the same wherever both can be asked.
        share: share of all samples that are in this group, copies included.
        inputs: inputs, those of the assertions and others near by, from which it computes a value.
        values: how many different values it computes from them; one that always answers None says little.
        alike: share of the other samples, copies included, that compute the same from all inputs from which both compute one;
            those that have no such input in common are not alike.
        likeness: mean over the other samples of the squared share of such inputs from which they compute the same.
        agreement: mean share of the other distinct implementations that compute the same, over all questions.
        foreign_true: assertions of other implementations' samples that hold for it.
        foreign: assertions of other implementations' samples that it could be asked.
        implementations: distinct implementations of the instruction.
        passed: share of the instruction's samples whose own program passed.
        samples: how many samples there are, of which these are shares.
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


class Agreement:
    """The crosswise evidence on the samples of one instruction.

    First `trials` are to be run, then `weigh` reads their outcomes.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = list(samples)
        self._implementations: list[_Implementation] = []
        self._of_sample: list[int] = []
        self._questions: list[_Question] = []
        self._own: list[list[int]] = []
        self._asked: list[list[Assertion]] = []
        self._outcomes: list[dict[int, UnitOutcome]] = []
        self._values: list[dict[int, str]] = []
        self._computed: list[dict[int, str]] = []
        self.pairs = self.alignable = 0
        self._gather()
        self._gather_inputs()
        self._placed: list[list[int]] = []
        self.trials: list[Trial] = [self._trial(number) for number in range(len(self._implementations))]

    def _gather(self) -> None:
        forms: dict[str, int] = {}
        self._offers = [interface(sample.implementation) for sample in self.samples]
        tests = [assertions(sample.tests, offers) for sample, offers in zip(self.samples, self._offers, strict=True)]
        for number, sample in enumerate(self.samples):
            form = normal_form(sample.implementation)
            if form not in forms:
                forms[form] = len(self._implementations)
                self._implementations.append(_Implementation(sample.implementation, self._offers[number]))
            self._of_sample.append(forms[form])
            self._implementations[forms[form]].samples.append(number)
        places: dict[str, int] = {}
        for number, offers in enumerate(self._offers):
            used = used_names(offers, tests[number])
            implementation = self._implementations[self._of_sample[number]]
            if implementation.samples[0] == number:
                implementation.entries = used
            mine: list[int] = []
            asked: list[Assertion] = []
            for assertion in tests[number]:
                if not assertion.names & offers.keys():
                    continue  # it asks nothing of the implementation
                key = common_key(assertion.key, used)
                if key not in places:
                    if len(self._questions) == MOST_ASSERTIONS:
                        continue
                    places[key] = len(self._questions)
                    self._questions.append(_Question(assertion, number, used))
                self._questions[places[key]].samples.append(number)
                mine.append(places[key])
                asked.append(assertion)
            self._own.append(mine)
            self._asked.append(asked)

    def _gather_inputs(self) -> None:
        """Put further questions behind those of the assertions; note the places of distinct inputs, the first question of each."""
        asked = [
            (without_expectation(question.assertion, question.used), question.used) for question in self._questions
        ]
        first: dict[str, int] = {}
        bare: dict[str, tuple[int, Assertion]] = {}  # calls out of assertions that do not compare what these compute
        for place, (call, used) in enumerate(asked):
            if call is not None:
                key = input_key(call, used)
                if call.unit.value == self._questions[place].assertion.unit.value:
                    first.setdefault(key, place)
                else:
                    bare.setdefault(key, (place, call))
        found = [question for key, question in bare.items() if key not in first][:MOST_VARIANTS]
        found += variants(asked, MOST_VARIANTS - len(found))
        self._variants = [(variant, self._questions[place].asker) for place, variant in found]
        self._inputs = [*first.values(), *range(len(self._questions), len(self._questions) + len(found))]

    def _trial(self, number: int) -> Trial:
        """All questions that can be put to an implementation, and behind them the variants that can."""
        implementation = self._implementations[number]
        asked = [(question.assertion, question.asker) for question in self._questions]
        units: list[Unit] = []
        placed: list[int] = []
        for place, (assertion, asker) in enumerate([*asked, *self._variants]):
            fitted = align(assertion, self._offers[asker], implementation.offers, implementation.entries)
            if fitted is not None:
                units.append(fitted.unit)
                placed.append(place)
        aligned = sum(place < len(asked) for place in placed)
        self.pairs += len(asked)
        self.alignable += aligned
        self._placed.append(placed)
        return Trial(source=implementation.code, units=tuple(units), extra=len(units) - aligned)

    def take(self, outcomes: Sequence[Sequence[UnitOutcome]]) -> None:
        """Take the outcomes of the trials in."""
        self._outcomes = [
            dict(zip(placed, found, strict=True)) for placed, found in zip(self._placed, outcomes, strict=True)
        ]
        self._values = [
            {place: self._said(number, place, outcome) for place, outcome in found.items()}
            for number, found in enumerate(self._outcomes)
        ]
        self._computed = [
            {place: self._values[number][place] for place in self._inputs if place in found and _is_value(found[place])}
            for number, found in enumerate(self._outcomes)
        ]

    def _said(self, number: int, place: int, outcome: UnitOutcome) -> str:
        """A text that implementations share for a question if they compute the same; failures are never alike."""
        questions = self._questions
        compares = place >= len(questions) or questions[place].assertion.unit.value is not None
        # What fails without a value that can be told has perhaps failed before there was one.
        failed = outcome.status in _WRONG or (outcome.status == "failed" and compares and not outcome.value)
        return f"!{number}" if failed else outcome.value or outcome.status

    def _value(self, implementation: int, question: int) -> str | None:
        """What an implementation computes for a question; None where it cannot be asked."""
        return self._values[implementation].get(question)

    def majority(self, question: int) -> tuple[str, int, int] | None:
        """The value that most implementations compute: (value, how many, of how many asked); None where there is a tie."""
        asked = range(len(self._implementations))
        values = [value for number in asked if (value := self._value(number, question)) is not None]
        counts = Counter(value for value in values if not value.startswith("!")).most_common(2)
        if not counts or (len(counts) == 2 and counts[0][1] == counts[1][1]):
            return None
        return (*counts[0], len(values))

    def holds_for_majority(self, question: int) -> bool | None:
        """Whether an assertion holds for the value that most implementations compute; None where there is no majority of two."""
        best = self.majority(question)
        if best is None or best[1] < 2 or 2 * best[1] <= best[2]:
            return None
        computing = [number for number in range(len(self._implementations)) if self._value(number, question) == best[0]]
        return any(self._outcomes[number][question].status == "passed" for number in computing)

    def own_assertions(self, sample: int) -> list[tuple[Assertion, bool, bool | None]]:
        """A sample's own assertions: (assertion, whether it holds for its code, whether it holds for the majority)."""
        implementation = self._of_sample[sample]
        found = []
        for place, assertion in zip(self._own[sample], self._asked[sample], strict=True):
            outcome = self._outcomes[implementation].get(place)
            holds = outcome is not None and outcome.status == "passed"
            found.append((assertion, holds, self.holds_for_majority(place)))
        return found

    def agreed_value(self, sample: int, assertion: Assertion) -> str | None:
        """What a sample's code computes for one of its assertions, where the majority of all implementations does so too."""
        for place, asked in zip(self._own[sample], self._asked[sample], strict=True):
            if asked is assertion:
                best = self.majority(place)
                agreed = best is not None and best[1] >= 2 and 2 * best[1] > best[2]
                mine = self._of_sample[sample]
                if best is not None and agreed and self._value(mine, place) == best[0]:
                    return self._outcomes[mine][place].exact or best[0]
        return None

    def _group(self, mine: int) -> list[int]:
        """The implementations that compute the same as one, wherever both could be asked, and were at least once."""
        group = [mine]
        for other in range(len(self._implementations)):
            values = [
                (self._value(mine, place), self._value(other, place))
                for place in range(len(self._questions))
                if place in self._values[mine] and place in self._values[other]
            ]
            if other != mine and values and all(one == two for one, two in values):
                group.append(other)
        return group

    def _likeness(self, mine: int) -> list[float]:
        """For each other sample: of the inputs from which both compute something, the share from which they compute the same."""
        computed = self._computed[mine]
        shares = []
        for number, implementation in enumerate(self._implementations):
            if number == mine:
                shares += [1.0 if computed else 0.0] * (len(implementation.samples) - 1)
                continue
            theirs = self._computed[number]
            both = computed.keys() & theirs.keys()
            same = sum(computed[place] == theirs[place] for place in both)
            shares += [same / len(both) if both else 0.0] * len(implementation.samples)
        return shares

    def agreeing_passes(self) -> int:
        """The most samples whose own programs passed and that compute the same."""
        most = 0
        for mine in {self._of_sample[number] for number, sample in enumerate(self.samples) if sample.passed}:
            group = self._group(mine)
            most = max(
                most,
                sum(sample.passed and self._of_sample[number] in group for number, sample in enumerate(self.samples)),
            )
        return most

    def weigh(self, sample: int) -> Support:
        """What speaks for and against a sample."""
        mine = self._of_sample[sample]
        others = [number for number in range(len(self._implementations)) if number != mine]
        own = self.own_assertions(sample)
        group = self._group(mine)
        computed, likeness = self._computed[mine], self._likeness(mine)
        shares: list[float] = []
        foreign = foreign_true = 0
        for place, question in enumerate(self._questions):
            value = self._value(mine, place)
            if value is None:
                continue
            asked = [number for number in others if self._value(number, place) is not None]
            alike = [number for number in asked if self._value(number, place) == value and not value.startswith("!")]
            if asked:
                shares.append(len(alike) / len(asked))
            holds = self._outcomes[mine][place].status == "passed"
            if all(self._of_sample[owner] != mine for owner in question.samples):
                foreign += 1
                foreign_true += holds
        return Support(
            own_true=sum(holds for _, holds, _ in own),
            own_false=sum(not holds for _, holds, _ in own),
            contradicted=sum(holds and majority is False for _, holds, majority in own),
            group=len(group),
            share=sum(len(self._implementations[number].samples) for number in group) / len(self.samples),
            inputs=len(computed),
            values=len(set(computed.values())),
            alike=sum(share == 1.0 for share in likeness) / len(likeness) if likeness else 0.0,
            likeness=sum(share**2 for share in likeness) / len(likeness) if likeness else 0.0,
            agreement=sum(shares) / len(shares) if shares else 0.0,
            foreign_true=foreign_true,
            foreign=foreign,
            implementations=len(self._implementations),
            passed=sum(sample.passed for sample in self.samples) / len(self.samples),
            samples=len(self.samples),
        )


def _is_value(outcome: UnitOutcome) -> bool:
    """Whether a value was computed that can be told from others."""
    return outcome.status not in _WRONG and outcome.value != ""
