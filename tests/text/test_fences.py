from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from snipmill.text.fences import find_fences, python_fences, render_fence, replace_code


def test_info_code_and_bounds() -> None:
    text = "a\n```python title=x\nx = 1\n```\nb\n~~~\ny\n~~~\n"
    first, second = find_fences(text)
    assert (first.info, first.code, first.closed, first.is_python) == ("python title=x", "x = 1\n", True, True)
    assert text[first.start : first.end] == "```python title=x\nx = 1\n```\n"
    assert second.code == "y\n" and not second.is_python


def test_only_real_line_ends_end_a_line() -> None:
    odd = "s = 'a\u2028```\x0c```\x85'\n"
    (fence,) = find_fences(f"```py\n{odd}```")
    assert fence.code == odd
    for end in ("\n", "\r\n", "\r"):
        (fence,) = find_fences(f"```py{end}x{end}```{end}")
        assert fence.code == f"x{end}" and fence.closed


def test_a_block_inside_a_longer_fence_stays_inside() -> None:
    inner = "doc = '''\n```\n'''"
    (fence,) = python_fences(render_fence(inner))
    assert fence.code.rstrip() == inner


def test_an_open_block_runs_to_the_end() -> None:
    (fence,) = find_fences("```python\nx = 1\n")
    assert not fence.closed and fence.code == "x = 1\n"


@pytest.mark.parametrize("spaces", range(4))
@pytest.mark.parametrize("mark", ["```", "~~~", "````"])
def test_an_indented_block_loses_the_indentation_of_its_fence(spaces: int, mark: str) -> None:
    code = "def f(x):\n    if x:\n        return 1\n\n    return 2\n"
    text = textwrap.indent(f"{mark}python\n{code}{mark}\n", " " * spaces)
    assert [fence.code for fence in python_fences(text)] == [code]
    assert [fence.code for fence in python_fences(text.replace("\n", "\r\n"))] == [code.replace("\n", "\r\n")]


@pytest.mark.parametrize("item", ["1. ", "- ", "10) ", "*   "])
def test_a_block_in_a_list_item(item: str) -> None:
    code = "def f(x):\n    return x\n"
    inner = textwrap.indent(f"```python\n{code}```\n", " " * len(item))
    for text in (f"{item}The function:\n\n{inner}\n{item}The end.\n", f"{item}The function:\n{inner}"):
        assert [fence.code for fence in python_fences(text)] == [code]


def test_a_fence_that_is_code_itself_is_none() -> None:
    assert find_fences("Text.\n\n    ```python\n    x = 1\n    ```\n") == []
    assert find_fences("- item\n\nText.\n\n    ```python\n    x = 1\n    ```\n") == []


LINES = st.sampled_from(
    [
        "x = 1",
        "",
        "  y",
        "    z",
        "```",
        " ```",
        "   ```",
        "```python",
        "  ~~~ py",
        "~~~",
        "text",
        "````",
        "- item",
        "-",
        "1. one",
        "- ```py",
        "> ```py",
        "> ```",
        ">   x",
        "> - ```",
        ">",
        "\t```",
        "- - ```",
        "    ```",
        "  - x",
        "10) y",
        "a ``` b",
        "```a`",
        "# head",
        "***",
        "- - -",
        "   - ```python",
        "     ```",
        "<div>",
        "<think>",
        "x\ty",
        "\tcode",
        "`````",
        "~~~~ a`b",
    ]
)
COMMONMARK = MarkdownIt("commonmark").disable("html_block")


@settings(max_examples=400)
@given(st.lists(LINES, max_size=12), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_blocks_are_those_of_a_commonmark_parser(lines: list[str], end: str, ends: bool) -> None:
    text = end.join(lines) + (end if ends else "")
    tokens = [token for token in COMMONMARK.parse("\n".join(lines) + "\n") if token.type == "fence"]
    expected = [(token.info.strip(), token.content.rstrip("\n")) for token in tokens]
    found = find_fences(text)
    assert [(fence.info, fence.code.replace(end, "\n").rstrip("\n")) for fence in found] == expected
    for fence in found:
        assert text[fence.start : fence.end].rstrip("\r\n").count(end) >= fence.code.rstrip("\r\n").count(end)
        assert fence.end <= len(text)


@given(st.lists(LINES, max_size=12).map("\n".join))
def test_what_is_put_into_a_block_is_read_back(text: str) -> None:
    text += "\n"
    for number, fence in enumerate(find_fences(text)):
        if fence.code.strip() and fence.closed:
            changed = text[: fence.start] + replace_code(text, fence, "y = 2\n") + text[fence.end :]
            assert find_fences(changed)[number].code.strip() == "y = 2", changed
            same = text[: fence.start] + replace_code(text, fence, fence.code) + text[fence.end :]
            assert find_fences(same)[number].code == fence.code, same


@pytest.mark.parametrize(
    "info",
    [
        "python",
        "py",
        "Python",
        "python3",
        "python title=x",
        "{.python}",
        "{.python .numberLines}",
        "{python}",
        "python:main.py",
        "python{1,3}",
        "PYTHON",
        "py3",
        "python3.11",
        " python ",
    ],
)
def test_info_strings_of_python(info: str) -> None:
    assert len(python_fences(f"```{info}\nx = 1\n```\n")) == 1


@pytest.mark.parametrize("info", ["pycon", "", "text", "ipython", "pythonic", "js", "{.r}", "output", "title=python"])
def test_info_strings_of_something_else(info: str) -> None:
    assert python_fences(f"```{info}\nx = 1\n```\n") == []


def test_tags_around_a_block_do_not_hide_it() -> None:
    assert len(python_fences("<answer>\n```python\nx = 1\n```\n</answer>\n")) == 1
    assert len(python_fences("<details>\n  ```python\n  x = 1\n  ```\n</details>\n")) == 1


def test_a_text_of_nothing_but_marks_takes_no_time() -> None:
    for marks in ("> " * 100_000, "- " * 50_000, "```\n" * 100_000, "  ```\n" * 50_000, ("> " * 200 + "x\n") * 1_000):
        find_fences(marks + "\n ```python\nx = 1\n ```")


def test_nul_is_kept_wherever_a_block_stands() -> None:
    for text in ("```python\nx\0y\n```", "- a\n\n  ```python\n  x\0y\n  ```"):
        assert [fence.code for fence in python_fences(text)] == ["x\0y\n"]
