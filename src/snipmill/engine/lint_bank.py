"""What is wrong with a few-shot bank: a model imitates all of it, so that each fault of an example becomes a fault of many rows."""

from __future__ import annotations

import ast
import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from snipmill.engine.audit import audit_program
from snipmill.languages import PYTHON
from snipmill.prompts.fewshot import Bank, Example
from snipmill.prompts.instructions import MIN_LENGTH
from snipmill.similarity.contamination import Decontaminator
from snipmill.similarity.shingles import ngram_hashes, word_hashes
from snipmill.stages.benchmark_files import decontaminator
from snipmill.stages.evidence_runs import Sandboxes
from snipmill.text.code import split_docstring
from snipmill.text.concept_evidence import look_for_concepts
from snipmill.text.sections import Malformed, parse_sections
from snipmill.verification.any_program import build_any_program
from snipmill.verification.statements import parse

MIN_KILLED = 0.9
_CONCEPTS = range(2, 7)
_LINES = range(8, 61)
_ALIKE = 0.5
_MOST_OF_A_CONCEPT = 0.34


@dataclass(frozen=True)
class BankFinding:
    """What is wrong with an example (`is_fault`), or deserves a look."""

    example: str
    what: str
    is_fault: bool = True


async def lint_bank(bank: Bank, sandboxes: Sandboxes) -> list[BankFinding]:
    """Check the examples of a bank; their responses are executed in the sandbox.

    Raises:
        SandboxError: programs cannot be run here.
    """
    contamination = decontaminator(True, ())
    executed = await asyncio.gather(*(_check_response(example, sandboxes) for example in bank.examples))
    found: list[BankFinding] = []
    for example, of_response in zip(bank.examples, executed, strict=True):
        found += _check_snippet(example)
        found += _check_concepts(example)
        found += _check_instruction(example)
        found += of_response
        found += _check_contamination(example, contamination)
    return found + list(_check_whole(bank.examples))


def lint_judging(bank: Bank) -> list[BankFinding]:
    """Check the judge's examples."""
    found: list[BankFinding] = []
    contamination = decontaminator(True, ())
    for example in bank.examples:
        found += _check_snippet(example, min_lines=1)
        if example.response not in ("yes", "no"):
            found.append(BankFinding(example.name, "The answer is neither yes nor no."))
        found += _check_contamination(example, contamination)
    answers = Counter(example.response for example in bank.examples)
    if abs(answers["yes"] - answers["no"]) > 1:
        found.append(BankFinding("all examples", f"{answers['yes']} answers are yes, and {answers['no']} are no."))
    return found


def _check_snippet(example: Example, min_lines: int = _LINES.start) -> Iterator[BankFinding]:
    if example.language != PYTHON:
        return
    if parse(example.snippet) is None:
        yield BankFinding(example.name, "The snippet is no Python.")
        return
    lines = len(example.snippet.splitlines())
    if not min_lines <= lines < _LINES.stop:
        yield BankFinding(example.name, f"The snippet has {lines} lines; most seeds have 10 to 40.", is_fault=False)
    if '"""' not in example.snippet and not split_docstring(example.snippet)[0]:
        yield BankFinding(example.name, "The snippet has no docstring, which every seed has.")


def _check_concepts(example: Example) -> Iterator[BankFinding]:
    if len(example.concepts) not in _CONCEPTS:
        yield BankFinding(example.name, f"There are {len(example.concepts)} concepts; two to six are clear.")
    if example.language != PYTHON:
        return
    evidence = look_for_concepts(example.snippet, example.concepts)
    for concept in evidence.absent:
        yield BankFinding(example.name, f"The snippet has no {concept!r}: a model learns to invent concepts from it.")
    for concept in evidence.unseen:
        yield BankFinding(
            example.name, f"No word of {concept!r} occurs in the snippet. Is it in there?", is_fault=False
        )


def _check_instruction(example: Example) -> Iterator[BankFinding]:
    if len(example.instruction) < MIN_LENGTH:
        yield BankFinding(example.name, f"The instruction has {len(example.instruction)} characters.")
    sections = parse_sections(example.response or "", example.language)
    if isinstance(sections, Malformed) or example.language != PYTHON:
        return
    defined, used = _public_names(sections.code), set(re.findall(r"\w+", sections.tests))
    hidden = sorted(name for name in defined & used if not re.search(rf"\b{name}\b", example.instruction))
    if hidden:
        yield BankFinding(example.name, f"The tests use {', '.join(hidden)}, which the instruction does not name.")


def _public_names(code: str) -> set[str]:
    """Functions and classes at the top level of a module."""
    tree = parse(code)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in (tree.body if tree is not None else ()) if isinstance(node, kinds)}


async def _check_response(example: Example, sandboxes: Sandboxes) -> list[BankFinding]:
    if example.response is None or example.language != PYTHON:
        return []
    sections = parse_sections(example.response)
    if isinstance(sections, Malformed):
        return [BankFinding(example.name, f"The response is not well-formed: {sections.detail}")]
    built = build_any_program(example.response, None)
    if isinstance(built, Malformed):
        return [BankFinding(example.name, f"The response cannot be executed: {built.detail}")]
    found = await audit_program(built, 0.0, sandboxes)
    if found.finding != "holds":
        return [BankFinding(example.name, f"The response does not hold ({found.finding}): {found.detail}")]
    if found.mutants and found.killed < MIN_KILLED * found.mutants:
        return [
            BankFinding(example.name, f"The tests are weak: they notice {found.killed} of {found.mutants} mutants.")
        ]
    return []


def _check_contamination(example: Example, contamination: Decontaminator | None) -> Iterator[BankFinding]:
    sections = parse_sections(example.response or "", example.language)
    codes = [example.snippet] if isinstance(sections, Malformed) else [example.snippet, sections.code]
    texts = [example.snippet, example.instruction, example.response or ""]
    match = contamination.find(texts, codes) if contamination is not None else None
    if match is not None:
        yield BankFinding(example.name, f"It is near {match.item}: {match.kind}: {match.text!r}.")


def _check_whole(examples: Sequence[Example]) -> Iterator[BankFinding]:
    """What can be said of all examples together only."""
    shingles = {example.name: set(ngram_hashes(word_hashes(example.instruction), 3).tolist()) for example in examples}
    for one, other in combinations(examples, 2):
        first, second = shingles[one.name], shingles[other.name]
        if first and second and len(first & second) >= _ALIKE * len(first | second):
            yield BankFinding(one.name, f"Its instruction is nearly that of {other.name}.")
    counts = Counter(concept.lower() for example in examples for concept in example.concepts)
    for concept, count in counts.most_common(3):
        if count > max(2, _MOST_OF_A_CONCEPT * len(examples)):
            yield BankFinding(
                "all examples", f"{concept!r} is a concept of {count} of {len(examples)}.", is_fault=False
            )
    for name in ("category", "difficulty"):
        kinds = Counter(getattr(example, name) for example in examples)
        if len(examples) >= 6 and len(kinds) > 1 and min(kinds.values()) * 4 < max(kinds.values()):
            listed = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
            yield BankFinding("all examples", f"They are not balanced by {name}: {listed}.", is_fault=False)
