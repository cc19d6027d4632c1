"""The code of an answer that counts: not its drafts, console sessions, usage examples, nor what runs only as a script.

What blocks are and hold is found here; which of them make a program is decided in `any_program`. `script_part` knows what reads
standard input.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cached_property

from snipmill.text.fences import find_fences, python_fences
from snipmill.text.thinking import split_thinking
from snipmill.verification.script_part import reads_input
from snipmill.verification.statements import DEFINITIONS, bound_names, free_names, parse

IMPORTS = (ast.Import, ast.ImportFrom)
_END = re.compile(r"(?:\s*(?:<\|[A-Za-z_]{2,20}\|>|</s>|<end_of_turn>|<eos>|<EOT>|<｜end▁of▁sentence｜>))+\s*\Z")
_DEFINES = re.compile(r"^(?:async\s+)?(?:def|class)\s+(\w+)", re.MULTILINE)
_READS = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\(0\)")
_NOTEBOOK = re.compile(r"^[ \t]*[!%]\w.*$", re.MULTILINE)
_SESSIONS = (">>> ", "$ ", "In [1]")
_RUNNERS = ("unittest.main", "pytest.main")


def answer_text(response: str) -> str:
    """An answer without the traces of thought before it and the special tokens behind it."""
    return _END.sub("", split_thinking(response).answer)


@dataclass(frozen=True)
class Block:
    """A block of Python, or of what a model took for it."""

    code: str

    @cached_property
    def tree(self) -> ast.Module | None:
        """Its syntax tree; None where it is no Python."""
        return parse(self.code)

    @cached_property
    def statements(self) -> list[ast.stmt]:
        """Its statements at module level."""
        return self.tree.body if self.tree is not None else []

    @cached_property
    def defined(self) -> set[str]:
        """What it defines or binds at module level, imports apart; of what is no Python, the names of functions and classes."""
        if self.tree is None:
            return set(_DEFINES.findall(self.code))
        return {name for one in self.statements if not isinstance(one, IMPORTS) for name in bound_names(one)}

    @cached_property
    def free(self) -> set[str]:
        """The names that it uses and that it does not bind in a function of its own."""
        return free_names(self.tree) if self.tree is not None else set()

    @cached_property
    def has_definitions(self) -> bool:
        """Whether it defines a function or a class that is no test."""
        return any(isinstance(one, DEFINITIONS) and not _is_test(one) for one in self.statements)

    @cached_property
    def has_checks(self) -> bool:
        """Whether it tests something as it runs, or defines tests; assertions within the answer's functions are none."""
        with_asserts = {one.name for one in self.statements if isinstance(one, DEFINITIONS) and _asserts(one)}
        return any(_is_check(one, with_asserts) for one in self.statements)

    @cached_property
    def reads(self) -> bool:
        """Whether it reads standard input, at once or in a function."""
        if self.tree is None:
            return _READS.search(self.code) is not None
        return any(map(reads_input, ast.walk(self.tree)))


def _asserts(node: ast.AST) -> bool:
    return any(isinstance(inner, ast.Assert) for inner in ast.walk(node))


def _is_test(statement: ast.stmt) -> bool:
    """Whether a definition is a test of some framework, or `check(candidate)`."""
    if isinstance(statement, ast.ClassDef):
        return statement.name.startswith("Test") or any("TestCase" in ast.unparse(base) for base in statement.bases)
    if not isinstance(statement, DEFINITIONS):
        return False
    is_check = statement.name == "check" and _asserts(statement)
    return is_check or statement.name.startswith("test")


def _is_check(statement: ast.stmt, with_asserts: set[str]) -> bool:
    if isinstance(statement, DEFINITIONS):
        return _is_test(statement)
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        called = ast.unparse(statement.value.func)
        return called in with_asserts or called in _RUNNERS
    return _asserts(statement)


def code_blocks(answer: str) -> list[Block]:
    """The blocks of an answer that hold Python and no console session; unmarked ones where no block is marked."""
    codes = [fence.code for fence in python_fences(answer)]
    if not codes:
        codes = [fence.code for fence in find_fences(answer) if not fence.info.strip()]
    codes = [code.replace("\r\n", "\n").rstrip() for code in codes if code.strip()]
    codes = [code for code in codes if not code.lstrip().startswith(_SESSIONS)] or codes
    return [_without_shell(Block(code)) for code in dict.fromkeys(codes)]


def _without_shell(block: Block) -> Block:
    """A block without the lines that only a notebook understands (`!pip install`), where that makes it Python."""
    if block.tree is not None:
        return block
    without = Block(_NOTEBOOK.sub("", block.code))
    return without if without.tree is not None else block


def blocks_that_count(blocks: list[Block], used: frozenset[str] = frozenset()) -> list[Block]:
    """The blocks that make up the program: without drafts that a later block replaces, and examples of their use.

    Args:
        blocks: in their order.
        used: the names that tests from elsewhere use; empty where there are none.
    """
    if not any(block.has_definitions for block in blocks):
        return blocks
    kept: list[Block] = []
    for number, block in enumerate(blocks):
        later, earlier = blocks[number + 1 :], blocks[:number]
        if _is_pseudo_code(block) or any(
            block.defined and block.defined <= other.defined and other.tree for other in later
        ):
            imports = [one for one in block.statements if isinstance(one, IMPORTS)]
            if imports:
                kept.append(Block("\n".join(map(ast.unparse, imports))))
        elif block.has_checks or not _is_example(block, earlier, later, used):
            kept.append(block)
    return kept


def _is_pseudo_code(block: Block) -> bool:
    """Whether a block is no Python, and defines nothing that the answer would lack: a call with a placeholder, for example."""
    return block.tree is None and not block.defined


def _is_example(block: Block, earlier: list[Block], later: list[Block], used: frozenset[str]) -> bool:
    """Whether a block only uses what others define.

    Nothing that it binds is used elsewhere, nor is it another version of what an earlier one binds.
    """
    others = [*earlier, *later]
    imported = {name for one in block.statements if isinstance(one, IMPORTS) for name in bound_names(one)}
    # Who imports what another block defines imports the answer itself.
    bound = block.defined | imported.difference(*(other.defined for other in others))
    if (
        any(bound & other.free for other in others)
        or any(block.defined & other.defined for other in earlier)
        or bound & used
    ):
        return False
    if block.has_definitions:
        # A function of its own that it calls itself, such as `main`, where the tests use what another block defines.
        runs = any(isinstance(one, ast.Expr) and isinstance(one.value, ast.Call) for one in block.statements)
        return runs and any(used & other.defined for other in others)
    return block.tree is not None and any(other.has_definitions for other in others)


def split_checks(block: Block) -> tuple[str, str]:
    """The code of a block with checks: its statements before the first check, and those from there on."""
    with_asserts = {one.name for one in block.statements if isinstance(one, DEFINITIONS) and _asserts(one)}
    first = next((one for one in block.statements if _is_check(one, with_asserts)), None)
    if first is None:
        return block.code, ""
    decorated = (
        first.decorator_list[0].lineno if isinstance(first, DEFINITIONS) and first.decorator_list else first.lineno
    )
    lines = block.code.split("\n")
    return "\n".join(lines[: decorated - 1]).rstrip(), "\n".join(lines[decorated - 1 :])
