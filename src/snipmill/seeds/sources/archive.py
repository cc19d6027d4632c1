"""Source distributions, wheels and other archives (.tar.gz, .tar.bz2, .tar.xz, .tar, .zip, .whl), read in place.

No member is extracted to disk, so no name in an archive can reach a file outside it.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path, PurePosixPath
from typing import IO, cast

from snipmill.errors import UsageError
from snipmill.records import Reject
from snipmill.seeds.document import MAX_BYTES, Document
from snipmill.seeds.sources.tree import MAX_DEPTH, Origin, documents_of

SUFFIXES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")
_NAME = re.compile(r"^(?P<name>.+?)-(?P<version>\d[^-]*)(?:-.*)?$")
_MAX_MEMBERS = 1_000_000
_MAX_UNPACKED = 20 << 30


class _Archive:
    """A `Tree` over the names in an archive."""

    def __init__(self, names: list[str], read: Callable[[str], bytes]) -> None:
        self._read = read
        self._folders: dict[str, dict[str, bool]] = {"": {}}
        self._members: dict[str, str] = {}
        for name in names:
            parts = PurePosixPath(name).parts
            if not parts or parts[0] == "/" or ".." in parts or len(parts) > MAX_DEPTH:
                continue
            self._members["/".join(parts)] = name
            for depth in range(len(parts)):
                folder = "/".join(parts[:depth])
                self._folders.setdefault(folder, {})[parts[depth]] = depth < len(parts) - 1

    def entries(self, folder: str) -> list[tuple[str, bool]]:
        return sorted(self._folders.get(folder, {}).items())

    def content(self, path: str) -> bytes:
        return self._read(self._members[path])

    @property
    def top(self) -> str | None:
        """The single top-level folder, as in a source distribution; None if there is none."""
        entries = self.entries("")
        return entries[0][0] if len(entries) == 1 and entries[0][1] else None


class _Below:
    """A folder of another tree, as a `Tree`."""

    def __init__(self, tree: _Archive, folder: str) -> None:
        self._tree, self._folder = tree, folder

    def entries(self, folder: str) -> list[tuple[str, bool]]:
        return self._tree.entries(f"{self._folder}/{folder}".rstrip("/"))

    def content(self, path: str) -> bytes:
        return self._tree.content(f"{self._folder}/{path}")


def archive_documents(path: Path, origin: Origin) -> Iterator[Document | Reject]:
    """The documents of an archive. Its file name, `name-version`, gives source and revision.

    Raises:
        UsageError: the file cannot be read in the format of its suffix.
    """
    stem = path.name
    for suffix in SUFFIXES:
        stem = stem.removesuffix(suffix)
    named = _NAME.match(stem)
    name, version = (named["name"], named["version"]) if named else (stem, None)
    origin = Origin(name, version, origin.license, origin.languages)
    with ExitStack() as stack:
        try:
            archive = _open_zip(path, stack) if path.name.endswith((".whl", ".zip")) else _open_tar(path, stack)
            tree = _Below(archive, archive.top) if archive.top is not None else archive
            yield from documents_of(tree, origin)
        except (
            tarfile.TarError,
            zipfile.BadZipFile,
            EOFError,
            ValueError,
            OSError,
            zlib.error,
            lzma.LZMAError,
        ) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"{path} cannot be read as an archive: {reason}.") from error


def _open_zip(path: Path, stack: ExitStack) -> _Archive:
    file = stack.enter_context(zipfile.ZipFile(path))

    def read(name: str) -> bytes:
        try:
            with file.open(name) as member:
                return member.read(MAX_BYTES + 1)
        except (RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError, lzma.LZMAError) as error:
            # encrypted, damaged, or compressed by an unsupported method
            raise OSError(0, str(error)) from error

    return _Archive([name for name in file.namelist()[:_MAX_MEMBERS] if not name.endswith("/")], read)


def _open_tar(path: Path, stack: ExitStack) -> _Archive:
    whole = stack.enter_context(path.open("rb") if path.suffix == ".tar" else _unpacked(path))
    file = stack.enter_context(closing(tarfile.open(fileobj=whole)))  # noqa: SIM115
    _refuse_damaged(file, whole)
    members = {member.name: member for member in file.getmembers()[:_MAX_MEMBERS] if member.isfile()}

    def read(name: str) -> bytes:
        member = file.extractfile(members[name])
        return member.read(MAX_BYTES + 1) if member is not None else b""

    return _Archive(list(members), read)


def _unpacked(path: Path) -> IO[bytes]:
    """Decompress an archive into an unnamed temporary file, because seeking back in a compressed file starts over."""
    packed: IO[bytes]
    if path.suffix == ".bz2":
        packed = bz2.open(path)  # noqa: SIM115
    else:
        packed = cast(IO[bytes], lzma.open(path) if path.suffix == ".xz" else gzip.open(path))  # noqa: SIM115
    whole = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    with packed:
        while piece := packed.read(1 << 20):
            whole.write(piece)
            if whole.tell() > _MAX_UNPACKED:
                raise ValueError(f"it decompresses to more than {_MAX_UNPACKED:,} bytes")
    whole.seek(0)
    return whole


def _refuse_damaged(file: tarfile.TarFile, whole: IO[bytes]) -> None:
    """Refuse an archive with a damaged header, which looks like the end and would silently hide everything after it.

    Raises:
        tarfile.ReadError: there is data after the apparent end.
    """
    members = file.getmembers()
    whole.seek(file.offset)
    if any(whole.read(tarfile.BLOCKSIZE)):
        name = members[-1].name if members else "its beginning"
        raise tarfile.ReadError(f"it is damaged after {name}")
