"""How does a worker get money, and know what is left? Never on the usual call's path.

A loan is one transaction (grant_lease, the cap). One thread of a worker borrows for a place;
those that come meanwhile use what it got. Nobody waits long for a tree that is locked.
Source: decision-plane.md sections 3 and 3.2.
"""

import time
from collections.abc import Sequence
from datetime import datetime

from o10.kernel.errors import ServiceUnavailable
from o10.lease import records
from o10.lease.book import Book, Reuse
from policies.core.envelope import Balance
from policies.core.slices import NEAR, fair_share, next_slice, small_slice
from policies.core.till import UNBOUNDED, View, view_of
from policies.operations.booked_call import reservation_names
from policies.operations.grant_lease import HolderEnded, Lent, grant_lease
from policies.operations.leases import notify
from policies.operations.teller.look import look_at
from policies.operations.teller.teller import Teller, lease_id, micros
from policies.operations.teller.till import Till

LEASE_TTL_S = 30
SMALL_TTL_S = 600
"""Of an envelope with a single user: ten thousand of them are not renewed every few seconds."""
STOP_BEFORE_S = 2.0
"""Nothing is lent in the last seconds of a lease (P7)."""
WAIT_MS = 100
"""So long a call waits for the lock of a tree; then nobody waits for it for a moment."""
BUSY_S = 0.25
SHORT_EVERY_S = 1.0
SHORT_LOOKS = 10
_SHORT_STEP_S = 0.008


def borrow(teller: Teller, till: Till, *, worst: int, now: datetime) -> None:
    """Has the till enough for this call afterwards, or does its view say why not?

    Raises: ServiceUnavailable when the tree is locked by somebody else for too long, the books
    are far behind, or this worker is about to end; PolicyChanged.
    """
    if teller.stopping:
        raise ServiceUnavailable(what="this worker, which is stopping", retry_after_s=1)
    if teller.is_far_ahead():
        raise ServiceUnavailable(what="the bookkeeper", retry_after_s=5)
    if teller.monotonic() < till.busy_until:
        raise ServiceUnavailable(what="this envelope, which is busy", retry_after_s=1)
    before = till.book
    if not till.refill.acquire(timeout=2 * WAIT_MS / 1_000):
        raise ServiceUnavailable(what="this envelope, which is busy", retry_after_s=1)
    try:
        book = till.book
        if book is not before and book is not None and book.free >= worst:
            return
        refill(teller, till, worst=worst, now=now)
    except ServiceUnavailable:
        till.busy_until = teller.monotonic() + BUSY_S
        raise
    except HolderEnded as error:
        # The books took this process for dead; its keeper opens another till.
        teller.stopping = True
        raise ServiceUnavailable(what="this worker", retry_after_s=1) from error
    finally:
        till.refill.release()


def refill(teller: Teller, till: Till, *, worst: int, now: datetime) -> None:
    """Borrows a slice; the one before is given back as far as it is free. Hold `refill`.

    Raises: as `grant_lease`.
    """
    begun = teller.monotonic()
    till.pace.see(worst)
    till.pace.note(till.reserved, calls=till.calls, at=begun)
    till.reserved = till.calls = 0
    own = _own_room(till)
    # What is lent of it before the first loan here is with others.
    lent_to_others = till.view.helds[-1] if till.view and not till.books() else 0
    share = _share(teller, till)

    def size(remaining: int | None, active: int) -> int:
        if own is not None and remaining is not None and own <= remaining:
            # The leaf binds, and it has one user: a worker takes its full share at once, as
            # far as that leaves enough to all the others.
            most = small_slice(
                remaining=remaining,
                active_workers=active,
                w99=till.pace.dearest,
                worst=worst,
                lent=lent_to_others,
            )
            return min(most, max(share // max(1, active), NEAR * till.pace.dearest))
        return next_slice(
            remaining=remaining,
            active_workers=active,
            w99=till.pace.dearest,
            burn_1s=till.pace.burn_1s,
            worst=worst,
        )

    lent = grant_lease(
        cells=till.cells,
        place=till.place,
        size=size,
        least=worst,
        lease=lease_id(teller.fence),
        fence=teller.fence,
        ttl_s=LEASE_TTL_S if own is None else SMALL_TTL_S,
        use_case_id=till.use_case,
        # A lease serves many keys: no person and no key borrows it.
        actor_id=0,
        policy_version=teller.known.policy.snapshot.version if teller.known else 0,
        now=now,
        wait_ms=WAIT_MS,
    )
    if not isinstance(lent, Lent):
        see(teller, till, lent.path, at=begun, now=now)
        return
    first = till.book is None and till.view is not None
    take_over(teller, till, lent, begun=begun, now=now)
    crowd = teller.crowd_of(till) if first else None
    if crowd is not None:
        crowd.touched += 1
        crowd.use_case = till.use_case
        crowd.dearest = max(crowd.dearest, till.pace.dearest)


def take_over(teller: Teller, till: Till, lent: Lent, *, begun: float, now: datetime) -> None:
    """Calls draw on this lease from now on; the one before goes back. Hold `refill`.

    `begun` is the instant of our clock before it was asked for (P7).
    """
    lasts = (lent.expires_at - now).total_seconds() - STOP_BEFORE_S
    fresh = Book(
        lease=lent.lease,
        granted=lent.amount,
        good_until=begun + lasts,
        # The web port or another host may end the same call; who is booked first has ended it.
        reuse=Reuse.WHEN_BOOKED,
    )
    with teller.journal.lock:
        old, till.book, till.names = till.book, fresh, reservation_names(fresh.lease)
        teller.books[fresh.lease] = (till, fresh)
        see(teller, till, lent.path, at=begun, now=now)
    if old is not None:
        teller.retire(till, old, now=now)


def _own_room(till: Till) -> int | None:
    """What has the envelope of a single user left, by the last look? None = it is none."""
    if till.view is None or not till.small:
        return None
    return till.view.levels[-1][0]


def _share(teller: Teller, till: Till) -> int:
    """How much of what the levels above have left may all workers lend to one user?"""
    crowd = teller.crowd_of(till)
    if crowd is None or till.view is None:
        return UNBOUNDED
    above = [left for left, *_ in till.view.levels[:-1] if left is not None]
    if not above:
        return UNBOUNDED
    return fair_share(max(0, min(above)), users=crowd.size, active_workers=1)


def look(teller: Teller, till: Till, *, now: datetime) -> View:
    """What do the balances say now? A read without a lock."""
    at = teller.monotonic()
    return see(teller, till, look_at(till.place, till.cells), at=at, now=now)


def see(
    teller: Teller, till: Till, path: Sequence[Balance], *, at: float, now: datetime
) -> View:
    """Keeps and writes down what was seen: decisions name it."""
    with teller.journal.lock:
        offset = teller.journal.position
        seen = records.Seen(
            number=offset,
            at_us=micros(now),
            levels=tuple(
                (each.cap, each.settled, each.held, each.unsettled, each.contingency)
                for each in path
            ),
        )
        teller.journal.append(records.encode(seen))
        free = till.book.free if till.book is not None else 0
        till.view = view_of(path, place=till.place, at=at, offset=offset, free=free)
        return till.view


def ask_others(teller: Teller, till: Till, *, short: int | None, now: datetime) -> None:
    """Before a refusal: others may hold free money of the level that is `short`, counted from
    the root (None = the last); they give it back now.

    At most once a second a worker waits for it, less than a tenth of a second. One transaction
    would be as fast, but this one costs the others nothing while money is not short.
    """
    at = teller.monotonic()
    held = till.view.helds if till.view is not None else ()
    if at < teller.short_at + SHORT_EVERY_S or not any(each > 0 for each in held):
        return
    teller.short_at = at
    teller.settle_debts(now=now)
    level = -1 if short is None else short
    notify("short", root=till.cells.root, envelope=till.cells.envelopes[level])
    for _ in range(SHORT_LOOKS):
        time.sleep(_SHORT_STEP_S)
        if look(teller, till, now=now).helds != held:
            return
