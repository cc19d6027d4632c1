from __future__ import annotations

import ast
import inspect
import io
import tokenize
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.text import code as module
from snipmill.text.code import (
    assert_statements,
    function_names,
    has_assert,
    shape_of_tests,
    strip_comments,
    syntax_error,
)


def test_hash_signs_in_strings_are_no_comments() -> None:
    assert strip_comments('x = "# no"  # yes\n# gone\ny = 1\n') == 'x = "# no"\ny = 1\n'
    assert strip_comments("s = '''\n# stays\n'''\n") == "s = '''\n# stays\n'''\n"


@given(st.lists(st.sampled_from(inspect.getsource(module).splitlines()), max_size=30), st.sampled_from(["\n", "\r\n"]))
def test_stripping_comments_never_changes_a_program(lines: list[str], end: str) -> None:
    code = end.join([*lines, "# last", ""])
    if syntax_error(code) is not None:
        return
    stripped = strip_comments(code)
    assert ast.dump(ast.parse(stripped)) == ast.dump(ast.parse(code))
    assert strip_comments(stripped) == stripped


def tree_names(code: str) -> list[str]:
    found = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node.name for node in sorted(found, key=lambda node: node.lineno)]


@pytest.mark.parametrize("path", sorted(Path(ast.__file__).parent.glob("*.py"))[::4], ids=lambda path: path.name)
def test_real_code_is_read_as_the_compiler_reads_it(path: Path) -> None:
    try:
        code = path.read_text()
        tree = ast.parse(code)
    except (UnicodeDecodeError, SyntaxError):
        return
    stripped = strip_comments(code)
    assert ast.dump(ast.parse(stripped)) == ast.dump(tree)
    tokens = tokenize.generate_tokens(io.StringIO(stripped).readline)
    assert not [token for token in tokens if token.type == tokenize.COMMENT]
    assert sorted(function_names(code)) == sorted(tree_names(code))


def test_names_statements_and_asserts() -> None:
    code = "def a():\n    def b(): pass\nclass C:\n    async def d(self): pass\n@dec\ndef e(): pass\n"
    assert function_names(code) == ["a", "b", "d", "e"]
    assert not shape_of_tests("import x\n" + code).runs_something
    assert shape_of_tests(code + "a()\n").runs_something
    assert not has_assert("x = 'assert 1'")
    assert assert_statements("assert 1\nif x:\n    assert 2\nassert (\n    3\n)\n") == [
        "assert 1",
        "assert (\n    3\n)",
    ]


@pytest.mark.parametrize("code", ["x = (", "def f(:\n", "x = 1\n  y = 2", "\0", "(" * 5000])
def test_bad_code_is_said_to_be_bad(code: str) -> None:
    assert syntax_error(code)


@pytest.mark.parametrize(
    "code",
    [
        "x = 1 \\\n# c\ny = 2\n",
        "x = 1 \\\n  # c\n",
        "def f(): return 1 \\\n    # c\nx = 1\n",
        'x = f"{1}"  # a\ny = "#"\n',
        "x = 1\r\n# c\r\ny = 2\r\n",
    ],
)
def test_code_without_comments_still_compiles(code: str) -> None:
    assert syntax_error(code) is None and syntax_error(strip_comments(code)) is None
    assert "# c" not in strip_comments(code) and "# a" not in strip_comments(code)


def test_a_string_over_two_lines_is_no_assertion() -> None:
    assert not shape_of_tests("x = 'a\\\nassert b'\ndef f(): pass\n").has_assert


def test_an_f_string_whose_braces_go_on_in_the_next_line_is_not_cut() -> None:
    assert '"#b"' in strip_comments('x = f"{\na}" + "#b"\nprint(1)\n')
