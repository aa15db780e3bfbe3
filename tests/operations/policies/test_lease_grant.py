"""Is money lent so that no cap can be passed, and refused so that nothing is left behind?"""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection

from ledger import facade as ledger
from o10.kernel.errors import IdempotencyMismatch, ServiceUnavailable
from policies.models import EnvelopeBalance, EnvelopeTree, Lease, LeaseHolder
from policies.operations.grant_exact import PolicyChanged
from policies.operations.grant_lease import (
    HolderEnded,
    Lent,
    Refused,
    grant_many,
    renew_leases,
)
from policies.queries.current_policy import current_policy
from tests.machines.replay import findings_of_entries

from .company import (
    DOLLAR,
    FINANCE,
    NOW,
    ask,
    entries,
    make_envelope,
    make_tree,
    make_use_case,
    money_of,
)
from .lender import borrow, lend, make_holder, new_lease, place_of, row_of, want


def test_a_slice_is_held_at_every_level_with_an_entry(sound: None) -> None:
    tree = make_tree()
    lent = lend(DOLLAR // 4)
    assert lent.amount == DOLLAR // 4
    assert [balance.held for balance in lent.path] == [DOLLAR // 4] * 3
    for each in EnvelopeBalance.objects.all():
        assert each.held_nanos == DOLLAR // 4
    (entry,) = entries(kind=int(ledger.Kind.LEASE))
    assert (entry.held_nanos, entry.lease, entry.env_version) == (
        DOLLAR // 4,
        lent.lease,
        lent.version,
    )
    row = row_of(lent.lease)
    assert (row.granted_nanos, row.state, row.expires_at) == (
        DOLLAR // 4,
        "open",
        NOW + timedelta(seconds=30),
    )
    assert money_of(tree["use_case"])["available"] == DOLLAR - DOLLAR // 4


def test_a_slice_is_cut_to_the_level_that_binds(sound: None) -> None:
    make_tree(company=10 * DOLLAR, department=DOLLAR // 2, use_case=DOLLAR // 2)
    seen: list[tuple[int | None, int]] = []

    def size(remaining: int | None, active: int) -> int:
        seen.append((remaining, active))
        return 9 * DOLLAR

    lent = borrow(0, fence=make_holder(), size=size)
    assert isinstance(lent, Lent)
    assert lent.amount == DOLLAR // 2
    assert seen == [(DOLLAR // 2, 1)]


def test_too_little_is_refused_with_the_level_and_leaves_nothing(sound: None) -> None:
    make_tree(company=10 * DOLLAR, department=5 * DOLLAR, use_case=DOLLAR)
    fence = make_holder()
    lend(DOLLAR - 10, fence=fence)
    count = len(entries())
    lease = new_lease()
    refused = borrow(DOLLAR, fence=fence, least=11, lease=lease)
    assert isinstance(refused, Refused)
    assert (refused.level, refused.path[2].held) == (2, DOLLAR - 10)
    assert len(entries()) == count
    # The id was not used up by the refusal: with less wanted it is lent.
    assert lend(DOLLAR, fence=fence, least=10, lease=lease).amount == 10


def test_a_first_refusal_opens_no_period(sound: None) -> None:
    make_tree(use_case=5)
    before = EnvelopeTree.objects.get().version
    later = NOW + timedelta(days=40)
    assert isinstance(borrow(10, fence=make_holder(), least=10, now=later), Refused)
    assert EnvelopeTree.objects.get().version == before


def test_a_lease_opens_the_missing_periods(sound: None) -> None:
    make_tree()
    later = NOW + timedelta(days=40)
    lent = lend(100, now=later)
    assert {row.period_start.month for row in EnvelopeBalance.objects.filter(held_nanos=100)}
    assert [balance.held for balance in lent.path] == [100, 100, 100]


def test_a_repeat_with_the_same_id_is_the_same_lease(sound: None) -> None:
    make_tree()
    fence, lease = make_holder(), new_lease()
    first = lend(100, fence=fence, lease=lease)
    again = lend(999, fence=fence, lease=lease, now=NOW + timedelta(seconds=1))
    assert (again.lease, again.amount, again.expires_at, again.version) == (
        first.lease,
        first.amount,
        first.expires_at,
        first.version,
    )
    assert again.path == first.path
    with pytest.raises(IdempotencyMismatch):
        borrow(100, fence=make_holder(), lease=lease)


def test_a_holder_that_ended_or_never_was_gets_nothing(sound: None) -> None:
    make_tree()
    fence = make_holder()
    LeaseHolder.objects.filter(fence=fence).update(ended_at=NOW)
    for gone in (fence, 4_711):
        with pytest.raises(HolderEnded):
            borrow(100, fence=gone)
    assert EnvelopeBalance.objects.filter(held_nanos__gt=0).count() == 0


def test_a_changed_envelope_is_noticed_by_its_epoch(sound: None) -> None:
    from policies import facade as policies

    tree = make_tree()
    old = place_of()
    policies.change_envelope(
        envelope=tree["department"].id,
        change=policies.EnvelopeChange(amount_nanos=4 * DOLLAR, reason="less"),
        actor=FINANCE,
        now=NOW,
    )
    with pytest.raises(PolicyChanged):
        borrow(100, fence=make_holder(), place=old)
    assert isinstance(borrow(100, fence=make_holder(), place=place_of()), Lent)


def test_a_frozen_level_lends_nothing(sound: None) -> None:
    from policies import facade as policies

    tree = make_tree()
    policies.change_envelope(
        envelope=tree["department"].id,
        change=policies.EnvelopeChange(state="frozen", reason="stop"),
        actor=FINANCE,
        now=NOW,
    )
    refused = borrow(100, fence=make_holder())
    assert isinstance(refused, Refused)
    assert refused.level == 1


def test_a_lease_ends_with_the_first_period_of_its_path(sound: None) -> None:
    make_tree()
    eve = NOW.replace(day=30, hour=23, minute=59, second=50)
    fence = make_holder(now=eve)
    lent = lend(100, fence=fence, now=eve)
    midnight = eve.replace(hour=0, minute=0, second=0) + timedelta(days=1)
    assert lent.expires_at == midnight
    renewed = renew_leases(fence=fence, ttl_s=30, now=eve + timedelta(seconds=5))
    assert renewed == {lent.lease: midnight}
    with pytest.raises(PolicyChanged):
        borrow(100, fence=fence, place=place_of(now=eve), now=midnight)


def test_an_end_that_is_moved_up_recalls_and_keeps_the_period_of_what_is_lent(
    sound: None,
) -> None:
    from policies import facade as policies

    make_use_case()
    soon, end = NOW + timedelta(seconds=10), NOW + timedelta(days=9)
    made = make_envelope(
        period_kind="fixed", start_at=NOW - timedelta(days=1), end_at=end, amount=DOLLAR
    )
    old = place_of()
    lent = lend(100)
    policies.change_envelope(
        envelope=made.id,
        change=policies.EnvelopeChange(end_at=soon, reason="over"),
        actor=FINANCE,
        now=NOW,
    )
    with pytest.raises(PolicyChanged):
        borrow(100, fence=make_holder(), place=old)
    # A call that its holder still lets through at 20 seconds falls into the period.
    assert EnvelopeBalance.objects.get().period_end == lent.expires_at
    assert lend(100, place=place_of()).expires_at == soon


def test_active_holders_are_those_with_a_lease_who_were_seen_lately(sound: None) -> None:
    make_tree()
    seen: list[int] = []

    def size(remaining: int | None, active: int) -> int:
        seen.append(active)
        return 10

    fences = [make_holder(pid=each) for each in range(4)]
    for fence in fences[:3]:
        borrow(0, fence=fence, size=size)
    LeaseHolder.objects.filter(fence=fences[0]).update(seen_at=NOW - timedelta(seconds=31))
    borrow(0, fence=fences[3], size=size)
    borrow(0, fence=fences[3], size=size)
    assert seen == [1, 2, 3, 3, 3]


def test_without_any_cap_the_whole_wish_is_lent(sound: None) -> None:
    make_use_case()
    make_envelope(kind="company", slug="", amount=DOLLAR, hard=False)
    seen: list[int | None] = []

    def size(remaining: int | None, active: int) -> int:
        seen.append(remaining)
        return 9 * DOLLAR

    lent = borrow(0, fence=make_holder(), size=size)
    assert isinstance(lent, Lent)
    assert (lent.amount, seen) == (9 * DOLLAR, [None])


def test_several_children_are_lent_in_one_transaction(sound: None) -> None:
    parent = make_tree(use_case=100)["use_case"].id
    make_envelope(kind="customer", slug="acme", amount=60, parent=parent)
    make_envelope(kind="customer", slug="default", amount=40, parent=parent)
    fence = make_holder()
    wanted = [
        want(60, customer="acme", least=60),
        want(60, customer="other", least=40),
        want(1, customer="acme"),
    ]
    found = grant_many(
        wanted=wanted,
        fence=fence,
        ttl_s=600,
        actor_id=0,
        policy_version=current_policy().snapshot.version,
        now=NOW,
    )
    first, second, third = found
    assert isinstance(first, Lent)
    assert isinstance(second, Lent)
    assert (first.amount, second.amount) == (60, 40)
    # The third saw what the first took.
    assert isinstance(third, Refused)
    assert third.level == 3
    versions = {entry.env_version for entry in entries(kind=int(ledger.Kind.LEASE))}
    assert versions == {first.version}
    again = grant_many(
        wanted=[replace(wanted[0], size=lambda r, a: 1)],
        fence=fence,
        ttl_s=600,
        actor_id=0,
        policy_version=current_policy().snapshot.version,
        now=NOW,
    )
    assert isinstance(again[0], Lent)
    assert again[0].amount == 60
    assert Lease.objects.count() == 2


def test_strict_and_leased_calls_share_one_cap(sound: None) -> None:
    make_tree(use_case=16_000_000)
    lend(1_000_001)
    # 15,000,000 are asked for; 14,999,999 are left beside the lease.
    assert ask()["decision"] == "deny"
    assert ask(max_output_tokens=700)["decision"] == "allow"


def test_renewing_touches_only_own_leases_that_are_due(sound: None) -> None:
    make_tree()
    mine, other = make_holder(pid=1), make_holder(pid=2)
    old = lend(10, fence=mine)
    long = lend(10, fence=mine, ttl_s=600)
    lend(10, fence=other)
    later = NOW + timedelta(seconds=16)
    assert renew_leases(fence=mine, ttl_s=30, now=later) == {
        old.lease: later + timedelta(seconds=30),
        long.lease: long.expires_at,
    }
    assert LeaseHolder.objects.get(fence=mine).seen_at == later
    LeaseHolder.objects.filter(fence=mine).update(ended_at=later)
    assert renew_leases(fence=mine, ttl_s=30, now=later + timedelta(seconds=20)) == {}
    assert row_of(old.lease).expires_at == later + timedelta(seconds=30)


def test_a_closed_lease_is_not_renewed(sound: None) -> None:
    make_tree()
    fence = make_holder()
    lent = lend(10, fence=fence)
    from policies.operations.leases import LeaseChange, change_leases

    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT before")
        change_leases({lent.lease: LeaseChange(returned=10)}, now=NOW)
        assert row_of(lent.lease).state == "closed"
        assert renew_leases(fence=fence, ttl_s=30, now=NOW) == {}
        cursor.execute("ROLLBACK TO SAVEPOINT before")


def test_a_wait_for_the_lock_is_bounded(committed_books: object) -> None:
    import psycopg

    tree = make_tree()
    fence = make_holder()
    with psycopg.connect(committed_books.app_url) as other:  # type: ignore[attr-defined]
        other.execute("SELECT version FROM envelope_tree FOR UPDATE")
        with pytest.raises(ServiceUnavailable) as refusal:
            borrow(100, fence=fence, wait_ms=50)
        assert refusal.value.fields == {"what": "this envelope", "retry_after_s": 1}
    assert isinstance(borrow(100, fence=fence, wait_ms=50), Lent)
    assert money_of(tree["use_case"])["available"] == DOLLAR - 100
    assert findings_of_entries() == []
