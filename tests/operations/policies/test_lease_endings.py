"""Does the money of a lease come back whatever becomes of its holder, and never twice?"""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from ledger import facade as ledger
from o10.kernel.errors import ReservationFinalized
from policies import facade as policies
from policies.core.lending import LeaseSums
from policies.models import EnvelopeBalance, Lease, LeaseHolder, Reservation
from policies.operations.balances import lock, move
from policies.operations.grant_lease import renew_leases
from policies.operations.leases import change_leases, lock_lease
from policies.operations.reconcile_leases import write_off_leases
from policies.operations.reservations import find_hold
from policies.operations.return_lease import Parted, finish_lease, give_back

from .company import NOW, entries, let_go, make_tree, money_of, pay
from .lender import call_in, lend, make_holder, row_of
from .test_lease_detach import COST, WORST, by_token

LOST = NOW + timedelta(seconds=36)
"""A lease of 30 seconds that nobody renewed is over for more than five."""


def figures() -> tuple[int, int, int]:
    """Settled, held and unsettled; the same at every level."""
    found = set(
        EnvelopeBalance.objects.values_list("settled_nanos", "held_nanos", "unsettled_nanos")
    )
    assert len(found) == 1
    return found.pop()


def sums_of(lease: Any) -> LeaseSums:
    return lock_lease(lease).sums


def part(lease: Any, make: Any, **fields: Any) -> Parted:
    """Gives back or finishes, the way a bookkeeper applies it."""
    with transaction.atomic():
        row = lock_lease(lease)
        locked = lock(row.cells)
        parted = make(lease_row=row, version=locked.version, now=NOW, **fields)
        if parted.drafts:
            move(cells=row.cells, version=locked.version, change=parted.move)
        change_leases({lease: parted.change}, now=NOW)
        ledger.append(parted.drafts)
    return parted


# ---- given back


def test_what_is_given_back_leaves_the_lease_and_the_balances(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    part(lent.lease, give_back, amount=WORST, key="200")
    assert figures() == (0, 3 * WORST, 0)
    part(lent.lease, give_back, amount=3 * WORST, key="300")
    assert figures() == (0, 0, 0)
    row = row_of(lent.lease)
    assert (row.state, row.ended_at) == ("closed", NOW)


def test_never_more_is_given_back_than_is_in_no_reservation(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    call = call_in(lent.lease, WORST)
    part(lent.lease, give_back, amount=4 * WORST, key="200")
    assert figures() == (0, WORST, 0)
    assert part(lent.lease, give_back, amount=1, key="300").drafts == ()
    pay(call)
    assert figures() == (COST, WORST - COST, 0)


def test_a_lease_whose_journal_is_read_keeps_only_its_open_calls(sound: None) -> None:
    make_tree()
    fence = make_holder()
    lent = lend(4 * WORST, fence=fence)
    call = call_in(lent.lease, WORST)
    part(lent.lease, finish_lease)
    LeaseHolder.objects.filter(fence=fence).update(ended_at=NOW)
    row = row_of(lent.lease)
    assert (row.state, row.returned_nanos) == ("draining", 3 * WORST)
    # Nothing unknown is left in it, so nothing expires.
    assert policies.reconcile_leases(now=LOST) == 0
    pay(call)
    assert figures() == (COST, 0, 0)
    assert row_of(lent.lease).state == "closed"


# ---- nobody renews


def test_the_unknown_rest_of_a_lost_lease_is_unsettled(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    call_in(lent.lease, WORST)
    assert policies.reconcile_leases(now=NOW + timedelta(seconds=35)) == 0
    assert policies.reconcile_leases(now=LOST) == 1
    assert figures() == (0, WORST, 3 * WORST)
    (entry,) = entries(kind=int(ledger.Kind.EXPIRE))
    assert (entry.held_nanos, entry.unsettled_nanos, entry.lease, entry.env_version) == (
        -3 * WORST,
        3 * WORST,
        lent.lease,
        0,
    )
    assert row_of(lent.lease).state == "expired"
    assert policies.reconcile_leases(now=LOST) == 0


def test_a_lease_that_ran_out_is_settled_from_without_its_holder(sound: None) -> None:
    make_tree()
    lent = lend(WORST)
    call = call_in(lent.lease, WORST)
    # Its whole rest is known, so nothing expires; but nobody keeps it any more.
    assert policies.reconcile_leases(now=LOST) == 0
    pay(call, now=LOST)
    assert figures() == (COST, 0, 0)


def test_a_renewed_lease_does_not_expire(sound: None) -> None:
    make_tree()
    fence = make_holder()
    lend(4 * WORST, fence=fence)
    renew_leases(fence=fence, ttl_s=30, now=NOW + timedelta(seconds=29))
    assert policies.reconcile_leases(now=LOST) == 0


def test_a_known_call_of_a_lost_lease_ends_as_a_hold_of_its_own(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    first, second = call_in(lent.lease, WORST), call_in(lent.lease, WORST, sequence=200)
    policies.reconcile_leases(now=LOST)
    pay(first, now=LOST)
    let_go(second, now=LOST)
    assert figures() == (COST, 0, 2 * WORST)
    assert row_of(lent.lease).state == "expired"


def test_tokens_draw_on_what_a_lost_lease_left_unsettled(sound: None) -> None:
    tree = make_tree()
    lent = lend(2 * WORST)
    policies.reconcile_leases(now=LOST)
    answer = pay(by_token(lent.lease), model="gpt-x", venue="openai", now=LOST)
    assert (answer["late"], answer["flags"]) == (True, ["LATE_SETTLE"])
    assert figures() == (COST, 0, 2 * WORST - COST)
    assert sums_of(lent.lease).late == COST
    # Twice the same is once; another attempt has nothing to settle.
    again = pay(by_token(lent.lease), model="gpt-x", venue="openai", now=LOST)
    assert again == answer
    with pytest.raises(ReservationFinalized):
        pay(by_token(lent.lease), attempt=2, now=LOST)
    assert money_of(tree["use_case"])["unguarded"] == 0


def test_a_late_cost_above_its_promise_is_an_overrun(sound: None) -> None:
    tree = make_tree()
    lent = lend(2 * WORST)
    policies.reconcile_leases(now=LOST)
    call = by_token(lent.lease, amount=7_000_000)
    answer = pay(call, model="gpt-x", venue="openai", now=LOST)
    assert answer["overrun"]["amount"] == "0.00065"
    assert sums_of(lent.lease).late == 7_000_000
    assert money_of(tree["use_case"])["unguarded"] == 650_000


def test_an_estimated_late_settle_costs_what_was_promised(sound: None) -> None:
    make_tree()
    lent = lend(2 * WORST)
    policies.reconcile_leases(now=LOST)
    answer = pay(by_token(lent.lease), usage=None, now=LOST)
    assert answer["cost"]["amount"] == "0.015"
    assert figures() == (WORST, 0, WORST)


def test_a_release_by_token_proves_that_it_is_not_owed(sound: None) -> None:
    make_tree()
    lent = lend(2 * WORST)
    policies.reconcile_leases(now=LOST)
    answer = let_go(by_token(lent.lease), now=LOST)
    assert answer["refunded"]["amount"] == "0.015"
    assert figures() == (0, 0, WORST)
    assert sums_of(lent.lease).written_off == WORST


def test_what_nobody_proved_is_written_off_after_a_day(sound: None) -> None:
    tree = make_tree()
    lent = lend(3 * WORST)
    policies.reconcile_leases(now=LOST)
    pay(by_token(lent.lease), model="gpt-x", venue="openai", now=LOST)
    pay(by_token(lent.lease, sequence=200), usage=(1_200, 310), final=False, now=LOST)
    assert policies.write_off_due(now=NOW + timedelta(hours=24)) == 0
    day_later = NOW + timedelta(hours=24, seconds=31)
    assert policies.write_off_due(now=day_later) == 1
    assert write_off_leases(now=day_later) == 0
    row = row_of(lent.lease)
    assert (row.state, row.late_nanos + row.written_off_nanos) == ("closed", 3 * WORST)
    assert figures()[1:] == (0, 0)
    assert Reservation.objects.filter(state="written_off").count() == 1
    # A proof that comes after that is booked all the same.
    late = pay(by_token(lent.lease, sequence=300), model="gpt-x", venue="openai", now=day_later)
    assert late["late"] is True
    assert money_of(tree["use_case"])["unguarded"] == COST


def test_a_journal_that_comes_back_frees_what_was_not_used(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    policies.reconcile_leases(now=LOST)
    # Others may draw on it by their tokens, so nothing comes back piece by piece.
    assert part(lent.lease, give_back, amount=WORST, key="500").drafts == ()
    assert figures() == (0, 0, 4 * WORST)
    parted = part(lent.lease, finish_lease, awaited=WORST)
    assert [draft.kind for draft in parted.drafts] == [ledger.Kind.WRITE_OFF]
    assert figures() == (0, 0, WORST)
    assert row_of(lent.lease).state == "expired"


# ---- corrections


def reverse(entry: Any, *, now: datetime = LOST) -> None:
    ledger.reverse(
        uid=entry.uid,
        key=f"undo {entry.uid}",
        reason="wrong",
        requested_by="usr_a",
        approved_by="usr_b",
        actor_id=0,
        now=now,
    )


def test_a_settle_in_a_lease_is_taken_back_without_reviving_it(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    call = call_in(lent.lease, WORST)
    pay(call)
    (entry,) = entries(kind=int(ledger.Kind.SETTLE))
    reverse(entry)
    assert figures() == (0, 4 * WORST - COST, 0)
    assert row_of(lent.lease).settled_nanos == COST
    assert find_hold(call["uuid"]).settled == 0


def test_a_late_settle_taken_back_is_unsettled_with_its_lease_again(sound: None) -> None:
    make_tree()
    lent = lend(WORST)
    policies.reconcile_leases(now=LOST)
    pay(by_token(lent.lease), model="gpt-x", venue="openai", now=LOST)
    (entry,) = entries(kind=int(ledger.Kind.SETTLE))
    reverse(entry)
    assert figures() == (0, 0, WORST)
    assert (row_of(lent.lease).late_nanos, row_of(lent.lease).state) == (0, "expired")
    (row,) = Reservation.objects.all()
    assert (row.state, row.settled_nanos) == ("expired", 0)


def test_a_write_off_taken_back_waits_for_a_proof_again(sound: None) -> None:
    make_tree()
    lent = lend(WORST)
    policies.reconcile_leases(now=LOST)
    day_later = NOW + timedelta(hours=24, seconds=31)
    policies.write_off_due(now=day_later)
    assert Lease.objects.get().state == "closed"
    (entry,) = entries(kind=int(ledger.Kind.WRITE_OFF))
    reverse(entry, now=day_later)
    assert figures() == (0, 0, WORST)
    assert (Lease.objects.get().state, sums_of(lent.lease).unsettled) == ("expired", WORST)
    assert policies.write_off_due(now=day_later + timedelta(minutes=1)) == 1
    assert figures() == (0, 0, 0)
