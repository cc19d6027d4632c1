"""What a run would still have to do under a configuration: which completions and verdicts are there, and which are missing.

The seeds are mined again and every task is looked up in the journals; no server is asked, no program runs. What hangs on a
missing completion cannot be known: it is counted as the most that it can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from snipmill.config import Config
from snipmill.languages import PYTHON
from snipmill.pipeline import settings
from snipmill.pipeline.execute import look_up as look_up_verdict
from snipmill.pipeline.execute import program_id
from snipmill.pipeline.generate import Generation, look_up, waves
from snipmill.pipeline.judging import weigh
from snipmill.pipeline.seeds import iterate_seeds
from snipmill.pipeline.verifying import enough_id
from snipmill.prompts.concepts import STAGE as CONCEPTS
from snipmill.prompts.instructions import STAGE as INSTRUCTIONS
from snipmill.prompts.judge import STAGE as JUDGE
from snipmill.prompts.responses import STAGE as RESPONSES
from snipmill.prompts.stage import Stage
from snipmill.records import Concepts, Execution, Instruction, Record, Reject, Response, Row
from snipmill.sandbox.program import Program
from snipmill.select.sanitize import sanitize
from snipmill.store.journal import Asked, Executed, Journal, Mined, Verified
from snipmill.store.run_directory import RunDirectory
from snipmill.verify.programs import build_program


@dataclass
class StagePlan:
    """Of one stage: tasks whose outcome is there, tasks that must be done, and tasks that may follow from those."""

    there: int = 0
    missing: int = 0
    may_follow: int = 0


class Plan:
    """Look through a run directory.

    Args:
        config: the configuration under which the run would go on.
        directory: where its journals are.
        model: the model's name.
        tier: the sandbox tier.
    """

    def __init__(self, config: Config, directory: RunDirectory, model: str, tier: str) -> None:
        judged = ("judge",) if config.judge.enabled else ()
        self.stages = {name: StagePlan() for name in (*judged, "concepts", "instructions", "responses", "execute")}
        self._config = config
        self._tier = tier
        self._generations: dict[str, Generation] = settings.generations(config, model)
        self._asked = {
            name: Journal(directory.journal(name), Asked) for name in ("judge", "concepts", "instructions", "responses")
        }
        self._executed = Journal(directory.journal("execute"), Executed)
        self._verified = Journal(directory.journal("verify"), Verified)
        self._mined = Journal(directory.journal("seeds"), Mined)
        self._mined.open_to_read()
        self.fruitful = 0
        for journal in self._asked.values():
            journal.open_to_read()
        self._executed.open_to_read()
        self._verified.open_to_read()

    def look(self) -> dict[str, StagePlan]:
        """The plan of each stage."""
        samples = self._config.generate.samples
        for seed in iterate_seeds(self._config, lambda _reject: None, self._mined):
            if self._config.judge.enabled:
                judged = self._ask(JUDGE, seed, range(1))
                if judged is None:
                    self._may_follow(concepts=1, instructions=1, responses=samples)
                    continue
                if isinstance(weigh(judged[0], self._config.judge.threshold), Reject):
                    continue
            concepts = self._ask(CONCEPTS, seed, range(1))
            if concepts is None:
                self._may_follow(instructions=1, responses=samples)
                continue
            if not isinstance(concepts[0], Concepts):
                continue
            instructions = self._ask(INSTRUCTIONS, concepts[0], range(1))
            if instructions is None:
                self._may_follow(responses=samples)
            elif isinstance(instructions[0], Instruction):
                self.fruitful += self._answer(instructions[0])
                if self._config.generate.enough is not None and self.fruitful >= self._config.generate.enough:
                    break
        return self.stages

    def _ask(self, stage: Stage[Any, Any], record: Record, samples: range) -> list[Any] | None:
        outcomes = look_up(stage, record, samples, self._generations[stage.name], self._asked[stage.name])
        plan = self.stages[stage.name]
        if outcomes is None:
            plan.missing += len(samples)
        else:
            plan.there += len(samples)
        return outcomes

    def _may_follow(self, concepts: int = 0, instructions: int = 0, responses: int = 0) -> None:
        self.stages["concepts"].may_follow += concepts
        self.stages["instructions"].may_follow += instructions
        self.stages["responses"].may_follow += responses
        self.stages["execute"].may_follow += responses

    def _answer(self, instruction: Instruction) -> bool:
        """Follow the waves of a run (`run`) as far as they can be known; whether a sample was accepted."""
        table = self._config.generate
        accepted = 0
        programs: list[str] = []
        for beyond, groups in waves(table):
            unknown = 0
            for group in groups:
                outcomes = self._ask(RESPONSES, instruction, group)
                if outcomes is None:
                    unknown += len(group)
                    self.stages["execute"].may_follow += len(group)
                    continue
                for outcome in outcomes:
                    if isinstance(outcome, Response):
                        passed = self._execute(outcome, programs)
                        unknown += passed is None
                        accepted += bool(passed)
            if unknown:
                self._may_follow(responses=table.samples - beyond)
                break
            if table.accept and accepted >= table.accept and self._enough(programs):
                break
        return accepted > 0

    def _enough(self, programs: list[str]) -> bool:
        """What a run found when it asked whether these samples suffice; where it was never asked, it may be so."""
        entry = self._verified.get(enough_id(self._config.verify, self._config.generate.accept, programs))
        return not self._config.verify.agreement or entry is None or entry.outcome == "enough"

    def _execute(self, response: Response, programs: list[str]) -> bool | None:
        if response.language != PYTHON:
            return False
        limits, environment = settings.limits(self._config), settings.environment(self._config)
        outcome = look_up_verdict(response, limits, self._tier, environment, self._executed)
        if outcome is None:
            self.stages["execute"].missing += 1
            return None
        self.stages["execute"].there += 1
        row = sanitize(outcome, "raw", self._config.run.seed) if isinstance(outcome, Execution) else None
        program = build_program(response.response)
        if isinstance(program, Program) and (isinstance(outcome, Reject) or isinstance(row, Row)):
            programs.append(program_id(program, limits, self._tier, environment))
        return isinstance(row, Row)
