"""Does a worker answer from its till as the database would, and never more than it was lent?"""

import json
import os
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from o10.kernel import ids
from o10.kernel.errors import (
    IdempotencyMismatch,
    ReservationFinalized,
    ReservationUnknown,
    ServiceUnavailable,
)
from o10.kernel.money import Money
from o10.lease import journal as journals
from o10.lease import records
from o10.lease.claims import Claims
from o10.lease.journal import Journal, JournalFull
from o10.wire.decisions import ReservationView
from o10.wire.requests import Authorize, Release, Settle, UsageCounts
from policies import facade as policies
from policies.core.decide import decide
from policies.core.question import Left
from policies.core.till import own
from policies.models import DecisionLog, Lease, LeaseHolder, Reservation
from policies.operations.booked_call import hold_of, reservation_of
from policies.operations.open_holder import (
    host_of,
    journal_name,
    open_holder,
    plane_folder,
)
from policies.operations.questions import ask as ask_in_full
from policies.operations.teller import authorizing, ending, loans
from policies.operations.teller.known import know
from policies.operations.teller.samples import allowed_answer
from policies.operations.teller.teller import Call, Teller, fence_of
from policies.operations.teller.usual import answer_usual

from .company import (
    CHEAP,
    DOLLAR,
    FINANCE,
    MODEL,
    NOW,
    ROUTER,
    ask,
    make_caller,
    make_envelope,
    make_tree,
    make_use_case,
    money_of,
    reason_of,
)

pytestmark = pytest.mark.usefixtures("books")


class Clock:
    """The monotonic clock of a worker, moved by hand."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


def make_teller(home: Path, clock: Clock, *, now: Any = NOW) -> Teller:
    folder, host = plane_folder(home), host_of(home)
    fence = open_holder(host=host, pid=os.getpid(), born=1, kind="plane", now=now)
    journal = Journal.create(folder / journal_name(fence))
    journal.append(
        records.encode(
            records.Started(format=1, fence=fence, host=host, pid=os.getpid(), born=1, at_us=0)
        )
    )
    claims = Claims.open(folder / "claims", slots=10_000)
    teller = Teller(fence=fence, folder=folder, journal=journal, claims=claims, monotonic=clock)
    learn(teller, now=now)
    return teller


def learn(teller: Teller, *, now: Any = NOW) -> None:
    teller.learn(know(now=now, at=teller.monotonic()), now=now)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def teller(tmp_path: Path, clock: Clock) -> Iterator[Teller]:
    make_tree(company=1_000 * DOLLAR, department=500 * DOLLAR, use_case=100 * DOLLAR)
    found = make_teller(tmp_path, clock)
    yield found
    found.journal.close()


def request_of(**fields: Any) -> Authorize:
    base = {"use_case": "support", "model": MODEL, "input_tokens": 1_200}
    return msgspec.convert({**base, "max_output_tokens": 800, **fields}, Authorize)


def at_counter(
    teller: Teller,
    *,
    now: Any = NOW,
    caller: Any = ROUTER,
    body: bytes | None = None,
    **fields: Any,
) -> dict[str, Any]:
    request = request_of(**fields)
    sent = body or msgspec.json.encode(request)
    answer = authorizing.authorize(teller, read=lambda: (request, sent), caller=caller, now=now)
    return msgspec.json.decode(answer)


def settle_at(
    teller: Teller, reference: str, *, output: int = 310, now: Any = NOW, **fields: Any
) -> dict[str, Any]:
    usage = UsageCounts(input_tokens=1_200, output_tokens=output)
    request = Settle(reservation=reference, usage=usage, **fields)
    return msgspec.json.decode(ending.settle(teller, request=request, caller=ROUTER, now=now))


def written(teller: Teller, kind: type) -> list[Any]:
    found = journals.scan(teller.journal_of(teller.fence))
    return [record for _, record in found if isinstance(record, kind)]


def lent(teller: Teller) -> int:
    return sum(Lease.objects.filter(fence=teller.fence).values_list("granted_nanos", flat=True))


def check_books(teller: Teller) -> None:
    for _, book in teller.books.values():
        book.check()


# The usual call


@pytest.mark.parametrize("seed", range(6))
def test_the_usual_answer_is_byte_for_byte_the_one_decided_in_full(teller, seed):
    chance = random.Random(seed)
    calls = 0
    for number in range(120):
        fields: dict[str, Any] = {
            "input_tokens": chance.choice([0, 1, 1_200, 150_000, chance.randrange(300_000)]),
            "max_output_tokens": chance.choice([None, None, 800, 0, chance.randrange(20_000)]),
            "n": chance.choice([1, 1, 3]),
            "model": chance.choice([MODEL, CHEAP]),
            "cached_input_tokens": chance.choice([0, 0, 7]),
            "ttl_s": chance.choice([None, 30, 86_400]),
            "tags": chance.choice([{}, {"feature": 'tri"age%s'}]),
        }
        now = NOW + timedelta(seconds=number, microseconds=chance.choice([0, 1, 250_000]))
        request = request_of(**fields)
        call = Call(request, msgspec.json.encode(request), ROUTER, now, teller.monotonic())
        answered = answer_usual(teller, call, teller.known)
        if answered is None:
            at_counter(teller, now=now, **fields)
            continue
        calls += 1
        assert answered.body == in_full(teller, request, answered.offset, now)
    assert calls > 60
    check_books(teller)


def in_full(
    teller: Teller, request: Authorize, offset: int, now: Any, till: Any = None
) -> bytes:
    """The same call by `decide` and the ordinary encoder, with the ids it was given."""
    path = teller.journal_of(teller.fence)
    reserved = journals.read_at(path, offset)
    till = till or next(iter(teller.by_place.values()))
    known = teller.known
    asked = ask_in_full(
        request=request,
        caller=ROUTER,
        policy=known.policy,
        now=now,
        verb=authorizing.Action.AUTHORIZE,
        prices=known.prices,
    )
    assert till.view.offset == reserved.seen
    left_now = Left(own(till.view, reserved.free_before))
    ruling = decide(question=asked.question, snapshot=known.policy.snapshot, left=left_now)
    lease = UUID(bytes=reserved.lease)
    told = msgspec.json.decode(reserved.answer)["reservation"]
    reservation = reservation_of(lease, offset)
    expires = now + timedelta(seconds=request.ttl_s or 600)
    return allowed_answer(
        asked=asked,
        ruling=ruling,
        left_now=left_now,
        reservation=reservation,
        view=ReservationView.of(
            public_id=ids.id_of("rsv", reservation),
            token=told["token"],
            money=Money("USD", reserved.amount),
            expires_at=expires,
        ),
    )


def test_the_usual_answer_tells_of_a_soft_limit_when_it_is_passed(tmp_path, clock):
    make_use_case()
    for kind, slug in (("company", ""), ("department", "service")):
        make_envelope(kind=kind, slug=slug, amount=100 * DOLLAR)
    make_envelope(amount=DOLLAR, soft_thresholds_ppm=(300_000, 500_000))
    teller = make_teller(tmp_path, clock)
    spent, seen, usual = 0, [], 0
    for number in range(55):
        before = len(written(teller, records.Grounds))
        answer = at_counter(teller, now=NOW + timedelta(seconds=number))
        usual += len(written(teller, records.Grounds)) == before
        spent += 15_000_000
        codes = [reason["code"] for reason in answer["reasons"]]
        assert ("ENVELOPE_SOFT_LIMIT" in codes) == (spent >= 300_000_000), number
        seen += [reason["detail"] for reason in answer["reasons"][:-1]]
        clock.at += 0.01
    assert {
        "Support is at or above 30 % of its amount.",
        "Support is at or above 50 % of its amount.",
    } == set(seen)
    assert usual > 20
    teller.journal.close()


def test_what_is_unusual_is_decided_in_full_or_strictly(teller):
    for _ in range(3):
        at_counter(teller)
    assert at_counter(teller, input_tokens=None, prompt="one two three")["decision"] == "allow"
    assert reason_of(at_counter(teller, use_case="nobody")) == "USE_CASE_UNKNOWN"
    assert reason_of(at_counter(teller, model="no-such-model")) == "PRICE_UNKNOWN"
    stranger = make_caller(key="key_other", use_cases=frozenset({"sales"}))
    assert reason_of(at_counter(teller, caller=stranger)) == "KEY_NOT_SCOPED"
    assert len(written(teller, records.Denied)) == 3
    assert DecisionLog.objects.count() == 0


def test_shadow_and_runs_with_a_limit_are_decided_strictly(tmp_path, clock):
    make_tree(company=100 * DOLLAR, department=50 * DOLLAR, per_run_nanos=20_000_000)
    make_use_case(slug="trial", mode="shadow")
    teller = make_teller(tmp_path, clock)
    assert at_counter(teller, use_case="trial")["mode"] == "shadow"
    assert at_counter(teller, run_id="run-1")["decision"] == "allow"
    assert reason_of(at_counter(teller, run_id="run-1")) == "PER_RUN_LIMIT"
    assert DecisionLog.objects.count() == 3
    assert written(teller, records.Reserved) == []
    teller.journal.close()


# Money


def test_no_more_is_reserved_than_was_lent_and_no_more_lent_than_the_cap(tmp_path, clock):
    make_tree(use_case=DOLLAR)
    tellers = [make_teller(tmp_path, clock) for _ in range(2)]
    allowed = 0
    for number in range(140):
        answer = at_counter(tellers[number % 2], now=NOW + timedelta(seconds=number))
        allowed += answer["decision"] == "allow"
        clock.at += 0.2
        for teller in tellers:
            check_books(teller)
    reserved = [each for teller in tellers for each in written(teller, records.Reserved)]
    assert sum(each.amount for each in reserved) == allowed * 15_000_000 <= DOLLAR
    assert sum(map(lent, tellers)) <= DOLLAR
    # 66 fit; what the other worker holds free comes back over the bookkeeper, who is not here.
    assert allowed >= 62
    for teller in tellers:
        teller.journal.close()


def test_a_denial_for_money_is_the_one_of_the_strict_form(tmp_path, clock):
    tree = make_tree(use_case=20_000_000)
    teller = make_teller(tmp_path, clock)
    assert at_counter(teller)["decision"] == "allow"
    clock.at += 1
    denied = at_counter(teller)
    strictly = ask()
    for answer in (denied, strictly):
        assert answer["decision"] == "deny"
        assert reason_of(answer) == "ENVELOPE_HARD_LIMIT"
    assert denied["reasons"] == strictly["reasons"]
    assert denied["envelopes"] == strictly["envelopes"]
    assert denied["retry_after_s"] == strictly["retry_after_s"]
    assert money_of(tree["use_case"])["available"] == 5_000_000
    teller.journal.close()


def test_a_lease_lends_nothing_in_its_last_two_seconds(teller, clock):
    at_counter(teller)
    first = set(teller.books)
    clock.at += loans.LEASE_TTL_S - loans.STOP_BEFORE_S
    at_counter(teller, now=NOW + timedelta(seconds=28))
    assert set(teller.books) - first


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_step_of_the_wall_clock_ends_no_lease_and_starts_none(teller, clock, step):
    for number in range(8):
        at_counter(teller, now=NOW + timedelta(milliseconds=number))
        clock.at += 0.01
    before, free = set(teller.books), next(iter(teller.by_place.values())).book.free
    assert free >= 15_000_000
    answer = at_counter(teller, now=NOW + step)
    assert answer["decision"] == "allow"
    assert set(teller.books) == before
    clock.at += loans.LEASE_TTL_S
    teller.booked(teller.journal.position, now=NOW)
    assert at_counter(teller, now=NOW + step)["decision"] == "allow"
    assert set(teller.books) - before


def test_a_settle_goes_to_the_database_when_the_journal_is_full(teller, monkeypatch):
    answer = at_counter(teller)
    called = []
    monkeypatch.setattr(
        ending, "settle_strictly", lambda **given: called.append(given) or b'{"strict":1}'
    )

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("o10.lease.journal.os.write", full)
        assert settle_at(teller, answer["reservation"]["token"]) == {"strict": 1}
    # Whoever repeats it later is sent there too: the journal knows nothing of it.
    assert settle_at(teller, answer["reservation"]["token"]) == {"strict": 1}
    assert len(called) == 2


def test_a_cut_cap_recalls_what_is_free_at_once(teller, clock):
    for number in range(6):
        at_counter(teller, now=NOW + timedelta(milliseconds=number))
        clock.at += 0.01
    envelope = next(iter(teller.by_place.values())).place.path[-1].public
    free = sum(book.free for _, book in teller.books.values())
    assert free > 0
    change = policies.EnvelopeChange(amount_nanos=50 * DOLLAR, reason="less")
    policies.change_envelope(envelope=envelope, change=change, actor=FINANCE, now=NOW)
    learn(teller)
    till = next(iter(teller.by_place.values()))
    assert till.book is None
    assert sum(book.free for _, book in teller.books.values()) == 0
    assert sum(each.amount for each in written(teller, records.GivenBack)) >= free
    clock.at += 1
    answer = at_counter(teller, now=NOW + timedelta(seconds=1))
    assert answer["envelopes"][-1]["cap"] == "50.00"


def test_a_frozen_envelope_is_refused_and_its_money_goes_back(teller):
    at_counter(teller)
    envelope = next(iter(teller.by_place.values())).place.path[-1].public
    change = policies.EnvelopeChange(state="frozen", reason="stop")
    policies.change_envelope(envelope=envelope, change=change, actor=FINANCE, now=NOW)
    learn(teller)
    assert reason_of(at_counter(teller)) == "ENVELOPE_FROZEN"
    assert sum(book.free for _, book in teller.books.values()) == 0


# Repeats


def test_a_repeated_request_id_gets_the_first_bytes(teller):
    request = request_of(request_id="one")
    body = msgspec.json.encode(request)
    first = authorizing.authorize(teller, read=lambda: (request, body), caller=ROUTER, now=NOW)
    later = NOW + timedelta(seconds=9)
    again = authorizing.authorize(
        teller, read=lambda: (request, body), caller=ROUTER, now=later
    )
    assert again == first
    spaced = json.dumps(json.loads(body), indent=2).encode()
    assert (
        authorizing.authorize(teller, read=lambda: (request, spaced), caller=ROUTER, now=later)
        == first
    )
    assert len(written(teller, records.Reserved)) == 1


def test_another_worker_of_the_host_gives_the_same_first_answer(tmp_path, clock):
    make_tree(use_case=4 * DOLLAR)
    one, other = make_teller(tmp_path, clock), make_teller(tmp_path, clock)
    first = at_counter(one, request_id="shared")
    assert at_counter(other, request_id="shared") == first
    with pytest.raises(IdempotencyMismatch):
        at_counter(other, request_id="shared", input_tokens=5)
    for each in (one, other):
        each.journal.close()


def test_a_denial_is_repeated_too_and_a_prompt_tells_requests_apart(teller):
    first = at_counter(teller, request_id="no", use_case="nobody")
    assert at_counter(teller, request_id="no", use_case="nobody") == first
    prompted = {"input_tokens": None, "prompt": "tell me", "request_id": "p"}
    answer = at_counter(teller, **prompted)
    assert at_counter(teller, **prompted) == answer
    with pytest.raises(IdempotencyMismatch):
        at_counter(teller, **{**prompted, "prompt": "tell me more"})


def test_no_prompt_reaches_the_journal(teller):
    at_counter(teller, input_tokens=None, prompt="the secret of the house")
    at_counter(teller, input_tokens=None, prompt="the secret of the house", use_case="nobody")
    assert b"secret of the house" not in teller.journal_of(teller.fence).read_bytes()


# Endings


def test_a_settle_books_its_cost_and_frees_the_rest_once_it_is_booked(teller):
    answer = at_counter(teller)
    for _ in range(4):
        at_counter(teller)
    till = next(iter(teller.by_place.values()))
    reference = answer["reservation"]["token"]
    paid = settle_at(teller, reference)
    assert paid["cost"]["amount"] == "0.00765"
    assert paid["refunded"]["amount"] == "0.00735"
    assert (paid["late"], paid["flags"], paid["overrun"]["amount"]) == (False, [], "0.00")
    assert settle_at(teller, reference, now=NOW + timedelta(seconds=3)) == paid
    with pytest.raises(IdempotencyMismatch):
        settle_at(teller, reference, output=311)
    with pytest.raises(ReservationFinalized):
        settle_at(teller, reference, attempt=2)
    with pytest.raises(ReservationFinalized):
        release = Release(reservation=reference)
        ending.release(teller, request=release, caller=ROUTER, now=NOW)
    check_books(teller)
    free = till.book.free
    teller.booked(teller.journal.position, now=NOW)
    assert till.book.free in (free, free + 7_350_000)
    check_books(teller)


def test_a_call_is_settled_by_its_bare_id_at_its_own_worker(teller):
    answer = at_counter(teller)
    paid = settle_at(teller, answer["reservation"]["id"])
    assert paid["cost"]["amount"] == "0.00765"
    assert len(written(teller, records.Settled)) == 1


def test_another_worker_settles_by_token_from_the_holders_journal(tmp_path, clock):
    make_tree(use_case=4 * DOLLAR)
    one, other = make_teller(tmp_path, clock), make_teller(tmp_path, clock)
    answer = at_counter(one)
    paid = settle_at(other, answer["reservation"]["token"])
    assert paid["cost"]["amount"] == "0.00765"
    (record,) = written(other, records.Settled)
    assert (record.journal, fence_of(UUID(bytes=record.lease))) == (one.fence, one.fence)
    assert (record.cost, record.covered) == (7_650_000, 7_650_000)
    assert settle_at(one, answer["reservation"]["token"]) == paid
    for each in (one, other):
        each.journal.close()


def test_a_cost_above_the_hold_is_paid_by_the_lease_and_then_an_overrun(teller):
    answer = at_counter(teller)
    paid = settle_at(teller, answer["reservation"]["token"], output=8_000)
    (record,) = written(teller, records.Settled)
    assert record.cost == 3_000_000 + 120_000_000
    assert record.covered <= lent(teller)
    assert paid["overrun"]["amount_nanos"] == str(record.cost - record.covered)
    assert "CAPS_NOT_HONOURED" in paid["flags"]
    check_books(teller)


def test_a_release_frees_the_hold_and_has_no_entry(teller):
    answer = at_counter(teller)
    request = Release(reservation=answer["reservation"]["token"], reason="not sent")
    first = ending.release(teller, request=request, caller=ROUTER, now=NOW)
    told = msgspec.json.decode(first)
    assert (told["entry_id"], told["refunded"]["amount"]) == (None, "0.015")
    assert ending.release(teller, request=request, caller=ROUTER, now=NOW) == first
    check_books(teller)


def test_an_unknown_id_is_unknown_only_when_the_books_have_everything(teller):
    unknown = ids.new_id("rsv")
    at_counter(teller)
    with pytest.raises(ServiceUnavailable):
        settle_at(teller, unknown)
    name = journal_name(teller.fence)
    LeaseHolder.objects.filter(journal=name).update(booked_to=teller.journal.position)
    with pytest.raises(ReservationUnknown):
        settle_at(teller, unknown)


# Failures


def test_a_full_disk_denies_nothing_silently(teller, monkeypatch):
    at_counter(teller)
    till = next(iter(teller.by_place.values()))
    before = {lease: (book.free, dict(book.open)) for lease, (_, book) in teller.books.items()}

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("o10.lease.journal.os.write", full)
        with pytest.raises(JournalFull):
            at_counter(teller, request_id="late")
    after = {lease: (book.free, dict(book.open)) for lease, (_, book) in teller.books.items()}
    assert {lease: after[lease] for lease in before} == before
    assert at_counter(teller, request_id="late")["decision"] == "allow"
    assert till.book is not None or till.retired


def test_old_knowledge_decides_nothing(teller, clock):
    clock.at += authorizing.KNOWN_MOST_S + 1
    with pytest.raises(ServiceUnavailable):
        at_counter(teller)


def test_nothing_is_borrowed_while_the_books_are_far_behind(teller, clock):
    at_counter(teller)
    clock.at += 31
    with pytest.raises(ServiceUnavailable):
        at_counter(teller, now=NOW + timedelta(seconds=31))
    teller.booked(teller.journal.position, now=NOW + timedelta(seconds=31))
    answer = at_counter(teller, now=NOW + timedelta(seconds=32))
    assert answer["decision"] == "allow"


def test_a_worker_that_the_books_took_for_dead_borrows_nothing(teller):
    LeaseHolder.objects.filter(fence=teller.fence).update(ended_at=NOW)
    with pytest.raises(ServiceUnavailable):
        at_counter(teller)
    assert teller.stopping
    assert Reservation.objects.count() == 0


def test_stopping_gives_everything_free_back_and_says_so(teller):
    for _ in range(5):
        at_counter(teller)
    policies.close_teller(teller, now=NOW)
    found = [record for _, record in journals.scan(teller.journal_of(teller.fence))]
    assert isinstance(found[-1], records.Ended)
    given = sum(each.amount for each in found if isinstance(each, records.GivenBack))
    assert given + 5 * 15_000_000 == lent(teller)


def test_what_is_booked_is_learned_even_when_no_notice_came(teller, clock):
    at_counter(teller)
    rounds = policies.Rounds()
    LeaseHolder.objects.filter(fence=teller.fence).update(booked_to=teller.journal.position)
    for _ in range(2):
        clock.at += 1
        rounds.tend(teller, told=(), now=NOW)
    assert teller.booked_to > 0
    clock.at += 40
    rounds.tend(teller, told=(), now=NOW)
    at_counter(teller, use_case="nobody")
    # A quiet minute before is no backlog; half a minute without an answer from the books is.
    assert not teller.is_far_ahead()
    clock.at += 31
    assert teller.is_far_ahead()


def test_a_holder_that_was_not_told_learns_from_the_books_what_ended(teller):
    answers = [at_counter(teller) for _ in range(12)]
    places = [teller.named_in(answer["reservation"]["id"]) for answer in answers]
    # Two calls of one lease: one ended in it at 5,000,000, one left it with its money.
    (lease, first), second = next(
        (place, other)
        for place in places
        for other_place in places
        for other in [other_place[1]]
        if place != other_place and place[0] == other_place[0]
    )
    book = teller.books[lease][1]
    for sequence, state, inside, settled in (
        (first, "settled", lease, 5_000_000),
        (second, "expired", None, 0),
    ):
        row_of(teller, lease, sequence, state=state, inside=inside, settled=settled)
    held = sum(book.open.values())
    policies.Rounds().tend(teller, told=[{"k": "lost"}], now=NOW)
    assert first not in book.open
    assert second not in book.open
    assert sum(book.open.values()) == held - 2 * 15_000_000
    assert (book.settled, book.dropped) == (5_000_000, 15_000_000)
    check_books(teller)
    # The database answers for it now, and has no more to say than the row.
    with pytest.raises(ReservationFinalized):
        token = answers[places.index((lease, first))]["reservation"]["token"]
        settle_at(teller, token, attempt=2)


def row_of(
    teller: Teller, lease: UUID, sequence: int, *, state: str, inside: UUID | None, settled: int
) -> None:
    """The row that the bookkeeper would have written of such a call."""
    path = teller.journal_of(teller.fence)
    reserved = journals.read_at(path, sequence)
    grounds = journals.read_at(path, reserved.grounds)
    hold = hold_of(reserved=reserved, grounds=grounds, sequence=sequence)
    fields = {name: getattr(hold, name) for name in hold.__slots__}
    for ours, column in (
        ("holds", "held"),
        ("amount", "amount_nanos"),
        ("open", "open_nanos"),
        ("settled", "settled_nanos"),
    ):
        fields[column] = fields.pop(ours)
    fields |= {
        "state": state,
        "lease": inside,
        "sequence": sequence,
        "path_ids": list(hold.path_ids),
        "path_periods": list(hold.path_periods),
        "open_nanos": 0 if state == "settled" else hold.open,
        "settled_nanos": settled,
        "decision_id": hold.id,
    }
    Reservation.objects.create(**fields)
