"""The languages of seeds and tasks: their names in any spelling, the files that hold them, and what fenced blocks call them.

Python is executed and type-checked; the others are mined and carried along.
"""

from __future__ import annotations

from typing import get_args

from snipmill.config import Language

PYTHON = "Python"
LANGUAGES: tuple[str, ...] = get_args(Language)
_SUFFIXES = {
    ".py": PYTHON,
    ".cc": "C++",
    ".cpp": "C++",
    ".cxx": "C++",
    ".hpp": "C++",
    ".hh": "C++",
    ".java": "Java",
    ".php": "PHP",
    ".rs": "Rust",
    ".ts": "TypeScript",
}
_CALLED = {
    PYTHON: ("python", "py", "python3"),
    "C++": ("c++", "cpp", "cxx", "cc", "c-plus-plus"),
    "Java": ("java",),
    "PHP": ("php",),
    "Rust": ("rust", "rs"),
    "TypeScript": ("typescript", "ts"),
}
_NAMES = {called: language for language, names in _CALLED.items() for called in names}


def language_of(path: str) -> str | None:
    """The language of a file by the end of its name, None where it is none of ours."""
    dot = path.rfind(".")
    return _SUFFIXES.get(path[dot:].lower()) if dot > path.rfind("/") else None


def language_named(name: str) -> str | None:
    """A language by its name in any spelling, None where it is none of ours."""
    return name if name in _CALLED else _NAMES.get(name.strip().casefold())


def names_in_fences(language: str) -> tuple[str, ...]:
    """What the info strings of fenced blocks call a language."""
    return _CALLED.get(language, (language.casefold(),))
