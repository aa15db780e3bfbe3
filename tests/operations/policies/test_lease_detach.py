"""Do strict operations end a call inside a lease without touching what its holder has?"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.errors import ReservationFinalized, ReservationUnknown, ServiceUnavailable
from o10.wire import token
from policies import facade as policies
from policies.models import AnswerLog, EnvelopeBalance, Lease, LeaseHolder, Reservation
from policies.operations.reservations import find_hold, named
from policies.operations.token_keys import signing_key

from .company import (
    DOLLAR,
    FINANCE,
    NOW,
    ROUTER,
    entries,
    let_go,
    make_caller,
    make_tree,
    money_of,
    pay,
    prolong,
)
from .lender import call_in, lend, make_holder, row_of

COST = 7_650_000
"""1,200 in and 310 out at 2.50 and 15 dollars a million."""
WORST = 15_000_000


@contextmanager
def told(urls: Any) -> Iterator[list[dict[str, Any]]]:
    """What holders hear meanwhile; filled when the block ends."""
    news: list[dict[str, Any]] = []
    with psycopg.connect(urls.app_url, autocommit=True) as listener:
        listener.execute("LISTEN o10_plane")
        yield news
        for each in listener.notifies(timeout=0.3, stop_after=50):
            news.append(json.loads(each.payload))


def held() -> set[int]:
    return set(EnvelopeBalance.objects.values_list("held_nanos", flat=True))


def kinds(*uuids: Any) -> list[str]:
    """The kinds of entries of these reservations or leases, by name."""
    return sorted(
        ledger.Kind(each.kind).name
        for each in entries()
        if each.reservation in uuids or each.lease in uuids
    )


def test_a_final_settle_is_paid_by_the_lease_and_leaves_the_rest_to_its_holder(
    sound: None,
) -> None:
    tree = make_tree()
    lent = lend(4 * WORST)
    call = call_in(lent.lease, WORST)
    answer = pay(call)
    assert answer["cost"]["amount"] == "0.00765"
    assert answer["refunded"]["amount"] == "0.00735"
    row = row_of(lent.lease)
    assert (row.settled_nanos, row.returned_nanos, row.open_nanos) == (COST, 0, 0)
    # What was not needed is free in the memory of the holder; the balances still hold it.
    assert held() == {4 * WORST - COST}
    assert money_of(tree["use_case"])["settled"] == COST
    (entry,) = entries(kind=int(ledger.Kind.SETTLE))
    assert (entry.amount_nanos, entry.held_nanos, entry.lease, entry.env_version) == (
        COST,
        -COST,
        lent.lease,
        0,
    )
    assert entry.reserved_nanos == WORST
    hold = find_hold(call["uuid"])
    assert (hold.state, hold.open, hold.settled, hold.lease) == (
        "settled",
        0,
        COST,
        lent.lease,
    )
    assert pay(call) == answer
    with pytest.raises(ReservationFinalized):
        pay(call, attempt=2)


def test_the_excess_of_a_dear_call_is_an_overrun_and_never_taken_from_the_lease(
    sound: None,
) -> None:
    tree = make_tree()
    lent = lend(4 * WORST)
    call = call_in(lent.lease, 7_000_000)
    answer = pay(call)
    assert answer["overrun"]["amount"] == "0.00065"
    assert row_of(lent.lease).settled_nanos == 7_000_000
    assert money_of(tree["use_case"])["unguarded"] == COST - 7_000_000
    assert held() == {4 * WORST - 7_000_000}


def test_a_release_moves_nothing_and_the_money_is_its_holders_again(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    call = call_in(lent.lease, WORST)
    answer = let_go(call)
    assert answer["refunded"]["amount"] == "0.015"
    assert held() == {4 * WORST}
    assert row_of(lent.lease).open_nanos == 0
    assert let_go(call) == answer
    with pytest.raises(ReservationFinalized):
        pay(call)


def test_a_release_that_a_journal_told_is_repeated_from_its_answer(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    call = call_in(lent.lease, WORST)
    hold = find_hold(call["uuid"])
    uid = ids.uid(scope="release", key=str(hold.id), origin_ms=hold.origin_ms)
    Reservation.objects.filter(id=hold.id).update(state="released", open_nanos=0)
    Lease.objects.filter(id=lent.lease).update(open_nanos=0)
    with pytest.raises(ReservationFinalized):
        let_go(call)
    AnswerLog.objects.create(
        uid=uid, verb="release", reservation=hold.id, answer=b'{"first":1}', at=NOW
    )
    assert let_go(call) == {"first": 1}


def test_an_attempt_that_is_not_the_last_takes_the_call_out_of_the_lease(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    call = call_in(lent.lease, WORST)
    pay(call, final=False)
    assert kinds(call["uuid"], lent.lease) == ["LEASE", "LEASE_RETURN", "RESERVE", "SETTLE"]
    row = row_of(lent.lease)
    assert (row.returned_nanos, row.settled_nanos, row.open_nanos) == (WORST, 0, 0)
    hold = find_hold(call["uuid"])
    assert (hold.state, hold.open, hold.lease) == ("open", WORST - COST, None)
    assert held() == {4 * WORST - COST}
    pay(call, attempt=2)
    assert held() == {3 * WORST}


def test_after_its_holder_ended_a_call_is_settled_as_a_hold_of_its_own(sound: None) -> None:
    make_tree()
    fence = make_holder()
    lent = lend(4 * WORST, fence=fence)
    call, other = call_in(lent.lease, WORST), call_in(lent.lease, WORST, sequence=200)
    LeaseHolder.objects.filter(fence=fence).update(ended_at=NOW)
    pay(call)
    let_go(other)
    # Nobody keeps the remainder in memory: it is back at once.
    assert held() == {2 * WORST}
    row = row_of(lent.lease)
    assert (row.returned_nanos, row.open_nanos) == (2 * WORST, 0)


def test_extending_takes_the_call_out_of_the_lease_with_its_token(sound: None) -> None:
    tree = make_tree()
    lent = lend(4 * WORST)
    call = call_in(lent.lease, WORST)
    longer = prolong(call, ttl_s=1_200)
    assert longer["decision"] == "allow"
    hold = find_hold(call["uuid"])
    assert (hold.lease, hold.sequence, hold.open) == (None, 100, WORST)
    assert held() == {4 * WORST}
    assert named(longer["reservation"]["token"]) == hold.id
    other = call_in(lent.lease, WORST, sequence=200)
    larger = prolong(other, max_output_tokens=1_600)
    assert larger["decision"] in ("allow", "allow_with_caps")
    assert find_hold(other["uuid"]).open == WORST + 800 * 15_000
    assert money_of(tree["use_case"])["available"] == DOLLAR - 4 * WORST - 12_000_000


def test_a_call_that_changes_place_takes_a_version_of_its_own(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    call = call_in(lent.lease, WORST)
    prolong(call, ttl_s=1_200)
    out, into = entries(env_version=lent.version + 1)
    assert {out.kind, into.kind} == {int(ledger.Kind.LEASE_RETURN), int(ledger.Kind.RESERVE)}
    assert lend(1).version == lent.version + 2


def test_a_refused_extend_leaves_the_call_in_its_lease(sound: None) -> None:
    make_tree(use_case=4 * WORST)
    lent = lend(4 * WORST)
    call = call_in(lent.lease, WORST)
    assert prolong(call, max_output_tokens=100_000)["decision"] == "deny"
    assert find_hold(call["uuid"]).lease == lent.lease
    assert row_of(lent.lease).returned_nanos == 0


def test_a_cap_cut_below_the_exposure_lets_a_call_change_place(sound: None) -> None:
    tree = make_tree()
    lent = lend(DOLLAR // 2)
    call = call_in(lent.lease, WORST)
    policies.change_envelope(
        envelope=tree["use_case"].id,
        change=policies.EnvelopeChange(amount_nanos=DOLLAR // 10, reason="less"),
        actor=FINANCE,
        now=NOW,
    )
    prolong(call, ttl_s=1_200)
    pay(call)
    assert held() == {DOLLAR // 2 - WORST}


def test_an_expired_call_is_swept_once_its_holder_is_booked_past_it(sound: None) -> None:
    make_tree()
    fence = make_holder()
    lent = lend(4 * WORST, fence=fence, ttl_s=600)
    call = call_in(lent.lease, WORST, ttl_s=60)
    later = NOW + timedelta(seconds=66)
    assert policies.expire_due(now=later) == 0
    # Another worker of the host may have billed it, and those of other hosts can't.
    make_holder(pid=8)
    make_holder(host="host-b")
    holders = LeaseHolder.objects.filter(host="host-a")
    holders.update(booked_at=NOW + timedelta(seconds=64))
    holders.exclude(fence=fence).update(booked_at=NOW + timedelta(seconds=63))
    assert policies.expire_due(now=later) == 0
    holders.update(booked_at=NOW + timedelta(seconds=64))
    assert policies.expire_due(now=later) == 1
    hold = find_hold(call["uuid"])
    assert (hold.state, hold.open, hold.lease) == ("expired", WORST, None)
    assert held() == {3 * WORST}
    assert set(EnvelopeBalance.objects.values_list("unsettled_nanos", flat=True)) == {WORST}
    answer = pay(call, now=later)
    assert answer["late"] is True
    assert policies.write_off_due(now=later + timedelta(days=2)) == 0


def test_a_call_of_a_lease_that_ran_out_is_swept_without_its_holder(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    call_in(lent.lease, WORST, ttl_s=60)
    assert policies.expire_due(now=NOW + timedelta(seconds=66)) == 1


def test_a_call_of_an_ended_holder_is_swept_without_waiting(sound: None) -> None:
    make_tree()
    fence = make_holder()
    lent = lend(4 * WORST, fence=fence)
    call = call_in(lent.lease, WORST, ttl_s=60)
    LeaseHolder.objects.filter(fence=fence).update(ended_at=NOW)
    later = NOW + timedelta(seconds=66)
    assert policies.expire_due(now=later) == 1
    assert policies.write_off_due(now=later + timedelta(days=1)) == 1
    assert find_hold(call["uuid"]).state == "written_off"


def test_an_alias_is_a_name_of_the_first_reservation(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    first = call_in(lent.lease, WORST)
    second = call_in(lent.lease, WORST, sequence=200)
    Reservation.objects.filter(id=second["uuid"]).update(
        state="released", open_nanos=0, alias_of=first["uuid"]
    )
    Lease.objects.filter(id=lent.lease).update(open_nanos=WORST)
    pay(second)
    assert find_hold(first["uuid"]).state == "settled"
    assert find_hold(second["uuid"]).id == first["uuid"]


# ---- by token


def promise(lease: Any, *, sequence: int = 100, amount: int = WORST) -> str:
    key = signing_key(now=NOW)
    made = token.ReservationToken(
        key_id=key.id,
        lease=lease,
        sequence=sequence,
        amount_nanos=amount,
        policy_version=1,
        expires_at_ms=int((NOW + timedelta(seconds=600)).timestamp() * 1_000),
        max_output_tokens=800,
    )
    return token.sign(made, key=key.secret)


def by_token(lease: Any, **fields: Any) -> dict[str, Any]:
    return {"reservation": {"id": promise(lease, **fields)}}


def test_a_token_of_a_lease_names_its_reservation(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    call = call_in(lent.lease, WORST)
    assert named(promise(lent.lease)) == call["uuid"]
    assert pay(by_token(lent.lease))["cost"]["amount"] == "0.00765"


def test_a_call_that_is_not_booked_yet_may_be_settled_in_a_moment(sound: None) -> None:
    make_tree()
    lent = lend(4 * WORST)
    with pytest.raises(ServiceUnavailable):
        pay(by_token(lent.lease))
    assert not Reservation.objects.exists()


def test_a_token_of_no_lease_is_unknown(sound: None) -> None:
    make_tree()
    with pytest.raises(ReservationUnknown):
        pay(by_token(ids.new_uuid()))
    with pytest.raises(ReservationUnknown):
        pay({"reservation": {"id": ids.new_id("rsv")}})


def test_a_promise_of_a_lost_journal_is_booked_as_unguarded(sound: None) -> None:
    tree = make_tree()
    fence = make_holder()
    lent = lend(4 * WORST, fence=fence)
    LeaseHolder.objects.filter(fence=fence).update(ended_at=NOW)
    answer = pay(by_token(lent.lease), model="gpt-x", venue="openai")
    assert answer["late"] is True
    assert money_of(tree["use_case"])["unguarded"] == COST
    with pytest.raises(ReservationFinalized):
        pay(by_token(lent.lease), attempt=2)


def test_a_promise_is_kept_within_the_use_cases_of_the_key(sound: None) -> None:
    make_tree()
    fence = make_holder()
    lent = lend(4 * WORST, fence=fence)
    LeaseHolder.objects.filter(fence=fence).update(ended_at=NOW)
    stranger = make_caller(key="key_other", use_cases=frozenset({"other"}))
    with pytest.raises(ReservationUnknown):
        pay(by_token(lent.lease), caller=stranger)
    assert not Reservation.objects.exists()


# ---- what holders hear


def test_holders_hear_what_ended_outside_of_them(committed_books: Any) -> None:
    make_tree()
    fence = make_holder()
    lent = lend(4 * WORST, fence=fence)
    calls = [call_in(lent.lease, WORST, sequence=each) for each in (100, 200, 300)]
    with told(committed_books) as news:
        pay(calls[0])
        let_go(calls[1])
        prolong(calls[2], ttl_s=1_200)
    assert news == [
        {"k": "ended", "f": fence, "e": [[lent.lease.hex, 100, COST]]},
        {"k": "ended", "f": fence, "e": [[lent.lease.hex, 200, 0]]},
        {"k": "ended", "f": fence, "e": [[lent.lease.hex, 300, None]]},
    ]
    assert policies.check_conservation() == []
    connection.close()


def test_a_refused_ending_tells_nobody(committed_books: Any) -> None:
    make_tree()
    lent = lend(4 * WORST)
    call = call_in(lent.lease, WORST)
    pay(call)
    with told(committed_books) as news, pytest.raises(ReservationFinalized):
        pay(call, attempt=2, caller=ROUTER)
    assert news == []
