"""Tests with parameters and fixtures give single assertions that hold for right code and fail for wrong code."""

from __future__ import annotations

import asyncio

import pytest

from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Trial
from snipmill.verification.units import Assertion, assertions

CODE = """
class Cart:
    def __init__(self, prices=()):
        self.prices = list(prices)
    def add(self, price):
        self.prices.append(price)
    def total(self):
        return sum(self.prices)

def inc(x, by=1):
    if x is None:
        raise ValueError("nothing")
    return x + by
"""


def outcomes(found: list[Assertion], code: str) -> list[str]:
    async def go() -> list[str]:
        async with Sandbox(limits=Limits(timeout=10), workers=1) as sandbox:
            told = await sandbox.try_units(Trial(source=code, units=tuple(one.unit for one in found)))
            return [outcome.status for outcome in told]

    return asyncio.run(go())


TESTS = {
    "parameters": ("@pytest.mark.parametrize('x, y', [(1, 2), (5, 6)])\ndef test(x, y):\n    assert inc(x) == y\n", 2),
    "names in a list": ("@pytest.mark.parametrize(['x', 'y'], [[1, 2]])\ndef test(x, y):\n    assert inc(x) == y\n", 1),
    "one name": ("@pytest.mark.parametrize('x', [1, 2, 3])\ndef test(x):\n    assert inc(x) == x + 1\n", 3),
    "two decorators": (
        "@pytest.mark.parametrize('x', [1, 2])\n@pytest.mark.parametrize('by', [3, 4])\ndef test(x, by):\n"
        "    assert inc(x, by) == x + by\n",
        4,
    ),
    "pytest.param": (
        "@pytest.mark.parametrize('x', [pytest.param(1, id='one')])\ndef test(x):\n    assert inc(x) == 2\n",
        1,
    ),
    "a fixture": (
        "@pytest.fixture\ndef cart():\n    return Cart([2])\ndef test(cart):\n    cart.add(3)\n    assert cart.total() == 5\n",
        1,
    ),
    "a fixture that yields": (
        "@pytest.fixture\ndef cart():\n    cart = Cart()\n    yield cart\n    cart.add(None)\ndef test(cart):\n    assert cart.total() == 0\n",
        1,
    ),
    "a fixture of a fixture": (
        "@pytest.fixture()\ndef price():\n    return 4\n@pytest.fixture\ndef cart(price):\n    return Cart([price])\n"
        "def test(cart, price):\n    assert cart.total() == price\n",
        1,
    ),
    "a named fixture": (
        "@pytest.fixture(name='one')\ndef make_one():\n    return 1\ndef test(one):\n    assert inc(one) == 2\n",
        1,
    ),
    "a class": (
        "class TestInc:\n    def setup_method(self):\n        self.by = 2\n    @pytest.mark.parametrize('x', [1, 2])\n"
        "    def test(self, x):\n        assert inc(x, self.by) == x + 2\n",
        2,
    ),
    "a class with parameters": (
        "@pytest.mark.parametrize('x', [1, 2])\nclass TestInc:\n    def test(self, x):\n        assert inc(x) == x + 1\n",
        2,
    ),
    "a parameter that is changed": (
        "@pytest.mark.parametrize('xs', [[1, 2]])\ndef test(xs):\n    xs.append(inc(2))\n    assert xs == [1, 2, 3]\n",
        1,
    ),
    "a parameter that is bound anew": (
        "@pytest.mark.parametrize('x', [1])\ndef test(x):\n    x = inc(x)\n    assert x == 2\n",
        1,
    ),
    "an expected error": (
        "@pytest.mark.parametrize('x', [None])\ndef test(x):\n    with pytest.raises(ValueError):\n        inc(x)\n",
        1,
    ),
}


@pytest.mark.parametrize("kind", TESTS)
def test_each_kind_is_evidence(kind: str) -> None:
    text, count = TESTS[kind]
    found = assertions(f"import pytest\n{text}", {"inc", "Cart"})
    assert len(found) == count
    assert outcomes(found, CODE) == ["passed"] * count
    wrong = CODE.replace("return x + by", "return x - by").replace("sum(self.prices)", "-1").replace("is None", "is 0")
    assert "passed" not in outcomes(found, wrong)


@pytest.mark.parametrize(
    "text",
    [
        "def test(tmp_path):\n    assert inc(1) == 2\n",
        "@pytest.fixture(params=[1])\ndef one(request):\n    return request.param\ndef test(one):\n    assert inc(one) == 2\n",
        "@pytest.mark.parametrize('x', CASES)\ndef test(x):\n    assert inc(x) == 2\n",
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.xfail)])\ndef test(x):\n    assert inc(x) == 3\n",
        "@pytest.mark.parametrize('x', [1], indirect=True)\ndef test(x):\n    assert inc(x) == 2\n",
        "@pytest.mark.skip\ndef test():\n    assert inc(1) == 3\n",
        "@pytest.mark.xfail(reason='later')\nclass TestInc:\n    def test(self):\n        assert inc(1) == 3\n",
        "@patch('builtins.len', new=max)\ndef test():\n    assert inc(len([1, 2])) == 3\n",
        "@pytest.fixture\ndef one():\n    with open('x') as file:\n        yield file\ndef test(one):\n    assert inc(one) == 2\n",
        "@pytest.fixture(scope='module')\ndef cart():\n    return [1]\ndef test(cart):\n    assert inc(cart.pop()) == 2\n",
        "@pytest.fixture(autouse=True)\ndef prepare():\n    CASES.append(1)\ndef test():\n    assert inc(CASES[1]) == 2\n",
        "def setup_function():\n    CASES.clear()\ndef test():\n    assert inc(len(CASES)) == 1\n",
        "def test():\n    if inc(1) != 2:\n        return\n    assert inc(1) == 2\n",
        "@pytest.fixture\ndef a(b):\n    return b\n@pytest.fixture\ndef b(a):\n    return a\ndef test(a):\n    assert inc(a) == 2\n",
    ],
)
def test_what_cannot_be_read_is_left_out(text: str) -> None:
    assert assertions(f"import pytest\nCASES = [1]\n{text}", {"inc"}) == []


def test_names_that_are_bound_in_the_test_are_not_replaced() -> None:
    text = "import pytest\n@pytest.mark.parametrize('x', [3])\ndef test(x):\n    assert (lambda x: inc(x))(-x) == -2\n"
    assert outcomes(assertions(text, {"inc"}), CODE) == ["passed"]


def test_a_fixture_may_stand_below_its_tests() -> None:
    text = "import pytest\ndef test(one):\n    assert inc(one) == 2\n@pytest.fixture\ndef one():\n    return 1\n"
    assert outcomes(assertions(text, {"inc"}), CODE) == ["passed"]


def test_stacked_parameters_do_not_fill_the_memory() -> None:
    marks = "".join(f"@pytest.mark.parametrize('x{n}', {list(range(100))})\n" for n in range(9))
    names = ", ".join(f"x{n}" for n in range(9))
    assert len(assertions(f"import pytest\n{marks}def test({names}):\n    assert inc(x0) == x0 + 1\n", {"inc"})) <= 40


def test_equal_assertions_are_equal_in_every_layout() -> None:
    plain = assertions("assert inc(1) == 2\n", {"inc"})
    expanded = assertions(
        "import pytest\n@pytest.mark.parametrize('x, y', [(1, 2)])\ndef test(x, y):\n    assert inc(x) == y\n", {"inc"}
    )
    assert [one.key for one in plain] == [one.key for one in expanded]
