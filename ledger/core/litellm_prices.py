"""What does a price file in LiteLLM's shape say? USD per token, no dates, tiers by suffix.

A key such as `input_cost_per_token_above_272k_tokens_flex` names meter, threshold and tier.
A tier has the meters the file states for it and no others: a missing batch price of cached
tokens is a missing price, not the standard one. Numbers are read as decimal text, never floats.
Source: the map of litellm 1.60.0 and 1.109.1; conventions.md sections 4 and 6.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256

from ledger.core.offer_names import REGION_PREFIXES, VENUE_ALIASES
from ledger.core.price_catalogue import (
    NAME_CHARS_MAX,
    ROWS_MAX,
    Catalogue,
    CatalogueInvalid,
    CatalogueRow,
    Mode,
    Skip,
    Skipped,
    Unreadable,
    nanos_per_million,
    reasoning_of,
    undated,
)
from ledger.core.price_terms import GLOBAL, Bracket, OfferKey, RateCard, Tier
from o10.kernel.usage import TokenClass

NAME = "litellm"

_FIELD = re.compile(
    r"(?P<base>[a-z_]+?)(?P<hour>_above_1hr)?(?:_above_(?P<thousand>\d+)k_tokens)?"
    r"(?:_(?P<tier>batches|flex|priority))?"
)
_METERS = {
    "input_cost_per_token": TokenClass.INPUT,
    "output_cost_per_token": TokenClass.OUTPUT,
    "cache_read_input_token_cost": TokenClass.CACHE_READ,
    "cache_creation_input_token_cost": TokenClass.CACHE_WRITE_5M,
    "output_cost_per_reasoning_token": TokenClass.REASONING,
    "input_cost_per_audio_token": TokenClass.AUDIO_INPUT,
    "output_cost_per_audio_token": TokenClass.AUDIO_OUTPUT,
    "input_cost_per_image_token": TokenClass.IMAGE_INPUT,
    "output_cost_per_image_token": TokenClass.IMAGE_OUTPUT,
    "input_cost_per_request": TokenClass.REQUEST,
}
_TIERS = {
    None: Tier.STANDARD,
    "batches": Tier.BATCH,
    "flex": Tier.FLEX,
    "priority": Tier.PRIORITY,
}
_CHAT = frozenset({"chat", "completion", "responses"})
_IMAGE = frozenset({"image_generation", "image_edit"})
_AREA = re.compile(r"(?:global|eu|us|apac|[a-z]{2}(?:-gov)?-[a-z]+-\d)(?=/)")
_NOT_MODELS = frozenset({"sample_spec"})

_Prices = dict[Tier, dict[str, dict[int, int]]]


def read_litellm(content: bytes, *, version: str) -> Catalogue:
    """What does this file say?

    Raises: CatalogueInvalid (`validation_failed`) when it is no JSON object of objects, or has
    more than 100,000 rows. A row that cannot be read is listed, the others are taken.
    """
    try:
        table = json.loads(content, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise CatalogueInvalid(place="", reason="not JSON") from error
    if not isinstance(table, dict) or len(table) > ROWS_MAX:
        raise CatalogueInvalid(place="", reason=f"not an object of at most {ROWS_MAX} rows")
    named: dict[OfferKey, list[CatalogueRow]] = {}
    skipped: list[Skipped] = []
    unreadable: list[Unreadable] = []
    for name in sorted(table, key=lambda each: (each.count("/"), each)):
        row = table[name]
        if not isinstance(row, dict) or not isinstance(row.get("litellm_provider"), str):
            skipped.append(Skipped(name[:NAME_CHARS_MAX], Skip.NOT_A_MODEL))
            continue
        key = offer_of(name, str(row["litellm_provider"]))
        if name in _NOT_MODELS or not key.model or len(name) > NAME_CHARS_MAX:
            skipped.append(Skipped(name[:NAME_CHARS_MAX], Skip.NOT_A_MODEL))
            continue
        try:
            prices = _prices(row)
        except CatalogueInvalid as error:
            unreadable.append(Unreadable(name, key, str(error.fields["reason"])))
            continue
        read = _rows(name, key, row, prices)
        skipped += [Skipped(name, read)] if isinstance(read, Skip) else []
        for each in read if isinstance(read, list) else []:
            named.setdefault(each.key, []).append(each)
    rows = [each[0] for each in named.values() if not _differ(each)]
    unreadable += [
        Unreadable(row.name, row.key, f"another row names this offer and differs: {row.name}")
        for each in named.values()
        if _differ(each)
        for row in each
    ]
    return Catalogue(
        name=NAME,
        version=version,
        sha256=sha256(content).hexdigest(),
        rows=tuple(sorted(rows, key=lambda each: each.key.slug)),
        skipped=tuple(skipped),
        unreadable=tuple(unreadable),
    )


def offer_of(name: str, provider: str) -> OfferKey:
    """Which offer does a key of the file name? `azure/eu/gpt-5.1`, `eu.anthropic.claude-…`."""
    family = provider.lower().split("-")[0] if provider.startswith("vertex_ai") else provider
    venue = VENUE_ALIASES.get(family.lower(), (family.lower(),))[0]
    model = name.lower()
    first, slash, rest = model.partition("/")
    if slash and (first in (venue, provider.lower(), family.lower()) or _means(first, venue)):
        model = rest
    region = GLOBAL
    area = _AREA.match(model)
    if area:
        region, model = area.group(), model[area.end() + 1 :]
    prefix, dot, rest = model.partition(".")
    if venue == "aws" and dot and prefix in REGION_PREFIXES:
        region, model = prefix, rest
    return OfferKey(venue, model, region)


def _differ(rows: list[CatalogueRow]) -> bool:
    # Which of two rows is right cannot be told from the file: neither is taken.
    return any(row.cards != rows[0].cards for row in rows[1:])


def _means(name: str, venue: str) -> bool:
    return venue in VENUE_ALIASES.get(name, ())


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no number")


def _prices(row: Mapping[str, object]) -> _Prices:
    prices: _Prices = {}
    for field, value in row.items():
        found = _FIELD.fullmatch(field)
        meter = _METERS.get(found["base"]) if found else None
        if found is None or meter is None or value is None:
            continue
        if found["hour"] and meter is not TokenClass.CACHE_WRITE_5M:
            continue
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise CatalogueInvalid(place=field, reason=f"{field} is no number")
        each = TokenClass.CACHE_WRITE_1H if found["hour"] else meter
        above = int(found["thousand"] or 0) * 1000
        brackets = prices.setdefault(_TIERS[found["tier"]], {}).setdefault(each.value, {})
        brackets[above] = nanos_per_million(Decimal(value), per=1)
    return prices


def _rows(
    name: str, key: OfferKey, row: Mapping[str, object], prices: _Prices
) -> list[CatalogueRow] | Skip:
    if not prices:
        has_other = any("cost" in field for field in row)
        return Skip.NO_TOKEN_PRICE if has_other else Skip.NO_PRICE
    mode = _mode(str(row.get("mode")))
    made = []
    for tier, meters in prices.items():
        card = _card(meters, mode, key.venue)
        if card is not None:
            made.append(
                CatalogueRow(
                    name=name,
                    key=OfferKey(key.venue, key.model, key.region, tier),
                    cards=undated(card),
                    mode=mode,
                    context_window=_context(row.get("max_input_tokens")),
                    evidence=str(row.get("source") or "")[:500],
                )
            )
    return made or Skip.FREE


def _mode(mode: str) -> Mode:
    if mode in _CHAT:
        return Mode.CHAT
    return Mode.IMAGE if mode in _IMAGE else Mode.OTHER


def _card(meters: Mapping[str, Mapping[int, int]], mode: Mode, venue: str) -> RateCard | None:
    """The card of one tier; None when it says nothing but zeros.

    A zero beside prices means that the class is not billed apart or not known: the class stays
    without a price. A zero input or output price of a chat model is kept, for the doubt it is.
    """
    if not any(price for brackets in meters.values() for price in brackets.values()):
        return None
    kept = {}
    for meter, brackets in meters.items():
        judged = mode is Mode.CHAT and meter in (TokenClass.INPUT, TokenClass.OUTPUT)
        if 0 in brackets and (judged or all(brackets.values())):
            kept[meter] = tuple(Bracket(above, brackets[above]) for above in sorted(brackets))
    return RateCard("USD", kept, reasoning=reasoning_of(venue)) if kept else None


def _context(value: object) -> int | None:
    return value if isinstance(value, int) and 0 < value < 2**31 else None
