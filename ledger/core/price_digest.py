"""Which hash stands for a version of the price book?

A version only adds, so its hash covers the hash before it and what it added: whoever holds
the hash of one version (each `price_change` entry does) can tell whether any rule up to it was
altered. SHA-256 over the 32 bytes of the version before and one canonical line per addition,
sorted, each ended by a line feed.
Source: docs/algorithms/price-resolution.md.
Golden: tests/core/ledger/test_pricing_catalogues.py.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256

from ledger.core.fx import FxRate
from ledger.core.price_terms import Bracket, OfferKey, PriceRule, RateCard, Threshold
from o10.kernel.usage import Nesting


def digest_of(*, before: bytes, lines: Iterable[str]) -> bytes:
    """Which 32 bytes stand for the book after these additions?"""
    state = sha256(before)
    for line in sorted(lines):
        state.update(line.encode())
        state.update(b"\n")
    return state.digest()


def rule_line(key: OfferKey, rule: PriceRule) -> str:
    """Which line stands for a rule? Its number in the table is not part of it."""
    window = f"{rule.window.start}-{rule.window.end}" if rule.window else ""
    parts = (
        "rule",
        key.slug,
        key.region,
        rule.source,
        rule.source_name,
        _instant(rule.valid_from),
        _instant(rule.valid_to),
        window,
        card_text(rule.card),
    )
    return "|".join(parts)


def withdrawal_line(key: OfferKey, rule: PriceRule, ended_at: datetime) -> str:
    """Which line stands for the end of a rule?"""
    return "|".join(("end", key.slug, _instant(ended_at), rule_line(key, rule)))


def alias_line(venue: str, alias: str, model: str) -> str:
    """Which line stands for another name of a model?"""
    return "|".join(("alias", venue, alias, model))


def fx_line(rate: FxRate) -> str:
    """Which line stands for a dated rate of another currency?"""
    day = rate.rate_date.isoformat()
    return "|".join(("fx", rate.currency, day, rate.rate, rate.source, rate.evidence))


def card_text(card: RateCard) -> str:
    """Which text stands for a card? Meters in alphabetical order, brackets ascending."""
    meters = ";".join(
        f"{meter}:" + ",".join(f"{b.above_tokens}={b.nanos_per_million}" for b in brackets)
        for meter, brackets in sorted(card.meters.items())
    )
    return f"{card.currency} {card.threshold} {card.reasoning} {meters}"


def card_of(text: str) -> RateCard:
    """Which card does this text stand for? The inverse of `card_text`.

    Raises: ValueError for a text that stands for none.
    """
    currency, threshold, reasoning, meters = text.split(" ", 3)
    return RateCard(
        currency,
        {
            meter: tuple(
                Bracket(int(above), int(price))
                for above, _, price in (each.partition("=") for each in brackets.split(","))
            )
            for meter, _, brackets in (each.rpartition(":") for each in meters.split(";"))
        },
        Threshold(threshold),
        Nesting(reasoning),
    )


def _instant(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")
