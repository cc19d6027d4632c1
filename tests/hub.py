"""A stand-in for the model and data hub, on loopback: it speaks the protocol by which `huggingface_hub` fetches a file.

It also tells what is in a data set (`/api/datasets/...`), as `datasets` asks before it streams.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """Use as a context manager; `files` are by path below the address, as in `datasets/owner/name/resolve/main/a.jsonl`."""

    COMMIT = "c" * 40

    def __init__(self, files: Mapping[str, bytes]) -> None:
        hub = self
        self.files = files
        self.asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def do_GET(self) -> None:
                self._answer(with_body=True)

            def _answer(self, with_body: bool) -> None:
                hub.asked.append(f"{self.command} {self.path}")
                path = self.path.lstrip("/").partition("?")[0]
                body = hub._about(path) if path.startswith("api/") else hub.files.get(path.replace(hub.COMMIT, "main"))
                wanted = self.headers.get("Range")
                part = None
                if body is not None and wanted is not None:
                    first, _, last = wanted.removeprefix("bytes=").partition("-")
                    part = (int(first), min(int(last or len(body)), len(body) - 1), len(body))
                    body = body[part[0] : part[1] + 1]
                self.send_response(404 if body is None else 200 if part is None else 206)
                if body is None:
                    self.send_header("X-Error-Code", "RepoNotFound" if path.startswith("api/") else "EntryNotFound")
                if part is not None:
                    self.send_header("Content-Range", f"bytes {part[0]}-{part[1]}/{part[2]}")
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(len(body or b"")))
                self.send_header("X-Repo-Commit", hub.COMMIT)
                self.send_header("ETag", f'"{hashlib.sha1(body or b"").hexdigest()}"')
                self.end_headers()
                if with_body:
                    self.wfile.write(body or b"")

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _about(self, path: str) -> bytes | None:
        """What the API says of a data set: about all of it, or of what lies right below a folder."""
        parts = path.split("/")
        start = f"datasets/{'/'.join(parts[2:4])}/resolve/main/"
        names = [name.removeprefix(start) for name in self.files if name.startswith(start)]
        if not names or parts[1] != "datasets":
            return None
        if len(parts) < 5 or parts[4] == "revision":
            about = {
                "id": "/".join(parts[2:4]),
                "sha": self.COMMIT,
                "siblings": [{"rfilename": name} for name in names],
            }
            return json.dumps(about).encode()
        below = "".join(f"{part}/" for part in parts[6:])
        entries: dict[str, dict[str, object]] = {}
        for name in names:
            head, _, rest = name.removeprefix(below).partition("/")
            if name.startswith(below):
                size = len(self.files[start + name])
                kind = (
                    {"type": "directory", "oid": "b" * 40} if rest else {"type": "file", "oid": "a" * 40, "size": size}
                )
                entries[head] = {"path": below + head, **kind}
        return json.dumps(list(entries.values())).encode() if entries else None

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
