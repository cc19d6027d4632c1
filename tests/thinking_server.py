"""A real llama.cpp server whose chat template makes the packaged model think: each answer begins inside `<think>`.

Run as a program: it prints its address, and ends when its standard input closes.
"""

from __future__ import annotations

import os
import sys

from snipmill.llm.weights import find_weights

# Earlier answers are shown with a thought of their own, which the model imitates.
TEMPLATE = """{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.role == 'assistant' %}<think>
The examples show the form. I answer in the same form.
</think>

{% endif %}{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if enable_thinking is not defined or enable_thinking %}<think>
{% else %}<think>

</think>

{% endif %}{%- endif -%}"""


def main() -> None:
    """Serve until standard input closes."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(find_weights().path)
    params.model_alias = {"thinker"}
    params.chat_template = TEMPLATE
    params.use_jinja = True
    params.n_parallel, params.n_ctx = 2, 16384
    params.kv_unified = False
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.ui = False
    params.verbosity = 1
    threads = len(os.sched_getaffinity(0))
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", file=out, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
