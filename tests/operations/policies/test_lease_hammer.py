"""Do lending, booking, ending and reconciling at once block each other for good? Never.

Every pair of them is tried from several processes: a wrong lock order shows as a deadlock, a
missing lock as a figure that differs from its entries.
"""

import contextlib
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.errors import Conflict, ServiceUnavailable
from policies import facade as policies
from policies.models import Lease, LeaseHolder, Reservation
from policies.operations.balances import lock, move
from policies.operations.grant_exact import PolicyChanged
from policies.operations.grant_lease import grant_many, renew_leases
from policies.operations.leases import change_leases, find_leases, lock_leases
from policies.operations.return_lease import give_back
from policies.queries.current_policy import current_policy
from tests.machines.concurrency import Report, in_processes
from tests.machines.replay import findings_of_entries

from .company import (
    DOLLAR,
    FINANCE,
    NOW,
    ask,
    let_go,
    make_envelope,
    make_use_case,
    pay,
    prolong,
)
from .lender import borrow, call_in, make_holder, want

WORST = 1_000_000
CALL = {"input_tokens": 100, "max_output_tokens": 50}


@pytest.fixture
def two_trees(committed_books: Any) -> Iterator[Any]:
    make_use_case(slug="search", department="growth")
    make_envelope(slug="search", amount=DOLLAR)
    make_use_case()
    tree = {
        "department": make_envelope(kind="department", slug="service", amount=2 * DOLLAR),
        "use_case": make_envelope(amount=DOLLAR),
    }
    parent, quarter = tree["use_case"].id, DOLLAR // 4
    for slug in ("acme", "default"):
        make_envelope(kind="customer", slug=slug, parent=parent, amount=quarter)
    yield tree
    assert policies.check_conservation() == []
    assert findings_of_entries() == []


class Actor:
    """One process that does everything there is, by chance."""

    def __init__(self, number: int, tree: Any) -> None:
        self.chance = random.Random(number)
        self.number = number
        self.tree = tree
        self.fence = make_holder(pid=number)
        self.turn = 0

    @property
    def now(self) -> datetime:
        return NOW + timedelta(milliseconds=self.turn * 50)

    def act(self) -> str:
        self.turn += 1
        doings = (
            self.lend,
            self.lend,
            self.lend_many,
            self.book,
            self.book,
            self.book,
            self.settle,
            self.settle,
            self.let_go,
            self.prolong,
            self.strict,
            self.give_back,
            self.renew,
            self.sweep,
            self.reconcile,
            self.undo,
            self.change,
            self.die,
        )
        doing = self.chance.choice(doings)
        with contextlib.suppress(Conflict, PolicyChanged, ServiceUnavailable):
            doing()
        return doing.__name__

    def lend(self) -> None:
        use_case = self.chance.choice(("support", "search"))
        borrow(
            5 * WORST,
            fence=self.fence,
            use_case=use_case,
            now=self.now,
            place=None,
            ttl_s=self.chance.choice((1, 30)),
        )

    def lend_many(self) -> None:
        wanted = [
            want(3 * WORST, customer=each, now=self.now) for each in ("acme", "other", "acme")
        ]
        grant_many(
            wanted=wanted,
            fence=self.fence,
            ttl_s=30,
            actor_id=0,
            policy_version=current_policy().snapshot.version,
            now=self.now,
        )

    def book(self) -> None:
        """Calls of several leases of one tree in one transaction, like a bookkeeper."""
        open_now = list(Lease.objects.filter(state="open").values_list("id", "root"))
        if not open_now:
            return
        _, root = self.chance.choice(open_now)
        some = [lease for lease, its in open_now if its == root][:4]
        with transaction.atomic():
            seen = find_leases(some)
            for row in sorted(seen.values(), key=lambda row: row.cells.envelopes):
                lock(row.cells)
            for lease, row in lock_leases(some).items():
                if row.state == "open" and row.rest - row.open >= WORST:
                    # Any number that no other call of the lease has.
                    number = ids.new_uuid().int & (2**40 - 1)
                    call_in(
                        lease,
                        WORST,
                        sequence=number,
                        now=self.now,
                        ttl_s=self.chance.choice((1, 600)),
                    )

    def some_call(self) -> dict[str, Any] | None:
        names = list(Reservation.objects.filter(state="open").values_list("id", flat=True)[:20])
        if not names:
            return None
        return {"reservation": {"id": ids.id_of("rsv", self.chance.choice(names))}}

    def settle(self) -> None:
        call = self.some_call()
        if call:
            final = self.chance.random() < 0.8
            pay(
                call,
                usage=(100, self.chance.randrange(80)),
                attempt=self.chance.randrange(1, 4),
                final=final,
                now=self.now,
            )

    def let_go(self) -> None:
        call = self.some_call()
        if call:
            let_go(call, now=self.now)

    def prolong(self) -> None:
        call = self.some_call()
        if call:
            prolong(call, ttl_s=1_000, max_output_tokens=60, now=self.now)

    def strict(self) -> None:
        use_case = self.chance.choice(("support", "search"))
        ask(use_case=use_case, now=self.now, **CALL)

    def give_back(self) -> None:
        row = Lease.objects.filter(fence=self.fence).exclude(state="closed").first()
        if row is None:
            return
        with transaction.atomic():
            seen = find_leases([row.id])[row.id]
            locked = lock(seen.cells)
            now = lock_leases([row.id])[row.id]
            parted = give_back(
                lease_row=now,
                amount=2 * WORST,
                key=f"{self.number}#{self.turn}",
                version=locked.version,
                now=self.now,
            )
            if parted.drafts:
                move(cells=now.cells, version=locked.version, change=parted.move)
            change_leases({row.id: parted.change}, now=self.now)
            ledger.append(parted.drafts)

    def renew(self) -> None:
        renew_leases(fence=self.fence, ttl_s=30, now=self.now)
        LeaseHolder.objects.filter(fence=self.fence).update(
            booked_at=self.now + timedelta(seconds=20)
        )

    def sweep(self) -> None:
        policies.expire_due(now=self.now + timedelta(seconds=10), limit=5)
        policies.write_off_due(now=self.now + timedelta(days=2), limit=5)

    def reconcile(self) -> None:
        policies.reconcile_leases(now=self.now + timedelta(seconds=8), limit=5)

    def undo(self) -> None:
        from ledger.models import Entry

        entry = Entry.objects.filter(kind=int(ledger.Kind.SETTLE)).order_by("?").first()
        if entry is not None:
            ledger.reverse(
                uid=entry.uid,
                key=f"{self.number}#{self.turn}",
                reason="drill",
                requested_by="usr_a",
                approved_by="usr_b",
                actor_id=0,
                now=self.now,
            )

    def change(self) -> None:
        envelope = self.chance.choice(list(self.tree.values()))
        policies.change_envelope(
            envelope=envelope.id,
            change=policies.EnvelopeChange(
                soft_thresholds_ppm=(100_000 + self.turn,), reason="drill"
            ),
            actor=FINANCE,
            now=self.now,
        )

    def die(self) -> None:
        """Now and then a holder ends and another takes its place."""
        if self.chance.random() < 0.3:
            LeaseHolder.objects.filter(fence=self.fence).update(ended_at=self.now)
            self.fence = make_holder(pid=self.number, now=self.now)


def _everything(tree: Any, *, processes: int, turns: int) -> Report:
    def work(number: int) -> Report:
        report = Report()
        actor = Actor(number, tree)
        for _ in range(turns):
            report.codes[actor.act()] += 1
        return report

    return in_processes(processes, work)


def test_lending_booking_ending_and_reconciling_at_once_never_deadlock(two_trees: Any) -> None:
    report = _everything(two_trees, processes=4, turns=60)
    assert report.errors == {}
    assert sum(report.codes.values()) == 240
    assert Lease.objects.count() > 10


@pytest.mark.soak
def test_the_same_for_long(two_trees: Any) -> None:
    report = _everything(two_trees, processes=8, turns=1_000)
    assert report.errors == {}
