"""Reads local folders, without the files that .gitignore excludes, and single files."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pathspec import GitIgnoreSpec

from snipmill.languages import language_of
from snipmill.records import Reject
from snipmill.seeds.document import Document
from snipmill.seeds.sources.tree import Origin, documents_of

_MAX_IGNORE = 100_000
_MAX_STARS = 8  # with more, the matcher takes forever on some names


class Folder:
    """A `Tree` of a folder. Links are not followed, so no file is read twice and none is outside the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ignored: dict[str, list[tuple[str, GitIgnoreSpec]]] = {}

    def entries(self, folder: str) -> list[tuple[str, bool]]:
        """The names in a folder that are not ignored."""
        with os.scandir(self.root / folder) as listed:
            # Links may lead outside or form cycles, and reading a pipe could block forever.
            found = [
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in listed
                if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
            ]
        specs = list(self._ignored.get(folder.rpartition("/")[0], [])) if folder else []
        own = self.root / folder / ".gitignore"
        if (".gitignore", False) in found and own.stat().st_size < _MAX_IGNORE:
            specs.append((folder, _patterns(own.read_text(encoding="utf-8", errors="replace").splitlines())))
        self._ignored[folder] = specs
        prefix = f"{folder}/" if folder else ""
        return sorted((name, is_folder) for name, is_folder in found if not _ignored(specs, prefix + name, is_folder))

    def content(self, path: str) -> Path:
        """The path to read a file from."""
        return self.root / path


def _patterns(lines: list[str]) -> GitIgnoreSpec:
    """The patterns of a .gitignore. Invalid lines are skipped, as in git, and so are lines with too many stars."""
    lines = [line for line in lines if line.count("*") <= _MAX_STARS]
    try:
        return GitIgnoreSpec.from_lines(lines)
    except (ValueError, re.error):
        good: list[str] = []
        for line in lines:
            with contextlib.suppress(ValueError, re.error):
                GitIgnoreSpec.from_lines([line])
                good.append(line)
        return GitIgnoreSpec.from_lines(good)


def _ignored(specs: list[tuple[str, GitIgnoreSpec]], path: str, is_folder: bool) -> bool:
    """Whether a path is ignored. The last .gitignore with a pattern for it decides."""
    verdict = False
    for base, spec in specs:
        relative = path[len(base) + 1 :] if base else path
        answer = spec.check_file(relative + "/" if is_folder else relative).include
        verdict = verdict if answer is None else answer
    return verdict


def folder_documents(root: Path, origin: Origin) -> Iterator[Document | Reject]:
    """The documents of a folder. If it is part of a repository, the repository's licence and .gitignore apply to it."""
    whole = next((above for above in root.resolve().parents if (above / ".git").exists()), None)
    if whole is None:
        return documents_of(Folder(root), origin)
    tree, start = Folder(whole), root.resolve().relative_to(whole).as_posix()
    if not _is_listed(tree, start):  # a folder that the user names is read even if ignored
        return documents_of(Folder(root), origin)
    return documents_of(tree, Origin(whole.name, origin.revision, origin.license, origin.languages), start)


def _is_listed(tree: Folder, path: str) -> bool:
    above = ""
    for part in path.split("/"):
        try:
            if (part, True) not in tree.entries(above):
                return False
        except OSError:
            return False
        above = f"{above}/{part}" if above else part
    return True


def file_document(path: Path, origin: Origin) -> Document:
    """One file of code. A file with an unknown suffix is read as Python."""
    language = language_of(path.name) or "Python"
    return Document(path.name, path, language, origin.source, origin.revision, path.name, origin.license)
