"""How many tokens of which billing class did a call use? Disjoint classes from nested counts.

Providers nest their counts: cached tokens sit inside the input of one and beside the input of
another, reasoning inside or beside the output. Priced as printed, a token is paid twice or
not at all. `disjoint` turns nested counts into classes that add up to the provider's totals.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter


class TokenClass(StrEnum):
    """Which classes are billed apart? The value is the field of `Usage` and the wire name."""

    INPUT = "input"
    """Uncached text input."""
    CACHE_READ = "cache_read"
    CACHE_WRITE_5M = "cache_write_5m"
    CACHE_WRITE_1H = "cache_write_1h"
    OUTPUT = "output"
    """Text output without reasoning."""
    REASONING = "reasoning"
    AUDIO_INPUT = "audio_input"
    AUDIO_OUTPUT = "audio_output"
    IMAGE_INPUT = "image_input"
    IMAGE_OUTPUT = "image_output"
    REQUEST = "request"
    """Billed requests, not tokens; the fee of one is `Rates.request_fee_nanos`."""


INPUT_CLASSES = (
    TokenClass.INPUT,
    TokenClass.CACHE_READ,
    TokenClass.CACHE_WRITE_5M,
    TokenClass.CACHE_WRITE_1H,
    TokenClass.AUDIO_INPUT,
    TokenClass.IMAGE_INPUT,
)
OUTPUT_CLASSES = (
    TokenClass.OUTPUT,
    TokenClass.REASONING,
    TokenClass.AUDIO_OUTPUT,
    TokenClass.IMAGE_OUTPUT,
)
_CLASSES = tuple(TokenClass)
# All fields at once: a usage is looked through on every call.
_counts = attrgetter(*(each.value for each in TokenClass))
_inputs = attrgetter(*(each.value for each in INPUT_CLASSES))
_outputs = attrgetter(*(each.value for each in OUTPUT_CLASSES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How many units of each billing class? No token is in two classes.

    Units: tokens, `request` in billed requests; none negative.
    Raises: ValueError for a negative count, which only a bug can bring here (`disjoint`
    clamps).
    """

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    request: int = 0

    def __post_init__(self) -> None:
        if min(_counts(self)) < 0:
            name, quantity = next(each for each in self.items() if each[1] < 0)
            raise ValueError(f"{name} is negative: {quantity}")

    @property
    def total_input(self) -> int:
        """How many input tokens of all classes? Long-context thresholds compare with it."""
        return sum(_inputs(self))

    @property
    def total_output(self) -> int:
        """How many output tokens of all classes?"""
        return sum(_outputs(self))

    def of(self, token_class: TokenClass) -> int:
        """How many units of this class?"""
        return int(getattr(self, token_class.value))

    def items(self) -> Iterator[tuple[TokenClass, int]]:
        """Which units of which class, in the order of TokenClass, zeros included?"""
        return zip(_CLASSES, _counts(self), strict=True)

    def __add__(self, other: "Usage") -> "Usage":
        names = [field.name for field in fields(self)]
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in names})


class Nesting(StrEnum):
    """Does a provider count a part inside the total beside it?"""

    INSIDE = "inside"
    """OpenAI, Gemini (cache), our own API: the total contains the part."""
    OUTSIDE = "outside"
    """Anthropic and Bedrock (cache), Gemini (thoughts): the part stands beside the total."""


@dataclass(frozen=True, slots=True)
class Disjoint:
    """Which classes follow from the counts, and did the counts agree with each other?

    `consistent` is False when a part was larger than its total (the class is clamped to 0) or
    the classes do not add up to the provider's own total: the entry gets the flag
    USAGE_INCONSISTENT.
    """

    usage: Usage
    consistent: bool


def disjoint(
    *,
    input_tokens: int,
    output_tokens: int,
    cached_input_tokens: int = 0,
    cache_write_tokens: int = 0,
    cache_write_1h_tokens: int = 0,
    reasoning_tokens: int = 0,
    audio_input_tokens: int = 0,
    audio_output_tokens: int = 0,
    image_input_tokens: int = 0,
    image_output_tokens: int = 0,
    requests: int = 1,
    total_tokens: int | None = None,
    cache_nesting: Nesting = Nesting.INSIDE,
    reasoning_nesting: Nesting = Nesting.INSIDE,
) -> Disjoint:
    """Which disjoint classes stand behind these nested counts?

    Units: tokens. With the defaults the counts are those of our own API: `input_tokens`
    contains the cached, written, audio and image input, `output_tokens` the reasoning, audio
    and image output. `cache_write_tokens` are the 5-minute writes alone. `total_tokens` is
    the provider's total where it gives one; it is compared, never trusted over the parts.
    Source: product.md section 3.1; provider shapes: docs/algorithms/rounding.md.
    """
    cache = cached_input_tokens + cache_write_tokens + cache_write_1h_tokens
    beside_text_in = audio_input_tokens + image_input_tokens
    beside_text_out = audio_output_tokens + image_output_tokens
    inside_cache = cache if cache_nesting is Nesting.INSIDE else 0
    inside_reasoning = reasoning_tokens if reasoning_nesting is Nesting.INSIDE else 0
    text_in = input_tokens - inside_cache - beside_text_in
    text_out = output_tokens - inside_reasoning - beside_text_out
    usage = Usage(
        input=max(0, text_in),
        cache_read=cached_input_tokens,
        cache_write_5m=cache_write_tokens,
        cache_write_1h=cache_write_1h_tokens,
        output=max(0, text_out),
        reasoning=reasoning_tokens,
        audio_input=audio_input_tokens,
        audio_output=audio_output_tokens,
        image_input=image_input_tokens,
        image_output=image_output_tokens,
        request=requests,
    )
    adds_up = total_tokens in (None, usage.total_input + usage.total_output)
    return Disjoint(usage, text_in >= 0 and text_out >= 0 and adds_up)


def reasoning_nesting(
    *, input_tokens: int, output_tokens: int, reasoning_tokens: int, total_tokens: int
) -> Nesting:
    """Does this provider count reasoning inside its output? Its own total decides.

    `input + output = total` says inside; `input + output + reasoning = total` says outside;
    when neither holds, inside is assumed, which never bills a token twice.
    """
    if input_tokens + output_tokens + reasoning_tokens == total_tokens and reasoning_tokens:
        return Nesting.OUTSIDE
    return Nesting.INSIDE
