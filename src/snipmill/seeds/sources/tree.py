"""The documents of a file tree (a folder, commit or archive), each with the licence that applies to its folder.

Installed packages, hidden folders and links are skipped. The licence of a file is that of the nearest folder above it
that has licence files or package metadata. The file's own header is read later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from snipmill.languages import language_of
from snipmill.reasons import Reason
from snipmill.records import Reject
from snipmill.seeds.document import MAX_BYTES, Document, reject_document
from snipmill.seeds.licenses.expressions import UNKNOWN, all_of
from snipmill.seeds.licenses.packages import METADATA, combine_licenses, is_license_file, license_of_metadata
from snipmill.seeds.licenses.texts import license_of_text

_SKIPPED = frozenset(
    {"site-packages", "dist-packages", "__pycache__", "node_modules", "lib2to3", "idlelib", "turtledemo"}
)


MAX_DEPTH = 100


class Tree(Protocol):
    """A tree of files. Paths are relative, with `/`; the root is the empty path."""

    def entries(self, folder: str) -> list[tuple[str, bool]]:
        """The names in a folder, sorted, and whether each is itself a folder. Raises OSError."""
        ...

    def content(self, path: str) -> bytes | Path:
        """A file's bytes, limited to slightly more than `MAX_BYTES`, or the path to read. Raises OSError."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """What all documents of a tree share. `languages` are those to look for; `license` is stated by the user."""

    source: str
    revision: str | None = None
    license: str | None = None
    languages: frozenset[str] = frozenset({"Python"})


def documents_of(tree: Tree, origin: Origin, start: str = "") -> Iterator[Document | Reject]:
    """The documents of a tree, folder by folder, each sorted by name.

    Args:
        tree: the tree to read.
        origin: what the documents share.
        start: the folder to read; the licences and packages of the folders above it still apply.
    """
    license, package, folder = origin.license, "", ""
    for part in start.split("/") if start else ():
        entries = _listed(tree, folder)
        license = _license_at(tree, f"{folder}/" if folder else "", entries, license, origin)
        package = _package(folder, package, ("__init__.py", False) in entries)
        folder = f"{folder}/{part}" if folder else part
    yield from _walk(tree, start, license, package, origin)


def _walk(tree: Tree, folder: str, license: str | None, package: str, origin: Origin) -> Iterator[Document | Reject]:
    if folder.count("/") >= MAX_DEPTH:
        yield reject_document(folder[:200], Reason.UNREADABLE, f"lies more than {MAX_DEPTH} folders deep.")
        return
    try:
        entries = tree.entries(folder)
    except OSError as error:
        yield reject_document(folder or ".", Reason.UNREADABLE, f"cannot be listed: {error.strerror or error}.")
        return
    prefix = f"{folder}/" if folder else ""
    license = _license_at(tree, prefix, entries, license, origin)
    inner = _package(folder, package, ("__init__.py", False) in entries)
    for name, is_folder in entries:
        path = prefix + name
        if is_folder:
            if name not in _SKIPPED and not name.startswith("."):
                yield from _walk(tree, path, license, inner, origin)
            continue
        language = language_of(name)
        if language not in origin.languages:
            continue
        try:
            content = tree.content(path)
        except OSError as error:
            yield reject_document(path, Reason.UNREADABLE, f"cannot be read: {error.strerror or error}.")
            continue
        yield Document(
            shown=path,
            content=content,
            language=str(language),
            source=origin.source,
            revision=origin.revision,
            path=path,
            license=license,
            package=inner,
        )


def _package(folder: str, package: str, has_init: bool) -> str:
    """The top-level package that a folder's files are imported from."""
    return package or (folder.rpartition("/")[2] if has_init and folder else "")


def _license_at(
    tree: Tree, prefix: str, entries: list[tuple[str, bool]], above: str | None, origin: Origin
) -> str | None:
    """The licence of a folder: the one that it states, or else that of the folder above it."""
    found = _license_of_folder(tree, prefix, entries, origin.languages)
    if found is None:
        return above
    parts = found.split(" AND ")
    if UNKNOWN not in parts or origin.license is None:
        return found
    # The licence that the user states replaces an unrecognised text, but not the recognised licences beside it.
    return all_of([*(part for part in parts if part != UNKNOWN), above or origin.license])


def _license_of_folder(
    tree: Tree, prefix: str, entries: list[tuple[str, bool]], languages: frozenset[str]
) -> str | None:
    texts: list[str] = []
    stated: list[str] = []
    infos = [name for name, is_folder in entries if is_folder and name.endswith(".dist-info")]
    places = [(prefix, entries)]
    if len(infos) == 1:  # a wheel, or one installed package
        inside = f"{prefix}{infos[0]}/"
        places.append((inside, _listed(tree, inside)))
        places.append((f"{inside}licenses/", _listed(tree, f"{inside}licenses/")))
    for start, names in places:
        for name, is_folder in names:
            if is_folder:
                continue
            if is_license_file(name):
                text = license_of_text(_read(tree, start + name))
                texts += [text] if text is not None else []
            elif METADATA.get(name) in languages:
                said = license_of_metadata(name, _read(tree, start + name))
                stated += [said] if said is not None else []
    return combine_licenses(stated, texts)


def _listed(tree: Tree, folder: str) -> list[tuple[str, bool]]:
    try:
        return tree.entries(folder.rstrip("/"))
    except OSError:
        return []


def _read(tree: Tree, path: str) -> bytes:
    try:
        content = tree.content(path)
        if isinstance(content, Path):
            with content.open("rb") as handle:
                return handle.read(MAX_BYTES)
        return content[:MAX_BYTES]
    except OSError:
        return b""
