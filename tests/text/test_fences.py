from __future__ import annotations

from snipmill.text.fences import find_fences, python_fences, render_fence


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
