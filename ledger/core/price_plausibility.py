"""Is a catalogue's price believable? Doubtful rows go into quarantine and are never loaded.

Public catalogues have wrong rows: thousands of dollars per million tokens for a small model, a
text price on an image model, a long-context twin cheaper than its base. Each rule below is one
of those. A doubt about one tier does not touch the others.
Source: product.md sections 13 and 23.19, conventions.md section 6.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ledger.core.price_catalogue import CatalogueRow, Mode
from ledger.core.price_terms import RateCard
from o10.kernel.usage import INPUT_CLASSES, OUTPUT_CLASSES, TokenClass

TOKEN_PRICE_MAX_NANOS = 1_000 * 10**9
"""$1,000 per million tokens; request, tool and hour meters have units of their own."""
STEP_MAX = 10
"""A price that moved by more than this factor since the last one is doubted."""
MOVE_SHARE_MAX = 4
"""A price in force that moves by more than a quarter waits for a person (product.md 8)."""
OUTPUT_SHARE_MIN = 4
"""A chat model's output is not cheaper than a quarter of its input."""

_TOKENS = frozenset(INPUT_CLASSES + OUTPUT_CLASSES)


class Doubt(StrEnum):
    """What is not believable about a row?"""

    TOO_DEAR = "too_dear"
    MOVED_TENFOLD = "moved_tenfold"
    MOVED_OVER_QUARTER = "moved_over_a_quarter"
    OUTPUT_BELOW_INPUT = "output_below_quarter_of_input"
    TEXT_PRICE_ON_IMAGE_MODEL = "text_price_on_image_model"
    LONG_CONTEXT_CHEAPER = "long_context_cheaper"
    LONG_TWIN_CHEAPER = "long_twin_cheaper"
    ZERO_PRICE = "zero_price"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Context:
    """What else is known when a row is judged: the card in force, and the base of a twin?"""

    last: RateCard | None
    base: RateCard | None


def doubts_about(row: CatalogueRow, context: Context) -> tuple[Doubt, ...]:
    """Which rules does this row break? Empty = it may be loaded."""
    found: dict[Doubt, None] = {}
    for dated in row.cards:
        for doubt, breaks in RULES.items():
            if breaks(row, dated.card, context):
                found[doubt] = None
    return tuple(found)


def moved_over_a_quarter(before: int | None, after: int | None) -> bool:
    """Did this price move by more than 25 %? A price that comes or goes did not move."""
    if before is None or after is None:
        return False
    return abs(after - before) * MOVE_SHARE_MAX > before


def base_of_twin(model: str) -> str | None:
    """Whose long-context twin is this model? `…-long` of `…`."""
    return model.removesuffix("-long") if model.endswith("-long") else None


def _first(card: RateCard, meter: TokenClass) -> int | None:
    brackets = card.meters.get(meter)
    return brackets[0].nanos_per_million if brackets else None


def _too_dear(row: CatalogueRow, card: RateCard, context: Context) -> bool:
    return any(
        bracket.nanos_per_million > TOKEN_PRICE_MAX_NANOS
        for meter, brackets in card.meters.items()
        if meter in _TOKENS
        for bracket in brackets
    )


def _moved(row: CatalogueRow, card: RateCard, context: Context) -> bool:
    if context.last is None or context.last.currency != card.currency:
        return False
    # Older cards of the row are history; the newest one is what would hold from now on.
    if card is not row.cards[-1].card:
        return False
    for meter, brackets in card.meters.items():
        old = context.last.meters.get(meter)
        if old is None:
            continue
        before, after = old[0].nanos_per_million, brackets[0].nanos_per_million
        if after > before * STEP_MAX or after * STEP_MAX < before:
            return True
    return False


def _output_below(row: CatalogueRow, card: RateCard, context: Context) -> bool:
    paid, made = _first(card, TokenClass.INPUT), _first(card, TokenClass.OUTPUT)
    if row.mode is not Mode.CHAT or paid is None or made is None:
        return False
    return made * OUTPUT_SHARE_MIN < paid


def _text_on_image(row: CatalogueRow, card: RateCard, context: Context) -> bool:
    return (
        row.mode is Mode.IMAGE
        and TokenClass.OUTPUT in card.meters
        and TokenClass.IMAGE_OUTPUT not in card.meters
    )


def _long_cheaper(row: CatalogueRow, card: RateCard, context: Context) -> bool:
    return any(
        bracket.nanos_per_million < brackets[0].nanos_per_million
        for brackets in card.meters.values()
        for bracket in brackets
    )


def _twin_cheaper(row: CatalogueRow, card: RateCard, context: Context) -> bool:
    if context.base is None or context.base.currency != card.currency:
        return False
    pairs = [
        (_first(card, meter), _first(context.base, meter))
        for meter in (TokenClass.INPUT, TokenClass.OUTPUT)
    ]
    return any(twin is not None and base is not None and twin < base for twin, base in pairs)


def _zero(row: CatalogueRow, card: RateCard, context: Context) -> bool:
    return any(
        bracket.nanos_per_million == 0
        for brackets in card.meters.values()
        for bracket in brackets
    )


RULES: Mapping[Doubt, Callable[[CatalogueRow, RateCard, Context], bool]] = {
    Doubt.TOO_DEAR: _too_dear,
    Doubt.MOVED_TENFOLD: _moved,
    Doubt.OUTPUT_BELOW_INPUT: _output_below,
    Doubt.TEXT_PRICE_ON_IMAGE_MODEL: _text_on_image,
    Doubt.LONG_CONTEXT_CHEAPER: _long_cheaper,
    Doubt.LONG_TWIN_CHEAPER: _twin_cheaper,
    Doubt.ZERO_PRICE: _zero,
}
