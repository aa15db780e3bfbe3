"""Which terms has a commitment, in which versions, and which hours lie ahead of them?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

from ledger.core.price_terms import OfferKey
from ledger.models.commitment import CommitmentRow
from o10.kernel.errors import NotFound
from o10.kernel.money import Nanos


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentTerms:
    """What was agreed, in the version in force? Units as `CommitmentDraft`."""

    public: str
    version: int
    name: str
    key: OfferKey
    units: int
    hourly_rate_nanos: Nanos
    currency: str
    unit_tokens: int
    term: str
    start_at: datetime
    end_at: datetime
    notice_date: date
    owner_kind: str
    owner_slug: str
    beyond: str
    evidence: str
    requested_by: str
    approved_by: str

    @property
    def capacity_an_hour(self) -> int:
        """How many tokens do all units serve in an hour?"""
        return self.units * self.unit_tokens


def terms_of(*, public: str, at: datetime | None = None) -> CommitmentTerms:
    """Which terms has this commitment: the newest, or those in force at an instant?

    Raises: NotFound (`not_found`).
    """
    versions = [each for each in _terms() if each.public == public]
    held = [each for each in versions if at is None or each.start_at <= at]
    if not held:
        raise NotFound(kind="commitment", id=public)
    return max(held, key=lambda each: each.version)


def list_terms() -> tuple[CommitmentTerms, ...]:
    """Which versions of which commitments are there? By start, then version."""
    return tuple(sorted(_terms(), key=lambda each: (each.start_at, each.public, each.version)))


def hours_ahead(
    *, versions: Sequence[CommitmentTerms], since: datetime | None
) -> list[tuple[CommitmentTerms, int]]:
    """Which terms will hold for how many hours from an instant on? The newest version wins."""
    edges = sorted({at for each in versions for at in (each.start_at, each.end_at)})
    first = edges[0] if since is None else since
    found = []
    for start, end in pairwise(sorted({first, *(at for at in edges if at > first)})):
        holding = [each for each in versions if each.start_at <= start < each.end_at]
        hours = int((end - start) / timedelta(hours=1))
        if holding and hours:
            found.append((max(holding, key=lambda each: each.version), hours))
    return found


def _terms() -> list[CommitmentTerms]:
    return [
        CommitmentTerms(
            public=row.public,
            version=row.version,
            name=row.name,
            key=OfferKey(row.venue, row.model, row.region),
            units=row.units,
            hourly_rate_nanos=row.hourly_rate_nanos,
            currency=row.currency,
            unit_tokens=row.unit_tokens,
            term=row.term,
            start_at=row.start_at,
            end_at=row.end_at,
            notice_date=row.notice_date,
            owner_kind=row.owner_kind,
            owner_slug=row.owner_slug,
            beyond=row.beyond,
            evidence=row.evidence,
            requested_by=row.requested_by,
            approved_by=row.approved_by,
        )
        for row in CommitmentRow.objects.all()
    ]
