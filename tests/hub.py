"""A stand-in for the model and data hub, on loopback: it speaks the protocol by which `huggingface_hub` fetches a file."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """Use as a context manager; `files` are by path below the address, as in `datasets/owner/name/resolve/main/a.jsonl`."""

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
                body = hub.files.get(self.path.lstrip("/").partition("?")[0])
                self.send_response(200 if body is not None else 404)
                if body is None:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", str(len(body or b"")))
                self.send_header("X-Repo-Commit", "c" * 40)
                self.send_header("ETag", f'"{hashlib.sha1(body or b"").hexdigest()}"')
                self.end_headers()
                if with_body:
                    self.wfile.write(body or b"")

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
