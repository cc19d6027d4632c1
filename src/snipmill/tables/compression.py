"""Opens files, compressed or not, by their suffix or their first bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

from snipmill.errors import UsageError

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
_BUFFER = 1 << 18
_PART = 1 << 12  # bytes that are decompressed at a time: a few may become many
# What reading a damaged file raises.
DAMAGE = (OSError, EOFError, lzma.LZMAError, zlib.error)


def what_broke(error: Exception) -> str:
    """What one of `DAMAGE` says, without a full stop."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__).rstrip(".")


def open_decompressed(path: Path) -> BinaryIO:
    """Open a file for reading, decompressed. Reading raises one of `DAMAGE` where the file is truncated or damaged.

    Raises:
        UsageError: there is no such file, it may not be read, or its compression needs an extra.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(6)
        compression = next((name for magic, name in MAGIC.items() if begin.startswith(magic)), path.suffix.lower())
        if compression == ".gz":
            return cast(BinaryIO, gzip.open(path))
        if compression == ".bz2":
            return cast(BinaryIO, bz2.open(path))
        if compression == ".xz":
            return cast(BinaryIO, lzma.open(path))
        if compression == ".zst":
            return cast(BinaryIO, io.BufferedReader(_Zstandard(path, _zstandard(path)), _BUFFER))
        return path.open("rb", _BUFFER)
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def _zstandard(path: Path) -> Any:
    try:
        import zstandard
    except ImportError:
        raise UsageError(f"{path} is compressed; to read it, run `pip install 'snipmill[seeds]'`.") from None
    return zstandard


class _Zstandard(io.RawIOBase):
    """The decompressed bytes of a .zst file of one or more frames. Raises EOFError if it ends within a frame."""

    def __init__(self, path: Path, library: Any) -> None:
        self._file = path.open("rb")
        self._library = library
        self._frame = library.ZstdDecompressor().decompressobj()
        self._raw = b""
        self._waiting = memoryview(b"")
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._waiting:
            self._raw = self._raw or self._file.read(_PART)
            if not self._raw:
                if self._begun:
                    raise EOFError("the compressed file ends too early")
                return 0
            try:
                self._waiting, self._begun = memoryview(self._frame.decompress(self._raw)), True
            except self._library.ZstdError as error:
                raise OSError(0, str(error)) from error
            self._raw = b""
            if self._frame.eof:
                self._raw, self._begun = self._frame.unused_data, False
                self._frame = self._library.ZstdDecompressor().decompressobj()
        size = min(len(buffer), len(self._waiting))
        buffer[:size], self._waiting = self._waiting[:size], self._waiting[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()
