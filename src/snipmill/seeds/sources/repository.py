"""Reads a git repository, local or by URL, at a revision, without a checkout. Only committed files are read.

The git library is an optional extra.
"""

from __future__ import annotations

import io
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from snipmill.errors import UsageError
from snipmill.records import Reject
from snipmill.seeds.document import MAX_BYTES, Document
from snipmill.seeds.sources.tree import Origin, documents_of

PREFIX = "git+"


class _Commit:
    """A `Tree` of a commit. Links and submodules are left out."""

    def __init__(self, repository: Any, root: bytes) -> None:
        self._store = repository.object_store
        self._ids: dict[str, bytes] = {"": root}

    def entries(self, folder: str) -> list[tuple[str, bool]]:
        found: list[tuple[str, bool]] = []
        for entry in self._object(folder).iteritems():
            is_folder = stat.S_ISDIR(entry.mode)
            if is_folder or (stat.S_ISREG(entry.mode) and entry.mode & 0o170000 != 0o160000):
                name = entry.path.decode("utf-8", "replace")
                self._ids[f"{folder}/{name}" if folder else name] = entry.sha
                found.append((name, is_folder))
        return sorted(found)

    def content(self, path: str) -> bytes:
        return bytes(self._object(path).data[: MAX_BYTES + 1])

    def _object(self, path: str) -> Any:
        """The git object at a path. Raises OSError if it is missing or cannot be read."""
        try:
            return self._store[self._ids[path]]
        except KeyError:  # for example, in a blobless clone
            raise FileNotFoundError(2, "no such object in the repository") from None
        except Exception as error:  # a damaged object may raise exceptions of many types
            raise OSError(5, f"damaged object: {error}") from error


def is_repository(path: Path) -> bool:
    """Whether a folder is the root of a git repository."""
    return (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir())


def repository_documents(spec: str, revision: str | None, origin: Origin) -> Iterator[Document | Reject]:
    """The documents of a repository at a commit.

    Args:
        spec: a folder, or a URL that git can clone.
        revision: branch, tag or commit; None for the current one.
        origin: the user's licence and the languages to look for; source and revision come from the repository.

    Raises:
        UsageError: the repository cannot be reached, has no commits or no such revision, or the extra is not installed.
    """
    try:
        from dulwich.objectspec import parse_commit
        from dulwich.repo import Repo
    except ImportError:
        raise UsageError(f"{spec} is a git repository; to read it, run `pip install 'snipmill[seeds]'`.") from None
    with ExitStack() as stack:
        try:
            if Path(spec).is_dir():
                repository: Any = stack.enter_context(Repo(spec))
            else:
                repository = _clone(spec, revision, stack)
        except UsageError:
            raise
        except Exception as error:  # not a repository, or one with a damaged configuration
            raise UsageError(
                f"{spec} is no git repository that can be read: {type(error).__name__}: {error}."
            ) from None
        name = _name(spec)
        commit = _commit(repository, name, revision, parse_commit)
        own = Origin(name, commit.id.decode(), origin.license, origin.languages)
        yield from documents_of(_Commit(repository, commit.tree), own)


def _commit(repository: Any, name: str, revision: str | None, parse: Callable[[Any, Any], Any]) -> Any:
    """Look up a commit by branch, tag or id. A clone has its branches under `origin`."""
    for wanted in ["HEAD"] if revision is None else [revision, f"refs/remotes/origin/{revision}"]:
        try:
            return parse(repository, wanted)
        except (KeyError, ValueError, AssertionError):
            continue
    if revision is None:
        raise UsageError(f"The repository {name} has no commits; commit its files first.")
    raise UsageError(f"The repository {name} has no revision {revision!r}; give a branch, tag or commit.")


def refuse_password(source: str) -> None:
    """Refuse a source with a password, because sources are saved with the configuration.

    Raises:
        UsageError: the address of the repository contains a password.
    """
    address = source.removeprefix(PREFIX)
    if source.startswith(PREFIX) and urlsplit(address).password:
        raise UsageError(
            f"The address of {_name(address)} holds a password, which would be saved with the configuration. "
            "Clone the repository yourself and give its folder."
        )


def _name(spec: str) -> str:
    """The name of a repository: its folder's name, or its URL without user, password and query."""
    if Path(spec).is_dir():
        return Path(spec).resolve().name
    parts = urlsplit(spec)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def _clone(url: str, revision: str | None, stack: ExitStack) -> Any:
    from dulwich import porcelain

    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="snipmill-git-"))
    quiet = io.BytesIO()
    try:
        # Without a revision, only the newest commit is needed.
        repository = porcelain.clone(url, folder, bare=True, depth=None if revision else 1, errstream=quiet)
        return stack.enter_context(repository)
    except Exception as error:  # its transports raise exceptions of many types
        reason = " ".join(str(error).replace(url, _name(url)).split()) or type(error).__name__
        raise UsageError(f"The repository {_name(url)} cannot be cloned: {reason}.") from None
