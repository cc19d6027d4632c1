"""Which code of an answer is run: each answer holds a right function somewhere, and something beside it that must not run."""

from __future__ import annotations

import asyncio

import pytest

from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits
from snipmill.text.sections import Malformed
from snipmill.verification.any_program import build_any_program
from snipmill.verification.foreign_tests import ForeignTests

INC = "def inc(x, by=1):\n    return x + by\n"


def block(code: str, info: str = "python") -> str:
    return f"```{info}\n{code}```\n"


ANSWERS = {
    "a draft in a thought": f"<think>\n{block('def inc(x)')}Hm.\n</think>\n{block(INC)}",
    "a thought whose beginning is in the prompt": f"{block('def inc(x):' + chr(10) + '    return x' + chr(10))}Hm.\n</think>\n\n{block(INC)}",
    "a draft before the answer": f"First:\n{block('def inc(x, by=1):' + chr(10) + '    return x' + chr(10) + 'assert inc(1) == 2' + chr(10))}\nBetter:\n{block(INC)}",
    "a draft that is no Python": f"{block('def inc(x)' + chr(10) + '    ...' + chr(10))}\nSo:\n{block(INC)}",
    "an example with input": f"{block(INC)}\nUse it:\n{block('n = int(input())' + chr(10) + 'print(inc(n))' + chr(10))}",
    "an example in pseudo code": f"{block(INC)}\nUse it:\n{block('inc(<your number>)' + chr(10))}",
    "a console session": f"{block(INC)}\n{block('>>> inc(1)' + chr(10) + '2' + chr(10))}",
    "a console session, marked so": f"{block(INC)}\n{block('>>> inc(1)' + chr(10) + '2' + chr(10), 'pycon')}",
    "a wrong example": f"{block(INC)}\n{block('print(inc(None))' + chr(10))}",
    "input behind the function": block(f"{INC}\nn = int(input('n? '))\nprint(inc(n))\n"),
    "a guard with input": block(f"{INC}\nif __name__ == '__main__':\n    print(inc(int(input())))\n"),
    "a guard with argparse": block(
        f"import argparse\n{INC}\nif __name__ == '__main__':\n    p = argparse.ArgumentParser()\n    p.add_argument('n')\n"
        "    print(inc(p.parse_args().n))\n"
    ),
    "a call of main": block(f"{INC}\ndef main():\n    print(inc(int(input())))\n\nmain()\n"),
    "arguments at module level": block(f"import sys\n{INC}\nprint(inc(int(sys.argv[1])))\n"),
    "a special token behind": f"{block(INC).rstrip()}<|im_end|>",
    "in a list": "1. So:\n\n" + "".join(f"   {line}\n" for line in block(INC).splitlines()) + "\n2. Done.\n",
    "in a quote": "".join(f"> {line}\n" for line in block(INC).splitlines()),
    "two blocks that belong together": f"{block('STEP = 1' + chr(10))}\n{block('def inc(x, by=STEP):' + chr(10) + '    return x + by' + chr(10))}",
    "imports apart": f"{block('import operator' + chr(10))}\n{block('def inc(x, by=1):' + chr(10) + '    return operator.add(x, by)' + chr(10))}",
    "code alone": f'"""Doc with a block.\n\n```python\ninc(\n```\n"""\n{INC}',
}
TESTS = "assert inc(1) == 2\nassert inc(2, 3) == 5\n"


def status(answer: str, tests: ForeignTests | None) -> str:
    built = build_any_program(answer, tests)
    if isinstance(built, Malformed):
        return built.detail

    async def go() -> str:
        async with Sandbox(limits=Limits(timeout=10), workers=1) as sandbox:
            verdict = await sandbox.run(built.program)
            return verdict.status if verdict.status == "passed" else f"{verdict.status}: {verdict.detail}"

    return asyncio.run(go())


@pytest.mark.parametrize("name", ANSWERS)
def test_the_code_that_counts_is_found(name: str) -> None:
    assert status(ANSWERS[name], ForeignTests(TESTS)) == "passed"
    wrong = ANSWERS[name].replace("x + by", "x - by").replace("add(x, by)", "sub(x, by)")
    assert wrong != ANSWERS[name] and status(wrong, ForeignTests(TESTS)).startswith("failed")


@pytest.mark.parametrize("name", [name for name in ANSWERS if name not in ("code alone", "a special token behind")])
def test_and_where_the_answer_tests_itself(name: str) -> None:
    """Not for what only a test from outside makes plain: that the function, and not the script, is the answer."""
    if any(word in name for word in ("input behind", "guard", "main", "module level")):
        return
    assert status(f"{ANSWERS[name]}\nTests:\n\n{block(TESTS)}", None) == "passed"


def test_a_script_keeps_what_it_reads() -> None:
    tests = ForeignTests('{"inputs": ["3\\n"], "outputs": ["4\\n"]}')
    script = "n = int(input())\nprint(n + 1)\n"
    guarded = (
        "import sys\ndef main():\n    print(int(sys.stdin.readline()) + 1)\n\nif __name__ == '__main__':\n    main()\n"
    )
    for answer in (
        script,
        block(script),
        block(guarded),
        f"Draft:\n{block('print(input())' + chr(10))}\nFinal:\n{block(guarded)}",
    ):
        assert status(answer, tests) == "passed", answer


G = "def total(xs):\n    s = 0\n    for x in xs:\n        s += x\n    return s\n"
W = "def total(xs):\n    return 7\n"
T = "assert total([1, 2, 3]) == 6\nassert total([]) == 0\n"


def text(*codes: str) -> str:
    return "\n".join(map(block, codes))


# Answers with tests from elsewhere: the blocks, the tests, and whether the answer is right.
FOREIGN: dict[str, tuple[str, str, bool]] = {
    "a final version that is no Python": (text(G, "def total(xs:\n    return sum(xs)\n"), T, False),
    "a final version that is cut off": (f"{text(G)}```python\ndef total(xs):\n    return (sum(\n", T, False),
    "a final version as a lambda, wrong": (text(G, "total = lambda xs: 7\n"), T, False),
    "a final version as a lambda, right": (text(W, "total = lambda xs: sum(xs)\n"), T, True),
    "a final version under a condition": (
        text(G, f"if True:\n    {W.replace(chr(10), chr(10) + '    ').rstrip()}\n"),
        T,
        False,
    ),
    "tests that bring the code": (text("pass\n"), G + T, False),
    "an unknown module has what is tested": (
        text("def sum_all(xs):\n    return sum(xs)\n"),
        "from calculator import total\n" + T,
        False,
    ),
    "another name for reading": (
        text(f"import sys\ninput = sys.stdin.readline\nSTART = 0\n\n{G.replace('s = 0', 's = START')}"),
        T,
        True,
    ),
    "a switch from the command line": (text(f"import sys\nDEBUG = '-v' in sys.argv\n{G}\nUNIT = 1\n"), T, True),
    "a constant beside input": (text(f"START = 0; name = input()\n{G.replace('s = 0', 's = START')}"), T, True),
    "a constant behind input": (text(f"name = input()\nSTART = 0\n{G.replace('s = 0', 's = START')}"), T, True),
    "main printed": (text(f"{G}\ndef main():\n    return total([int(input())])\n\nprint(main())\n"), T, True),
    "main within exit": (
        text(f"import sys\n{G}\ndef main():\n    return total([int(input())])\n\nsys.exit(main())\n"),
        T,
        True,
    ),
    "a function that reads": (
        text(f"{G}\ndef read():\n    return [int(input())]\n\nxs = read()\nprint(total(xs))\n"),
        T,
        True,
    ),
    "an app that reads": (
        text(f"{G}\nclass App:\n    def run(self):\n        print(input())\n\nApp().run()\n"),
        T,
        True,
    ),
    "a loop over lines": (text(f"import sys\n{G}\nfor line in sys.stdin:\n    print(total([int(line)]))\n"), T, True),
    "lines that end in Windows' way": (text(f"{G}\nn = input()\nprint(n)\n").replace("\n", "\r\n"), T, True),
    "an example that imports": (text(G, "from total import total\nprint(total([1]))\n"), T, True),
    "an example that needs a package": (text(G, "import matplotlib.pyplot as plt\nplt.plot(total([1]))\n"), T, True),
    "an example with a file": (text(G, "xs = [int(x) for x in open('numbers.txt')]\nprint(total(xs))\n"), T, True),
    "an example in a function": (text(G, "def main():\n    print(total(open('nofile')))\n\nmain()\n"), T, True),
    "a wrong example that asserts": (text(G, "assert total(None) == 2  # illustrative\n"), T, True),
    "tests of the answer in pytest": (
        text(G, "import pytest\nfrom your_module import total\n\ndef test_a():\n    assert total([1]) == 1\n"),
        T,
        True,
    ),
    "imports of a draft": (text(f"import math\n\n{W}", "def total(xs):\n    return math.fsum(xs)\n"), T, True),
    "a notebook": (text(f"!pip install numpy\n%matplotlib inline\n{G}"), T, True),
}
SCRIPT_TESTS = '{"inputs": ["2\\n"], "outputs": ["4\\n"]}'
SCRIPTS: dict[str, tuple[str, bool]] = {
    "a final script by open(0), wrong": (
        text("n = int(input())\nprint(n * 2)\n", "n = int(open(0).read())\nprint(n * 3)\n"),
        False,
    ),
    "a final script by open(0), right": (
        text("n = int(input())\nprint(n * 3)\n", "n = int(open(0).read())\nprint(n * 2)\n"),
        True,
    ),
    "a final script that is no Python": (
        text("n = int(input())\nprint(n * 2)\n", "n = int(input()\nprint(n * 2)\n"),
        False,
    ),
    "a helper in a block of its own": (
        text("def double(n):\n    return n * 2\n", "n = int(input())\nprint(double(n))\n"),
        True,
    ),
}
OWN: dict[str, tuple[str, bool | None]] = {
    "input behind the function": (text(f"{G}\nn = input()\nprint(n)\n", T), True),
    "a guard that reads": (text(f"{G}\nif __name__ == '__main__':\n    print(total([int(input())]))\n", T), True),
    "tests before the code": (text(T, G), True),
    "a draft, the tests, and the code": (text(W, T, G), True),
    "all in one block": (text(f"{G}\n{T}"), True),
    "all in one block, wrong": (text(f"{W}\n{T}"), False),
    "code and no block": (f"{G}\n{T}", True),
    "an assertion on arguments is no test": (
        text("def total(xs):\n    assert xs is not None\n    return sum(xs)\n"),
        None,
    ),
    "a helper called check is no test": (
        text("def sqrt(n):\n    def check(m):\n        return m * m <= n\n    return check(n)\n"),
        None,
    ),
    "a comment on pytest is no test": (text(f"{G}# run pytest to test\n"), None),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_the_answer_is_judged_by_its_last_version(name: str) -> None:
    answer, tests, right = FOREIGN[name]
    assert (status(answer, ForeignTests(tests)) == "passed") == right


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_last_script_is_run_with_its_helpers(name: str) -> None:
    answer, right = SCRIPTS[name]
    assert (status(answer, ForeignTests(SCRIPT_TESTS)) == "passed") == right


@pytest.mark.parametrize("name", OWN)
def test_answers_with_their_own_tests(name: str) -> None:
    answer, right = OWN[name]
    built = build_any_program(answer, None)
    if right is None:
        assert isinstance(built, Malformed) and built.reason == "no-tests"
    else:
        assert not isinstance(built, Malformed) and (status(answer, None) == "passed") == right


def test_many_blocks_take_no_time() -> None:
    examples = (f"v{n} = 1\nprint(total([v{n}]))\n" for n in range(1000))
    built = build_any_program(text(G, *examples, T), None)
    assert not isinstance(built, Malformed) and "v1" not in built.implementation


def test_tests_with_a_helper_are_tests() -> None:
    helper = "def numbers():\n    return [1, 2, 3]\n\nassert total(numbers()) == 6\n"
    built = build_any_program(text(G, helper), None)
    assert (
        not isinstance(built, Malformed)
        and built.program.tests_line is not None
        and "numbers" not in built.implementation
    )
