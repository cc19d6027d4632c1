"""A stand-in for the data hub, on loopback, that takes what `huggingface_hub` pushes and gives it back.

It keeps repositories, commits and large files as the hub does, and `faults` lets a test say what goes wrong.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_of_the_test"
_LARGE = (".parquet",)


@dataclass(frozen=True)
class Stored:
    """A file of a commit; a large one is kept by its SHA-256."""

    content: bytes
    large: bool

    @property
    def oid(self) -> str:
        """What the client compares with its own file."""
        return hashlib.sha256(self.content).hexdigest() if self.large else _git_oid(self.content)


@dataclass
class Repository:
    private: bool
    commits: list[tuple[str, str, dict[str, Stored]]]

    def at(self, revision: str) -> dict[str, Stored] | None:
        found = [files for oid, _, files in self.commits if revision in ("main", oid)]
        return found[-1] if found else None


@dataclass
class Fault:
    """What goes wrong with the next requests that match: a status, or the connection breaks."""

    method: str
    pattern: str
    status: int | None
    times: int = 1


@dataclass
class _State:
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)


class WritableHub:
    """Use as a context manager; `environment` is what a client needs to find it."""

    def __init__(self) -> None:
        self.state = _State()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": self.state}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def environment(self, home: str, token: str = TOKEN) -> dict[str, str]:
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": home,
            "HF_TOKEN": token,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def __enter__(self) -> WritableHub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: _State
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self._body()
        with self.state.lock:
            self.state.asked.append(f"{self.command} {path}")
            for fault in self.state.faults:
                if fault.method == self.command and re.search(fault.pattern, path) and fault.times > 0:
                    fault.times -= 1
                    self._fail(fault.status)
                    return
            if path.startswith("/large/"):  # a signed address: no token is sent
                self.state.large[hashlib.sha256(body).hexdigest()] = body
                self._send(200, {})
            elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._send(401, {"error": "Invalid credentials"})
            else:
                self._route(path, body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _fail(self, status: int | None) -> None:
        if status is None:
            self.close_connection = True
            self.connection.close()
        else:
            self._send(status, {"error": "as the test wants"})

    def _send(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def _route(self, path: str, body: bytes) -> None:
        name = r"(?P<name>[^/]+/[^/]+?)"
        routes: list[tuple[str, str, Callable[..., None]]] = [
            ("POST", "/api/repos/create", self._create),
            ("POST", "/api/validate-yaml", self._validate),
            ("POST", rf"/api/datasets/{name}/preupload/(?P<revision>.+)", self._preupload),
            ("POST", rf"/api/datasets/{name}/commit/(?P<revision>.+)", self._commit),
            ("POST", rf"/datasets/{name}\.git/info/lfs/objects/batch", self._batch),
            ("POST", rf"/datasets/{name}\.git/info/lfs/objects/verify", self._verify),
            ("GET", rf"/api/datasets/{name}(/revision/(?P<revision>.+))?", self._about),
            ("GET", rf"/api/datasets/{name}/tree/(?P<revision>[^/]+)(/(?P<below>.+))?", self._tree),
            ("POST", rf"/api/datasets/{name}/paths-info/(?P<revision>[^/]+)", self._paths),
            ("GET", rf"/datasets/{name}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", self._resolve),
        ]
        for method, pattern, work in routes:
            match = re.fullmatch(pattern, path)
            if match and method == self.command.replace("HEAD", "GET"):
                work(body, **match.groupdict())
                return
        self._send(404, {"error": "no such address"})

    def _create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        url = f"http://{self.headers['Host']}/datasets/{name}"
        exists = name in self.state.repositories
        if not exists:
            first = ("0" * 40, "first", {".gitattributes": Stored(b"*.parquet filter=lfs\n", False)})
            self.state.repositories[name] = Repository(asked.get("visibility") == "private", [first])
        self._send(409 if exists else 200, {"url": url, "name": name})

    def _validate(self, body: bytes) -> None:
        good = json.loads(body)["content"].startswith("---\n")
        errors = [] if good else [{"message": "there is no header"}]
        self._send(200 if good else 400, {"errors": errors, "warnings": []})

    def _files(self, name: str, revision: str | None) -> dict[str, Stored] | None:
        repository = self.state.repositories.get(name)
        if repository is None:
            self._send(404, {"error": "no such repository"}, {"X-Error-Code": "RepoNotFound"})
            return None
        files = repository.at(revision or "main")
        if files is None:
            self._send(404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
        return files

    def _preupload(self, body: bytes, name: str, revision: str) -> None:
        files = self._files(name, revision)
        if files is not None:
            told = []
            for asked in json.loads(body)["files"]:
                mode = "lfs" if asked["path"].endswith(_LARGE) else "regular"
                known = {"oid": files[asked["path"]].oid} if asked["path"] in files else {}
                told.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": False, **known})
            self._send(200, {"files": told})

    def _batch(self, body: bytes, name: str) -> None:
        objects = []
        for asked in json.loads(body)["objects"]:
            told: dict[str, Any] = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.state.large:  # what is there already has no actions
                host = f"http://{self.headers['Host']}"
                told["actions"] = {
                    "upload": {"href": f"{host}/large/{asked['oid']}"},
                    "verify": {"href": f"{host}/datasets/{name}.git/info/lfs/objects/verify"},
                }
            objects.append(told)
        self._send(200, {"transfer": "basic", "objects": objects})

    def _verify(self, body: bytes, name: str) -> None:
        asked = json.loads(body)
        good = len(self.state.large.get(asked["oid"], b"")) == asked["size"]
        self._send(200 if good else 404, {})

    def _commit(self, body: bytes, name: str, revision: str) -> None:
        files = self._files(name, revision)
        if files is None:
            return
        files, header = dict(files), {}
        repository = self.state.repositories[name]
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                header = value
            elif item["key"] == "file":
                files[value["path"]] = Stored(base64.b64decode(value["content"]), False)
            elif item["key"] == "lfsFile":
                files[value["path"]] = Stored(self.state.large[value["oid"]], True)
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        if header.get("parentCommit") not in (None, repository.commits[-1][0]):
            self._send(412, {"error": "another commit came first"})
            return
        oid = hashlib.sha1(repository.commits[-1][0].encode() + body).hexdigest()
        repository.commits.append((oid, header["summary"], files))
        url = f"http://{self.headers['Host']}/datasets/{name}/commit/{oid}"
        self._send(200, {"success": True, "commitOid": oid, "commitUrl": url})

    def _about(self, body: bytes, name: str, revision: str | None) -> None:
        files = self._files(name, revision)
        if files is not None:
            repository = self.state.repositories[name]
            siblings = [{"rfilename": path} for path in sorted(files)]
            sha = next(oid for oid, _, of in reversed(repository.commits) if of is files)
            self._send(200, {"id": name, "sha": sha, "private": repository.private, "siblings": siblings})

    def _tree(self, body: bytes, name: str, revision: str, below: str | None = None) -> None:
        files = self._files(name, revision)
        if files is None:
            return
        start = f"{below}/" if below else ""
        told: dict[str, dict[str, Any]] = {}
        for path, stored in sorted(files.items()):
            if path.startswith(start):
                head, folder, _ = path.removeprefix(start).partition("/")
                if folder and "recursive=true" not in self.path.lower():
                    told[head] = {"type": "directory", "path": start + head, "oid": "0" * 40}
                else:
                    told[path] = _entry(path, stored)
        if told:
            self._send(200, list(told.values()))
        else:
            self._send(404, {"error": "no such folder"}, {"X-Error-Code": "EntryNotFound"})

    def _paths(self, body: bytes, name: str, revision: str) -> None:
        files = self._files(name, revision)
        if files is not None:
            asked = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
            self._send(200, [_entry(path, files[path]) for path in asked if path in files])

    def _resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        files = self._files(name, revision)
        if files is None:
            return
        if path not in files:
            self._send(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound"})
            return
        stored = files[path]
        commit = next(oid for oid, _, of in reversed(self.state.repositories[name].commits) if of is files)
        headers = {"ETag": f'"{stored.oid}"', "X-Repo-Commit": commit, "X-Linked-Size": str(len(stored.content))}
        self._send(200, stored.content, headers)


def _entry(path: str, stored: Stored) -> dict[str, Any]:
    large = {"lfs": {"oid": stored.oid, "size": len(stored.content), "pointerSize": 130}}
    entry = {"type": "file", "path": path, "oid": _git_oid(stored.content), "size": len(stored.content)}
    return {**entry, **(large if stored.large else {})}


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
