"""How does a row of a catalogue stand in a document, until a person decided about it?

Cards as the text that the price digest hashes, dates in ISO 8601: a row read back is the row
that was written, to the nano.
"""

import json
from collections.abc import Mapping
from datetime import datetime, time
from hashlib import sha256
from typing import Any

from ledger.core.price_catalogue import CatalogueRow, DatedCard, Mode
from ledger.core.price_digest import card_of, card_text
from ledger.core.price_proposal import Change
from ledger.core.price_terms import GLOBAL, DayWindow, OfferKey, Tier


def row_record(row: CatalogueRow) -> dict[str, Any]:
    """How is this row written down?"""
    return {
        "name": row.name,
        **key_record(row.key),
        "mode": row.mode.value,
        "context_window": row.context_window,
        "evidence": row.evidence,
        "cards": card_records(row.cards),
    }


def row_of(record: Mapping[str, Any]) -> CatalogueRow:
    """Which row is written here? Raises: KeyError, ValueError for what is no row of ours."""
    return CatalogueRow(
        name=str(record["name"]),
        key=key_of(record),
        cards=tuple(cards_of(record["cards"])),
        mode=Mode(record.get("mode", Mode.OTHER)),
        context_window=record.get("context_window"),
        evidence=str(record.get("evidence", "")),
    )


def card_records(cards: tuple[DatedCard, ...]) -> list[dict[str, str]]:
    """How are dated cards written down?"""
    return [
        {
            "from": each.valid_from.isoformat(),
            "window": f"{each.window.start}-{each.window.end}" if each.window else "",
            "card": card_text(each.card),
        }
        for each in cards
    ]


def cards_of(records: list[Mapping[str, str]]) -> list[DatedCard]:
    """Which dated cards are written here?"""
    return [
        DatedCard(
            datetime.fromisoformat(each["from"]), card_of(each["card"]), _window(each["window"])
        )
        for each in records
    ]


def key_record(key: OfferKey) -> dict[str, str]:
    """How is an offer named in a document? Its parts and its slug."""
    return {
        "slug": key.slug,
        "venue": key.venue,
        "model": key.model,
        "region": key.region,
        "tier": key.tier.value,
    }


def key_of(record: Mapping[str, Any]) -> OfferKey:
    """Which offer is named here?"""
    return OfferKey(
        str(record["venue"]),
        str(record["model"]),
        str(record.get("region") or GLOBAL),
        Tier(str(record.get("tier") or Tier.STANDARD)),
    )


def change_record(change: Change) -> dict[str, Any]:
    """How is a difference of prices written down? Prices as decimal text of nanos."""
    return {
        "slug": change.key.slug,
        "meter": change.meter,
        "above_tokens": change.above_tokens,
        "from": change.valid_from.isoformat(),
        "before": None if change.before is None else str(change.before),
        "after": None if change.after is None else str(change.after),
    }


def record_hash(body: Mapping[str, Any]) -> bytes:
    """Which 32 bytes stand for a document of any size? SHA-256 of its JSON, keys sorted."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).digest()


def _window(text: str) -> DayWindow | None:
    if not text:
        return None
    start, _, end = text.partition("-")
    return DayWindow(time.fromisoformat(start), time.fromisoformat(end))
