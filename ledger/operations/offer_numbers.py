"""Which numbers stand for an offer in entries?

The price book names offers by slug; entries carry the registry's small integers. They are made
the first time an offer is used, each with its `registry` entry, so that the ledger holds the
meaning of what it spent on and not thousands of offers nobody bought.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from ledger.core.price_terms import OfferKey
from ledger.operations.intern import Domain, intern
from ledger.queries.ledgers import COMPANY_LEDGER

NUMBERS_KEPT = 50_000

_numbers: dict[tuple[str, int, OfferKey], "OfferNumbers"] = {}


@dataclass(frozen=True, slots=True)
class OfferNumbers:
    """What do `offer_id`, `venue_id` and `model_id` of an entry on this offer say?"""

    offer_id: int
    venue_id: int
    model_id: int


def offer_numbers(
    *, key: OfferKey, actor: int, now: datetime, ledger_id: int = COMPANY_LEDGER
) -> OfferNumbers:
    """Which numbers stand for this offer? The same for ever.

    Ask before balances are locked: a new offer writes to the registry.
    Units: `actor` is an actor number, 0 for the system.
    Locks: none when known; else as `intern`.
    """
    place = (str(connection.settings_dict["NAME"]), ledger_id, key)
    known = _numbers.get(place)
    if known is not None:
        return known
    body = {
        "model": key.model,
        "precision": "unknown",
        "region": key.region,
        "slug": key.slug,
        "tier": key.tier.value,
        "venue": key.venue,
    }
    made = OfferNumbers(
        offer_id=intern(Domain.OFFER, body, ledger_id=ledger_id, actor=actor, now=now),
        venue_id=intern(
            Domain.VENUE, {"slug": key.venue}, ledger_id=ledger_id, actor=actor, now=now
        ),
        model_id=intern(
            Domain.MODEL, {"slug": key.model}, ledger_id=ledger_id, actor=actor, now=now
        ),
    )
    # Remembered once committed: a rollback would take the rows away under the cache.
    transaction.on_commit(lambda: _remember(place, made))
    return made


def forget_offer_numbers() -> None:
    """Which numbers are remembered? None from now on (a test has emptied the tables)."""
    _numbers.clear()


def _remember(place: tuple[str, int, OfferKey], made: OfferNumbers) -> None:
    if len(_numbers) >= NUMBERS_KEPT:
        _numbers.clear()
    _numbers[place] = made
