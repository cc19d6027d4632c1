"""The languages of seeds and tasks: spellings of their names, file suffixes, and their names in fenced blocks.

Python is executed and type-checked. Code in the other languages is mined and passed on without either.
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
    PYTHON: ("python", "py", "python3", "py3"),
    "C++": ("c++", "cpp", "cxx", "cc", "c-plus-plus"),
    "Java": ("java",),
    "PHP": ("php",),
    "Rust": ("rust", "rs"),
    "TypeScript": ("typescript", "ts"),
}
_NAMES = {called: language for language, names in _CALLED.items() for called in names}


def language_of(path: str) -> str | None:
    """The language of a file by its suffix, or None if the suffix is unknown."""
    dot = path.rfind(".")
    return _SUFFIXES.get(path[dot:].lower()) if dot > path.rfind("/") else None


def language_named(name: str) -> str | None:
    """The language with this name, in any spelling, or None if it is not supported."""
    return name if name in _CALLED else _NAMES.get(name.strip().casefold())


def names_in_fences(language: str) -> tuple[str, ...]:
    """The names that the info strings of fenced blocks use for a language."""
    return _CALLED.get(language, (language.casefold(),))
