"""What a reviewer sees of code: nothing that tells what it is for, and the same behaviour."""

from __future__ import annotations

import ast

import pytest

from snipmill.text.bare_code import bare_code


def test_names_comments_docstrings_and_examples_are_gone() -> None:
    code = '''
"""Prime numbers."""
import math

def is_prime(n: int) -> bool:
    """Whether n is prime."""
    # by trial division
    return n > 1 and all(n % d for d in up_to(math.isqrt(n)))

def up_to(limit):
    return range(2, limit + 1)

print(is_prime(7))
is_prime(8)
if __name__ == "__main__":
    print(is_prime(9))
'''
    whole, signature = bare_code(code, "is_prime")
    assert "prime" not in whole.lower() and "up_to" not in whole and "trial" not in whole and "print" not in whole
    assert signature == "def f(n: int) -> bool:\n    ..."
    space: dict[str, object] = {}
    exec(whole, space)  # noqa: S102
    assert [n for n in range(20) if space["f"](n)] == [2, 3, 5, 7, 11, 13, 17, 19]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("code", "entry", "signature"),
    [
        ("def a(): return 1\ndef b(x): return a()", None, "def f(x):\n    ..."),  # the last one
        ("def a(): return 1\ndef b(x): return a()", "a", "def f():\n    ..."),
        ("def a(): return 1", "elsewhere", "def f():\n    ..."),
        ("async def a(x): return x", "a", "async def f(x):\n    ..."),
        ("@cache\ndef a(x): return x", "a", "def f(x):\n    ..."),
        (
            "class Stack:\n    'A stack.'\n    size = 3\n    def push(self, x):\n        'Push.'\n        self.x = x",
            "Stack",
            "class C:\n\n    def push(self, x):\n        ...",
        ),
        ("class Empty:\n    pass", None, "class C:\n    ..."),
        ("x = 1\nprint(x)", None, "..."),
        ("", None, "..."),
    ],
)
def test_the_signature_is_that_of_what_is_tested(code: str, entry: str | None, signature: str) -> None:
    whole, found = bare_code(code, entry)
    assert found == signature
    ast.parse(whole)
    assert "Push" not in whole


def test_names_that_the_code_uses_for_something_else_are_not_taken() -> None:
    whole, signature = bare_code("def add(f, g):\n    return other(f) + g\ndef other(x):\n    return x\n", "add")
    space: dict[str, object] = {}
    exec(whole, space)  # noqa: S102
    name = next(name for name in space if signature.startswith(f"def {name}("))
    assert name not in ("f", "g") and space[name](1, 2) == 3  # type: ignore[operator]


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("def total(items, total=0):\n    for i in items:\n        total += i\n    return total\n", "total([1, 2])"),
        (
            "def check(x):\n    return x + 1\ndef solve(x):\n    def check(y):\n        return y * 2\n    return check(x)\n",
            "solve(5)",
        ),
        ("def area(x):\n    return x\ndef area_of(area):\n    return area\n", "area_of(7)"),
        (
            "def count():\n    global count\n    before = count\n    count = 3\n    return before is not None\n",
            "count()",
        ),
        (
            "def solve(x):\n    try:\n        raise ValueError(x)\n    except ValueError as solve:\n        return str(solve)\n",
            "solve(4)",
        ),
        ("def solve(x):\n    match x:\n        case [solve, *rest]:\n            return solve\n", "solve([1, 2])"),
        ("from os.path import join as f\ndef solve(x):\n    return f(x, 'a')\n", "solve('b')"),
        ("class Stack:\n    def twice(self) -> 'Stack':\n        return self\n    size = 2\n", "Stack().twice().size"),
    ],
)
def test_renaming_never_changes_what_code_does(code: str, call: str) -> None:
    before: dict[str, object] = {}
    exec(code, before)  # noqa: S102
    whole, signature = bare_code(code, call.partition("(")[0])
    name = signature.replace("(", " ").replace(":", " ").split()[1]
    after: dict[str, object] = {}
    exec(whole, after)  # noqa: S102
    changed = name + call.removeprefix(call.partition("(")[0])
    assert eval(changed, after) == eval(call, before)  # noqa: S307
    assert "'Stack'" not in whole


def test_many_helpers_have_many_names() -> None:
    code = "".join(f"def step_{n}(x):\n    return x + {n}\n" for n in range(9))
    code += "def run(x):\n    return " + " + ".join(f"step_{n}(x)" for n in range(9)) + "\n"
    whole, _ = bare_code(code, "run")
    space: dict[str, object] = {}
    exec(whole, space)  # noqa: S102
    assert space["f"](1) == 45 and "step" not in whole  # type: ignore[operator]


@pytest.mark.parametrize("code", ["def f(:", "\0", "(" * 5000])
def test_what_cannot_be_parsed_is_an_error_that_callers_expect(code: str) -> None:
    with pytest.raises((SyntaxError, ValueError, RecursionError, MemoryError)):
        bare_code(code)
