"""The standard library of the running Python, whole or only some modules. Its licence is PSF-2.0."""

from __future__ import annotations

import platform
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from snipmill.errors import UsageError
from snipmill.records import Reject
from snipmill.seeds.document import Document
from snipmill.seeds.sources.folder import Folder
from snipmill.seeds.sources.tree import Origin, documents_of

STDLIB = "stdlib"
LICENSE = "PSF-2.0"


def stdlib_documents(modules: str) -> Iterator[Document | Reject]:
    """The files of the standard library.

    Args:
        modules: comma-separated names of modules and packages; empty for all of them.

    Raises:
        UsageError: the standard library has no such module written in Python.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    origin = Origin("cpython", platform.python_version(), LICENSE)
    names = [name.strip() for name in modules.split(",") if name.strip()]
    if not names:
        yield from map(_within, documents_of(Folder(root), origin))
        return
    for name in names:
        path = f"{name.replace('.', '/')}.py"
        if (root / path).is_file():
            yield _within(Document(path, root / path, "Python", "cpython", origin.revision, path))
        elif (root / name.replace(".", "/")).is_dir():
            for document in documents_of(Folder(root / name.replace(".", "/")), origin):
                yield _within(_below(document, name.replace(".", "/")))
        else:
            raise UsageError(
                f"The standard library has no module {name!r} written in Python; correct {STDLIB}:{modules}."
            )


def _below(document: Document | Reject, folder: str) -> Document | Reject:
    if isinstance(document, Reject):
        return document
    path = f"{folder}/{document.path}"
    return replace(document, shown=path, path=path)


def _within(document: Document | Reject) -> Document | Reject:
    """Set the licence and clear the package: imports from the standard library work wherever Python is installed."""
    return (
        document
        if isinstance(document, Reject)
        else replace(document, package="", license=LICENSE, license_is_final=True)
    )
