"""Does the process say whether it can work, and what is missing when it cannot?"""

import re
from datetime import timedelta

import pytest
from django.db import OperationalError

from o10 import health
from o10.access.roles import Role
from tests.company import MODEL


def test_alive_touches_no_database(client):
    # No database mark: a query would fail this test.
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_fresh_company_without_processes_names_the_worker(company, client, clock):
    answer = client.get("/readyz")
    told = answer.json()
    assert answer.status_code == 503
    assert told["status"] == "not_ready"
    assert list(told["parts"])[:3] == ["database", "migrations", "ledger"]
    for part in ("database", "migrations", "ledger"):
        assert told["parts"][part]["ready"], told
    assert any(missing.startswith("worker: ") for missing in told["missing"])


def test_a_database_that_does_not_answer_is_named_alone(company, client, monkeypatch):
    def away(now):
        raise OperationalError("could not connect, password=hunter2")

    monkeypatch.setattr(health, "_database", away)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["missing"] == ["database: the database does not answer"]
    assert b"hunter2" not in answer.content


def test_entries_that_wait_too_long_name_the_sealer(company, client, clock):
    clock.move_to(clock.at + timedelta(minutes=1))
    missing = client.get("/readyz").json()["missing"]
    assert any("is ledger_seal running" in each for each in missing)


def value_of(text, line):
    found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.M)
    assert found, (line, text)
    return float(found[1])


def test_metrics_are_prometheus_text_of_the_books(company, client, clock, script):
    router = script(Role.ROUTER)
    sent = router.post(
        "authorize",
        {"use_case": "support-assistant", "model": MODEL, "input_tokens": 10},
    ).json()
    router.post("authorize", {"use_case": "nobody", "model": MODEL, "input_tokens": 10})
    clock.move_to(clock.at + timedelta(seconds=30))
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = answer.content.decode()
    held = int(sent["reservation"]["amount_nanos"])
    assert value_of(text, 'o10_held_nanos{currency="USD"}') == held
    denied = 'o10_decisions_total{decision="deny",reason="USE_CASE_UNKNOWN"}'
    assert value_of(text, denied) == 1
    assert value_of(text, "o10_unsealed_entries") > 0
    assert value_of(text, "o10_seal_lag_seconds") > 0
    for name in ("o10_unsettled_nanos", "o10_ledger_intact", "o10_queue_depth"):
        assert name in text
    clock.move_to(clock.at + timedelta(seconds=30))
    again = client.get("/metrics").content.decode()
    assert value_of(again, denied) == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_they_take_no_writes(company, client, path):
    assert client.post(path).status_code == 405
