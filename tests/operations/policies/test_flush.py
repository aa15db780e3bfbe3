"""Do the books take what a journal says, as the strict form would have booked it?"""

from pathlib import Path

import pytest
from django.db import transaction

from o10.wire.requests import (
    CacheHit,
    Finish,
    OutcomeFact,
    ProviderCost,
    Purpose,
    ServiceClass,
    UsageCounts,
)
from policies.models import AnswerLog, DecisionLog, LeaseHolder, Reservation
from policies.operations.bookkeeper import Books
from policies.operations.flush import flush
from policies.operations.journal_tail import JournalTail

from .company import CHEAP, NOW, ask, entries, let_go, make_tree, pay
from .scribe import Scribe

pytestmark = pytest.mark.usefixtures("sound")
RESERVE, SETTLE, OVERRUN, LEASE, LEASE_RETURN, DENY = 2, 4, 7, 10, 11, 15


@pytest.fixture
def tree(sound):
    return make_tree()


@pytest.fixture
def scribe(tree, tmp_path: Path) -> Scribe:
    return Scribe(tmp_path)


def book(scribe: Scribe, *, books: Books | None = None, now=NOW) -> int:
    """Books the whole journal; how many batches it took."""
    holder = LeaseHolder.objects.get(fence=scribe.fence)
    tail = JournalTail(fence=scribe.fence, path=scribe.path, booked_to=holder.booked_to)
    tail.look(now=now)
    batches = 0
    while tail.pending:
        flushed = flush(books=books or Books(), tail=tail, now=now)
        assert flushed.count, flushed
        batches += 1
    tail.close()
    return batches


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
            for each in entries(reservation=reservation.id)
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
