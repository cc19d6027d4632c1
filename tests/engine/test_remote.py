"""Runs on a store: a real S3 protocol on loopback, and a store that appends. The same bytes as in a folder."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import pytest

from snipmill.config import Config
from snipmill.config_file import render_config
from snipmill.engine.local import run
from snipmill.engine.progress import Progress
from snipmill.engine.remote import gather_remote, run_remote_shard
from snipmill.engine.sharding import parse_sharding
from snipmill.errors import StoreError, UsageError
from snipmill.store import lease, mirror, remote
from snipmill.store.run_directory import RunDirectory
from tests.conftest import Snipmill
from tests.engine.test_run import config, seeds_file
from tests.engine.test_shards import files_of
from tests.standin import StandIn

moto_server = pytest.importorskip("moto.server")


class S3:
    """A server that speaks S3 on loopback, which can be stopped and started with what it holds."""

    def __init__(self) -> None:
        self._server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    @property
    def variables(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = S3()
    yield server
    server.stop()


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{abs(hash(str(tmp_path)))}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(name)
    return f"s3://{name}"


@pytest.fixture(scope="module")
def server() -> Any:
    with StandIn() as server:
        yield server


def grow(table: Config, *shardings: str) -> None:
    for sharding in shardings:
        asyncio.run(run_remote_shard(table, parse_sharding(sharding), Progress()))


def fetched(url: str, folder: Path) -> Path:
    filesystem, root = fsspec.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
    folder.mkdir(parents=True, exist_ok=True)
    for path in filesystem.find(root):
        name = str(path)[len(root.rstrip("/")) + 1 :]
        if not name.startswith("shards"):
            (folder / name).parent.mkdir(exist_ok=True)
            filesystem.get_file(path, str(folder / name))
    return folder


@pytest.mark.parametrize("kind", ["s3", "appending"])
def test_a_run_on_a_store_gives_the_same_bytes(kind: str, tmp_path: Path, bucket: str, server: StandIn) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 14)
    asyncio.run(run(config(tmp_path / "whole", seeds, server.url), Progress()))
    url = f"{bucket}/run" if kind == "s3" else f"local://{tmp_path}/store/run"
    table = config(Path("run"), seeds, server.url)
    table = with_directory(table, url)
    server.requests.clear()
    grow(table, "1/2")
    partly = gather_remote(url)
    assert partly.missing == ["Not begun among 2: shard 0."]
    grow(table, "0/2")
    paid = len(server.requests)
    grow(table, "0/3", "0/2")  # what is there is found, also by another dealing
    assert len(server.requests) == paid
    found = gather_remote(url)
    assert not found.missing
    run_here = fetched(url, tmp_path / "fetched")
    assert files_of(run_here) == files_of(tmp_path / "whole")
    assert RunDirectory(run_here).read_manifest()["status"] == "done"
    assert f'dir = "{url}"' in (run_here / "config.toml").read_text()


def with_directory(table: Config, url: str) -> Config:
    return msgspec.structs.replace(table, run=msgspec.structs.replace(table.run, dir=url))


def test_a_store_that_is_gone_for_a_while_loses_nothing(
    tmp_path: Path, bucket: str, server: StandIn, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 30)
    asyncio.run(run(config(tmp_path / "whole", seeds, server.url), Progress()))
    table = with_directory(config(Path("run"), seeds, server.url, concurrency=2), f"{bucket}/run")
    server.requests.clear()
    monkeypatch.setattr(server, "delay", 0.05)
    monkeypatch.setattr(mirror, "_PUSH_EVERY", 0.2)
    progress, troubles = Progress(), list[str]()

    def break_the_store() -> None:
        while progress.seeds_done < 5:
            time.sleep(0.05)
        s3.stop()
        until = time.monotonic() + 60
        while time.monotonic() < until and "waiting for s3://" not in progress.trouble:
            time.sleep(0.1)
        troubles.append(progress.trouble)
        s3.start()

    breaking = threading.Thread(target=break_the_store)
    breaking.start()
    asyncio.run(run_remote_shard(table, parse_sharding("0/1"), progress))
    breaking.join()
    assert any("waiting for s3://" in trouble for trouble in troubles)
    assert not gather_remote(table.run.dir).missing
    assert files_of(fetched(table.run.dir, tmp_path / "fetched")) == files_of(tmp_path / "whole")
    assert len(server.requests) == len({str(request) for request in server.requests})


def test_a_store_that_stays_away_ends_the_shard_with_a_sentence(
    tmp_path: Path, server: StandIn, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_PATIENCE", 1.0)
    monkeypatch.setattr(remote.Store.__init__, "__defaults__", (1.0, lambda _text: None))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    table = with_directory(config(Path("run"), seeds_file(tmp_path / "seeds.jsonl", 3), server.url), f"{bucket}/run")
    with pytest.raises(StoreError, match="cannot be reached"):
        grow(table, "0/1")


def test_a_killed_shard_goes_on_elsewhere(
    tmp_path: Path, bucket: str, server: StandIn, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = seeds_file(tmp_path / "seeds.jsonl", 40)
    asyncio.run(run(config(tmp_path / "whole", seeds, server.url), Progress()))
    table = with_directory(config(Path("run"), seeds, server.url, concurrency=4), f"{bucket}/run")
    path = tmp_path / "run.toml"
    path.write_text(render_config(table))
    server.requests.clear()
    monkeypatch.setattr(server, "delay", 0.1)
    command = [sys.executable, "-m", "snipmill", "run", str(path), "--shard", "0/1"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, **s3.variables})
    store = remote.Store(table.run.dir)
    while not [name for name in store.names("shards/0/segments") if "grown" in name]:
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    paid = len(server.requests)
    monkeypatch.setattr(server, "delay", 0.0)
    grow(table, "0/1")
    assert not gather_remote(table.run.dir).missing
    assert files_of(fetched(table.run.dir, tmp_path / "fetched")) == files_of(tmp_path / "whole")
    again = len(server.requests) - len({str(request) for request in server.requests})
    assert again < paid / 2  # what was not pushed yet, of the last two seconds, is asked again


def test_two_processes_cannot_work_on_one_shard(bucket: str) -> None:
    store = remote.Store(f"{bucket}/run")
    first = lease.take_lease(store, "shards/0", 0)
    assert first.session == 1
    with pytest.raises(StoreError, match="Another process works on"):
        lease.take_lease(store, "shards/0", 0, patience=1.0)
    elsewhere = msgspec.structs.replace(first, host="elsewhere")
    store.write(f"shards/0/{lease.LEASE}", msgspec.json.encode(elsewhere))
    with pytest.raises(StoreError, match="Another process works on"):
        lease.take_lease(store, "shards/0", 0, patience=1.0)
    silent = msgspec.structs.replace(elsewhere, until=time.time() - 1)
    store.write(f"shards/0/{lease.LEASE}", msgspec.json.encode(silent))
    assert lease.take_lease(store, "shards/0", 7, patience=1.0).session == 8


def test_on_one_machine_a_store_needs_shards(bucket: str, tmp_path: Path, snipmill: Snipmill, s3: S3) -> None:
    table = with_directory(config(Path("run"), seeds_file(tmp_path / "s.jsonl", 1), "http://127.0.0.1:9/v1"), bucket)
    (tmp_path / "run.toml").write_text(render_config(table))
    refused = snipmill("run", tmp_path / "run.toml", **s3.variables)
    assert refused.returncode == 2
    assert "Give --shard 0/1, or --engine ray" in refused.stderr
    with pytest.raises(UsageError, match="nonsense"):
        remote.Store("nonsense://bucket")


def test_what_a_store_refuses_is_told_at_once(
    tmp_path: Path, bucket: str, s3: S3, snipmill: Snipmill, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = seeds_file(tmp_path / "s.jsonl", 1)
    monkeypatch.setenv("HOME", str(tmp_path))

    def refused(url: str, **variables: str) -> str:
        table = with_directory(config(Path("run"), seeds, "http://127.0.0.1:9/v1"), url)
        (tmp_path / "run.toml").write_text(render_config(table))
        began = time.monotonic()
        done = snipmill("run", tmp_path / "run.toml", "--shard", "0/1", **{**s3.variables, **variables})
        assert time.monotonic() - began < 60
        assert "Traceback" not in done.stderr
        assert done.returncode in (2, 5)
        return done.stderr

    assert "Is there such a bucket" in refused("s3://no-such-bucket-here/run")
    assert "user name or a password" in refused("sftp://me:secret@host/run")


def test_a_person_who_stops_does_not_wait_for_the_store(tmp_path: Path, server: StandIn, s3: S3) -> None:
    table = with_directory(config(Path("run"), seeds_file(tmp_path / "s.jsonl", 3), server.url), "s3://bucket/run")
    (tmp_path / "run.toml").write_text(render_config(table))
    variables = {**os.environ, **s3.variables, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "snipmill", "run", str(tmp_path / "run.toml"), "--shard", "0/1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=variables)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert b"Traceback" not in told
    assert process.returncode == 130


def test_a_lease_is_its_owners(bucket: str) -> None:
    store = remote.Store(f"{bucket}/run")
    mine = lease.take_lease(store, "shards/0", 0)
    successor = lease.take_lease(store, "shards/0", 0, at_once=True)
    assert (mine.session, successor.session) == (1, 2)
    lease.release_lease(store, "shards/0", mine)  # too late: it is not mine any more
    assert lease.read_lease(store, "shards/0") == successor
    lease.release_lease(store, "shards/0", successor)
    found = lease.read_lease(store, "shards/0")
    assert found is not None
    assert found.is_over
    assert store.create("shards/0/sessions/000002.json", b"{}")
    assert not store.create("shards/0/sessions/000002.json", b"{}")
