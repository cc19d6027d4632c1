"""Texts that anyone wrote, as a page may show them: nothing in them acts, and nothing hides.

Markup is escaped. Control characters, terminal sequences and marks that turn the direction of writing become visible signs.
Very long texts are cut, and say so.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygments.lexer import Lexer

MOST = 20_000  # characters of a text
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str, most: int = MOST) -> str:
    """A text in which every character can be seen, cut after `most` characters."""
    left = len(text) - most
    shown = text[:most] if left > 0 else text
    shown = _UNSEEN.sub(_sign, shown.replace("\r\n", "\n"))
    return f"{shown}… ({left:,} more characters)" if left > 0 else shown


def _sign(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)  # the picture of a control character
    return f"⟨U+{code:04X}⟩"


def marked(text: str, fragments: Collection[str], most: int = MOST) -> str:
    """A text as HTML, with the first occurrence of each fragment marked."""
    shown = visible(text, most)
    spans: list[tuple[int, int]] = []
    for fragment in fragments:
        wanted = visible(fragment.strip())
        place = shown.find(wanted) if len(wanted) > 2 else -1
        if place >= 0 and all(place >= end or place + len(wanted) <= start for start, end in spans):
            spans.append((place, place + len(wanted)))
    html, done = [], 0
    for start, end in sorted(spans):
        html += [escape(shown[done:start]), "<mark>", escape(shown[start:end]), "</mark>"]
        done = end
    return "".join([*html, escape(shown[done:])])


def highlighted(code: str, language: str) -> str:
    """Code as HTML with a class for each kind of word; plain where the language is not known.

    Args:
        code: in the language. `markdown` colours the fenced blocks in it.
        language: a name that Pygments knows.
    """
    from pygments import highlight
    from pygments.formatters import HtmlFormatter

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
