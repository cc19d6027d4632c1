"""The languages that seeds can be mined from, and the files that hold them. Only Python is executed and type-checked."""

from __future__ import annotations

SUFFIXES = {
    ".py": "Python",
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
LANGUAGES = ("Python", "C++", "Java", "PHP", "Rust", "TypeScript")
_SPELLINGS = {name.casefold(): name for name in LANGUAGES} | {
    "cpp": "C++",
    "c-plus-plus": "C++",
    "py": "Python",
    "python3": "Python",
    "rs": "Rust",
    "ts": "TypeScript",
}


def language_of(path: str) -> str | None:
    """The language of a file by the end of its name, None where it is none of ours."""
    dot = path.rfind(".")
    return SUFFIXES.get(path[dot:].lower()) if dot > path.rfind("/") else None


def language_named(name: str) -> str | None:
    """A language by its name in any spelling."""
    return _SPELLINGS.get(name.strip().casefold())
