"""What is recorded when a catalogue says what the list prices say? That they are not old.

Prices that were looked at and found unchanged do not age: the day, who looked, and the SHA-256
of what was read become a row and a `price_change` entry that changes no price. A file that
names a few offers confirms nothing: the catalogue must be the source of at least half the list
prices and read the same for nine of ten offers it is the source of.
Source: product.md sections 4.3 and 13; docs/algorithms/price-governance.md.
"""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from ledger.core.document import canonical_json
from ledger.core.entry import Entry, Kind
from ledger.core.price_proposal import Proposal
from ledger.core.price_terms import PriceSource
from ledger.models.price_proposal import PriceConfirmation
from ledger.operations.funnel import write
from ledger.operations.intern import Domain, intern
from ledger.operations.put_document import put_document
from ledger.operations.write_price_version import SYSTEM
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.prices import price_book
from o10.access.plane_notice import tell_plane

SAME_OF_TEN: Final = 9
"""So many of ten offers must read the same; the others are absent or not believed."""


def confirm_prices(
    *,
    proposal: Proposal,
    base_version: int,
    actor: str,
    now: datetime,
    ledger_id: int = COMPANY_LEDGER,
) -> bool:
    """Are the list prices confirmed by a catalogue that would change nothing? Once a day.

    For a caller that holds the lock of the price book. A second look on the same day at the
    same content says the same and writes nothing.
    """
    if not _says_enough(proposal):
        return False
    day = now.astimezone(UTC).date()
    known = PriceConfirmation.objects.filter(
        content_hash=proposal.sha256, base_version=base_version, day=day
    )
    if known.exists():
        return True
    body = _body(proposal, base_version, actor)

    def run(uid: UUID) -> list[Entry]:
        return [
            Entry(
                ledger_id=ledger_id,
                kind=Kind.PRICE_CHANGE,
                uid=uid,
                effective_at=now,
                recorded_at=now,
                actor_id=0
                if actor == SYSTEM
                else intern(Domain.ACTOR, {"id": actor}, ledger_id=ledger_id, actor=0, now=now),
                doc=put_document(body, now=now),
            )
        ]

    key = f"{base_version}/{proposal.sha256}/{day}"
    written = write(
        ledger_id=ledger_id,
        scope="price_confirmation",
        key=key,
        # Who looked first is the one who said it; a second look is the same word.
        request_hash=sha256(canonical_json({"confirmed": key})).digest(),
        run=run,
    )
    PriceConfirmation.objects.create(
        catalogue=proposal.catalogue,
        edition=proposal.edition,
        content_hash=proposal.sha256,
        base_version=base_version,
        unchanged=proposal.unchanged,
        apart=len(proposal.quarantined),
        absent=len(proposal.absent),
        day=day,
        actor=actor,
        entry_uid=written.uid,
        confirmed_at=now,
    )
    tell_plane(what="prices")
    return True


def _body(proposal: Proposal, base_version: int, actor: str) -> dict[str, object]:
    return {
        "absent": len(proposal.absent),
        "actor": actor,
        "apart": len(proposal.quarantined),
        "catalogue": {
            "edition": proposal.edition,
            "name": proposal.catalogue,
            "sha256": proposal.sha256,
        },
        "change": "confirmed",
        "list_version": base_version,
        "unchanged": proposal.unchanged,
    }


def _says_enough(proposal: Proposal) -> bool:
    moved = sum(bool(each.moves) for each in proposal.quarantined)
    own = proposal.unchanged + len(proposal.absent) + moved
    listed = sum(
        any(rule.source is PriceSource.LIST for rule in offer.rules)
        for offer in price_book().stated.offers.values()
    )
    return (
        proposal.unchanged > 0
        and proposal.unchanged * 10 >= own * SAME_OF_TEN
        and proposal.unchanged * 2 >= listed
    )
