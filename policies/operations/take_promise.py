"""What if a token names a call that the books never heard of? Its lease may have been lost.

When a host is lost with its journal, the whole rest of its leases is unsettled and only the
callers know what was called. A token proves what was reserved; the settle that comes with it
proves the cost, and draws on what the lease left unsettled. With nothing unsettled there it is
booked all the same, as unguarded.
Source: decision-plane.md sections 3 and 10.
"""

from datetime import timedelta

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel.errors import ReservationUnknown, ServiceUnavailable
from o10.wire.token import ReservationToken, looks_like_token
from policies.core.instants import UNIX_EPOCH
from policies.models import Reservation, UseCase
from policies.operations.leases import LeaseRow, find_leases, holder_lives
from policies.operations.reservations import Hold, find_hold, named
from policies.operations.token_keys import read_token


def take_promise(reference: str, *, caller: Caller) -> Hold:
    """Which hold does this token promise, although no row says so?

    Raises: ReservationUnknown (`reservation_unknown`) when it is no token of a lease, or when
    the caller may not know of it; ServiceUnavailable (`unavailable`) while the holder lives:
    it will tell of the call.
    """
    promise = read_token(reference) if looks_like_token(reference) else None
    unknown = ReservationUnknown(id=reference[:40])
    if promise is None or not promise.sequence:
        raise unknown
    lease_row = find_leases([promise.lease]).get(promise.lease)
    if lease_row is None:
        raise unknown
    if not lease_row.expired and holder_lives(lease_row.fence):
        raise ServiceUnavailable(what="this reservation", retry_after_s=1)
    slug = UseCase.objects.values_list("slug", flat=True).get(id=lease_row.use_case)
    scoped = caller.use_case_slugs is None or slug in caller.use_case_slugs
    if not scoped:
        raise unknown
    row = _row(promise, lease_row, slug, caller, reference)
    Reservation.objects.bulk_create([row], ignore_conflicts=True)
    return find_hold(row.id)


def _row(
    promise: ReservationToken, lease_row: LeaseRow, slug: str, caller: Caller, reference: str
) -> Reservation:
    """Effective when the lease was granted: in the periods from which it was lent."""
    reservation = named(reference)
    return Reservation(
        id=reservation,
        state="expired",
        held=True,
        caller=caller.key_id,
        actor_id=0,
        use_case=lease_row.use_case,
        root=lease_row.root,
        path_ids=list(lease_row.path_ids),
        path_periods=list(lease_row.path_periods),
        dims_id=0,
        run_id="",
        model="",
        venue="",
        region="",
        tier="",
        offer_id=0,
        venue_id=0,
        model_id=0,
        price_version=0,
        policy_version=promise.policy_version,
        decision_id=reservation,
        decision=ledger.ZERO_UUID,
        shape={"use_case": slug, "worst_nanos": str(promise.amount_nanos)},
        input_bound=0,
        max_output_tokens=promise.max_output_tokens,
        amount_nanos=promise.amount_nanos,
        open_nanos=0,
        authorized_at=lease_row.granted_at,
        expires_at=UNIX_EPOCH + timedelta(milliseconds=promise.expires_at_ms),
        ended_at=lease_row.expires_at,
        lease=lease_row.id,
        sequence=promise.sequence,
    )
