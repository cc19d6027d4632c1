from __future__ import annotations

import inspect

import pytest

from snipmill.stages.fewshot_files import load_bank
from snipmill.text import code
from snipmill.text.loops import ends_in_loop


@pytest.mark.parametrize(
    "loop",
    [
        'assert is_valid("user@domain.com") == False\n',
        "The function also handles negative shifts. ",
        "ZWFyZWRzZWFyZWRz",
    ],
)
def test_a_loop_is_found_wherever_it_is_cut(loop: str) -> None:
    for cut in range(len(loop)):
        text = "[Tests]\n```python\n" + loop * 6
        assert ends_in_loop(text[: len(text) - cut])
    assert not ends_in_loop("x" + loop * 3)


def test_honest_texts_never_loop() -> None:
    texts = [example.response for example in load_bank(None).examples if example.response is not None]
    texts += [inspect.getsource(code), "-" * 500, " " * 500, "a" * 30, "0, 0, 0, 0, 0, 0"]
    for text in texts:
        assert not any(ends_in_loop(text[:end]) for end in range(0, len(text), 7))
