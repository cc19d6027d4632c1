"""Renders a report as one HTML file that opens from disk: styles, script and data are in it, and nothing is fetched.

A content security policy lets only the page's own script run. Charts are bars of HTML and CSS: they wrap on a phone, follow the
theme, print, and are buttons for a keyboard; a chart library would add a megabyte of script for the same bars.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec

from snipmill import __version__
from snipmill.reporting.build import Report
from snipmill.reporting.columns import MOST_VALUE
from snipmill.reporting.compare import Comparison
from snipmill.reporting.shown_text import highlighting_styles, visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_BACKTICKED = re.compile(r"`([^`]+)`")
MARK = '<meta name="generator" content="snipmill'  # by which a page of ours is known
_CHUNK = 10  # rows whose details are packed together


def render_report(report: Report) -> str:
    """The page of one run."""
    details = [report.details[start : start + _CHUNK] for start in range(0, len(report.details), _CHUNK)]
    return _page(
        "report.html",
        report=report,
        listed=_listed(report),
        rows=_packed({**report.rows, "chunk": _CHUNK}),
        prompts=_packed(report.prompts),
        chunks=[_packed(chunk) for chunk in details],
    )


def render_comparison(comparison: Comparison) -> str:
    """The page of two runs beside each other."""
    return _page("compare.html", comparison=comparison)


def _page(template: str, **context: Any) -> str:
    script = _text("rows.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template(template)
        .render(
            version=__version__,
            styles=f"{_text('style.css')}\n{highlighting_styles()}",
            script=script,
            script_hash=f"sha256-{digest}",
            **context,
        )
    )


def _listed(report: Report) -> str:
    rows, listed, details = report.spread.rows, len(report.rows["ids"]), len(report.details)
    if not rows:
        return "There is no row."
    some = f"{listed:,} of {rows:,} rows, drawn at random, are listed"
    all_of = f"All {rows:,} rows are listed" if listed == rows else some
    if details == listed:
        return f"{all_of}; each opens with its way from the seed."
    return (
        f"{all_of}; {details:,} of them, drawn at random, open with their way from the seed, and `snipmill show` shows that "
        "of any. --rows and --details take more."
    )


def _packed(value: Any) -> str:
    """A value as JSON, compressed, in Base64; the same bytes each time."""
    return base64.b64encode(gzip.compress(msgspec.json.encode(value), compresslevel=6, mtime=0)).decode()


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("snipmill.reporting", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = _coded
    environment.filters["value"] = lambda text: visible(text, MOST_VALUE)  # as the columns of rows have it
    return environment


def _coded(text: str) -> Markup:
    """A sentence as HTML, in which what stands in backticks is code."""
    from markupsafe import Markup

    return Markup(_BACKTICKED.sub(r"<code>\1</code>", escape(text)))


def _text(name: str) -> str:
    return (files("snipmill.reporting") / "template" / name).read_text(encoding="utf-8")
