"""Which calls of a proxy can be bounded before they are sent, and what do they weigh?

Three kinds: metered (tokens in are counted here, tokens out are capped), free (no model works),
and unbounded (a model works, but nothing in the request bounds its cost: images, speech,
realtime, pass-through). Unbounded calls are refused unless the operator lets them pass: a path
without the check is no budget. The text is walked, counted and forgotten.
Source: contract.md section 4.4; docs/manual/litellm.md prints the table.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from o10.kernel.money import ceil_div

TOKENS_PER_MESSAGE: Final = 5
"""What the chat formats add around a message; 3 to 4 where it is documented."""
TOKENS_PER_CALL: Final = 8
BYTES_PER_TOKEN: Final = 3
"""For what no tokenizer reads: files, audio, and text it fails at."""
MOST_DEPTH: Final = 8


class Kind(StrEnum):
    """Can this call be bounded?"""

    METERED = "metered"
    FREE = "free"
    UNBOUNDED = "unbounded"


@dataclass(frozen=True, slots=True)
class Meter:
    """Where does a request of this type carry its text and its output limit?

    Shape: `limits` names of the output limit, the first to be set when the caller sent none;
    empty = no output is billed.
    """

    text: tuple[str, ...]
    limits: tuple[str, ...]


_CHAT_TEXT = (
    "messages",
    "tools",
    "functions",
    "response_format",
    "system",
    "instructions",
)
METERS: Mapping[str, Meter] = {
    "completion": Meter(_CHAT_TEXT, ("max_tokens", "max_completion_tokens")),
    "text_completion": Meter(("prompt", "suffix"), ("max_tokens",)),
    "anthropic_messages": Meter(_CHAT_TEXT, ("max_tokens",)),
    "responses": Meter((*_CHAT_TEXT, "input", "text"), ("max_output_tokens",)),
    "embedding": Meter(("input",), ()),
}
_FREE_WORDS = frozenset({"list", "get", "retrieve", "delete", "cancel", "file", "vector"})
_FREE = frozenset({"moderation", "create_file", "count_tokens"})


@lru_cache(maxsize=256)
def plain_type(call_type: str) -> str:
    """Which call is it, sync or async alike?"""
    if call_type in METERS or call_type == "allm_passthrough_route":
        return call_type
    return call_type.removeprefix("_").removeprefix("a")


@lru_cache(maxsize=256)
def kind_of(call_type: str) -> Kind:
    """Can a call of this type be bounded?"""
    name = plain_type(call_type)
    if name in METERS:
        return Kind.METERED
    if name in _FREE or name.partition("_")[0] in _FREE_WORDS:
        return Kind.FREE
    return Kind.UNBOUNDED


@dataclass(slots=True)
class Weight:
    """What does the input consist of? `text` is counted at once and thrown away.

    Units: `messages` and `images` in pieces, `other_bytes` of what is neither.
    """

    text: list[str]
    messages: int = 0
    images: int = 0
    other_bytes: int = 0
    token_ids: int = 0

    @property
    def text_bytes(self) -> int:
        """How long is the text? A token has at least one byte of it."""
        return sum(len(piece.encode("utf-8", "surrogatepass")) for piece in self.text)

    def bound(self, *, text_tokens: int | None, image_tokens: int, margin_percent: int) -> int:
        """How many input tokens at most? None text tokens = no tokenizer could say.

        The margin is for tokenizers that are not quite the provider's.
        """
        if text_tokens is None:
            text_tokens = ceil_div(self.text_bytes, BYTES_PER_TOKEN)
        counted = text_tokens + self.token_ids + self.messages * TOKENS_PER_MESSAGE
        counted += TOKENS_PER_CALL + self.images * image_tokens
        counted += ceil_div(self.other_bytes, BYTES_PER_TOKEN)
        return ceil_div(counted * (100 + margin_percent), 100)


def weigh(data: Mapping[str, Any], meter: Meter) -> Weight:
    """What does the input of this request consist of?"""
    weight = Weight(text=[])
    for name in meter.text:
        value = data.get(name)
        if value is None:
            continue
        if name == "messages" or (name == "input" and isinstance(value, list)):
            weight.messages += len(value) if isinstance(value, list) else 1
        _add(weight, value, MOST_DEPTH)
    return weight


def _add(weight: Weight, value: Any, depth: int) -> None:
    if isinstance(value, str):
        weight.text.append(value)
    elif type(value) is dict:
        _add_mapping(weight, value, depth)
    elif isinstance(value, list | tuple):
        if value and isinstance(value[0], int) and all(isinstance(x, int) for x in value):
            weight.token_ids += len(value)
            return
        for each in value:
            _add(weight, each, depth)
    elif isinstance(value, Mapping):
        _add_mapping(weight, value, depth)


def _add_mapping(weight: Weight, value: Mapping[Any, Any], depth: int) -> None:
    if len(value) == 2 and type(value.get("content")) is type(value.get("role")) is str:
        # A message as nearly all are.
        weight.text += value.values()
        return
    part = str(value.get("type", ""))
    if "image" in part:
        weight.images += 1
    elif "audio" in part or "file" in part or "document" in part or "video" in part:
        weight.other_bytes += _json_length(value)
    elif "content" in value or "text" in value:
        for name, each in value.items():
            if name in ("content", "text"):
                if depth:
                    _add(weight, each, depth - 1)
                else:
                    weight.other_bytes += _json_length(each)
            elif not isinstance(each, bool | int | float) and each is not None:
                weight.text.append(_as_json(each))
    else:
        # Tools, schemas, tool calls: their JSON is at least what the provider makes of them.
        weight.text.append(_as_json(value))


def _as_json(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def _json_length(value: Any) -> int:
    return len(_as_json(value).encode("utf-8", "surrogatepass"))


def asked_output(data: Mapping[str, Any], meter: Meter) -> int | None:
    """Which output limit did the caller set? The largest of those it sent."""
    return max(_limits(data, meter), default=None)


def _limits(data: Mapping[str, Any], meter: Meter) -> Iterator[int]:
    for name in meter.limits:
        value = data.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            yield value


def cap_output(data: dict[str, Any], meter: Meter, cap: int) -> None:
    """Sets the granted output: in every limit the caller sent, else in the usual one."""
    if not meter.limits:
        return
    sent = [name for name in meter.limits if data.get(name) is not None]
    for name in sent or meter.limits[:1]:
        data[name] = cap


def completions(data: Mapping[str, Any]) -> int:
    """How many answers are billed? `best_of` makes more than it shows."""
    wanted = [data.get(name) for name in ("n", "best_of")]
    numbers = [int(each) for each in wanted if isinstance(each, int) and each > 0]
    return max(numbers, default=1)
