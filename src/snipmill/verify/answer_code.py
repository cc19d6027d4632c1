"""The code of an answer that counts: not its drafts, console sessions, usage examples, or what waits for a user."""

from __future__ import annotations

import ast
import re

from snipmill.text.fences import find_fences, python_fences
from snipmill.text.thinking import split_thinking
from snipmill.verify.statements import DEFINITIONS, bound_names, names_in, parse

_IMPORTS = (ast.Import, ast.ImportFrom)
_END = re.compile(r"(?:\s*(?:<\|[A-Za-z_]{2,20}\|>|</s>|<end_of_turn>|<eos>|<EOT>|<｜end▁of▁sentence｜>))+\s*\Z")
_CHECKING = ("unittest", "pytest", "def test", "def check(")
_WAITS = frozenset({"input", "raw_input"})
_READS = frozenset({"stdin", "argv", "parse_args", "parse_known_args"})


def answer_text(response: str) -> str:
    """An answer without the traces of thought before it and the special tokens behind it."""
    return _END.sub("", split_thinking(response).answer)


def code_blocks(answer: str) -> list[str]:
    """The blocks of an answer that hold Python and no console session; unmarked ones where no block is marked."""
    blocks = [fence.code for fence in python_fences(answer)]
    if not blocks:
        blocks = [fence.code for fence in find_fences(answer) if not fence.info.strip()]
    blocks = [block.rstrip() for block in blocks if block.strip()]
    return [block for block in blocks if not block.lstrip().startswith((">>> ", "$ ", "In [1]"))] or blocks


def blocks_that_count(blocks: list[str]) -> list[str]:
    """The blocks that make up the program: without drafts that a later block replaces, and examples of its use.

    A block with checks is no example.
    """
    trees = {block: tree for block in blocks if (tree := parse(block)) is not None}
    if not any(_defines(tree) for tree in trees.values()):
        return blocks
    kept = [block for block in dict.fromkeys(blocks) if block in trees]
    kept = [block for number, block in enumerate(kept) if not _is_replaced(trees, block, kept[number + 1 :])]
    return [block for block in kept if has_checks(block) or not _is_example(trees, block, kept)]


def _defines(tree: ast.Module) -> set[str]:
    return {statement.name for statement in tree.body if isinstance(statement, DEFINITIONS)}


def _is_replaced(trees: dict[str, ast.Module], block: str, later: list[str]) -> bool:
    """Whether later blocks define again all that a block defines."""
    defined = _defines(trees[block])
    return bool(defined) and any(defined <= _defines(trees[other]) for other in later)


def _is_example(trees: dict[str, ast.Module], block: str, blocks: list[str]) -> bool:
    """Whether a block only uses what others define: it defines nothing, and nothing that it binds is used elsewhere."""
    tree = trees[block]
    if any(isinstance(statement, (*DEFINITIONS, *_IMPORTS)) for statement in tree.body):
        return False
    if waits_for_user(tree):
        return True
    bound = {name for statement in tree.body for name in bound_names(statement)}
    return not any(bound & names_in([trees[other]]) for other in blocks if other != block)


def has_checks(block: str) -> bool:
    """Whether a block may test something."""
    tree = parse(block)
    asserts = tree is not None and any(isinstance(node, ast.Assert) for node in ast.walk(tree))
    return asserts or any(word in block for word in _CHECKING)


def reads_input(node: ast.AST) -> bool:
    """Whether a node itself is `input()`, `sys.stdin`, or the like."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in _WAITS
    return isinstance(node, ast.Attribute) and node.attr in _READS


def waits_for_user(node: ast.AST) -> bool:
    """Whether code reads standard input or the command line as it runs; what functions do when called does not count."""
    if isinstance(node, (*DEFINITIONS, ast.Lambda)):
        return False
    return reads_input(node) or any(map(waits_for_user, ast.iter_child_nodes(node)))


def without_use(code: str) -> str:
    """An answer for tests that call its functions: without what runs only as a script, with as many lines.

    That is `if __name__ == "__main__"`, and from the first statement on that waits for a user, everything that defines nothing.
    """
    tree = parse(code)
    if tree is None or "\r" in code:
        return code
    lines = code.split("\n")
    mains = {one.name for one in tree.body if isinstance(one, DEFINITIONS) and any(map(reads_input, ast.walk(one)))}
    waits = False
    for statement in tree.body:
        is_code = isinstance(statement, (*DEFINITIONS, *_IMPORTS))
        waits = waits or (not is_code and (waits_for_user(statement) or _calls(statement, mains)))
        if _is_main_guard(statement) or (waits and not is_code):
            lines[statement.lineno - 1 : statement.end_lineno] = [""] * (
                (statement.end_lineno or statement.lineno) - statement.lineno + 1
            )
    return "\n".join(lines)


def _calls(statement: ast.stmt, names: set[str]) -> bool:
    """Whether a statement is a call of one of some functions, and nothing else."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in names


def _is_main_guard(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and not statement.orelse and "'__main__'" in ast.dump(statement.test)
