"""The exports in TRL's own trainers, one step each, with a tiny random model on the CPU. Needs `trl` and `torch`."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
trl = pytest.importorskip("trl")

from datasets import load_dataset  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM  # noqa: E402

from snipmill.publish.formats.catalogue import TABLES  # noqa: E402
from snipmill.rewards import areward_all, reward  # noqa: E402
from snipmill.store.run_directory import RunDirectory  # noqa: E402
from tests.publish.conftest import finished  # noqa: E402, F401

_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, finished: RunDirectory) -> Path:  # noqa: F811
    from snipmill.cli.app import app

    folder = tmp_path_factory.mktemp("exported")
    for name in TABLES:
        with pytest.raises(SystemExit):
            app(["export", str(finished.path), "-f", name, "-o", str(folder / name)])
    return folder


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Bytes as tokens, and a chat template."""
    alphabet = {character: number for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    found = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>", pad_token="<|pad|>")
    found.chat_template = _TEMPLATE
    return found


@pytest.fixture
def model(tokenizer: Any) -> Any:
    torch.manual_seed(0)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def common(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
    }


def trained(trainer: Any) -> dict[str, Any]:
    trainer.train()
    logs: dict[str, Any] = {}
    for entry in trainer.state.log_history:
        logs |= entry
    loss = logs.get("loss", logs.get("train_loss"))
    assert loss is not None and math.isfinite(loss), logs
    return logs


@pytest.mark.parametrize("name", ["messages", "prompt-completion", "text-prompt-completion", "repair"])
def test_sft(name: str, exported: Path, tmp_path: Path, model: Any, tokenizer: Any) -> None:
    rows = load_dataset(str(exported / name), split="train", cache_dir=str(tmp_path))
    arguments = trl.SFTConfig(**common(tmp_path), max_length=512)
    trained(trl.SFTTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer))


def _with_reference(trainer: Any, model: Any, arguments: Any, rows: Any, tokenizer: Any) -> Any:
    reference = copy.deepcopy(model)  # by default it would be loaded by the model's name
    return trainer(model=model, ref_model=reference, args=arguments, train_dataset=rows, processing_class=tokenizer)


def test_preferences(exported: Path, tmp_path: Path, model: Any, tokenizer: Any) -> None:
    rows = load_dataset(str(exported / "preference"), split="train", cache_dir=str(tmp_path))
    arguments = trl.DPOConfig(**common(tmp_path), max_length=512)
    logs = trained(_with_reference(trl.DPOTrainer, model, arguments, rows, tokenizer))
    assert any("rewards" in key for key in logs)


def test_kto(exported: Path, tmp_path: Path, model: Any, tokenizer: Any) -> None:
    try:
        from trl import KTOConfig, KTOTrainer
    except ImportError:
        from trl.experimental.kto import KTOConfig, KTOTrainer
    rows = load_dataset(str(exported / "kto"), split="train", cache_dir=str(tmp_path))
    arguments = KTOConfig(**common(tmp_path), max_length=512)
    trained(_with_reference(KTOTrainer, model, arguments, rows, tokenizer))


def test_grpo(exported: Path, tmp_path: Path, model: Any, tokenizer: Any) -> None:
    rows = load_dataset(str(exported / "tasks"), split="train", cache_dir=str(tmp_path))
    arguments = trl.GRPOConfig(**common(tmp_path), num_generations=2, max_completion_length=8)
    trainer = trl.GRPOTrainer(
        model=model, args=arguments, reward_funcs=[reward, areward_all], train_dataset=rows, processing_class=tokenizer
    )
    logs = trained(trainer)
    assert logs["rewards/reward/mean"] == logs["rewards/areward_all/mean"] == 0.0  # a random model solves nothing
