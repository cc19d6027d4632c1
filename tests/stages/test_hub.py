"""What is fetched from the hub, against a stand-in on loopback that speaks its protocol."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RESPONSE, SEED, Snipmill, read_lines, write_lines
from tests.hub import Hub
from tests.standin import StandIn

pytest.importorskip("huggingface_hub")
PROMPT = "Given a list of three ravens and two herons, return how many of the birds can sing before the sun goes down."


def test_a_benchmark_from_the_hub(snipmill_process: Snipmill, tmp_path: Path) -> None:
    write_lines(tmp_path / "rows", {"id": "dirty", "instruction": PROMPT, "response": RESPONSE})
    bench = json.dumps({"task_id": "7", "prompt": PROMPT}).encode()
    with Hub({"datasets/owner/name/resolve/main/bench.jsonl": bench}) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        done = snipmill_process(
            "select", "rows", "--out", "o", "--benchmark", "hub:owner/name/bench.jsonl", **environment
        )
        assert done.returncode == 0, done.stderr
        assert [reject["reason"] for reject in read_lines(tmp_path / "o.rejects.jsonl")] == ["contaminated"]
        assert any(asked.startswith("GET") for asked in hub.asked)
        missing = snipmill_process(
            "select", "rows", "--out", "o", "--benchmark", "hub:owner/name/other.jsonl", **environment
        )
        assert missing.returncode == 2 and "The hub did not give" in missing.stderr
        seed = f'def songs(birds):\n    """{PROMPT}"""\n    return len(birds)\n'
        (tmp_path / "code").mkdir()
        (tmp_path / "code" / "birds.py").write_text(seed)
        (tmp_path / "config.toml").write_text(
            '[run]\ndir = "run"\n[seeds]\nsources = ["code"]\nlicense = "MIT"\n'
            '[select]\nbenchmarks = ["hub:owner/name/bench.jsonl"]\n'
        )
        with StandIn() as model:
            mined = snipmill_process("run", "config.toml", "--base-url", model.url, **environment)
        assert mined.returncode == 0, mined.stderr
        assert [reject["reason"] for reject in read_lines(tmp_path / "run/seeds.jsonl.rejects.jsonl")] == [
            "contaminated"
        ]
        assert "No function became a seed" in mined.stderr


def test_weights_from_the_hub_are_fetched_and_then_judged(snipmill_process: Snipmill, tmp_path: Path) -> None:
    write_lines(tmp_path / "seeds", {"seed": SEED})
    with Hub({"owner/name/resolve/main/tiny.gguf": b"no weights at all"}) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        done = snipmill_process("concepts", "seeds", "--out", "o", "--model", "owner/name/tiny.gguf", **environment)
        assert any("tiny.gguf" in asked for asked in hub.asked)
        assert done.returncode == 3 and "could not serve" in done.stderr
        missing = snipmill_process("concepts", "seeds", "--out", "o", "--model", "owner/name/gone.gguf", **environment)
        assert missing.returncode == 3 and "The hub did not give" in missing.stderr
