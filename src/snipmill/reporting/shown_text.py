"""Texts that anyone wrote, as a page may show them: nothing in them acts, and nothing hides.

Markup is escaped. Control characters, terminal sequences and marks that turn the direction of writing become visible signs.
Very long texts are cut, and say so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygments.lexer import Lexer

MOST = 20_000  # characters of a text
_MOST_HIGHLIGHTED = 12_000  # and some lexers take quadratic time for texts that repeat
_DEGENERATE = re.compile(r"\n\s{40}|(.{1,8}?)\1{100}", re.DOTALL)
_BEFORE_A_MARK = 1_500  # characters that stay of a cut text
_SUSPECT = re.compile(r"[^\n\t\x20-\x7e]")
_ACTS = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))  # categories of Unicode
# Letters without a shape, and selectors of variants, in which text can be hidden.
_SHAPELESS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def visible(text: str, most: int = MOST) -> str:
    """A text in which every character can be seen, cut after `most` characters."""
    left = len(text) - most
    shown = text[:most] if left > 0 else text
    shown = _SUSPECT.sub(_sign, shown.replace("\r\n", "\n"))
    return f"{shown}… ({left:,} more characters)" if left > 0 else shown


def _sign(match: re.Match[str]) -> str:
    character = match.group()
    if ord(character) < 0x20:
        return chr(0x2400 + ord(character))  # the picture of a control character
    if unicodedata.category(character) in _ACTS or _SHAPELESS.match(character):
        return f"⟨U+{ord(character):04X}⟩"
    return character


Span = tuple[int, int]


def marked(text: str, spans: Collection[Span], most: int = MOST) -> str:
    """A text as HTML, in which some places are marked. A long one is cut so that the first of them can be seen.

    Args:
        text: as it was written.
        spans: beginnings and ends; what overlaps an earlier one is left out.
        most: characters that are shown.
    """
    places = sorted(span for span in spans if 0 <= span[0] < span[1] <= len(text))
    start = max(places[0][0] - _BEFORE_A_MARK, 0) if places and len(text) > most else 0
    html, done, end = [f"({start:,} characters before) …" if start else ""], start, min(start + most, len(text))
    for begin, over in places:
        if done <= begin < end:
            over = min(over, end)
            html += [escape(visible(text[done:begin])), "<mark>", escape(visible(text[begin:over])), "</mark>"]
            done = over
    html.append(escape(visible(text[done:end])))
    if end < len(text):
        html.append(f"… ({len(text) - end:,} more characters)")
    return "".join(html)


def highlighted(code: str, language: str) -> str:
    """Code as HTML with a class for each kind of word; plain where the language is not known.

    Args:
        code: in the language. `markdown` colours the fenced blocks in it. What is long, or repeats itself, stays plain.
        language: a name that Pygments knows.
    """
    from pygments import highlight
    from pygments.formatters import HtmlFormatter

    if len(code) > _MOST_HIGHLIGHTED or _DEGENERATE.search(code):
        return escape(visible(code))
    html: str = highlight(visible(code), _lexer(language), HtmlFormatter(nowrap=True))
    return html.rstrip("\n")


def _lexer(language: str) -> Lexer:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language.lower(), stripnl=False)
    except ClassNotFound:
        return get_lexer_by_name("text", stripnl=False)


def highlighting_styles() -> str:
    """The style sheet of highlighted code, for light and dark pages."""
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="default").get_style_defs(".code")
    dark = HtmlFormatter(style="github-dark").get_style_defs('[data-theme="dark"] .code')
    return "\n".join(
        line for line in f"{light}\n{dark}".splitlines() if "linenos" not in line and "background" not in line
    )
