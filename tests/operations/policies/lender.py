"""A holder for tests: it borrows, and books its calls the way a bookkeeper would."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from o10.kernel import ids
from o10.wire.requests import Authorize
from policies.core.question import question_labels
from policies.core.snapshot import Place
from policies.models import DecisionLog, Lease, LeaseHolder, Reservation
from policies.operations.grant_lease import Lent, Refused, Wanted, grant_lease
from policies.operations.questions import cells_of
from policies.queries.current_policy import current_policy

from .company import MODEL, NOW


def make_holder(*, now: datetime = NOW, host: str = "host-a", pid: int = 7) -> int:
    """The fence of a process that may borrow."""
    row = LeaseHolder.objects.create(
        host=host,
        pid=pid,
        born=1,
        kind="plane",
        journal="journal.bin",
        started_at=now,
        seen_at=now,
    )
    return row.fence


def place_of(
    use_case: str = "support", *, now: datetime = NOW, customer: str | None = None
) -> Place:
    snapshot = current_policy().snapshot
    request = Authorize(use_case=use_case, customer=customer)
    found = snapshot.place_of(
        use_case=snapshot.use_cases[use_case], labels=question_labels(request), at=now
    )
    assert isinstance(found, Place), found
    return found


def new_lease(*, now: datetime = NOW) -> UUID:
    """A fresh lease id of this instant: its entries belong to the month of the test."""
    fresh = ids.new_uuid()
    millis = int(now.timestamp() * 1_000)
    return UUID(int=fresh.int & ((1 << 80) - 1) | millis << 80)


def want(
    amount: int,
    *,
    use_case: str = "support",
    customer: str | None = None,
    least: int = 1,
    lease: UUID | None = None,
    place: Place | None = None,
    now: datetime = NOW,
) -> Wanted:
    place = place or place_of(use_case, now=now, customer=customer)
    return Wanted(
        cells=cells_of(place),
        place=place,
        size=lambda remaining, active: amount,
        least=least,
        lease=lease or new_lease(now=now),
        use_case_id=current_policy().snapshot.use_cases[use_case].id,
    )


def borrow(
    amount: int, *, fence: int, now: datetime = NOW, ttl_s: int = 30, **fields: Any
) -> Lent | Refused:
    wait_ms = fields.pop("wait_ms", None)
    size = fields.pop("size", None)
    wanted = want(amount, now=now, **fields)
    return grant_lease(
        cells=wanted.cells,
        place=wanted.place,
        size=size or wanted.size,
        least=wanted.least,
        lease=wanted.lease,
        fence=fence,
        ttl_s=ttl_s,
        use_case_id=wanted.use_case_id,
        actor_id=0,
        policy_version=current_policy().snapshot.version,
        now=now,
        wait_ms=wait_ms,
    )


def lend(amount: int, *, fence: int | None = None, **fields: Any) -> Lent:
    """As `borrow`, where it must work."""
    lent = borrow(amount, fence=fence or make_holder(), **fields)
    assert isinstance(lent, Lent), lent
    return lent


def row_of(lease: UUID) -> Lease:
    return Lease.objects.get(id=lease)


def call_in(
    lease: UUID,
    amount: int,
    *,
    sequence: int = 100,
    now: datetime = NOW,
    ttl_s: int = 600,
    request_id: str = "",
    caller: str = "key_router",
) -> dict[str, Any]:
    """A call reserved inside a lease, as the books know it; shaped like an answer."""
    row = row_of(lease)
    reservation = ids.uid(
        scope="reservation", key=f"{lease}#{sequence}", origin_ms=lease.int >> 80
    )
    slug = next(
        each.slug
        for each in current_policy().snapshot.use_cases.values()
        if each.id == row.use_case
    )
    DecisionLog.objects.create(
        id=reservation,
        caller=caller,
        request_id=request_id,
        request_hash=b"h" * 32,
        decided_at=now,
        use_case=row.use_case,
        use_case_slug=slug,
        envelope=row.path_ids[-1],
        decision="allow",
        would_decision="allow",
        mode="enforce",
        reason="OK_WITHIN_ENVELOPE",
        reason_code=0,
        model=MODEL,
        worst_nanos=amount,
        reservation=reservation,
        policy_version=row.policy_version,
        price_version=1,
        record={},
        answer=b"{}",
    )
    Reservation.objects.create(
        id=reservation,
        held=True,
        caller=caller,
        actor_id=0,
        use_case=row.use_case,
        root=row.root,
        path_ids=row.path_ids,
        path_periods=row.path_periods,
        dims_id=0,
        run_id="",
        model=MODEL,
        venue="openai",
        region="",
        tier="",
        offer_id=0,
        venue_id=0,
        model_id=0,
        price_version=1,
        policy_version=row.policy_version,
        decision_id=reservation,
        decision=reservation,
        shape={
            "use_case": slug,
            "worst_nanos": str(amount),
            "offer": "",
            "n": 1,
            "model": MODEL,
        },
        input_bound=1_200,
        max_output_tokens=800,
        amount_nanos=amount,
        open_nanos=amount,
        authorized_at=now,
        expires_at=now + timedelta(seconds=ttl_s),
        lease=lease,
        sequence=sequence,
    )
    Lease.objects.filter(id=lease).update(open_nanos=row.open_nanos + amount)
    return {"reservation": {"id": ids.id_of("rsv", reservation)}, "uuid": reservation}
