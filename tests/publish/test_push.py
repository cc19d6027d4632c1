"""Pushing to a hub on loopback that speaks the real one's protocol, by the real library, and proving what is there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

pytest.importorskip("huggingface_hub")
pytest.importorskip("datasets")

from huggingface_hub import constants
from huggingface_hub.utils import _http

from snipmill.store.run_directory import RunDirectory
from tests.conftest import Snipmill, read_lines, write_lines
from tests.writable_hub import TOKEN, Fault, Repository, Stored, WritableHub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    """A hub that the library in this process speaks to, with short waits between its tries."""
    with WritableHub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        for name, value in server.environment(str(tmp_path / "home")).items():
            monkeypatch.setenv(name, value)
        waits = {"max_retries": 1, "base_wait_time": 0.01, "max_wait_time": 0.01}
        monkeypatch.setattr(
            _http.http_backoff, "__kwdefaults__", {**(_http.http_backoff.__kwdefaults__ or {}), **waits}
        )
        yield server


def header_of(card: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(card.split("---\n")[1])
    return found


def test_what_is_pushed_can_be_loaded_and_proven(
    hub: WritableHub, finished: RunDirectory, snipmill: Snipmill, tmp_path: Path
) -> None:
    args = ("push", finished.path, "owner/name", "--split", "0.25", "-f", "messages", "-f", "preference", "--journals")
    done = snipmill(*args)
    assert done.returncode == 0, done.stderr
    repository = hub.state.repositories["owner/name"]
    assert repository.private and len(repository.commits) == 2
    files = repository.commits[-1][2]
    names = set(files)
    assert {
        "README.md",
        "ATTRIBUTION.md",
        "run/SHA256SUMS",
        "run/dataset.jsonl",
        "run/journal/responses.jsonl",
    } <= names
    assert {"messages/train-00000-of-00001.parquet", "preference/train-00000-of-00001.parquet"} <= names
    assert "run/journal/seeds.jsonl" not in names
    everything = b"".join(stored.content for stored in files.values())
    assert b"127.0.0.1" not in everything and TOKEN.encode() not in everything
    header = header_of(files["README.md"].content.decode())
    assert header["license"] == "other" and header["license_details"] == "Apache-2.0, BSD-3-Clause, MIT"
    configs = header["configs"]
    assert isinstance(configs, list) and [one["config_name"] for one in configs] == ["messages", "preference"]
    # It is there for `datasets`, and proven from the hub, programs included.
    program = "import datasets; print(sum(map(len, datasets.load_dataset('owner/name', 'messages').values())))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert loaded.stdout.strip() == str(len(read_lines(finished.dataset))), loaded.stderr
    done = snipmill("reproduce", "hub:owner/name", "--execute", "0.5")
    assert done.returncode == 0 and "byte for byte" in done.stderr and "ran once more" in done.stderr, done.stderr
    # Once more: nothing is sent, and nothing changes; with another format, what is stale goes.
    before = len(hub.state.asked)
    assert snipmill(*args).returncode == 0
    assert not any("/large/" in asked for asked in hub.state.asked[before:])
    assert snipmill("push", finished.path, "hub:owner/name", "-f", "alpaca").returncode == 0
    names = set(repository.commits[-1][2])
    assert not any(name.startswith(("messages/", "run/")) for name in names)
    assert "alpaca/train-00000-of-00001.parquet" in names and ".gitattributes" in names


@pytest.mark.parametrize("status", [401, 403, 409, 413, 429, 500, 503, None])
@pytest.mark.parametrize("where", [("POST", "create"), ("PUT", "/large/"), ("POST", "/commit/")])
def test_a_hub_that_refuses_is_one_sentence(
    hub: WritableHub, finished: RunDirectory, snipmill: Snipmill, where: tuple[str, str], status: int | None
) -> None:
    if where[1] == "create" and status == 409:
        return  # that is how the hub says that the data set exists
    hub.state.faults.append(Fault(*where, status, times=20))
    done = snipmill("push", finished.path, "owner/name")
    assert done.returncode == 9, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("snipmill: hub:owner/name: ") and (str(status) if status else "rror") in last
    repository = hub.state.repositories.get("owner/name")
    assert repository is None or len(repository.commits) == 1  # nothing half-written is to be seen
    hub.state.faults.clear()
    assert snipmill("push", finished.path, "owner/name").returncode == 0


def test_a_push_that_broke_off_goes_on(hub: WritableHub, finished: RunDirectory, snipmill: Snipmill) -> None:
    args = ("push", finished.path, "owner/name", "--shard-rows", "2")
    hub.state.faults.append(Fault("POST", "/commit/", 413, times=1))
    assert snipmill(*args).returncode == 9
    sent = sum("/large/" in asked for asked in hub.state.asked)
    assert sent > 2 and snipmill(*args).returncode == 0
    assert sum("/large/" in asked for asked in hub.state.asked) == sent


def test_a_wrong_token_or_name_is_told(hub: WritableHub, finished: RunDirectory, snipmill: Snipmill) -> None:
    done = snipmill("push", finished.path, "owner/name", HF_TOKEN="hf_wrong")
    assert done.returncode == 9 and "HF_TOKEN" in done.stderr
    for name in ("name", "a/b/c", "owner/na me"):
        done = snipmill("push", finished.path, name)
        assert done.returncode == 2 and "OWNER/NAME" in done.stderr
    assert snipmill("reproduce", "hub:owner/nothing").returncode == 9
    assert snipmill("push", "nowhere", "owner/name").returncode == 2


def test_rows_that_must_not_be_published_are_refused(
    hub: WritableHub, finished: RunDirectory, snipmill: Snipmill, tmp_path: Path
) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    rows = read_lines(finished.dataset)
    key = "ghp_" + "Zx9" * 12
    rows[0]["response"] += f"\n```python\ntoken = '{key}'\n```"
    rows[1]["provenance"]["license"] = "GPL-3.0-only"
    rows[2]["instruction"] += " Ask Jane at jane.doe@mailbox.org."
    write_lines(tmp_path / "run/dataset.jsonl", *rows)
    done = snipmill("push", "run", "owner/name")
    assert done.returncode == 2 and not hub.state.repositories
    for row, fault in zip(rows, ("secret", "license", "personal-data"), strict=False):
        assert row["id"] in done.stderr and f"--allow {fault}" in done.stderr
    assert key not in done.stderr and "GPL-3.0-only" in done.stderr
    allowed = [part for fault in ("secret", "license", "personal-data") for part in ("--allow", fault)]
    assert snipmill("push", "run", "owner/name", *allowed).returncode == 0
    assert snipmill("push", "run", "owner/name", "--allow", "all").returncode == 2


def test_the_command_itself_reaches_the_hub(
    hub: WritableHub, finished: RunDirectory, snipmill_process: Snipmill, tmp_path: Path
) -> None:
    environment = hub.environment(str(tmp_path / "home"))
    done = snipmill_process("push", finished.path, "owner/name", "--journals", **environment)
    assert done.returncode == 0, done.stderr
    done = snipmill_process("reproduce", "hub:owner/name", **environment)
    assert done.returncode == 0 and "byte for byte" in done.stderr, done.stderr
    for name in ("noslash", "a b/c"):
        done = snipmill_process("push", finished.path, name, **environment)
        assert done.returncode == 2 and "OWNER/NAME" in done.stderr


def test_what_others_put_there_is_left_alone(hub: WritableHub, finished: RunDirectory, snipmill: Snipmill) -> None:
    first = ("0" * 40, "first", {"README.md": Stored(b"mine", False), "run/mine.txt": Stored(b"mine", False)})
    hub.state.repositories["owner/name"] = Repository(True, [first])
    done = snipmill("push", finished.path, "owner/name")
    assert done.returncode == 2 and "README.md, which no release of snipmill wrote" in done.stderr, done.stderr
    assert snipmill("push", finished.path, "owner/name", "--force").returncode == 0
    assert snipmill("push", finished.path, "owner/name", "-f", "alpaca", "--journals").returncode == 0
    files = hub.state.repositories["owner/name"].commits[-1][2]
    assert files["run/mine.txt"].content == b"mine" and "messages/train-00000-of-00001.parquet" not in files


def test_who_may_see_it_is_asked_and_told(hub: WritableHub, finished: RunDirectory, snipmill: Snipmill) -> None:
    hub.state.repositories["owner/name"] = Repository(
        False, [("0" * 40, "first", {".gitattributes": Stored(b"", False)})]
    )
    done = snipmill("push", finished.path, "owner/name")
    assert done.returncode == 2 and "is public" in done.stderr
    done = snipmill("push", finished.path, "owner/name", "--public")
    assert done.returncode == 0 and "Only you see it" not in done.stderr
    assert "Only you see it" in snipmill("push", finished.path, "owner/other").stderr


def test_the_configuration_keeps_its_secrets(
    hub: WritableHub, finished: RunDirectory, snipmill: Snipmill, tmp_path: Path
) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    path = tmp_path / "run/config.toml"
    bench = write_lines(
        tmp_path / "private_bench.jsonl", {"task_id": "1", "prompt": "count the white ravens of the north"}
    )
    text = path.read_text().replace("benchmarks = []", f'benchmarks = ["{bench}"]')
    text = text.replace('key_variable = "OPENAI_API_KEY"', 'key_variable = "CORP_KEY_NAME"')
    path.write_text(text)
    assert "private_bench" in text and "CORP_KEY_NAME" in text
    assert snipmill("push", "run", "owner/name", "--journals").returncode == 0
    files = hub.state.repositories["owner/name"].commits[-1][2]
    published = files["run/config.toml"].content
    for private in (b"private_bench", b"CORP_KEY_NAME", str(tmp_path).encode(), b"127.0.0.1"):
        assert private not in published
    bench.unlink()  # its fingerprints are enough
    assert snipmill("reproduce", "hub:owner/name").returncode == 0
    path.write_text(text.replace("[model]\n", '[model]\nextra_body = { api_token = "ghp_' + "Zx9" * 12 + '" }\n', 1))
    lines = [line for line in path.read_text().splitlines() if line != "extra_body = {}"]
    path.write_text("\n".join(lines) + "\n")
    done = snipmill("push", "run", "owner/name", "--journals")
    assert done.returncode == 2, done.stderr


def test_the_card_of_a_folder(finished: RunDirectory, snipmill: Snipmill, tmp_path: Path) -> None:
    assert snipmill("card", finished.path, "--out", "page").returncode == 0
    text = (tmp_path / "page/README.md").read_text()
    manifest = json.loads((finished.path / "manifest.json").read_text())
    rows = len(read_lines(finished.dataset))
    assert f"{rows:,} programming tasks" in text and manifest["model"] in text and manifest["fewshot_hash"] in text
    assert "| MIT |" in text and f"Languages: Python {rows}." in text and "expected to be wrong" in text
    assert header_of(text)["size_categories"] == ["n<1K"]
    assert "| birds |" in (tmp_path / "page/ATTRIBUTION.md").read_text()
    (tmp_path / "empty").mkdir()
    assert snipmill("card", "empty").returncode == 2
