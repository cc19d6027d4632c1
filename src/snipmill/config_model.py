"""The tables of the configuration that speak of models: which one, on which server, how its tokens are drawn, what they cost."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from snipmill.config_table import Natural, Positive, Price, Seconds, Share, Table, as_in_model, key

_NONE: Any = msgspec.field(default_factory=dict)


class PriceTable(Table, frozen=True, kw_only=True):
    """What a million tokens cost, in any currency; for the account in the manifest."""

    prompt: Annotated[Price, key("Price of prompt tokens.")] = 0.0
    cached: Annotated[Price | None, key("Price of prompt tokens from the server's cache.", default="as `prompt`")] = (
        None
    )
    completion: Annotated[Price, key("Price of generated tokens.")] = 0.0


class SamplingTable(Table, frozen=True, kw_only=True):
    """How tokens are drawn. What is not set is not sent, so that the server's own default applies; the temperature always is."""

    temperature: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=5)] | None, key("Sampling temperature.", default="0.7")
    ] = None
    top_p: Annotated[Share | None, key("Probability mass of the tokens that are considered.")] = None
    top_k: Annotated[Annotated[int, msgspec.Meta(ge=-1)] | None, key("Number of tokens that are considered.")] = None
    min_p: Annotated[Share | None, key("Least probability of a token, relative to the likeliest one.")] = None
    repetition_penalty: Annotated[
        Annotated[float, msgspec.Meta(gt=0, le=10)] | None, key("Factor against repetition.")
    ] = None
    presence_penalty: Annotated[
        Annotated[float, msgspec.Meta(ge=-2, le=2)] | None, key("Penalty of repeated tokens.")
    ] = None
    frequency_penalty: Annotated[
        Annotated[float, msgspec.Meta(ge=-2, le=2)] | None, key("Penalty of frequent tokens.")
    ] = None
    stop: Annotated[tuple[str, ...], key("More strings that end a completion.", default="none")] = ()


class StageModelTable(Table, frozen=True, kw_only=True):
    """What differs from `[model]` for one stage. Keys that are not set are as there.

    Another server (`base_url`) gets no key, header or field of `[model]`; without a `name`, the model is the one that it serves.
    Another model or server has prices of its own. A judge is sampled with temperature 0, and answers in 4 tokens.
    """

    base_url: Annotated[str | tuple[str, ...] | None, as_in_model("Address of another server, or of several.")] = None
    name: Annotated[str | None, as_in_model("Another model.")] = None
    key_variable: Annotated[str | None, as_in_model("Environment variable with the key of the server.")] = None
    prompting: Annotated[Literal["completion", "chat"] | None, as_in_model("`completion` or `chat`.")] = None
    max_tokens: Annotated[Positive | None, as_in_model("Maximum number of new tokens.")] = None
    max_thinking_tokens: Annotated[Natural | None, as_in_model("Maximum number of tokens of thought.")] = None
    extra_body: Annotated[dict[str, Any], as_in_model("Fields that are added to those of `[model]`.")] = _NONE
    headers: Annotated[dict[str, str], as_in_model("Headers that are added to those of `[model]`.")] = _NONE
    sampling: SamplingTable = SamplingTable()
    price: PriceTable = PriceTable()


class StagesTable(Table, frozen=True, kw_only=True):
    """Stages with another model, server or sampling than `[model]` says."""

    concepts: StageModelTable = StageModelTable()
    instructions: StageModelTable = StageModelTable()
    responses: StageModelTable = StageModelTable()
    assertions: StageModelTable = StageModelTable()


class ModelTable(Table, frozen=True, kw_only=True):
    """The model, and the server that runs it. docs/servers.md explains the choices."""

    base_url: Annotated[
        str | tuple[str, ...] | None,
        key(
            "Address of an OpenAI-compatible server, with /v1, or several.",
            default="`OPENAI_BASE_URL`, else the embedded model",
        ),
    ] = None
    serve: Annotated[
        Literal["vllm", "ray"] | None,
        key(
            "Start servers for `name`: `vllm` one on this machine, `ray` replicas of vLLM on the GPUs of a Ray cluster.",
            default="no server is started",
        ),
    ] = None
    replicas: Annotated[
        Positive | None, key('Replicas of `serve = "ray"`.', default="as many as the cluster has GPUs for")
    ] = None
    serve_args: Annotated[tuple[str, ...], key("More arguments for the started server.")] = ()
    serve_python: Annotated[str | None, key("The Python that has vLLM.", default="this one")] = None
    name: Annotated[
        str | None,
        key(
            "The model to use; for the embedded server a GGUF file, a hub file owner/name/file.gguf, or a known name.",
            default="the one that is served",
            option="--model",
        ),
    ] = None
    prompting: Annotated[
        Literal["completion", "chat"], key("`completion` for base models, `chat` for instruct models.")
    ] = "completion"
    max_tokens: Annotated[
        Positive,
        key("Maximum number of new tokens, those of thought not included. A completion that needs more is dropped."),
    ] = 1536
    max_thinking_tokens: Annotated[
        Natural,
        key("Maximum number of tokens of thought before an answer, in a chat. A thought that needs more is dropped."),
    ] = 4096
    keep_thinking: Annotated[bool, key("Keep the thinking traces of responses in their records, as `thinking`.")] = True
    concurrency: Annotated[
        Positive | None,
        key("Requests in flight at each server. The embedded server takes at most 4.", default="tuned automatically"),
    ] = None
    timeout: Annotated[Seconds, key("Seconds without a byte after which a request is tried again.")] = 600.0
    give_up: Annotated[Seconds, key("Seconds without an answer from any server after which the run stops.")] = 600.0
    stream: Annotated[bool, key("Stream completions, and leave a response when its tests are complete.")] = True
    context: Annotated[Positive, key("Tokens in each slot of the embedded server.")] = 6144
    key_variable: Annotated[str, key("Environment variable that holds the server's key.")] = "OPENAI_API_KEY"
    extra_body: Annotated[
        dict[str, Any],
        key(
            "More fields of every request, for what only one server knows: `chat_template_kwargs = {enable_thinking = false}`.",
            default="none",
        ),
    ] = _NONE
    headers: Annotated[
        dict[str, str],
        key(
            "More headers of every request. A value is the name of the environment variable that holds it: "
            '`X-Team = "TEAM_TOKEN"`.',
            default="none",
        ),
    ] = _NONE
    sampling: SamplingTable = SamplingTable()
    price: PriceTable = PriceTable()
    stages: StagesTable = StagesTable()
