"""Is every change of prices whole, at whichever statement the process dies, and booked once?

Each operation is cut off before each of its statements in turn and must leave what stood
before; begun again it must end where an undisturbed run ends. Run once more it adds nothing.
"""

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from ledger import facade as ledger
from ledger.models.price import PriceQuarantine
from tests.forget import forget_everything

from .company import CHEAP, DOLLAR, MODEL, NOW, entries, make_tree
from .test_price_ledger import BOTH, KEY, book, catalogue, commitment, price, report

pytestmark = pytest.mark.usefixtures("sound")

DAY = timedelta(days=1)
LATER = NOW + timedelta(hours=1)
AGAIN_EVERY = 6
"""What stands after a death is what stood before: begun again it is tried now and then."""
_ROWS = """
SELECT 'entry', kind || ' ' || amount_nanos || ' ' || use_case_id || ' ' || envelope_id || ' '
    || price_version || ' ' || effective_at FROM ledger_entry
UNION ALL SELECT 'version', version || ' ' || change || encode(digest, 'hex')
    FROM ledger_price_version
UNION ALL SELECT 'rule', version_id || ' ' || source || ' ' || valid_from FROM ledger_price_rule
UNION ALL SELECT 'rate', meter || ' ' || nanos_per_million FROM ledger_price_rate
UNION ALL SELECT 'proposal', content_hash || ' ' || base_version FROM ledger_price_proposal
UNION ALL SELECT 'end', outcome || ' ' || actor FROM ledger_price_proposal_end
UNION ALL SELECT 'doubt', slug || ' ' || doubts::text FROM ledger_price_quarantine
UNION ALL SELECT 'release', reason || ' ' || version_id FROM ledger_price_release
UNION ALL SELECT 'dismissal', reason || ' ' || actor FROM ledger_price_dismissal
UNION ALL SELECT 'confirmed', content_hash || ' ' || day FROM ledger_price_confirmation
UNION ALL SELECT 'fx', currency || rate || rate_date FROM ledger_fx_rate
UNION ALL SELECT 'terms', version || ' ' || units FROM ledger_commitment
UNION ALL SELECT 'day', day || ' ' || revision || ' ' || charge_nanos || ' ' || used_nanos
    || ' ' || beyond_nanos FROM ledger_commitment_day
UNION ALL SELECT 'revalued', delta_nanos || ' ' || price_version FROM ledger_revaluation
UNION ALL SELECT 'end of rule', rule_id || ' ' || reason FROM ledger_price_withdrawal
ORDER BY 1, 2
"""


class Died(BaseException):
    """The process is gone: nothing that catches errors sees it."""


class _DiesAt:
    def __init__(self, number: int) -> None:
        self.left = number
        self.died = False

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not self.died and self.left == 0:
            self.died = True
            raise Died(sql)
        self.left -= 1
        return execute(sql, params, many, context)


def standing() -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_ROWS)
        return list(cursor.fetchall())


def _refresh(tmp_path, **cards) -> Callable[[], Any]:
    read = catalogue(tmp_path, **(cards or {MODEL: {"input_cost_per_token": 3e-06}}))
    return lambda: ledger.propose_refresh(catalogue=read, actor="system", now=NOW)


def _apply(tmp_path):
    made = _refresh(tmp_path)()
    return lambda: ledger.apply_refresh(proposal=made.id, now=LATER, **BOTH)


def _doubted(tmp_path) -> int:
    _refresh(tmp_path, **{CHEAP: {"input_cost_per_token": 1.2e-06}})()
    return PriceQuarantine.objects.get().id


def _release(tmp_path):
    row = _doubted(tmp_path)
    return lambda: ledger.apply_release(row_id=row, reason="Mail", now=LATER, **BOTH)


def _dismiss(tmp_path):
    row = _doubted(tmp_path)
    return lambda: ledger.dismiss_price_row(
        row_id=row, reason="A typo", actor="usr_maker", now=LATER
    )


def _confirm(tmp_path):
    read = catalogue(tmp_path)
    return lambda: ledger.propose_refresh(catalogue=read, actor="usr_maker", now=LATER)


def _contract(tmp_path):
    return lambda: ledger.add_price(price=price(), actor="usr_maker", now=NOW, key="k")


def _withdraw(tmp_path):
    added = ledger.add_price(price=price(), actor="usr_maker", now=NOW, key="k")
    return lambda: ledger.withdraw_price(
        rule_id=added.rule_id, ended_at=LATER, reason="Ended", actor="usr_maker", now=LATER
    )


def _rates(tmp_path):
    rates = [
        ledger.FxRate(currency="INR", rate=rate, rate_date=day, source="RBI")
        for rate, day in (("0.012", date(2026, 11, 1)), ("0.0125", date(2026, 11, 20)))
    ]
    return lambda: ledger.add_fx_rates(rates=rates, actor="usr_maker", now=NOW)


def _revalue(tmp_path):
    make_tree()
    report("a", at=NOW - DAY)
    report("b", at=NOW - 2 * DAY, used=(10, 10))
    ledger.add_price(price=price(valid_from=NOW - 9 * DAY), actor="usr_maker", now=NOW)
    span = {"offers": [KEY], "start": NOW - 9 * DAY, "end": NOW}
    return lambda: ledger.revalue(**span, reason="Contract 7", now=LATER, **BOTH)


def _fx_difference(tmp_path):
    make_tree()
    _rates(tmp_path)()
    rupees = {
        "input": [ledger.Bracket(0, 200 * DOLLAR)],
        "output": [ledger.Bracket(0, 1_000 * DOLLAR)],
    }
    ledger.add_price(
        price=price(currency="INR", meters=rupees, valid_from=NOW - 5 * DAY),
        actor="usr_maker",
        now=NOW,
    )
    report("a", at=NOW - DAY)
    return lambda: ledger.settle_fx(
        currency="INR",
        rate="0.013",
        paid_on=date(2026, 11, 20),
        start=NOW - 2 * DAY,
        end=NOW,
        reason="Invoice 88",
        now=LATER,
        **BOTH,
    )


def _terms(tmp_path):
    return lambda: ledger.set_commitment(draft=commitment(), now=NOW, key="k", **BOTH)


def _charges(tmp_path):
    make_tree(use_case=1_000 * DOLLAR, department=2_000 * DOLLAR, company=9_000 * DOLLAR)
    terms = commitment(start_at=NOW.replace(hour=0, minute=0) - DAY)
    ledger.set_commitment(draft=terms, now=NOW, **BOTH)
    report("p", at=NOW - DAY, used=(3_000_000, 0), venue="ptu", calls=9)
    return lambda: book(LATER)


def _late_usage(tmp_path):
    again = _charges(tmp_path)
    again()
    report("late", at=NOW - DAY, used=(500_000, 0), venue="ptu", calls=9)
    return again


CHANGES = {
    "a proposal": _refresh,
    "its application": _apply,
    "a release": _release,
    "a dismissal": _dismiss,
    "a confirmation": _confirm,
    "a contract": _contract,
    "the end of a contract": _withdraw,
    "dated rates": _rates,
    "a revaluation": _revalue,
    "an FX difference": _fx_difference,
    "the terms of a commitment": _terms,
    "the charges of its days": _charges,
    "usage that came late": _late_usage,
}


@pytest.mark.parametrize("name", CHANGES)
def test_it_is_whole_wherever_the_process_dies_and_is_done_once(name, tmp_path):
    change = CHANGES[name](tmp_path)
    before = standing()
    with _undone():
        change()
        wanted = standing()
        assert wanted != before, "the change says nothing"
        change()
        assert standing() == wanted, "done twice it is booked twice"
    number, whole = 0, False
    while not whole:
        with _undone():
            death = _DiesAt(number)
            try:
                with transaction.atomic(), connection.execute_wrapper(death):
                    change()
                whole = True
            except Died:
                forget_everything()
                assert standing() == before, f"half of it stands after statement {number}"
            if whole or number % AGAIN_EVERY == 0:
                change()
                assert standing() == wanted, f"another end after statement {number}"
        number += 1
    assert number > 3


class _undone:  # noqa: N801 - reads as a statement
    """What happens inside is taken back, in the database and in memory."""

    def __enter__(self) -> None:
        self.point = transaction.savepoint()

    def __exit__(self, *error: object) -> None:
        transaction.savepoint_rollback(self.point)
        forget_everything()


def test_days_that_were_booked_before_the_death_stay_and_the_others_follow(tmp_path):
    """Each day is a transaction of its own."""
    make_tree(use_case=1_000 * DOLLAR, department=2_000 * DOLLAR, company=9_000 * DOLLAR)
    terms = ledger.set_commitment(draft=commitment(), now=NOW, **BOTH)
    report("p", at=NOW - DAY, used=(3_000_000, 0), venue="ptu", calls=9)
    days = []
    for number in range(5, 400, 23):
        death = _DiesAt(number)
        with connection.execute_wrapper(death):
            try:
                book(LATER)
            except Died:
                forget_everything()
        days.append(len(ledger.get_commitment(public=terms.public, now=LATER).days))
        if not death.died:
            break
    assert (days[0], days[-1], days) == (0, 3, sorted(days))
    assert 1 in days or 2 in days
    charge = sum(
        row.charge for row in ledger.get_commitment(public=terms.public, now=LATER).days
    )
    assert charge == 3 * 24 * 6 * DOLLAR
    booked = entries(kind=16)
    assert sum(each.amount_nanos for each in booked) == charge + 2_500_000_000


def test_the_rows_looked_at_say_more_than_their_number(tmp_path):
    _rates(tmp_path)()
    assert json.dumps(standing()).count("INR") == 2
