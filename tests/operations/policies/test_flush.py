"""Do the books take what a journal says, as the strict form would have booked it?"""

from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from django.db import transaction

from ledger.models import Document
from o10.kernel import ids
from o10.wire.requests import (
    CacheHit,
    Finish,
    OutcomeFact,
    ProviderCost,
    Purpose,
    Release,
    ServiceClass,
    Settle,
    UsageCounts,
)
from policies import facade as policies
from policies.models import AnswerLog, DecisionLog, Lease, LeaseHolder, Reservation
from policies.operations import leases
from policies.operations.book_alone import Awaits, CallMissing, book_alone
from policies.operations.booked_call import release_uid
from policies.operations.bookkeeper import Books
from policies.operations.close_holder import finish_leases
from policies.operations.expire import expire_due
from policies.operations.flush import BookedElsewhere, flush, move_holder
from policies.operations.journal_tail import JournalTail
from policies.operations.open_holder import end_holder

from .company import (
    CHEAP,
    NOW,
    ROUTER,
    ask,
    decoded,
    entries,
    let_go,
    make_caller,
    make_tree,
    money_of,
    pay,
)
from .scribe import Scribe

pytestmark = pytest.mark.usefixtures("sound")
RESERVE, SETTLE, OVERRUN, LEASE, LEASE_RETURN, DENY = 2, 4, 7, 10, 11, 15
X = 15_000_000
"""The worst case of the usual call; it costs 7,650,000."""
C = 7_650_000


@pytest.fixture
def tree(sound):
    return make_tree()


@pytest.fixture
def scribe(tree, tmp_path: Path) -> Scribe:
    return Scribe(tmp_path)


def tail_of(scribe: Scribe, *, now=NOW) -> JournalTail:
    holder = LeaseHolder.objects.get(fence=scribe.fence)
    tail = JournalTail(fence=scribe.fence, path=scribe.path, booked_to=holder.booked_to)
    tail.look(now=now)
    return tail


def book(scribe: Scribe, *, books: Books | None = None, now=NOW) -> int:
    """Books the whole journal; how many records went alone."""
    tail = tail_of(scribe, now=now)
    books = books or Books()
    alone = 0
    while tail.pending:
        flushed = flush(books=books, tail=tail, now=now)
        if flushed.alone:
            book_alone(books=books, tail=tail, now=now)
            alone += 1
    tail.close()
    return alone


def row_of(scribe: Scribe, sequence: int) -> Reservation:
    return Reservation.objects.get(id=scribe.reservation(sequence))


def sums_of(lease) -> tuple[int, int, int, int, str]:
    """Granted, returned, settled, open, state."""
    row = Lease.objects.get(id=lease)
    return (
        row.granted_nanos,
        row.returned_nanos,
        row.settled_nanos,
        row.open_nanos,
        row.state,
    )


def effects(entry) -> tuple[int, int, int]:
    return entry.amount_nanos, entry.held_nanos, entry.unsettled_nanos


@pytest.fixture
def told(monkeypatch) -> list:
    """What holders are told: kind, and what."""
    heard = []
    real = leases.notify

    def notify(kind: str, **what: object) -> None:
        heard.append((kind, what))
        real(kind, **what)

    monkeypatch.setattr(leases, "notify", notify)
    return heard


def rows_of_calls(before: set) -> dict:
    """All that is stored of the one call made since then, by table, without its own names."""
    decision = DecisionLog.objects.exclude(id__in=before).get()
    reservation = Reservation.objects.get(id=decision.reservation)
    return {
        "decision": plain(decision, "id", "reservation", "entry_uid", "answer", "request_hash"),
        "bytes": bytes(decision.request_hash),
        "reservation": plain(reservation, "id", "decision_id", "lease", "sequence"),
        "entries": [
            plain(each, "id", "uid", "xid", "leaf", "reservation", "recorded_at")
            for each in sorted(
                entries(reservation=reservation.id), key=lambda entry: entry.kind
            )
        ],
        "answers": list(
            AnswerLog.objects.filter(reservation=reservation.id).values_list("verb", "at")
        ),
    }


def plain(row, *without: str) -> dict:
    return {
        field.name: getattr(row, field.name)
        for field in row._meta.fields
        if field.name not in without
    }


CALLS = {
    "usual": ({}, {}),
    "labelled": (
        {
            "tags": {"team": 'ä"\\', "a": "b"},
            "run_id": "r1",
            "customer": "c1",
            "environment": "prod",
            "task_type": "chat",
            "step_kind": "plan",
            "prompt_version": "7",
            "service_class": ServiceClass.GOLD,
            "n": 2,
            "ttl_s": 60,
        },
        {"latency_ms": 12, "provider_request_id": "chatcmpl-1", "usage": (1_300, 2_000)},
    ),
    "all of it": ({"request_id": "q1"}, {"usage": (1_200, 800)}),
    "nothing used": ({}, {"usage": (0, 0)}),
    "no usage": ({}, {"usage": None, "status": Finish.CANCELLED}),
    "another model": ({}, {"model": CHEAP, "purpose": Purpose.FALLBACK}),
    "unknown model": ({}, {"model": "who-knows"}),
    "from the edge": ({}, {"cache": CacheHit.EDGE}),
    "cached": (
        {"model": CHEAP},
        {"counts": UsageCounts(input_tokens=1_000, output_tokens=9, cached_input_tokens=400)},
    ),
    "provider says": (
        {},
        {
            "provider_cost": ProviderCost(amount="1.5", currency="USD"),
            "outcome": OutcomeFact(type="ticket", id="t1", success=True),
        },
    ),
    "no bound": ({"max_output_tokens": None}, {}),
    "dear attempt": ({"attempt": 2}, {"attempt": 2, "usage": (1_200, 900)}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_of_a_lease_is_stored_as_the_strict_form_stores_it(name, tree, tmp_path):
    asked, paid = CALLS[name]
    # Once before, so that both forms find the same numbers.
    let_go(ask(**{**asked, "request_id": None}))
    pay(ask(**{**asked, "request_id": None}), **{**paid, "usage": (0, 0), "counts": None})
    before = set(DecisionLog.objects.values_list("id", flat=True))
    with transaction.atomic():
        answer = ask(**asked)
        pay(answer, **paid)
        strict = rows_of_calls(before)
        transaction.set_rollback(True)
    scribe = Scribe(tmp_path)
    # The lease is a little larger than the call, not as large as its overrun.
    lease = scribe.borrow(int(answer["reservation"]["amount_nanos"]) + 100)
    sequence = scribe.allow(lease, **asked)
    scribe.settle(sequence, **paid)
    book(scribe)
    leased = rows_of_calls(before)
    assert leased["decision"] == strict["decision"]
    assert leased["bytes"] == strict["bytes"]
    assert leased["reservation"] == strict["reservation"]
    assert leased["answers"] == strict["answers"]
    compare_entries(leased["entries"], strict["entries"], lease=lease)


def compare_entries(leased: list, strict: list, *, lease) -> None:
    """The same, but that no entry reserves, money stays in the lease, and it pays first."""
    assert strict.pop(0)["kind"] == RESERVE
    cost = sum(each["amount_nanos"] for each in strict)
    assert sum(each["amount_nanos"] for each in leased) == cost
    settle = leased[0]
    assert (settle["lease"], settle["held_nanos"]) == (lease, -settle["amount_nanos"])
    assert settle["env_version"] == 0
    assert settle["amount_nanos"] - strict[0]["amount_nanos"] in (0, 100)
    moved = ("lease", "held_nanos", "env_version", "amount_nanos")
    assert [{k: v for k, v in each.items() if k not in moved} for each in leased] == [
        {k: v for k, v in each.items() if k not in moved} for each in strict
    ]


def test_a_denial_is_stored_as_the_strict_form_stores_it(tree, tmp_path):
    asked = {"input_tokens": 50_000_000, "tags": {"a": "b"}, "request_id": "q1"}
    ask(**{**asked, "request_id": None})
    before = set(DecisionLog.objects.values_list("id", flat=True))

    def stored() -> tuple:
        row = DecisionLog.objects.exclude(id__in=before).get()
        entry = entries(uid=row.entry_uid)[0]
        return (
            plain(row, "id", "answer"),
            bytes(row.request_hash),
            plain(entry, "id", "xid", "leaf"),
        )

    with transaction.atomic():
        ask(**asked)
        strict = stored()
        transaction.set_rollback(True)
    scribe = Scribe(tmp_path)
    scribe.deny(**asked)
    book(scribe)
    assert stored() == strict


def test_an_open_call_moves_no_money_and_is_known_to_be_open(scribe, tree):
    lease = scribe.borrow(40_000_000)
    sequence = scribe.allow(lease)
    before = money_of(tree["use_case"])
    assert book(scribe) == 0
    assert money_of(tree["use_case"]) == before
    assert sums_of(lease) == (40_000_000, 0, 0, X, "open")
    row = row_of(scribe, sequence)
    assert (row.state, row.open_nanos, row.lease, row.sequence) == ("open", X, lease, sequence)
    assert [each.kind for each in entries(lease=lease)] == [LEASE]


@pytest.mark.parametrize("apart", [0, 1])
def test_a_settle_is_paid_by_the_lease_whether_its_call_was_booked_before(scribe, tree, apart):
    lease = scribe.borrow(40_000_000)
    sequence = scribe.allow(lease)
    books = Books()
    if apart:
        book(scribe, books=books if apart == 1 else None)
    scribe.settle(sequence)
    assert book(scribe, books=books) == 0
    assert sums_of(lease) == (40_000_000, 0, C, 0, "open")
    row = row_of(scribe, sequence)
    assert (row.state, row.open_nanos, row.settled_nanos, row.attempts) == ("settled", 0, C, 1)
    assert money_of(tree["use_case"])["settled"] == C
    assert money_of(tree["use_case"])["held"] == 40_000_000 - C
    assert money_of(tree["company"])["settled"] == C


def test_a_hold_is_read_from_its_row_where_memory_is_lost(scribe, tree):
    lease = scribe.borrow(40_000_000)
    sequence = scribe.allow(lease, tags={"team": "a"})
    book(scribe, books=Books())
    scribe.settle(sequence)
    book(scribe, books=Books())
    reserved = DecisionLog.objects.get()
    entry = entries(kind=SETTLE)[0]
    assert entry.decision == Reservation.objects.get(id=reserved.id).decision
    assert entry.dims_id == Reservation.objects.get(id=reserved.id).dims_id


def test_a_cost_above_the_hold_is_paid_from_what_the_lease_has_free(scribe, tree):
    lease = scribe.borrow(40_000_000)
    scribe.settle(scribe.allow(lease), usage=(1_200, 1_800))
    book(scribe)
    assert [effects(each) for each in entries(kind=SETTLE)] == [(30_000_000, -30_000_000, 0)]
    assert entries(kind=OVERRUN) == []
    assert sums_of(lease) == (40_000_000, 0, 30_000_000, 0, "open")


def test_a_cost_above_the_lease_is_an_overrun(scribe, tree):
    lease = scribe.borrow(20_000_000)
    scribe.settle(scribe.allow(lease), usage=(1_200, 1_800))
    book(scribe)
    assert [effects(each) for each in entries(kind=SETTLE)] == [(20_000_000, -20_000_000, 0)]
    assert [effects(each) for each in entries(kind=OVERRUN)] == [(10_000_000, 0, 0)]
    assert money_of(tree["use_case"])["unguarded"] == 10_000_000
    assert sums_of(lease) == (20_000_000, 0, 20_000_000, 0, "closed")


def test_a_release_makes_no_entry_and_keeps_its_answer(scribe, tree):
    lease = scribe.borrow(40_000_000)
    sequence = scribe.allow(lease)
    scribe.release(sequence, reason="cancelled")
    book(scribe)
    assert [each.kind for each in entries(lease=lease)] == [LEASE]
    assert row_of(scribe, sequence).state == "released"
    answer = AnswerLog.objects.get()
    assert (answer.verb, answer.uid) == ("release", release_uid(scribe.reservation(sequence)))
    again = Release(
        reservation=ids.id_of("rsv", scribe.reservation(sequence)), reason="cancelled"
    )
    assert policies.release(request=again, caller=ROUTER, now=NOW) == bytes(answer.answer)


def test_what_is_given_back_is_available_again_and_closes_an_empty_lease(scribe, tree):
    lease = scribe.borrow(40_000_000)
    scribe.settle(scribe.allow(lease))
    scribe.give_back(lease)
    book(scribe)
    assert [effects(each)[1] for each in entries(kind=LEASE_RETURN)] == [C - 40_000_000]
    assert money_of(tree["use_case"])["held"] == 0
    assert sums_of(lease) == (40_000_000, 40_000_000 - C, C, 0, "closed")


def test_nothing_comes_back_that_a_known_call_holds(scribe, tree):
    lease = scribe.borrow(40_000_000)
    scribe.allow(lease)
    scribe.give_back(lease, amount=40_000_000)
    book(scribe)
    assert sums_of(lease) == (40_000_000, 40_000_000 - X, 0, X, "open")


def test_a_repeat_finds_what_the_journal_answered(scribe, tree):
    lease = scribe.borrow(40_000_000)
    sequence = scribe.allow(lease, request_id="q1")
    book(scribe)
    assert ask(request_id="q1") == decoded(scribe.calls[sequence][1].answer)


def test_the_second_of_two_hosts_becomes_a_name_for_the_first(scribe, tree, told):
    first = ask(request_id="q1")
    lease = scribe.borrow(40_000_000)
    sequence = scribe.allow(lease, request_id="q1")
    book(scribe)
    row = row_of(scribe, sequence)
    assert row.state == "released"
    assert ids.id_of("rsv", row.alias_of) == first["reservation"]["id"]
    assert DecisionLog.objects.get(id=row.id).request_id == ""
    assert sums_of(lease) == (40_000_000, 0, 0, 0, "open")
    ended = ("ended", {"f": scribe.fence, "e": [[lease.hex, sequence, 0]]})
    assert told == [ended]
    # Whoever only knows the second name ends the first.
    scribe.settle(sequence)
    assert book(scribe) == 1
    assert Reservation.objects.get(id=row.alias_of).state == "settled"
    assert money_of(tree["use_case"])["settled"] == C
    assert sums_of(lease) == (40_000_000, 0, 0, 0, "open")


def test_what_a_second_name_paid_beyond_its_hold_goes_back(scribe, tree):
    ask(request_id="q1")
    lease = scribe.borrow(40_000_000)
    scribe.settle(scribe.allow(lease, request_id="q1"), usage=(1_200, 1_800))
    book(scribe)
    assert sums_of(lease) == (40_000_000, 15_000_000, 0, 0, "open")
    assert money_of(tree["use_case"])["unguarded"] == 15_000_000


def test_another_request_under_a_known_id_is_a_call_of_its_own(scribe, tree):
    ask(request_id="q1", customer="somebody else")
    lease = scribe.borrow(40_000_000)
    sequence = scribe.allow(lease, request_id="q1")
    book(scribe)
    row = row_of(scribe, sequence)
    assert (row.state, row.alias_of) == ("open", None)
    assert DecisionLog.objects.get(id=row.id).request_id == ""


def test_a_call_after_a_denial_elsewhere_under_its_id_stays(scribe, tree):
    ask(request_id="q1", caller=make_caller(use_cases=frozenset()))
    lease = scribe.borrow(40_000_000)
    sequence = scribe.allow(lease, request_id="q1")
    book(scribe)
    assert row_of(scribe, sequence).state == "open"


def test_denials_beyond_ten_a_second_wait_for_one_entry(scribe, tree):
    for _ in range(4):
        ask(input_tokens=50_000_000)
    for _ in range(9):
        scribe.deny(input_tokens=50_000_000)
    book(scribe)
    assert len(entries(kind=DENY)) == 10
    assert DecisionLog.objects.filter(folded=True).count() == 3
    assert policies.fold_denials(now=NOW + timedelta(seconds=9)) == 3
    assert sum(each.n for each in entries(kind=DENY)) == 13


def test_a_denial_under_an_answered_id_is_a_decision_of_its_own(scribe, tree):
    first = ask(request_id="q1", input_tokens=50_000_000)
    scribe.deny(request_id="q1", input_tokens=50_000_000)
    book(scribe)
    assert len(entries(kind=DENY)) == 2
    assert ask(request_id="q1", input_tokens=50_000_000) == first


def test_a_denial_of_nobody_we_know_is_booked(scribe, tree):
    scribe.deny(use_case="who", request_id="q1")
    book(scribe)
    assert entries(kind=DENY)[0].use_case_id == 0
    assert DecisionLog.objects.get().use_case_slug == "who"


class TestAtAnotherWorker:
    """A call is ended where the request arrives, which need not be where it began."""

    @pytest.fixture
    def other(self, scribe, tmp_path) -> Scribe:
        return Scribe(tmp_path)

    def test_its_lease_pays_and_its_holder_is_told(self, scribe, other, tree, told):
        lease = scribe.borrow(40_000_000)
        first, second = scribe.allow(lease), scribe.allow(lease)
        book(scribe)
        other.settle(first, of=scribe)
        other.release(second, of=scribe)
        assert book(other) == 0
        assert sums_of(lease) == (40_000_000, 0, C, 0, "open")
        assert told == [
            (
                "ended",
                {
                    "f": scribe.fence,
                    "e": [[lease.hex, first, C], [lease.hex, second, 0]],
                },
            )
        ]

    def test_beyond_the_hold_it_is_an_overrun(self, scribe, other, tree, told):
        lease = scribe.borrow(40_000_000)
        first = scribe.allow(lease)
        book(scribe)
        other.settle(first, of=scribe, usage=(1_200, 1_800))
        assert book(other) == 0
        assert sums_of(lease) == (40_000_000, 0, X, 0, "open")
        assert money_of(tree["use_case"])["unguarded"] == 15_000_000
        assert told[0][1]["e"] == [[lease.hex, first, X]]

    def test_it_waits_for_the_journal_where_it_began(self, scribe, other, tree):
        lease = scribe.borrow(40_000_000)
        other.settle(scribe.allow(lease), of=scribe)
        tail = tail_of(other)
        flush(books=Books(), tail=tail, now=NOW)
        assert flush(books=Books(), tail=tail, now=NOW).alone
        with pytest.raises(Awaits):
            book_alone(books=Books(), tail=tail, now=NOW)
        book(scribe)
        assert book(other) == 0
        assert sums_of(lease)[2] == C

    def test_a_call_that_its_own_journal_never_began_is_not_booked(self, scribe, tree):
        lease = scribe.borrow(40_000_000)
        sequence = scribe.allow(lease)
        scribe.calls[sequence + 1] = scribe.calls[sequence]
        scribe.settle(sequence + 1)
        with pytest.raises(CallMissing):
            book(scribe)

    def test_when_the_holder_is_gone_the_remainder_comes_back(self, scribe, other, tree):
        lease = scribe.borrow(40_000_000)
        first, second = scribe.allow(lease), scribe.allow(lease)
        book(scribe)
        scribe.die()
        assert finish_leases(fence=scribe.fence, now=NOW) == 1
        end_holder(fence=scribe.fence, now=NOW)
        assert sums_of(lease) == (40_000_000, 10_000_000, 0, 2 * X, "draining")
        other.settle(first, of=scribe)
        other.release(second, of=scribe)
        assert book(other) == 0
        assert sums_of(lease) == (40_000_000, 40_000_000 - C, C, 0, "closed")
        assert money_of(tree["use_case"])["held"] == 0


class TestLate:
    """The lease or the hold met something else before its record came."""

    LOST = NOW + timedelta(seconds=36)
    """The lease ran out 30 s after it was granted; 5 s later it expires."""

    def expire(self) -> None:
        assert policies.reconcile_leases(now=self.LOST) == 1

    def test_records_of_an_expired_lease_draw_on_what_is_unsettled(self, scribe, tree):
        lease = scribe.borrow(40_000_000)
        paid, let, still = scribe.allow(lease), scribe.allow(lease), None
        self.expire()
        assert money_of(tree["use_case"])["unsettled"] == 40_000_000
        scribe.settle(paid)
        scribe.release(let)
        still = scribe.allow(lease, input_tokens=100, max_output_tokens=100)
        scribe.give_back(lease)
        assert book(scribe, now=self.LOST) == 6
        assert still is not None
        row = Lease.objects.get(id=lease)
        assert (row.late_nanos, row.state) == (C, "expired")
        assert money_of(tree["use_case"])["settled"] == C
        assert money_of(tree["use_case"])["held"] == 0
        # The journal is whole and its holder gone: only what is still open may be owed.
        scribe.die()
        finish_leases(fence=scribe.fence, now=self.LOST)
        assert money_of(tree["use_case"])["unsettled"] == row_of(scribe, still).amount_nanos

    def test_a_call_that_a_token_told_of_before_is_not_written_twice(self, scribe, tree):
        lease = scribe.borrow(40_000_000)
        sequence = scribe.allow(lease)
        self.expire()
        token = decoded(scribe.calls[sequence][1].answer)["reservation"]["token"]
        request = Settle(
            reservation=token, usage=UsageCounts(input_tokens=1_200, output_tokens=310)
        )
        policies.settle(request=request, caller=ROUTER, now=self.LOST)
        settled = money_of(tree["use_case"])["settled"]
        assert book(scribe, now=self.LOST) == 1
        scribe.settle(sequence)
        book(scribe, now=self.LOST)
        assert money_of(tree["use_case"])["settled"] == settled
        assert DecisionLog.objects.filter(id=scribe.reservation(sequence)).count() == 1

    def test_a_call_that_left_the_lease_is_booked_by_the_hold_it_became(self, scribe, tree):
        lease = scribe.borrow(40_000_000)
        sequence = scribe.allow(lease)
        book(scribe)
        first = {"reservation": {"id": ids.id_of("rsv", scribe.reservation(sequence))}}
        pay(first, usage=(0, 100), final=False)
        assert row_of(scribe, sequence).lease is None
        # It costs more than the hold and the lease's free part paid the rest, in memory.
        scribe.settle(sequence, attempt=2, usage=(1_200, 1_800))
        assert book(scribe) == 1
        assert row_of(scribe, sequence).state == "settled"
        assert sums_of(lease) == (40_000_000, 15_000_000 + 15_000_000, 0, 0, "open")
        assert money_of(tree["use_case"])["settled"] == 1_500_000 + 30_000_000

    def test_after_its_expiry_it_is_late(self, scribe, tree):
        lease = scribe.borrow(40_000_000)
        sequence = scribe.allow(lease, ttl_s=10)
        book(scribe)
        self.expire()
        assert expire_due(now=self.LOST) == 1
        scribe.settle(sequence)
        assert book(scribe, now=self.LOST) == 1
        assert entries(kind=SETTLE)[0].flags & (1 << 8)
        assert money_of(tree["use_case"])["settled"] == C

    def test_the_same_settle_elsewhere_is_booked_once(self, scribe, tree):
        lease = scribe.borrow(40_000_000)
        sequence = scribe.allow(lease)
        book(scribe)
        pay({"reservation": {"id": ids.id_of("rsv", scribe.reservation(sequence))}})
        scribe.settle(sequence)
        assert book(scribe) == 1
        assert money_of(tree["use_case"])["settled"] == C
        assert len(entries(kind=SETTLE)) == 1
        assert sums_of(lease) == (40_000_000, 0, C, 0, "open")

    def test_another_attempt_after_the_end_is_booked_unguarded(self, scribe, tree):
        lease = scribe.borrow(40_000_000)
        sequence = scribe.allow(lease)
        book(scribe)
        pay({"reservation": {"id": ids.id_of("rsv", scribe.reservation(sequence))}})
        scribe.settle(sequence, attempt=2)
        assert book(scribe) == 1
        assert money_of(tree["use_case"])["settled"] == 2 * C
        assert money_of(tree["use_case"])["unguarded"] == C

    def test_a_release_after_the_end_changes_nothing(self, scribe, tree):
        lease = scribe.borrow(40_000_000)
        sequence = scribe.allow(lease)
        book(scribe)
        pay({"reservation": {"id": ids.id_of("rsv", scribe.reservation(sequence))}})
        scribe.release(sequence)
        assert book(scribe) == 1
        assert row_of(scribe, sequence).state == "settled"

    def test_a_lease_pays_no_more_than_it_has(self, scribe, tree):
        """A holder that lies about what is free gets an overrun, not a broken lease."""
        lease = scribe.borrow(16_000_000)
        first = scribe.allow(lease)
        scribe.free[lease] = 30_000_000
        second = scribe.allow(lease)
        scribe.settle(first, usage=(1_200, 800))
        scribe.settle(second, usage=(1_200, 800))
        book(scribe)
        assert sums_of(lease)[:3] == (16_000_000, 0, 16_000_000)
        assert money_of(tree["use_case"])["settled"] == 30_000_000
        assert money_of(tree["use_case"])["unguarded"] == 14_000_000


def test_a_cost_that_comes_out_otherwise_is_booked_as_answered_and_said(scribe, tree):
    lease = scribe.borrow(40_000_000)
    scribe.settle(scribe.allow(lease), cost=C + 5)
    with structlog.testing.capture_logs() as logs:
        book(scribe)
    assert money_of(tree["use_case"])["settled"] == C + 5
    assert LeaseHolder.objects.get(fence=scribe.fence).differing == 1
    said = [each for each in logs if each.get("code") == "cost_differs"]
    assert [(each["answered"], each["computed"]) for each in said] == [(C + 5, C)]
    document = Document.objects.get(hash=bytes(entries(kind=SETTLE)[0].doc))
    assert decoded(bytes(document.body))["computed_nanos"] == C


def test_a_bookkeeper_that_was_overtaken_changes_nothing(scribe, tree):
    lease = scribe.borrow(40_000_000)
    scribe.settle(scribe.allow(lease))
    slow = tail_of(scribe)
    book(scribe)
    with pytest.raises(BookedElsewhere), transaction.atomic():
        move_holder(tail=slow, booked_to=slow.end_of(1))
    assert sums_of(lease)[2] == C


class TestBetweenTheLookAndTheLock:
    """What was added up must still stand when it is written."""

    @pytest.fixture
    def keeper(self) -> Books:
        """A bookkeeper that remembers the holds it booked."""
        return Books()

    def meanwhile(self, books: Books, what) -> Books:
        """It is overtaken by this once, after it has looked."""
        real, left = books.numbering.store, [what]

        def store(*, now) -> None:
            real(now=now)
            if left:
                left.pop()()

        books.numbering.store = store  # type: ignore[method-assign]
        return books

    def named(self, scribe: Scribe, sequence: int) -> dict:
        return {"reservation": {"id": ids.id_of("rsv", scribe.reservation(sequence))}}

    def test_the_same_settle_elsewhere_is_booked_once(self, scribe, tree, keeper):
        lease = scribe.borrow(40_000_000)
        sequence = scribe.allow(lease)
        book(scribe, books=keeper)
        scribe.settle(sequence)
        name = self.named(scribe, sequence)
        assert book(scribe, books=self.meanwhile(keeper, lambda: pay(name))) == 1
        assert money_of(tree["use_case"])["settled"] == C
        assert LeaseHolder.objects.get(fence=scribe.fence).put_aside == 0

    def test_a_release_elsewhere_is_seen(self, scribe, tree, keeper):
        lease = scribe.borrow(40_000_000)
        sequence = scribe.allow(lease)
        book(scribe, books=keeper)
        scribe.settle(sequence)
        name = self.named(scribe, sequence)
        assert book(scribe, books=self.meanwhile(keeper, lambda: let_go(name))) == 1
        assert row_of(scribe, sequence).state == "released"
        assert money_of(tree["use_case"])["unguarded"] == C

    def test_a_call_that_leaves_the_lease_is_seen(self, scribe, tree, keeper):
        lease = scribe.borrow(40_000_000)
        sequence = scribe.allow(lease)
        book(scribe, books=keeper)
        scribe.settle(sequence, attempt=2)
        name = self.named(scribe, sequence)

        def bill_in_part() -> None:
            pay(name, usage=(0, 100), final=False)

        assert book(scribe, books=self.meanwhile(keeper, bill_in_part)) == 1
        assert row_of(scribe, sequence).settled_nanos == C + 1_500_000
        assert sums_of(lease)[1:4] == (X, 0, 0)

    def test_a_lease_that_changed_is_added_up_again(self, scribe, tree, keeper):
        """Both end a call of it, and there is less left than the batch had seen."""
        lease = scribe.borrow(2 * X)
        first, second = scribe.allow(lease), scribe.allow(lease)
        book(scribe, books=keeper)
        scribe.settle(second, usage=(1_200, 800))
        scribe.give_back(lease, amount=X)
        name = self.named(scribe, first)
        book(scribe, books=self.meanwhile(keeper, lambda: pay(name, usage=(1_200, 310))))
        assert sums_of(lease)[:4] == (2 * X, X - C, X + C, 0)

    def test_a_release_that_another_host_booked_first_is_passed_by(self, scribe, tree, keeper):
        lease = scribe.borrow(40_000_000)
        sequence = scribe.allow(lease)
        book(scribe, books=keeper)
        let_go(self.named(scribe, sequence))
        scribe.release(sequence)
        assert book(scribe, books=keeper) == 1
        assert AnswerLog.objects.count() == 1
