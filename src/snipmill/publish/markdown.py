"""Texts of others on a line of Markdown, shown as they are: no markup, no HTML, no line breaks."""

from __future__ import annotations

import html
import re
from typing import Any

_MARKUP = re.compile(r"([\\`*_\[\]|#~])")


def plain(text: Any) -> str:
    """A text between others."""
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(str(text).split()), quote=False))


def code(text: Any) -> str:
    """A text as code, with its backticks."""
    shown = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{shown or ' '}`"
