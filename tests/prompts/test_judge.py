from __future__ import annotations

import math

import pytest

from snipmill.prompts import judge
from snipmill.prompts.prompt import render_completion
from snipmill.prompts.stage import Draws
from snipmill.records import Completion, Reject, Seed
from snipmill.stages.fewshot_files import load_judging
from snipmill.text.code import split_docstring
from snipmill.text.sections import Malformed

SEED = Seed(id="s-1", seed='import re\n\n\ndef f(x):\n    """Return x.\n\n    Always.\n    """\n    return re.sub(x)\n')


def judged(text: str, **first: float) -> Seed | Malformed:
    return judge.parse(SEED, "j-1", 0, Completion(text=text, finish_reason="stop", first=first), Draws())


def test_description_and_function_are_shown_apart() -> None:
    bank = load_judging()
    answers = [example.response for example in bank.examples]
    assert answers.count("yes") == answers.count("no") >= 4
    text = render_completion(judge.build(SEED, bank.examples[:2], bank.systems["judge"], Draws()))
    assert text.endswith(
        "### Description\nReturn x.\n\nAlways.\n\n### Function\nimport re\n\n\ndef f(x):\n    return re.sub(x)\n\n\n### Answer\n"
    )
    assert "### Answer\nyes" in text


@pytest.mark.parametrize(
    ("code", "docstring", "rest"),
    [
        ("x = 1", "", "x = 1"),
        ('def f(x): """A."""; return x', "", 'def f(x): """A."""; return x'),
        ("@d\ndef f(x):\n  'A.'\n  return x", "A.", "@d\ndef f(x):\n  return x"),
        (
            'class A:\n    def f(x):\n        """A."""\n        return x',
            "A.",
            "class A:\n    def f(x):\n        return x",
        ),
        ('class A:\n    """B."""\n    x = 1', "B.", "class A:\n    x = 1"),
    ],
)
def test_docstrings_are_split_off(code: str, docstring: str, rest: str) -> None:
    assert split_docstring(code) == (docstring, rest)


@pytest.mark.parametrize(
    ("text", "first", "score"),
    [
        (" yes", {}, 1.0),
        ("No, since", {}, 0.0),
        ("whatever", {" yes": math.log(0.6), " no": math.log(0.2), "x": math.log(0.2)}, 0.75),
        ("no", {" Yes": math.log(0.3), "yes": math.log(0.3), "NO": math.log(0.2)}, 0.75),
        (" yes", {"maybe": -0.1}, 1.0),
        ("\nYes", {"\n": -0.001, " no": -9.0, " yes": -9.5}, 1.0),
        (" yes", {" yes": 1000.0}, 1.0),
    ],
)
def test_probabilities_come_before_the_word(text: str, first: dict[str, float], score: float) -> None:
    found = judged(text, **first)
    assert isinstance(found, Seed) and found.judge == pytest.approx(score) and found.id == SEED.id


def test_neither_yes_nor_no_is_a_reason() -> None:
    found = judged("Perhaps.")
    assert isinstance(found, Malformed) and found.reason == "no-verdict"


def test_the_bar_decides() -> None:
    found = judged("", yes=math.log(0.5), no=math.log(0.5))
    assert isinstance(found, Seed)
    assert judge.apply_threshold(found, 0.5) is found
    refused = judge.apply_threshold(found, 0.51)
    assert isinstance(refused, Reject) and refused.reason == "judged-unfit" and "0.50" in refused.detail


def test_doc_comments_of_other_languages_are_the_description() -> None:
    rust = Seed(
        id="s-2", seed="/// Adds one.\n///\n/// More.\n#[inline]\nfn f(x: i32) -> i32 { x + 1 }", language="Rust"
    )
    java = Seed(id="s-3", seed="/**\n * The sum.\n */\nint f(int x) { return x; }", language="Java")
    texts = [judge.build(seed, (), "", Draws()).question for seed in (rust, java)]
    assert texts[0].startswith("### Description\nAdds one.\n\nMore.\n\n### Function\n#[inline]\nfn f")
    assert texts[1].startswith("### Description\nThe sum.\n\n### Function\nint f(int x)")
