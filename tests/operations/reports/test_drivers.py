"""Is each volume of a driver told once, and does a rule share out by it to the nano?"""

import psycopg
import pytest

from ledger import facade as ledger
from o10.access.roles import Role
from o10.kernel.errors import Forbidden, IdempotencyMismatch, ValidationFailed
from o10.kernel.viewquery import parse
from reports import facade as reports
from reports.models import DriverVolume
from tests.company import caller
from tests.operations.reports.cost_company import NOW, OCTOBER, cost_company

UNIT = 10**9


@pytest.fixture
def company(database_urls, django_db_setup, django_db_blocker, tmp_path, clock):
    yield from cost_company(database_urls, django_db_blocker, tmp_path)


def volume(period="2026-10", units=100, use_case="support", **fields):
    wanted = {"driver": "tickets"} | fields
    return reports.VolumeDraft(use_case=use_case, period=period, volume=units, **wanted)


def tell(*drafts, actor=None):
    actor = actor or caller(Role.FINOPS, "usr_finops")
    return reports.record_drivers(drafts=drafts, actor=actor, now=NOW)


def entries(company):
    with psycopg.connect(company.urls.superuser_url) as direct:
        return direct.execute(
            "SELECT use_case_id, amount_nanos FROM ledger_entry WHERE kind = %s",
            [int(ledger.Kind.DRIVER)],
        ).fetchall()


def test_a_volume_is_one_entry_of_nothing_and_again_nothing(company):
    told = tell(volume(), volume("2026-11-02", 7))
    assert [each.status for each in told] == ["recorded", "recorded"]
    again = tell(volume("2026-11-02", 7), volume(), volume("2026-11-03", 8))
    assert [each.status for each in again] == ["replayed", "replayed", "recorded"]
    assert again[1].entry_id == told[0].entry_id
    assert entries(company) == [(company.numbers["support"], 0)] * 3


def test_a_volume_told_otherwise_needs_the_next_revision(company):
    tell(volume())
    with pytest.raises(IdempotencyMismatch) as caught:
        tell(volume(units=101))
    assert "revision 2" in caught.value.errors[0].message
    with pytest.raises(ValidationFailed) as caught:
        tell(volume(units=101, revision=3))
    assert caught.value.errors[0].code == "no_revision_before"
    tell(volume(units=101, revision=2))
    # The first one sent again late does not set the clock back.
    assert tell(volume())[0].status == "replayed"
    found = reports.get_drivers_page(query=_october(), now=NOW)
    assert found.lines[0].cost.volume == 101


WRONG = [
    (volume(use_case="nobody"), "/1/use_case", "unknown"),
    (volume(driver=" "), "/1/driver", "required"),
    (volume("2026-13"), "/1/period", "bad_time"),
    (volume("2026-10-32"), "/1/period", "bad_time"),
    (volume("2026-11"), "/1/period", "in_the_future"),
    (volume("2026-11-21"), "/1/period", "in_the_future"),
    (volume(units=-1), "/1/volume", "out_of_range"),
    (volume(units=10**16), "/1/volume", "out_of_range"),
    (volume(revision=0), "/1/revision", "out_of_range"),
    (volume("2026-10-03"), "/1/period", "overlaps"),
    (volume(), "/1", "twice"),
]


def test_one_wrong_volume_writes_none(company):
    for draft, pointer, code in WRONG:
        with pytest.raises(ValidationFailed) as caught:
            tell(volume(), draft)
        assert (caught.value.errors[0].pointer, caught.value.errors[0].code) == (pointer, code)
    assert not DriverVolume.objects.exists()
    assert entries(company) == []


def test_days_of_a_month_that_was_told_whole_are_refused_later_too(company):
    tell(volume("2026-10-03"))
    with pytest.raises(ValidationFailed) as caught:
        tell(volume())
    assert caught.value.errors[0].code == "overlaps"
    tell(volume("2026-10-04"), volume("2026-09"), volume(driver="chats"))


def test_only_who_may_record_use_tells_volumes(company):
    for role in (Role.OWNER, Role.VIEWER, Role.AUDITOR, Role.ADMIN, Role.CONTROLLER):
        with pytest.raises(Forbidden):
            tell(volume(), actor=caller(role))


def test_a_rule_by_driver_shares_out_by_the_volumes_of_the_month(company):
    company.use("one", thousands=300)
    company.state("platform", 1_000 * UNIT)
    with pytest.raises(ValidationFailed) as caught:
        company.rule("platform", "by_driver", driver="tickets")
    assert caught.value.errors[0].pointer == "/driver"
    tell(volume(units=600), volume(use_case="claims", units=200), volume("2026-09", 9_999))
    with pytest.raises(ValidationFailed):
        company.rule("platform", "by_calls", driver="tickets")
    assert company.rule("platform", "by_driver", driver="tickets").version == 1
    assert company.rule("platform", "by_driver", driver="tickets").version == 1
    company.count()
    company.allocate()
    booked = _booked()
    assert booked == {"support": 750 * UNIT, "claims": 250 * UNIT}
    # A corrected volume moves the weights: the difference waits to be booked.
    tell(volume(use_case="claims", units=600, revision=2))
    assert reports.allocations_due(month=OCTOBER) == (reports.Component.PLATFORM,)
    company.allocate()
    assert _booked() == {"support": 500 * UNIT, "claims": 500 * UNIT}


def _booked():
    slugs = reports.use_case_slugs()
    plan = reports.plan_allocation(month=OCTOBER)
    return {slugs[line.use_case]: line.booked for line in plan.lines}


def test_a_unit_costs_the_full_cost_of_the_month_over_its_units(company):
    spent = company.use("one", thousands=300)
    company.state("platform", 40 * UNIT, use_case="support")
    company.count()
    company.allocate()
    company.count()
    tell(*(volume(f"2026-10-{day:02}", 10) for day in range(1, 32)))
    found = reports.get_drivers_page(query=_october(), now=NOW)
    line = found.lines[0].cost
    assert (line.volume, line.days_told, line.days_over, line.whole) == (310, 31, 31, True)
    assert line.cost == spent + 40 * UNIT
    assert line.per_unit * 310 == pytest.approx(line.cost, abs=310)
    assert found.headline.startswith("In October 2026, fully loaded, calls cost ")
    assert found.without == ()


def test_what_shared_out_a_closed_month_stands(company, monkeypatch):
    tell(volume())
    closed = type("Closed", (), {"status": "closed", "period": "2026-10", "closed_at": NOW})()
    monkeypatch.setattr(
        ledger, "find_period", lambda period: closed if period == "2026-10" else None
    )
    with pytest.raises(ValidationFailed) as caught:
        tell(volume(units=5, revision=2))
    assert caught.value.errors[0].code == "period_closed"
    # What was told before may be sent again, and an open month takes more.
    assert tell(volume())[0].status == "replayed"
    tell(volume("2026-11-03"))


def _october():
    return parse([("p", "2026-10")], page=reports.COST_GRAMMAR).query
