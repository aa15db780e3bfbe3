"""How does a doubted row of a catalogue get out of the list without becoming a price?

A person says why it is not believed. It changes no price, so one person is enough; the word is
an entry with who said it. The same content is not listed again; a release stays possible, by
two people as ever.
"""

from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import transaction

from ledger.core.document import canonical_json
from ledger.core.entry import Entry, Kind
from ledger.models.price import PriceQuarantine
from ledger.models.price_proposal import PriceDismissal, PriceRelease
from ledger.operations.funnel import write
from ledger.operations.intern import Domain, intern
from ledger.operations.put_document import put_document
from ledger.operations.write_price_version import lock_price_book
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.price_proposals import QuarantinedView, get_quarantined
from o10.kernel.errors import Conflict, FieldError, NotFound, ValidationFailed

REASON_CHARS_MAX: Final = 500


class AlreadyDecided(Conflict):
    """Did somebody release or dismiss this row before? Fields: `row`, `state`."""

    code = "conflict"


def dismiss_price_row(
    *, row_id: int, reason: str, actor: str, now: datetime, ledger_id: int = COMPANY_LEDGER
) -> QuarantinedView:
    """How does the row stand once it is dismissed? By the same person, twice is once.

    Raises: NotFound; AlreadyDecided (`conflict`); ValidationFailed without a reason.
    Locks: the price book.
    """
    said = reason.strip()
    if not said or len(said) > REASON_CHARS_MAX:
        message = f"Say why it is not believed, in at most {REASON_CHARS_MAX} characters."
        raise ValidationFailed(errors=[FieldError("/reason", "missing", message)])
    with transaction.atomic():
        lock_price_book()
        row = PriceQuarantine.objects.filter(id=row_id).first()
        if row is None:
            raise NotFound(kind="quarantined_price", id=str(row_id))
        known = PriceDismissal.objects.filter(quarantine=row).first()
        if known is not None and (known.actor, known.reason) == (actor, said):
            return get_quarantined(row_id=row_id)
        if known is not None or PriceRelease.objects.filter(quarantine=row).exists():
            raise AlreadyDecided(row=row_id, state=get_quarantined(row_id=row_id).state)
        body = {
            "actor": actor,
            "catalogue": row.catalogue,
            "change": "dismissed",
            "content": bytes(row.content_hash).hex(),
            "doubts": list(row.doubts),
            "quarantined": row.id,
            "reason": said,
            "slug": row.slug,
        }

        def run(uid: UUID) -> list[Entry]:
            number = intern(Domain.ACTOR, {"id": actor}, ledger_id=ledger_id, actor=0, now=now)
            return [
                Entry(
                    ledger_id=ledger_id,
                    kind=Kind.PRICE_CHANGE,
                    uid=uid,
                    effective_at=now,
                    recorded_at=now,
                    actor_id=number,
                    doc=put_document(body, now=now),
                )
            ]

        written = write(
            ledger_id=ledger_id,
            scope="price_dismissal",
            key=str(row_id),
            request_hash=sha256(canonical_json(body)).digest(),
            run=run,
        )
        PriceDismissal.objects.create(
            quarantine=row,
            reason=said,
            actor=actor,
            entry_uid=written.uid,
            dismissed_at=now,
        )
    return get_quarantined(row_id=row_id)
