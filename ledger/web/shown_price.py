"""How does the price basis of an entry stand in its template?"""

from collections.abc import Mapping
from typing import Any

from ledger import facade
from o10.kernel import figures
from o10.kernel.money import Nanos, half_even
from o10.kernel.usage import TokenClass

CLASS_WORDS = {
    TokenClass.INPUT: "Input, uncached",
    TokenClass.CACHE_READ: "Input, cache read",
    TokenClass.CACHE_WRITE_5M: "Input, cache write",
    TokenClass.CACHE_WRITE_1H: "Input, cache write 1 h",
    TokenClass.OUTPUT: "Output, text",
    TokenClass.REASONING: "Output, reasoning",
    TokenClass.AUDIO_INPUT: "Input, audio",
    TokenClass.AUDIO_OUTPUT: "Output, audio",
    TokenClass.IMAGE_INPUT: "Input, image",
    TokenClass.IMAGE_OUTPUT: "Output, image",
    TokenClass.REQUEST: "Requests",
}
SOURCE_WORDS = {"list": "list price", "contract": "contract price", "override": "own price"}
EVER_BEFORE_YEAR = 2001
"""Catalogues date a price that was never different to the start of time."""
MILLION = 1_000_000


def show_price(detail: facade.EntryDetail, *, currency: str) -> dict[str, Any] | None:
    """Which rates of which rule give the amount? None where nothing was priced."""
    basis = detail.basis
    if basis is None or detail.line.kind == "reversal":
        return None
    stated = _stated_lines(detail.document)
    rows = stated or [
        (line.token_class, line.quantity, line.nanos_per_million, line.nanos)
        for line in basis.lines
    ]
    computed = sum(row[3] for row in rows) if stated else basis.computed
    return {
        "subtitle": " · ".join(
            part for part in (basis.venue, basis.model, basis.region, basis.tier) if part
        )
        or "no offer named",
        "rows": [_row(*row, priced=computed is not None, currency=currency) for row in rows],
        "tokens": figures.count_exact(
            sum(quantity for name, quantity, *_ in rows if name != TokenClass.REQUEST)
        ),
        "booked": figures.money_exact(basis.booked, currency),
        "overrun": figures.money_exact(detail.overrun, currency) if detail.overrun else None,
        "facts": _facts(detail, basis),
        "check": _check(detail, computed, currency),
    }


def _stated_lines(
    document: Mapping[str, Any] | None,
) -> list[tuple[str, int, Nanos, Nanos]]:
    """Entries with classes beyond the six columns carry every line in their document."""
    return [
        (
            str(line["class"]),
            int(line["quantity"]),
            int(line["nanos_per_million"]),
            int(line["nanos"]),
        )
        for line in (document or {}).get("lines", ())
    ]


def _row(
    name: str, quantity: int, rate: Nanos, nanos: Nanos, *, priced: bool, currency: str
) -> dict[str, Any]:
    return {
        "name": CLASS_WORDS.get(TokenClass(name), name),
        "quantity": figures.count_exact(quantity),
        "rate": figures.rate(rate if priced else None, currency),
        "amount": figures.money_exact(nanos if priced else None, currency),
    }


def _facts(detail: facade.EntryDetail, basis: facade.PriceBasis) -> list[dict[str, Any]]:
    line, document = detail.line, detail.document or {}
    facts: list[dict[str, Any]] = []
    if basis.rule_id:
        source = SOURCE_WORDS.get(basis.source, basis.source)
        since = basis.valid_from
        dated = (
            f", from {figures.day(since).text}"
            if since is not None and since.year >= EVER_BEFORE_YEAR
            else ", as long as the catalogue knows"
        )
        facts.append(
            {"term": "Price rule", "text": f"{basis.rule_id}, {source}{dated}"},
        )
        facts.append({"term": "Source", "text": basis.source_name or source})
    if basis.fx:
        facts.append({"term": "Converted", "text": basis.fx})
    if line.price_version:
        facts.append(
            {"term": "Price version", "text": f"{line.price_version} of the price book"}
        )
    if basis.tier:
        facts.append({"term": "Tier", "text": basis.tier})
    facts.append({"term": "Usage", "text": _usage_words(line)})
    stated = document.get("provider_cost")
    if isinstance(stated, Mapping):
        differs = "PROVIDER_COST_DIFFERS" in line.marks
        facts.append(
            {
                "term": "Provider's figure",
                "text": f"{stated.get('currency', '')} {stated.get('amount', '')}".strip(),
                "sub": "differs by more than 1 % and a cent" if differs else "agrees",
            }
        )
    return facts


def _usage_words(line: facade.EntryLine) -> str:
    if line.basis == "estimated":
        return "estimated: booked at the reserved amount until the truth comes"
    if "USAGE_INCONSISTENT" in line.marks:
        return "measured; the classes do not add up to the provider's totals"
    if "ZERO_USAGE_CONFIRMED" in line.marks:
        return "measured, and zero"
    return {"measured": "measured; the classes add up", "invoice": "from an invoice"}.get(
        line.basis, line.basis
    )


def _check(detail: facade.EntryDetail, computed: Nanos | None, currency: str) -> dict[str, Any]:
    basis, line = detail.basis, detail.line
    booked = basis.booked if basis else line.amount
    stated = _stated_lines(detail.document)
    if computed is None:
        return {
            "tone": "neutral" if not line.tokens else "warn",
            "title": "No price to recompute with.",
            "text": "No tokens were priced."
            if not line.tokens
            else "The price book has no rule for this offer at this time.",
        }
    lines_hold = all(
        half_even(quantity * rate, MILLION) == nanos for _, quantity, rate, nanos in stated
    )
    if computed == booked and lines_hold:
        whence = (
            "from the entry's own lines"
            if stated
            else f"with version {line.price_version} of the price book"
        )
        return {
            "tone": "favourable",
            "title": "Recomputed: agrees to the nano.",
            "text": f"Quantity × rate of each class, rounded once, {whence}.",
        }
    difference = figures.money_exact(booked - computed, currency).text
    return {
        "tone": "adverse",
        "title": f"Recomputed: differs by {difference}.",
        "text": f"The rates give {figures.money_exact(computed, currency).text}.",
    }
