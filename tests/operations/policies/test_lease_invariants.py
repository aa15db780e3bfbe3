"""Do P1 to P8 hold on the live database, and is each broken one named?"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from o10 import health
from policies import facade as policies
from policies.models import LeaseHolder

from .company import FINANCE, NOW, ask, make_tree, pay
from .lender import call_in, lend, make_holder
from .test_lease_detach import WORST, by_token
from .test_lease_drift import edit, seal_all, verified
from .test_lease_endings import LOST


@pytest.fixture
def busy(committed_books: Any) -> Any:
    """Strict holds, a lease in use, an expired one, an overrun and a cap cut below it all."""
    tree = make_tree(use_case=10 * WORST, department=100 * WORST)
    ask(request_id="strict")
    used = lend(4 * WORST, fence=make_holder(), ttl_s=600)
    call_in(used.lease, WORST)
    pay(call_in(used.lease, 1_000_000, sequence=200))
    lost = lend(2 * WORST, fence=make_holder(pid=8))
    policies.reconcile_leases(now=LOST)
    pay(by_token(lost.lease), model="gpt-x", venue="openai", now=LOST)
    policies.change_envelope(
        envelope=tree["use_case"].id,
        change=policies.EnvelopeChange(amount_nanos=2 * WORST, reason="less"),
        actor=FINANCE,
        now=LOST,
    )
    assert policies.check_invariants() == []
    return committed_books, used.lease, lost.lease


STRICT = "state = 'open' AND lease IS NULL"
INSIDE = "state = 'open' AND lease IS NOT NULL"
NINE = "open_nanos = 9 * open_nanos, amount_nanos = 9 * amount_nanos"
BREAKS = [
    ("P3", "held", "UPDATE envelope_balance SET held_nanos = held_nanos - 1"),
    ("P3", "held", f"UPDATE reservation SET open_nanos = open_nanos - 1 WHERE {STRICT}"),
    ("P3", "unsettled", "UPDATE lease SET late_nanos = late_nanos + 1 WHERE state = 'expired'"),
    ("P2", "granted", f"UPDATE reservation SET {NINE} WHERE {INSIDE}"),
    ("P5", "state", "UPDATE lease SET state = 'draining' WHERE state = 'expired'"),
    ("P6", "amount", f"UPDATE reservation SET amount_nanos = amount_nanos - 1 WHERE {STRICT}"),
]


@pytest.mark.parametrize(("rule", "column", "statement"), BREAKS)
def test_a_broken_rule_is_named(busy: Any, rule: str, column: str, statement: str) -> None:
    urls, _, _ = busy
    assert edit(urls, statement) > 0
    found = {(breach.rule, breach.column) for breach in policies.check_invariants()}
    assert (rule, column) in found


def test_a_passed_limit_is_named_where_even_the_check_is_gone(busy: Any) -> None:
    urls, _, _ = busy
    name = "balance_guarded_exposure_le_limit"
    edit(urls, f"ALTER TABLE envelope_balance DROP CONSTRAINT {name}")
    try:
        edit(urls, "UPDATE envelope_balance SET limit_nanos = cap_nanos")
        found = {(breach.rule, breach.column) for breach in policies.check_invariants()}
        assert ("P1", "guarded exposure") in found
        assert ("P8", "unguarded") in found
    finally:
        edit(urls, "UPDATE envelope_balance SET limit_nanos = 9e18")
        edit(
            urls,
            f"ALTER TABLE envelope_balance ADD CONSTRAINT {name} CHECK (limit_nanos IS NULL OR"
            " limit_nanos >= settled_nanos - unguarded_nanos + held_nanos + unsettled_nanos)",
        )


def test_ledger_verify_tells_a_broken_rule_where_no_figure_differs(
    busy: Any, settings: Any, tmp_path: Path
) -> None:
    urls, _, _ = busy
    settings.O10_HOME = tmp_path
    settings.O10_SIGNING_KEY_FILE = str(tmp_path / "keys" / "ledger.pem")
    seal_all(urls, Path(settings.O10_SIGNING_KEY_FILE))
    assert verified() == (0, [])
    # The decision of a strict hold asked for more than was held; every cache is as it was.
    where = "id = (SELECT decision_id FROM reservation WHERE sequence = 0)"
    edit(urls, f"UPDATE policies_decision_log SET worst_nanos = worst_nanos + 1 WHERE {where}")
    code, findings = verified()
    assert (code, len(findings)) == (1, 1)
    assert findings[0][0] == "invariant_broken"
    assert findings[0][1].startswith("P6: reservation ")


def test_the_books_part_of_the_health_says_which_rule_is_broken(busy: Any) -> None:
    urls, lease, _ = busy
    later = NOW + timedelta(seconds=1)
    LeaseHolder.objects.update(booked_at=later, seen_at=later)
    assert health._books(later) == ""
    edit(
        urls,
        f"UPDATE lease SET returned_nanos = returned_nanos + 1 WHERE id = '{lease}'",
    )
    told = health._books(later)
    assert told.startswith("P3 is broken: env_")
    assert told.endswith("run ledger_verify")


def test_the_books_part_says_when_nobody_books(sound: None) -> None:
    make_tree()
    fence = make_holder()
    lend(WORST, fence=fence)
    assert health._books(NOW + timedelta(seconds=10)) == ""
    told = health._books(NOW + timedelta(seconds=11))
    assert told == "what was answered 11 s ago is not booked; is keep_books running?"
    LeaseHolder.objects.update(booked_at=NOW + timedelta(seconds=10))
    assert health._books(NOW + timedelta(seconds=11)) == ""


def test_figures_tell_what_is_lent_and_what_is_stranded(sound: None) -> None:
    make_tree()
    alive, gone = make_holder(), make_holder(pid=8)
    lent = lend(4 * WORST, fence=alive, ttl_s=600)
    call_in(lent.lease, WORST)
    lost = lend(2 * WORST, fence=gone)
    call_in(lost.lease, WORST)
    figures = policies.lease_figures(now=NOW)
    assert (figures.leased_nanos, figures.stranded_nanos, figures.holders) == (6 * WORST, 0, 2)
    later = policies.lease_figures(now=NOW + timedelta(seconds=31))
    assert (later.leased_nanos, later.stranded_nanos, later.holders) == (6 * WORST, WORST, 0)
    LeaseHolder.objects.filter(fence=alive).update(ended_at=NOW)
    assert policies.lease_figures(now=NOW).stranded_nanos == 3 * WORST
    policies.reconcile_leases(now=LOST)
    assert policies.lease_figures(now=LOST).leased_nanos == 5 * WORST
