"""One file of code, or one row of a table that holds code: what sources give and extraction takes."""

from __future__ import annotations

import hashlib
import io
import stat
import tokenize
from dataclasses import dataclass
from pathlib import Path

from snipmill.records import Reject, content_hash

STAGE = "seeds"
MAX_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """Code with its origin, not read yet where `content` is a path.

    Attributes:
        shown: what to call it to a person: a path, or file:row.
        content: bytes, text, or the file that holds them.
        language: one of `LANGUAGES`.
        source: the repository, package, data set or folder.
        revision: its commit or version.
        path: within the source.
        license: SPDX expression, as far as the source says; None where it says nothing.
        license_holds: whatever the file's own header says.
        package: the top-level Python package that it belongs to, where it does.
    """

    shown: str
    content: bytes | str | Path
    language: str = "Python"
    source: str = ""
    revision: str | None = None
    path: str | None = None
    license: str | None = None
    license_holds: bool = False
    package: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """A document's text, with Unix line ends, and the SHA-256 of its bytes as 64 hex digits."""

    text: str
    sha256: str


def reject_document(shown: str, reason: str, detail: str) -> Reject:
    """A reject of a whole document."""
    return Reject(id=f"file-{content_hash(shown)}", stage=STAGE, reason=reason, detail=f"{shown} {detail}")


def read_document(document: Document) -> Code | Reject:
    """The text of a document: UTF-8, or as its coding line says, for Python; UTF-8 for other languages."""
    content = document.content
    try:
        if isinstance(content, Path):
            status = content.stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for without end
                return reject_document(document.shown, "unreadable", "is no regular file.")
            if status.st_size > MAX_BYTES:
                return reject_document(document.shown, "file-too-large", f"is larger than {MAX_BYTES:,} bytes.")
            content = content.read_bytes()
    except OSError as error:
        return reject_document(document.shown, "unreadable", f"cannot be read: {error.strerror}.")
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(raw) > MAX_BYTES:
        return reject_document(document.shown, "file-too-large", f"is larger than {MAX_BYTES:,} bytes.")
    try:
        text = content if isinstance(content, str) else _decode(raw, document.language)
    except (SyntaxError, ValueError, LookupError) as error:  # a coding line may name anything
        return reject_document(document.shown, "not-text", f"cannot be read as {document.language} source: {error}.")
    if "\0" in text:
        return reject_document(document.shown, "not-text", "holds NUL characters.")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Code(text, hashlib.sha256(raw).hexdigest())


def _decode(raw: bytes, language: str) -> str:
    if language != "Python":
        return raw.decode("utf-8-sig")
    encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
    return raw.decode(encoding)
