"""What can a call cost at most, and how many output tokens may it be granted?

Source: product.md section 6 and docs/algorithms/worst-case.md, whose worked example is also the
test's. Holds round up; settles round half to even, once per token class, which is why classes
with a fraction of a nano per token get one nano more.
"""

from dataclasses import dataclass

from o10.kernel.money import Nanos, ceil_div
from o10.kernel.rates import MILLION, Rates
from o10.kernel.usage import INPUT_CLASSES, OUTPUT_CLASSES, TokenClass

DEFAULT_OUTPUT_TOKENS = 1_024
"""Granted when the caller sends no bound and the output of the use case is not measured."""
OUTPUT_TOKENS_LEAST = 256
"""A measured default is never below this."""
USEFUL_OUTPUT_TOKENS = OUTPUT_TOKENS_LEAST // 2
"""An answer shorter than half of the least default is no answer: deny instead."""
PROMPT_MARGIN_PERCENT = 10
"""Added to our own count of a prompt; a count sent by the caller gets none."""
BYTES_PER_TOKEN = 3
"""UTF-8 bytes per token assumed for a prompt; ordinary text has more, so that we over-count."""

_CACHE_WRITES = (TokenClass.CACHE_WRITE_5M, TokenClass.CACHE_WRITE_1H)
_OTHER_OUTPUT = (TokenClass.AUDIO_OUTPUT, TokenClass.IMAGE_OUTPUT)


@dataclass(frozen=True, slots=True)
class WorstCase:
    """How much is held for a call, and for which bounds?

    Units: tokens; `nanos` of the currency of the rates. `max_output_tokens` bounds each of
    the `n` answers.
    """

    input_bound: int
    max_output_tokens: int
    n: int
    nanos: Nanos


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Which prices bound a call from above?

    Units: nanos per million tokens for `input_price` and `output_price`; `fixed_nanos` are
    request fee, tool ceiling and one nano per class priced in fractions.
    """

    input_price: int
    output_price: int
    fixed_nanos: Nanos


def input_bound(*, input_tokens: int | None, prompt: str | None) -> int | None:
    """How many input tokens can the call have? None = nobody said (ESTIMATE_MISSING).

    A caller's count stands as it is; our own estimate of a prompt gets 10 % on top.
    """
    if input_tokens is not None:
        return input_tokens
    if prompt is None:
        return None
    return with_margin(ceil_div(len(prompt.encode()), BYTES_PER_TOKEN))


def with_margin(estimate: int) -> int:
    """How many tokens does our own estimate allow for?"""
    return ceil_div(estimate * (100 + PROMPT_MARGIN_PERCENT), 100)


def output_wanted(*, asked: int | None, default: int | None) -> int:
    """How many output tokens does a call want, if nothing limits it?"""
    if asked is not None:
        return asked
    return default or DEFAULT_OUTPUT_TOKENS


def unpriced(
    *, rates: Rates, cached_input_tokens: int, max_output_tokens: int
) -> tuple[TokenClass, ...]:
    """Which classes may this call use that have no price? Unknown is never zero."""
    used = [TokenClass.INPUT]
    if cached_input_tokens:
        used.append(TokenClass.CACHE_READ)
    # A model that only draws or speaks has no text price, and needs none.
    if max_output_tokens and all(rates.price_of(each) is None for each in _OTHER_OUTPUT):
        used.append(TokenClass.OUTPUT)
    return rates.missing(used)


def ceiling(*, rates: Rates, may_write_cache: bool, tool_ceiling_nanos: Nanos = 0) -> Ceiling:
    """Which prices bound a call at these rates?

    A cache hit is not certain, so cached input is held at the full input price. Reasoning,
    audio and image output are possible where they have a price.
    """
    inputs = (TokenClass.INPUT, *(_CACHE_WRITES if may_write_cache else ()))
    fractions = sum(
        1 for each in (*INPUT_CLASSES, *OUTPUT_CLASSES) if (rates.price_of(each) or 0) % MILLION
    )
    return Ceiling(
        input_price=max(rates.price_of(each) or 0 for each in inputs),
        output_price=max(rates.price_of(each) or 0 for each in OUTPUT_CLASSES),
        fixed_nanos=rates.request_fee_nanos + tool_ceiling_nanos + fractions,
    )


def worst_case(
    *, ceiling: Ceiling, input_bound: int, max_output_tokens: int, n: int
) -> WorstCase:
    """What does the call cost if everything comes out as dear as it can?

    Source: product.md section 6. Golden: 1,320 in, 800 out at 0.75 / 4.50 per million is
    4,590,000 nanos; 1,200 in, 800 out at 2.50 / 15 is 15,000,000 nanos.
    """
    scaled = input_bound * ceiling.input_price + n * max_output_tokens * ceiling.output_price
    nanos = ceil_div(scaled, MILLION) + ceiling.fixed_nanos
    return WorstCase(input_bound, max_output_tokens, n, nanos)


def output_that_fits(
    *, ceiling: Ceiling, input_bound: int, n: int, budget_nanos: Nanos | None
) -> int | None:
    """How many output tokens per answer fit into this budget? None = any number.

    0 also where not even the input fits; the caller compares with what is useful.
    """
    if budget_nanos is None:
        return None
    room = (budget_nanos - ceiling.fixed_nanos) * MILLION - input_bound * ceiling.input_price
    if room < 0:
        return 0
    if ceiling.output_price == 0:
        return None
    return room // (n * ceiling.output_price)


def useful_output(*, wanted: int, p50_output_tokens: int | None) -> int:
    """Below how many tokens is a shortened answer of no use?

    Half of the measured median, or 128 until it is measured; never more than was wanted.
    """
    if p50_output_tokens is None:
        return min(wanted, USEFUL_OUTPUT_TOKENS)
    return min(wanted, max(1, ceil_div(p50_output_tokens, 2)))
