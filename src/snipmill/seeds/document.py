"""Documents: files of code, or table rows that hold code. Sources yield them and extraction reads them."""

from __future__ import annotations

import hashlib
import io
import stat
import tokenize
from dataclasses import dataclass
from pathlib import Path

from snipmill.reasons import Reason
from snipmill.records import Reject, content_hash

STAGE = "seeds"
MAX_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """Code with its origin. If `content` is a path, the file is not read yet.

    Attributes:
        shown: its name in messages: a path, or file:row.
        content: bytes, text, or the path of a file.
        language: one of `LANGUAGES`.
        source: the repository, package, data set or folder.
        revision: commit or version of the source.
        path: path within the source.
        license: SPDX expression that the source states; None if it states none.
        license_is_final: whether `license` overrides the licence in the file's own header.
        package: the top-level Python package that it belongs to; empty if none.
    """

    shown: str
    content: bytes | str | Path
    language: str = "Python"
    source: str = ""
    revision: str | None = None
    path: str | None = None
    license: str | None = None
    license_is_final: bool = False
    package: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """A document's text, with Unix line ends, and the SHA-256 of its bytes as 64 hex digits."""

    text: str
    sha256: str


def reject_document(shown: str, reason: Reason, detail: str) -> Reject:
    """A reject of a whole document."""
    return Reject(id=f"file-{content_hash(shown)}", stage=STAGE, reason=reason, detail=f"{shown} {detail}")


def read_document(document: Document) -> Code | Reject:
    """The text of a document. Python is decoded by its coding line, or else as UTF-8; other languages as UTF-8."""
    content = document.content
    try:
        if isinstance(content, Path):
            status = content.stat()
            if not stat.S_ISREG(status.st_mode):  # reading a pipe could block forever
                return reject_document(document.shown, Reason.UNREADABLE, "is not a regular file.")
            if status.st_size > MAX_BYTES:
                return reject_document(document.shown, Reason.FILE_TOO_LARGE, f"is larger than {MAX_BYTES:,} bytes.")
            content = content.read_bytes()
    except OSError as error:
        return reject_document(document.shown, Reason.UNREADABLE, f"cannot be read: {error.strerror}.")
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(raw) > MAX_BYTES:
        return reject_document(document.shown, Reason.FILE_TOO_LARGE, f"is larger than {MAX_BYTES:,} bytes.")
    try:
        text = content if isinstance(content, str) else _decode(raw, document.language)
    except (SyntaxError, ValueError, LookupError) as error:  # a coding line may hold any name
        return reject_document(
            document.shown, Reason.NOT_TEXT, f"cannot be read as {document.language} source: {error}."
        )
    if "\0" in text:
        return reject_document(document.shown, Reason.NOT_TEXT, "contains NUL characters.")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Code(text, hashlib.sha256(raw).hexdigest())


def _decode(raw: bytes, language: str) -> str:
    if language != "Python":
        return raw.decode("utf-8-sig")
    encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
    return raw.decode(encoding)
