"""Which price refreshes were proposed, what became of each, which rows wait for a person?

Also: when were the list prices last found to be what a catalogue says?
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from ledger.models.price import PriceQuarantine
from ledger.models.price_proposal import PriceConfirmation, PriceProposal
from o10.kernel.errors import NotFound

PROPOSALS_SHOWN = 100
QUARANTINE_SHOWN = 2_000
# Only catalogues and releases touch list prices; contracts leave an open proposal as it is.
_BASE = """
SELECT version, digest FROM ledger_price_version
WHERE change IN ('catalogue', 'release') ORDER BY version DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalView:
    """What does a proposal say, and how does it stand?

    Shape: `state` is open, applied, superseded, declined or void (list prices changed since);
    `body` as `ledger.operations.propose_refresh` writes it; `hash` hex.
    """

    id: str
    catalogue: str
    edition: str
    content_hash: str
    hash: str
    base_version: int
    actor: str
    made_at: datetime
    state: str
    version: int | None
    ended_at: datetime | None
    ended_by: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedView:
    """Which row is not believed, why, and what did people make of it?

    Shape: `cards` are dated card records, oldest first; `readable` says that it states prices
    that a release could load; `has_zero` that one of them is 0. `reason` is that of the release
    or else of the dismissal.
    """

    id: int
    catalogue: str
    edition: str
    name: str
    slug: str
    doubts: tuple[str, ...]
    cards: tuple[Mapping[str, str], ...]
    remark: str
    seen_at: datetime
    readable: bool
    has_zero: bool
    released_at: datetime | None
    released_version: int | None
    released_by: str
    dismissed_at: datetime | None
    dismissed_by: str
    reason: str

    @property
    def state(self) -> str:
        """Does it wait, or was it released or dismissed? A release is the last word."""
        if self.released_at is not None:
            return "released"
        return "waiting" if self.dismissed_at is None else "dismissed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationView:
    """When was a catalogue found to say what the list prices say, and by whose look?

    `unchanged` counts offers that read the same, `apart` rows that are not believed, `absent`
    offers it no longer names.
    """

    catalogue: str
    edition: str
    content_hash: str
    base_version: int
    unchanged: int
    apart: int
    absent: int
    actor: str
    confirmed_at: datetime


def last_confirmation() -> ConfirmationView | None:
    """When were the list prices last confirmed? None = never since they were loaded."""
    row = PriceConfirmation.objects.order_by("-confirmed_at", "-id").first()
    if row is None:
        return None
    return ConfirmationView(
        catalogue=row.catalogue,
        edition=row.edition,
        content_hash=row.content_hash,
        base_version=row.base_version,
        unchanged=row.unchanged,
        apart=row.apart,
        absent=row.absent,
        actor=row.actor,
        confirmed_at=row.confirmed_at,
    )


def list_base() -> tuple[int, bytes]:
    """On which state of the list prices does a proposal stand? Version 0 = none yet."""
    with connection.cursor() as cursor:
        cursor.execute(_BASE)
        row = cursor.fetchone()
    return (0, bytes(32)) if row is None else (int(row[0]), bytes(row[1]))


def list_proposals() -> tuple[ProposalView, ...]:
    """Which proposals were made? Newest first, the hundred newest."""
    base = list_base()[0]
    rows = PriceProposal.objects.select_related("end").order_by("-made_at", "-id")
    return tuple(_proposal(row, base) for row in rows[:PROPOSALS_SHOWN])


def get_proposal(*, proposal: str) -> ProposalView:
    """Which proposal has this id?

    Raises: NotFound (`not_found`).
    """
    row = PriceProposal.objects.select_related("end").filter(id=proposal).first()
    if row is None:
        raise NotFound(kind="price_proposal", id=proposal)
    return _proposal(row, list_base()[0])


def list_quarantine(*, waiting_only: bool = True) -> tuple[QuarantinedView, ...]:
    """Which rows are not believed? Newest first; those people decided too when asked for."""
    rows = _rows().order_by("-seen_at", "slug")
    if waiting_only:
        rows = rows.filter(release=None, dismissal=None)
    return tuple(_quarantined(row) for row in rows[:QUARANTINE_SHOWN])


def list_decided_quarantine() -> tuple[QuarantinedView, ...]:
    """Which rows were released or dismissed? The newest word first."""
    rows = _rows().exclude(release=None, dismissal=None)
    views = [_quarantined(row) for row in rows.order_by("-seen_at", "slug")[:QUARANTINE_SHOWN]]
    return tuple(
        sorted(
            views,
            key=lambda view: max(_known(view.released_at), _known(view.dismissed_at)),
            reverse=True,
        )
    )


def count_quarantine() -> int:
    """How many rows wait for a person?"""
    return PriceQuarantine.objects.filter(release=None, dismissal=None).count()


def get_quarantined(*, row_id: int) -> QuarantinedView:
    """Which quarantined row has this number?

    Raises: NotFound (`not_found`).
    """
    row = _rows().filter(id=row_id).first()
    if row is None:
        raise NotFound(kind="quarantined_price", id=str(row_id))
    return _quarantined(row)


def _proposal(row: PriceProposal, base: int) -> ProposalView:
    end = getattr(row, "end", None)
    if end is not None:
        state = str(end.outcome)
    else:
        state = "open" if row.base_version == base else "void"
    return ProposalView(
        id=row.id,
        catalogue=row.catalogue,
        edition=row.edition,
        content_hash=row.content_hash,
        hash=bytes(row.body_hash).hex(),
        base_version=row.base_version,
        actor=row.actor,
        made_at=row.made_at,
        state=state,
        version=end.version_id if end else None,
        ended_at=end.ended_at if end else None,
        ended_by=end.actor if end else "",
        body=row.body,
    )


def _rows() -> QuerySet[PriceQuarantine]:
    return PriceQuarantine.objects.select_related("release", "dismissal")


def _known(at: datetime | None) -> datetime:
    return at or datetime.min.replace(tzinfo=UTC)


def _quarantined(row: PriceQuarantine) -> QuarantinedView:
    release = getattr(row, "release", None)
    dismissal = getattr(row, "dismissal", None)
    said = release or dismissal
    cards = tuple(each for each in row.cards if isinstance(each, dict))
    return QuarantinedView(
        id=row.id,
        catalogue=row.catalogue,
        edition=row.edition,
        name=row.name,
        slug=row.slug,
        doubts=tuple(row.doubts),
        cards=cards,
        remark=row.remark,
        seen_at=row.seen_at,
        readable=bool(cards) and len(cards) == len(row.cards),
        has_zero="zero_price" in row.doubts,
        released_at=release.released_at if release else None,
        released_version=release.version_id if release else None,
        released_by=release.approved_by if release else "",
        dismissed_at=dismissal.dismissed_at if dismissal else None,
        dismissed_by=dismissal.actor if dismissal else "",
        reason=said.reason if said else "",
    )
