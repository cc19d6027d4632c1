"""What is forgotten leaves no trace: the run is that of one who never saw it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from snipmill.config_file import parse_config
from snipmill.engine.local import run
from snipmill.engine.progress import Progress
from snipmill.store.run_directory import RunDirectory
from tests.conftest import Snipmill, read_lines
from tests.engine.test_run import contents, without_times
from tests.standin import StandIn

FUNCTION = '''def {name}({a}):
    """{doc}"""
    total = {a} * {n} + {n}
    for step in range({n}):
        total = total + step * {a}
    return total
'''


def sources(folder: Path) -> tuple[str, str]:
    """Two folders. In the second, one function is nearly one of the first, which comes before it and hides it."""
    birds, boats = folder / "birds", folder / "boats"
    for place in (birds, boats):
        (place / "lib").mkdir(parents=True)
    for n in range(2, 6):
        words = f"Count the feathers of {n} birds that fly over the sea in autumn, then their {n * n} young."
        (birds / "lib" / f"b{n}.py").write_text(FUNCTION.format(name=f"feathers_{n}", a="wings", n=n, doc=words))
        words = f"Weigh {n} boats that lie in the harbour at night, and add the weight of their {n + 9} anchors."
        (boats / "lib" / f"s{n}.py").write_text(FUNCTION.format(name=f"weight_{n}", a="masts", n=n, doc=words))
    hidden = (birds / "lib" / "b2.py").read_text()
    (boats / "other.py").write_text(hidden.replace("in autumn", "in winter"))
    return str(birds), str(boats)


def carry_out(directory: Path, folders: list[str], url: str) -> RunDirectory:
    text = f"""
    [run]
    dir = {json.dumps(str(directory))}
    [seeds]
    sources = {json.dumps(folders)}
    license = "MIT"
    types = false
    [model]
    base_url = "{url}"
    [generate]
    samples = 4
    accept = 0
    [verify]
    rerun = false
    """
    return asyncio.run(run(parse_config(text, "test"), Progress()))


def everything(directory: RunDirectory) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.path.rglob("*")) if path.is_file())


@pytest.mark.parametrize("how", ["--source", "--path", "folder"])
def test_it_is_the_run_of_one_who_never_saw_the_source(
    how: str, tmp_path: Path, standin: StandIn, snipmill: Snipmill
) -> None:
    birds, boats = sources(tmp_path)
    both = carry_out(tmp_path / "both", [birds, boats], standin.url)
    assert "near-duplicate" in {reject["reason"] for reject in read_lines(both.rejects("seeds"))}
    assert snipmill("card", both.path).returncode == 0
    assert snipmill("export", both.path, "-f", "kto", "-o", "kto").returncode == 0
    asked = len(standin.requests)
    named = {"--source": "birds", "--path": "lib/b?.py", "folder": birds}[how]
    done = snipmill("forget", both.path, "--path" if how == "--path" else "--source", named)
    assert done.returncode == 0, done.stderr
    assert (
        len(standin.requests) == asked
        and "came in their place" in done.stderr
        and "wait for completions" in done.stderr
    )
    # Nothing of it is left, in any file: neither code nor names, nor what grew from them.
    left = everything(both)
    assert b"feathers_3" not in left and b"b3.py" not in left
    assert b"| birds |" not in (both.path / "ATTRIBUTION.md").read_bytes()
    # What it had hidden is grown by the next run, which does not mine it again, though the user's own file still names it.
    if how != "--path":
        text = (both.path / "config.toml").read_text()
        (both.path / "config.toml").write_text(text.replace(json.dumps([boats]), json.dumps([birds, boats])))
        assert birds in (both.path / "config.toml").read_text()
    again = snipmill("run", both.path / "config.toml", "--base-url", standin.url)
    assert again.returncode == 0, again.stderr
    alone = carry_out(tmp_path / "alone", [boats] if how != "--path" else [birds, boats], standin.url)
    if how == "--path":
        alone_birds = snipmill("forget", alone.path, "--path", "lib/b?.py")
        assert alone_birds.returncode == 0
        snipmill("run", alone.path / "config.toml", "--base-url", standin.url)
    for name, content in contents(alone).items():
        assert without_times(contents(both)[name]) == without_times(content), name
    assert both.dataset.read_bytes() == alone.dataset.read_bytes() != b""
    assert snipmill("reproduce", both.path).returncode == 0


def test_by_licence_and_by_id(tmp_path: Path, standin: StandIn, snipmill: Snipmill) -> None:
    from tests.publish.conftest import make_run, seeds_with_origins

    directory = make_run(tmp_path / "run", seeds_with_origins(tmp_path / "seeds.jsonl", 9), standin.url)
    assert snipmill("forget", directory.path, "--license", "Apache-2.0").returncode == 0
    rows = read_lines(directory.dataset)
    assert {row["provenance"]["license"] for row in rows} == {"MIT", "BSD-3-Clause"}
    assert b"Apache-2.0" not in b"".join(directory.journal(name).read_bytes() for name in ("seeds", "responses"))
    assert snipmill("card", directory.path).returncode == 0
    victim = rows[0]
    (tmp_path / "ids").write_text(f"{victim['id']}\n")
    done = snipmill("forget", directory.path, "--ids", "ids")
    assert done.returncode == 0 and "1 seeds" in done.stderr
    seeds = {seed["id"] for seed in read_lines(directory.kept("seeds"))}
    assert victim["parents"]["seed"] not in seeds and len(seeds) == 5
    assert victim["parents"]["seed"].encode() not in everything(directory)
    assert victim["provenance"]["path"].encode() not in (directory.path / "ATTRIBUTION.md").read_bytes()
    # The next run leaves it out as well, and asks nothing.
    asked = len(standin.requests)
    before = directory.dataset.read_bytes()
    assert snipmill("run", directory.path / "config.toml", "--base-url", standin.url).returncode == 0
    assert directory.dataset.read_bytes() == before and len(standin.requests) == asked
    # With the last row goes what was said of it.
    assert snipmill("forget", directory.path, "--license", "MIT", "--license", "BSD-3-Clause").returncode == 0
    assert not directory.dataset.read_bytes() and not (directory.path / "ATTRIBUTION.md").exists()


def test_what_is_paid_for_and_not_named_stays(tmp_path: Path, standin: StandIn, snipmill: Snipmill) -> None:
    """A source that has changed on disk, and a smaller limit, cost no completion of what stays."""
    birds, boats = sources(tmp_path)
    directory = carry_out(tmp_path / "run", [birds, boats], standin.url)
    changed = Path(boats) / "lib" / "s3.py"
    original = changed.read_text()
    changed.write_text(original.replace("total = masts", "total = 1000 + masts"))
    done = snipmill("forget", directory.path, "--source", "birds")
    assert done.returncode == 0 and "1 more seeds are gone: their sources have changed" in done.stderr, done.stderr
    changed.write_text(original)
    asked = len(standin.requests)
    hidden = snipmill("run", directory.path / "config.toml", "--base-url", standin.url)
    assert hidden.returncode == 0
    grown = {seed["id"] for seed in read_lines(directory.kept("seeds"))}
    assert len(standin.requests) - asked == 6 and len(grown) == 5  # only the seed that came back is asked about
    limited = (directory.path / "config.toml").read_text().replace("[seeds]\n", "[seeds]\nlimit = 2\n", 1)
    limited = "\n".join(dict.fromkeys(line for line in limited.splitlines() if line)) + "\n"
    (tmp_path / "limited.toml").write_text(limited)
    assert snipmill("run", tmp_path / "limited.toml", "--base-url", standin.url).returncode == 0
    victim = read_lines(directory.kept("seeds"))[0]["id"]
    (tmp_path / "ids").write_text(victim)
    assert snipmill("forget", directory.path, "--ids", "ids").returncode == 0
    lines = len(read_lines(directory.journal("responses")))
    assert lines == 4 * 4, "those of the four seeds that stay, used or not"


def kill_at(place: str, directory: Path, *args: str) -> None:
    """Forget in a process of its own that dies at a place."""
    program = f"""
import os, signal, sys
from snipmill.engine import forget as room
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
room.{place} = die
from snipmill.cli import main
sys.argv = ["snipmill", "forget", {str(directory)!r}, *{args!r}]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize(
    ("how", "place"),
    [("--ids", "keep_entries"), ("--ids", "replay"), ("--source", "finish"), ("--source", "_mark_recorded")],
)
def test_a_killed_forget_is_finished_by_the_same_command(
    how: str, place: str, tmp_path: Path, standin: StandIn, snipmill: Snipmill
) -> None:
    birds, boats = sources(tmp_path)
    directory = carry_out(tmp_path / "run", [birds, boats], standin.url)
    named = [row for row in read_lines(directory.kept("seeds")) if "feathers_3" in row["seed"]]
    (tmp_path / "ids").write_text(named[0]["id"])
    args = (how, str(tmp_path / "ids") if how == "--ids" else "birds")
    kill_at(place, directory.path, *args)
    refused = snipmill("run", directory.path / "config.toml", "--base-url", standin.url)
    assert refused.returncode == 2 and "was interrupted" in refused.stderr
    done = snipmill("forget", directory.path, *args)
    assert done.returncode == 0, done.stderr
    assert b"feathers_3" not in everything(directory)
    assert not [
        path.name for path in directory.path.iterdir() if path.name.startswith(".") or path.name == "forgetting.json"
    ]
    assert snipmill("run", directory.path / "config.toml", "--base-url", standin.url).returncode == 0
    assert b"feathers_3" not in everything(directory)


@pytest.mark.parametrize("named", ["birds", "as configured"])
def test_a_source_that_was_deleted_can_be_forgotten(
    named: str, tmp_path: Path, standin: StandIn, snipmill: Snipmill
) -> None:
    birds, boats = sources(tmp_path)
    directory = carry_out(tmp_path / "run", [birds, boats], standin.url)
    Path(birds).rename(tmp_path / "away")
    assert snipmill("forget", directory.path, "--source", "boats").returncode == 2  # what stays is not there
    assert not directory.forgotten.exists()
    done = snipmill("forget", directory.path, "--source", birds if named == "as configured" else named)
    assert done.returncode == 0, done.stderr
    assert b"feathers_3" not in everything(directory) and b"/birds" not in everything(directory)
    (tmp_path / "away").rename(birds)
    text = (directory.path / "config.toml").read_text()
    (directory.path / "config.toml").write_text(text.replace(json.dumps([boats]), json.dumps([birds, boats])))
    assert snipmill("run", directory.path / "config.toml", "--base-url", standin.url).returncode == 0
    assert b"feathers_3" not in everything(directory)


def test_sources_of_one_name_are_not_confused(tmp_path: Path, standin: StandIn, snipmill: Snipmill) -> None:
    folders = []
    for place in ("x", "y"):
        folder = tmp_path / place / "src"
        folder.mkdir(parents=True)
        (folder / "util.py").write_text(
            FUNCTION.format(name=f"{place}_sum", a="parts", n=3, doc=f"Add the parts of {place}.")
        )
        folders.append(str(folder))
    directory = carry_out(tmp_path / "run", folders, standin.url)
    done = snipmill("forget", directory.path, "--source", folders[0])
    assert done.returncode == 2 and "cannot tell them apart" in done.stderr


def test_only_what_is_named_is_accepted_later_too(tmp_path: Path, standin: StandIn, snipmill: Snipmill) -> None:
    birds, boats = sources(tmp_path)
    directory = carry_out(tmp_path / "run", [birds, boats], standin.url)
    assert snipmill("forget", directory.path, "--source", "birds").returncode == 0
    before = everything(directory)
    assert snipmill("forget", directory.path, "--source", "nothere").returncode == 2
    assert snipmill("forget", directory.path, "--license", "unknown").returncode == 2
    assert everything(directory) == before


def test_files_of_an_earlier_configuration_go_too(tmp_path: Path, standin: StandIn, snipmill: Snipmill) -> None:
    birds, boats = sources(tmp_path)
    directory = carry_out(tmp_path / "run", [birds, boats], standin.url)
    (directory.path / "judge.jsonl").write_bytes(directory.kept("seeds").read_bytes())
    (directory.path / ".responses.jsonl.abcd1234").write_bytes(directory.kept("seeds").read_bytes())
    done = snipmill("forget", directory.path, "--source", "birds")
    assert done.returncode == 0, done.stderr
    assert b"feathers_3" not in everything(directory)
    assert json.loads((directory.path / "manifest.json").read_text())["accounting"]["rows"] == len(
        read_lines(directory.dataset)
    )


def test_what_is_not_there_changes_nothing(tmp_path: Path, standin: StandIn, snipmill: Snipmill) -> None:
    birds, boats = sources(tmp_path)
    directory = carry_out(tmp_path / "run", [birds, boats], standin.url)
    before = everything(directory)
    for args, said in (
        (("--source", "trains"), "Its sources are birds, boats"),
        (("--license", "GPL-3.0-only"), "its licences are MIT"),
        (("--ids", "ids"), "has no seed or row 's-none'"),
        (("--ids", "nothing"), "cannot be read"),
        ((), "Say what to forget"),
        (("--source", birds, "--source", boats), "Nothing would be left"),
    ):
        (tmp_path / "ids").write_text("s-none\n")
        done = snipmill("forget", directory.path, *args)
        assert done.returncode == 2 and said in done.stderr, done.stderr
    assert everything(directory) == before
    assert snipmill("forget", tmp_path, "--source", "x").returncode == 2


def test_damaged_tombstones_stop_the_run(tmp_path: Path, standin: StandIn, snipmill: Snipmill) -> None:
    birds, boats = sources(tmp_path)
    directory = carry_out(tmp_path / "run", [birds, boats], standin.url)
    assert snipmill("forget", directory.path, "--source", "birds").returncode == 0
    directory.forgotten.write_text('{"hash":')
    done = snipmill("run", directory.path / "config.toml", "--base-url", standin.url)
    assert done.returncode == 5 and "restore it" in done.stderr
