"""Which code of an answer is run: each answer holds a right function somewhere, and something beside it that must not run."""

from __future__ import annotations

import asyncio

import pytest

from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits
from snipmill.text.sections import Malformed
from snipmill.verify.any_program import build_any_program
from snipmill.verify.foreign_tests import ForeignTests

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
