"""Does no cap give way when many processes spend, die and change rules at once?"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.db import connections

from ledger import facade as ledger
from o10.kernel.errors import ReservationFinalized
from o10.wire.facts import UsageRecord
from policies import facade as policies
from policies.models import DecisionLog, Reservation
from tests.operations.policies.company import (
    FINANCE,
    NOW,
    ROUTER,
    ask,
    forget_everything,
    let_go,
    make_books,
    make_caller,
    make_envelope,
    make_tree,
    make_use_case,
    pay,
    prolong,
)

from .concurrency import FORK, Report, hammer, held_now, in_processes, kill_at_statement
from .replay import findings_of_entries

G16_CALL = {"input_tokens": 16_108, "max_output_tokens": 0}
"""16,108 tokens at 2,500 nanos are 0.04027 dollars."""
CALL = {"input_tokens": 100, "max_output_tokens": 50}
WORST = 1_000_000
"""100 tokens at 2,500 and 50 at 15,000 nanos."""


@pytest.fixture
def company(committed_db: Any) -> Any:
    make_books()
    yield committed_db
    forget_everything()


def assert_sound() -> None:
    """Caches equal entries, and the verifier finds I1-I5 kept at every version."""
    assert policies.check_conservation() == []
    assert findings_of_entries() == []


def test_g16_of_fifty_calls_at_once_exactly_two_are_admitted(company):
    tree = make_tree(use_case=100_000_000)
    report = hammer(processes=5, attempts=10, call=G16_CALL)
    assert report.codes == {"OK_WITHIN_ENVELOPE": 2, "ENVELOPE_HARD_LIMIT": 48}
    assert held_now(tree["use_case"]) == report.admitted["support"] == 80_540_000
    assert_sound()


@pytest.mark.parametrize("level", ["company", "department", "use_case"])
def test_p01_exactly_as_many_calls_as_fit_are_admitted_at_every_level(company, level):
    caps = {"company": 10**12, "department": 10**11, "use_case": 10**10}
    for name in ("company", "department", "use_case"):
        if list(caps).index(name) >= list(caps).index(level):
            caps[name] = 60 * WORST + 1
    tree = make_tree(**caps)
    report = hammer(processes=4, attempts=50, call=CALL)
    assert report.errors == {}
    assert report.allowed == 60
    assert set(report.codes) == {"OK_WITHIN_ENVELOPE", "ENVELOPE_HARD_LIMIT"}
    for envelope in tree.values():
        assert held_now(envelope) == 60 * WORST
    assert_sound()


def test_p01_siblings_cannot_pass_their_parent_together(company):
    make_use_case()
    make_use_case(slug="search")
    parent = make_envelope(
        kind="company", slug="", amount=100 * WORST, allow_overallocation=True
    )
    make_envelope(amount=70 * WORST)
    make_envelope(slug="search", amount=70 * WORST)
    report = hammer(processes=4, attempts=60, use_cases=("support", "search"), call=CALL)
    assert report.errors == {}
    assert report.allowed == 100
    assert max(report.admitted.values()) <= 70 * WORST
    assert held_now(parent) == 100 * WORST
    assert set(report.codes) - {"OK_WITHIN_ENVELOPE"} <= {
        "ENVELOPE_HARD_LIMIT",
        "PARENT_ENVELOPE_EXHAUSTED",
    }
    assert_sound()


def test_eight_processes_on_one_tree_admit_what_fits_and_never_more(company):
    """Several thousand attempts with settles in between; the long run is marked soak."""
    _eight_processes(attempts=400, cap=600 * WORST)


@pytest.mark.soak
def test_eight_processes_try_fifty_thousand_times_on_one_dollar(company):
    _eight_processes(attempts=6_250, cap=1_000 * WORST)


def _eight_processes(*, attempts: int, cap: int) -> None:
    tree = make_tree(company=cap + WORST, department=cap, use_case=cap)
    children = [
        make_envelope(kind="customer", slug=slug, parent=tree["use_case"].id, amount=cap // 2)
        for slug in ("acme", "default")
    ]

    def work(number: int) -> Report:
        from .concurrency import _spend

        call = {**CALL, "customer": "acme" if number % 2 else "other"}
        return _spend(number, attempts, ("support",), call, 0.3, NOW)

    report = in_processes(8, work)
    assert report.errors == {}
    total = report.admitted["support"] - report.given_back["support"]
    held_and_spent = sum(
        int(view.held_nanos) + int(view.settled_nanos)
        for view in (policies.get_envelope(envelope=each.id, now=NOW) for each in children)
    )
    assert total == held_and_spent
    assert total <= cap
    assert total >= cap * 99 // 100
    assert_sound()


def test_verbs_rules_imports_and_sweeps_at_once_never_deadlock(company):
    tree = make_tree(company=10**12, department=10**11, use_case=10**10)
    make_use_case(slug="search", department="growth")
    make_envelope(slug="search", amount=10**10)
    later = NOW + timedelta(minutes=20)

    def work(number: int) -> Report:
        report = Report()
        chance = random.Random(number)
        caller = make_caller(key=f"key_{number}")
        for turn in range(25):
            _one_of_everything(chance, caller, turn, tree, later)
            report.codes["OK_WITHIN_ENVELOPE"] += 1
        return report

    report = in_processes(6, work)
    assert report.errors == {}
    assert report.allowed == 6 * 25
    assert_sound()


def _one_of_everything(chance, caller, turn, tree, later) -> None:
    use_case = chance.choice(("support", "search"))
    answer = ask(caller=caller, use_case=use_case, **CALL)
    act = chance.randrange(6)
    if act == 0:
        envelope = chance.choice(list(tree.values()))
        change = policies.EnvelopeChange(
            amount_nanos=int(envelope.cap_nanos) + turn, reason="drill"
        )
        policies.change_envelope(envelope=envelope.id, change=change, actor=FINANCE, now=NOW)
    elif act == 1:
        records = [_record(f"{caller.key_id}-{turn}-{n}", chance) for n in range(3)]
        ledger.record_usage(records=records, caller=caller, now=NOW)
    elif act == 2:
        policies.expire_due(now=later, limit=5)
    elif act == 3 and answer["reservation"]:
        # Another process may have let it expire meanwhile.
        with contextlib.suppress(ReservationFinalized):
            prolong(answer, caller=caller, max_output_tokens=90, now=NOW)
    elif answer["reservation"]:
        pay(answer, caller=caller, now=NOW)
    policies.fold_denials(now=later)


def _record(key: str, chance: random.Random) -> UsageRecord:
    body = {
        "id": key,
        "source": "router",
        "at": NOW - timedelta(days=chance.randrange(60)),
        "use_case": chance.choice(("support", "search", "nobody")),
        "model": "gpt-x",
        "usage": {"input_tokens": 10, "output_tokens": 10},
    }
    return msgspec.convert(body, UsageRecord)


def test_the_same_request_in_many_processes_holds_once(company):
    tree = make_tree()

    def work(number: int) -> Report:
        report = Report()
        for turn in range(10):
            answer = ask(request_id=f"same-{turn}", **CALL)
            report.codes[answer["decision_id"]] += 1
        return report

    report = in_processes(6, work)
    assert report.errors == {}
    assert len(report.codes) == 10
    assert set(report.codes.values()) == {6}
    assert held_now(tree["use_case"]) == 10 * WORST
    assert_sound()


def test_one_reservation_ended_by_many_processes_ends_once(company):
    tree = make_tree()
    answers = [ask(request_id=f"r{number}", **CALL) for number in range(10)]

    def work(number: int) -> Report:
        from o10.kernel.errors import O10Error

        report = Report()
        for answer in answers:
            verb: Callable[..., Any] = pay if number % 2 else let_go
            try:
                ended = verb(answer)
                report.codes[ended["entry_id"]] += 1
            except O10Error as error:
                report.codes[error.code] += 1
        return report

    report = in_processes(6, work)
    assert report.errors == {}
    ends = [code for code in report.codes if code.startswith("ent_")]
    assert len(ends) == 10
    assert held_now(tree["use_case"]) == 0
    assert_sound()


def test_p04_killed_processes_leave_no_money_behind(company):
    """SIGKILL at random moments; after the lives of all holds nothing is held or unsettled."""
    tree = make_tree(company=10**10, department=10**10, use_case=10**10)
    connections.close_all()
    chance = random.Random(7)
    for generation in range(6):
        children = [
            FORK.Process(target=_spend_for_ever, args=(generation, number))
            for number in range(3)
        ]
        for child in children:
            child.start()
        time.sleep(0.4 + chance.random() * 0.4)
        for child in children:
            os.kill(child.pid, signal.SIGKILL)
            child.join()
    assert Reservation.objects.count() > 30
    assert_sound()
    end = NOW + timedelta(days=3)
    while policies.expire_due(now=end):
        pass
    while policies.write_off_due(now=end):
        pass
    view = policies.get_envelope(envelope=tree["use_case"].id, now=NOW)
    assert (view.held_nanos, view.unsettled_nanos) == ("0", "0")
    assert not Reservation.objects.filter(state__in=("open", "expired")).exists()
    assert_sound()


def _spend_for_ever(generation: int, number: int) -> None:
    forget_everything()
    chance = random.Random(generation * 100 + number)
    while True:
        answer = ask(**CALL)
        if chance.random() < 0.7:
            pay(answer, usage=(100, 20))


def _fresh(**fields: Any) -> dict[str, Any]:
    return ask(**CALL, **fields)


OPERATIONS: dict[str, Callable[[int], Callable[[], Any]]] = {
    "authorize": lambda n: lambda: ask(request_id=f"killed-{n}", **CALL),
    "deny": lambda n: (
        lambda: ask(request_id=f"denied-{n}", input_tokens=10**9, max_output_tokens=1)
    ),
    "settle": lambda n: (lambda answer: lambda: pay(answer, usage=(100, 900)))(_fresh()),
    "release": lambda n: (lambda answer: lambda: let_go(answer))(_fresh()),
    "extend": lambda n: (lambda answer: lambda: prolong(answer, max_output_tokens=70))(
        _fresh()
    ),
    "expire": lambda n: (
        lambda _: lambda: policies.expire_due(now=NOW + timedelta(minutes=11), limit=1)
    )(_fresh()),
    "next period": lambda n: lambda: ask(now=NOW + timedelta(days=n), **CALL),
    "change": lambda n: (
        lambda: policies.change_envelope(
            envelope=policies.list_envelopes(now=NOW).items[0].id,
            change=policies.EnvelopeChange(amount_nanos=10**10 + n, reason="drill"),
            actor=FINANCE,
            now=NOW,
        )
    ),
}


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_p07_killed_at_any_statement_an_operation_is_whole_or_absent(company, name):
    make_tree(company=10**10, department=10**10, use_case=10**10, period_kind="day")
    ask(request_id="warm", **CALL)
    for statement in range(1, 60):
        operation = OPERATIONS[name](statement)
        if not kill_at_statement(operation, statement):
            break
        assert policies.check_conservation() == []
        _every_decision_has_its_entry()
    else:
        raise AssertionError("the operation has no end")
    assert statement > 5
    assert_sound()


def _every_decision_has_its_entry() -> None:
    for row in DecisionLog.objects.all():
        assert row.entry_uid is not None
        assert ledger.find_by_uid(ledger_id=1, uid=row.entry_uid) is not None
        held = Reservation.objects.filter(id=row.reservation).exists()
        assert held == (row.decision in ("allow", "allow_with_caps"))


def test_after_a_kill_the_repeated_request_is_answered_as_if_nothing_had_been(company):
    tree = make_tree(company=10**10, department=10**10, use_case=10**10)
    for statement in range(1, 60):
        operation = OPERATIONS["authorize"](0)
        if not kill_at_statement(operation, statement):
            break
    answer = ask(request_id="killed-0", **CALL)
    assert answer["decision"] == "allow"
    assert held_now(tree["use_case"]) == WORST
    assert ROUTER.key_id == DecisionLog.objects.get().caller
    assert_sound()
