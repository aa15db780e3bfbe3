"""Is a closed month closed: sealed under one root, proven offline, moved by nothing?"""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, transaction

from ledger import facade as ledger
from ledger.operations.keep_exposure import Effect, keep_exposure
from ledger.operations.verify_ledger import verify_ledger
from o10.access.roles import Role
from o10.kernel.errors import NotSealedYet, PeriodClosed, SelfApproval
from o10.wire.facts import BulkCounts, UsageRecord
from o10.wire.requests import Authorize, Settle, UsageCounts
from policies import facade as policies
from tests.company import MODEL, caller
from tests.web.reports.pages_company import NOW, _found, seal_all

IN_OCTOBER = datetime(2026, 10, 30, 12, tzinfo=UTC)
PEOPLE = {"requested_by": "usr_maker", "approved_by": "usr_checker", "actor_id": 0}


@pytest.fixture
def company(committed_db, tmp_path, settings):
    settings.O10_SIGNING_KEY_FILE = str(tmp_path / "ledger.pem")
    made = _found()
    seal_all(committed_db, tmp_path)
    return made


@pytest.fixture
def seal(committed_db, tmp_path):
    moments = iter(range(1, 100))
    return lambda: seal_all(committed_db, tmp_path, NOW + timedelta(minutes=next(moments)))


def close(period="2026-10", **changes):
    ledger.begin_close(period=period, now=NOW)
    asked = {
        "period": period,
        "balances": policies.closing_balances,
        "evidence": {"conditions": 9},
        "price_version": 1,
        "policy_version": 1,
        "now": NOW,
        **PEOPLE,
        **changes,
    }
    return ledger.seal_period(**asked)


def record(name, at, calls=10):
    counts = BulkCounts(input_tokens=12_000, output_tokens=3_000)
    return UsageRecord(
        id=name, at=at, usage=counts, calls=calls, model=MODEL, use_case="support-assistant"
    )


def october():
    row = ledger.get_period("2026-10")
    return ledger.sum_period(starts_at=row.starts_at, ends_at=row.ends_at)


def cells_of_october():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM rollup_day WHERE bucket < '2026-11-01' ORDER BY 1, 2, 3, 4, 5, 6"
        )
        days = cursor.fetchall()
        cursor.execute(
            "SELECT envelope_id, settled_nanos, held_nanos, unsettled_nanos, version"
            " FROM envelope_balance WHERE period_end <= '2026-10-31T23:00Z' ORDER BY 1, 2"
        )
        return days, cursor.fetchall()


def findings(tmp_path):
    keys = ledger.load_verifier_keys(
        path=tmp_path / "ledger.pem", name=ledger.ledger_of_company().origin
    )
    audit = verify_ledger(mode=ledger.VerifierMode.FULL, keys=keys)
    return audit.findings + policies.check_conservation()


def test_a_month_is_sealed_with_its_balances_and_proven_offline(
    company, seal, tmp_path, committed_db
):
    before = october()
    done = close()
    assert done.amount_nanos == before.amount_nanos > 0
    assert done.lines == 5
    row = ledger.get_period("2026-10")
    assert (row.status, row.balances_root) == ("closed", done.balances_root)
    assert row.last_seq == before.last_seq
    seal()
    assert findings(tmp_path) == []
    bundle = tmp_path / "bundle"
    call_command("ledger_export", str(bundle), verbosity=0)
    lines = (bundle / "balances" / "2026-10.jsonl").read_bytes().splitlines()
    stated = {json.loads(line)["envelope"]: json.loads(line) for line in lines}
    top = stated[company.envelopes["company"]]
    assert int(top["settled_nanos"]) == before.amount_nanos
    assert offline(bundle) == (0, [])
    no_row_gets_in(committed_db)
    attacked(committed_db, tmp_path)


def no_row_gets_in(urls):
    copies = (
        "effective_at = '2026-10-30Z', recorded_at = now()",
        "effective_at = now(), recorded_at = '2026-10-30Z'",
    )
    with psycopg.connect(urls.superuser_url, autocommit=True) as superuser:
        for change in copies:
            with pytest.raises(psycopg.errors.CheckViolation):
                superuser.execute(
                    "CREATE TEMP TABLE IF NOT EXISTS one (LIKE ledger_entry);"
                    "TRUNCATE one; INSERT INTO one SELECT * FROM ledger_entry"
                    " WHERE kind = 13 LIMIT 1;"
                    f"UPDATE one SET id = id + 1000000, uid = gen_random_uuid(), {change};"
                    "INSERT INTO ledger_entry SELECT * FROM one"
                )


def attacked(urls, tmp_path):
    """A superuser edits what was closed: each edit is named."""
    for attack, column in (
        ("UPDATE ledger_period SET last_seq = last_seq + 1", "ledger_period"),
        (
            "UPDATE ledger_period_balance SET line = convert_to(replace(convert_from(line,"
            " 'UTF8'), '2026-10', '2026-11'), 'UTF8') WHERE place = 1",
            "balances_root",
        ),
    ):
        with psycopg.connect(urls.superuser_url, autocommit=True) as superuser:
            superuser.execute("SET session_replication_role = replica")
            superuser.execute(attack)
        found = findings(tmp_path)
        assert ("period_changed", column) in {(each.code, each.column) for each in found}


def offline(bundle):
    told = subprocess.run(
        [sys.executable, "-I", str(bundle / "verify.py"), str(bundle), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    return told.returncode, json.loads(told.stdout)["findings"]


def test_late_facts_stand_in_the_open_month_and_the_closed_one_stays(
    company, seal, tmp_path, committed_db
):
    close()
    seal()
    before, cells = october(), cells_of_october()
    finops = caller(Role.FINOPS)
    late = ledger.record_usage(records=[record("late", IN_OCTOBER)], caller=finops, now=NOW)
    entry = ledger.find_by_uid(ledger_id=1, uid=late.items[0].uid).entry
    assert entry.effective_at == NOW
    assert entry.flags & ledger.Flag.PRIOR_PERIOD
    assert entry.amount_nanos == late.items[0].amount_nanos > 0
    # The same record again is the same entry.
    again = ledger.record_usage(records=[record("late", IN_OCTOBER)], caller=finops, now=NOW)
    assert (again.recorded, again.replayed) == (0, 1)
    # And an entry of the closed month is taken back in the open one.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT uid, amount_nanos FROM ledger_entry WHERE kind = 13 AND amount_nanos > 0"
            " AND effective_at < '2026-10-31' AND effective_at > '2026-10-01' LIMIT 1"
        )
        uid, amount = cursor.fetchone()
    ledger.reverse(
        uid=uid,
        key="k",
        reason="another company's",
        requested_by="usr_a",
        approved_by="usr_b",
        actor_id=0,
        now=NOW,
    )
    seal()
    assert october() == before
    assert cells_of_october() == cells
    lines = ledger.list_prior_lines("2026-10")
    assert [line.amount_nanos for line in lines] == [entry.amount_nanos, -amount]
    assert findings(tmp_path) == []
    bundle = tmp_path / "bundle"
    call_command("ledger_export", str(bundle), verbosity=0)
    assert offline(bundle) == (0, [])
    uid = slipped_in(committed_db)
    seal()
    named = [each for each in findings(tmp_path) if each.uid == uid]
    assert [each.code for each in named] == ["i8"]
    assert "moves the period closed" in named[0].what


def slipped_in(urls):
    """An entry of October, written past the guard of the database."""
    with psycopg.connect(urls.superuser_url, autocommit=True) as superuser:
        superuser.execute("ALTER TABLE ledger_entry DROP CONSTRAINT entry_not_in_closed_period")
    row = ledger.list_entries(ledger_id=1, where=ledger.EntryFilter(kinds=(13,)), limit=1)
    entry = row.items[0].entry
    with transaction.atomic():
        forged = replace(
            entry, uid=UUID(int=entry.uid.int ^ 5), effective_at=IN_OCTOBER, recorded_at=NOW
        )
        effect = Effect(
            envelope_id=forged.envelope_id,
            effective_at=forged.effective_at,
            amount_nanos=forged.amount_nanos,
            unguarded_nanos=forged.amount_nanos,
        )
        (version,) = keep_exposure([effect])
        ledger.append([replace(forged, env_version=version)])
    return str(forged.uid)


def test_a_late_settle_of_a_closed_call_is_booked_in_the_current_month(company, seal, tmp_path):
    router = caller(Role.ROUTER, "key_router")
    request = Authorize(
        request_id="old", use_case="support-assistant", model=MODEL, input_tokens=1_200
    )
    answer = json.loads(policies.authorize(request=request, caller=router, now=IN_OCTOBER))
    reservation = answer["reservation"]["id"]
    with pytest.raises(Exception, match="not_sealed_yet"):
        close()
    later = IN_OCTOBER + timedelta(hours=2)
    assert policies.still_open(before=ledger.get_period("2026-10").ends_at).holds == 1
    policies.expire_due(now=later)
    assert (
        policies.write_off_before(ends_at=ledger.get_period("2026-10").ends_at, now=later) == 1
    )
    left = policies.still_open(before=ledger.get_period("2026-10").ends_at)
    assert (left.holds, left.leases, left.unsettled) == (0, 0, 0)
    seal()
    close()
    before, cells = october(), cells_of_october()
    told = json.loads(
        policies.settle(
            request=Settle(
                reservation=reservation,
                usage=UsageCounts(input_tokens=1_200, output_tokens=310),
            ),
            caller=router,
            now=NOW,
        )
    )
    assert told["late"] and {"LATE_SETTLE", "PRIOR_PERIOD"} <= set(told["flags"])
    seal()
    assert (october(), cells_of_october()) == (before, cells)
    (line,) = ledger.list_prior_lines("2026-10")
    assert str(line.amount_nanos) == told["cost"]["amount_nanos"]
    assert line.about_at.startswith("2026-10-30T12:00")
    assert findings(tmp_path) == []


def test_closing_needs_two_people_a_seal_and_the_month_before(company, seal):
    with pytest.raises(SelfApproval):
        close(approved_by="usr_maker")
    ledger.record_usage(
        records=[record("unsealed", IN_OCTOBER)], caller=caller(Role.FINOPS), now=NOW
    )
    with pytest.raises(NotSealedYet):
        close()
    seal()
    close("2026-09")
    with pytest.raises(PeriodClosed):
        ledger.begin_close(period="2026-09", now=NOW)
    with pytest.raises(ledger.OutOfOrder):
        ledger.begin_close(period="2026-12", now=NOW + timedelta(days=90))
    with pytest.raises(ledger.NotOver):
        ledger.begin_close(period="2026-11", now=NOW)
    assert close("2026-10").period == "2026-10"
