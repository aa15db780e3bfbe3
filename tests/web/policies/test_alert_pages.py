"""Do the pages of alerts show what was found, take what people do, and keep secrets?"""

import re

import pytest
from standardwebhooks import Webhook

from o10.access.roles import Role
from policies import facade as policies
from policies.models import (
    Alert,
    AlertChannel,
    AlertDelivery,
    AlertRule,
    ChangeSighting,
    UseCase,
)
from policies.operations.post_outside import Answer
from tests.conftest import NOW

PAGES = ("", "?state=resolved", "rules/", "channels/", "changes/")
WRITERS = {Role.OWNER, Role.FINOPS, Role.CONTROLLER}
LONG = "Contract review " * 12
HOSTILE = '<script>alert("x")</script> & =cmd|'


@pytest.fixture(autouse=True)
def kept(company, db):
    """Whatever a test writes is taken back."""


def client(company, role=Role.FINOPS):
    return company.client(role)


def raise_one(subject="env_1", **fields):
    told = {
        "kind": "envelope_threshold",
        "window": "2026-11",
        "title": f"{HOSTILE} has used 80.0%.",
        "detail": LONG,
        "severity": "critical",
        "evidence": {"cap_nanos": "1000000000", "threshold_ppm": 800_000},
        **fields,
    }
    return policies.raise_alert(subject=subject, now=NOW, **told).alert


def text_of(answer):
    return answer.content.decode()


@pytest.mark.parametrize("path", PAGES)
def test_each_page_says_so_when_there_is_nothing(company, path):
    answer = client(company).get(f"/alerts/{path}")
    assert answer.status_code == 200
    assert 'class="state' in text_of(answer)


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ROUTER, Role.ADMIN}))
def test_every_role_reads_and_only_some_write(company, role):
    policies.evaluate_alerts(now=NOW)
    alert = raise_one()
    browser = client(company, role)
    for path in ("", f"{alert}/", "rules/", "channels/", "changes/"):
        assert browser.get(f"/alerts/{path}").status_code == 200
    rule = AlertRule.objects.get(kind="burn_rate").public
    for path, writers in (
        ("rules/new/", WRITERS),
        (f"rules/{rule}/act/", WRITERS),
        (f"{alert}/act/", WRITERS | {Role.CFO}),
    ):
        answer = browser.post(f"/alerts/{path}", {"do": "acknowledge", "name": ""})
        assert (answer.status_code != 403) == (role in writers), path


def test_the_list_and_the_navigation_count_what_is_open(company):
    raise_one()
    raise_one("env_2", severity="warning")
    text = text_of(client(company).get("/alerts/"))
    assert "2 alerts need attention, 1 of them critical." in text
    assert "&lt;script&gt;" in text and "<script>alert(" not in text
    nav = re.search(r'href="/alerts/"[^>]*>.*?</a>', text, re.S)
    assert nav and re.search(r">\s*2\b", nav[0])


def test_an_alert_is_acknowledged_snoozed_and_resolved_with_a_reason(company):
    alert = raise_one()
    browser = client(company, Role.OWNER)
    act = f"/alerts/{alert}/act/"
    assert browser.post(act, {"do": "resolve"}).status_code == 422
    assert Alert.objects.get(public=alert).state == "open"
    assert browser.post(act, {"do": "acknowledge", "reason": "looking"}).status_code == 302
    assert browser.post(act, {"do": "snooze", "hours": "4", "reason": "x"}).status_code == 302
    shown = text_of(browser.get(f"/alerts/{alert}/"))
    assert "Snoozed until" in shown and "looking" in shown and "$1.00" in shown
    assert browser.post(act, {"do": "resolve", "reason": "raised the cap"}).status_code == 302
    assert browser.post(act, {"do": "acknowledge"}).status_code == 409
    row = Alert.objects.get(public=alert)
    assert (row.state, row.state_reason) == ("resolved", "raised the cap")


def test_a_rule_is_made_changed_paused_and_tried(company):
    browser = client(company)
    typed = {
        "name": "Day of support",
        "kind": "spend_over",
        "scope": "use_case:support-assistant",
        "threshold": "",
        "window": "day",
        "severity": "warning",
        "key": "k1",
    }
    refused = browser.post("/alerts/rules/new/", typed)
    assert refused.status_code == 422
    assert "needs a threshold" in text_of(refused) and "Day of support" in text_of(refused)
    for _ in range(2):
        made = browser.post("/alerts/rules/new/", {**typed, "threshold": "250.00"})
        assert made.status_code == 302
    rule = AlertRule.objects.get(built_in=False)
    assert (rule.threshold, rule.scope_slug) == (250_000_000_000, "support-assistant")
    page = f"/alerts/rules/{rule.public}/"
    changed = {"name": "Day", "threshold": "99", "severity": "critical", "version": "1"}
    assert browser.post(page, changed).status_code == 302
    assert browser.post(page, {**changed, "name": "Late"}).status_code == 409
    for do in ("pause", "test", "retire"):
        assert browser.post(f"{page}act/", {"do": do, "key": do}).status_code == 302
    rule.refresh_from_db()
    assert (rule.name, rule.state, rule.version) == ("Day", "retired", 4)


def test_the_secret_of_a_webhook_is_shown_once_and_its_address_never(company, monkeypatch):
    monkeypatch.setattr(
        "policies.operations.deliver.post",
        lambda url, body, headers: sent.append((url, body, headers)) or Answer(200, "OK"),
    )
    sent = []
    browser = client(company)
    typed = {
        "name": "Pager",
        "kind": "webhook",
        "target": "https://hooks.example.com/T0/SECRETPATH",
        "least_severity": "warning",
        "key": "k2",
    }
    wrong = browser.post("/alerts/channels/", {**typed, "target": "http://10.0.0.1/"})
    assert wrong.status_code == 422
    made = browser.post("/alerts/channels/", typed)
    (secret,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]+", text_of(made)))
    assert made.headers["Cache-Control"].find("no-store") >= 0
    for answer in (browser.post("/alerts/channels/", typed), browser.get("/alerts/channels/")):
        assert "whsec_" not in text_of(answer) and "SECRETPATH" not in text_of(answer)
    channel = AlertChannel.objects.get()
    act = f"/alerts/channels/{channel.public}/act/"
    assert browser.post(act, {"do": "test", "key": "t"}).status_code == 302
    policies.deliver_due(now=NOW)
    url, body, headers = sent[0]
    assert url.endswith("SECRETPATH")
    monkeypatch.setattr(Webhook, "_Webhook__verify_timestamp", lambda *_: NOW)
    told = Webhook(secret).verify(body, dict(headers))
    assert told["type"] == "io.o10.alert.test.v1"
    rotated = text_of(browser.post(act, {"do": "rotate", "key": "r"}))
    assert "whsec_" in rotated and secret not in rotated
    assert browser.post(act, {"do": "disable"}).status_code == 302
    assert AlertChannel.objects.get().state == "disabled"


def test_the_delivery_log_is_on_the_alert_and_a_message_is_sent_again(company, monkeypatch):
    monkeypatch.setattr(
        "policies.operations.deliver.post", lambda *_, **__: Answer(500, "Server Error")
    )
    policies.create_channel(
        draft=policies.ChannelDraft(
            name="Pager", kind="webhook", target="https://hooks.example.com/x"
        ),
        actor=company.finops,
        now=NOW,
    )
    alert = raise_one()
    policies.deliver_due(now=NOW)
    browser = client(company)
    shown = text_of(browser.get(f"/alerts/{alert}/"))
    assert "500" in shown and "Server Error" in shown and "msg_" in shown
    row = AlertDelivery.objects.get(alert__public=alert)
    again = browser.post(f"/alerts/deliveries/{row.public}/again/", {"alert": alert})
    assert again.status_code == 302
    assert AlertDelivery.objects.get(id=row.id).due_at == NOW


def test_a_change_nobody_signed_is_shown_and_asked_for(company):
    ChangeSighting.objects.create(
        use_case=UseCase.objects.get(slug="support-assistant"),
        dimension="prompt_version",
        value="v2",
        before="v1",
        seq=3,
        entry_uid="00000000-0000-0000-0000-000000000001",
        seen_at=NOW,
        found_at=NOW,
    )
    browser = client(company)
    shown = text_of(browser.get("/alerts/changes/"))
    assert "nobody" in shown and "being weighed" in shown
    typed = {
        "use_case": "support-assistant",
        "dimension": "prompt_version",
        "value": "You are a helpful assistant",
        "reason": "better",
        "key": "s",
    }
    assert browser.post("/alerts/changes/", typed).status_code == 422
    asked = browser.post("/alerts/changes/", {**typed, "value": "v2"})
    assert asked.status_code == 302 and asked.headers["Location"].startswith("/approvals/apr_")
    assert browser.get(asked.headers["Location"]).status_code == 200


def test_what_is_not_there_is_a_page_that_says_so(company):
    browser = client(company)
    for path in ("alt_nothing/", "rules/alr_nothing/"):
        assert browser.get(f"/alerts/{path}").status_code == 404
    assert browser.post("/alerts/channels/chn_nothing/act/", {"do": "test"}).status_code == 404


def test_a_form_without_its_token_changes_nothing(company):
    from django.test import Client

    browser = Client(enforce_csrf_checks=True)
    from o10.access.models import Person

    browser.force_login(Person.objects.get(id=company.people[Role.FINOPS]))
    alert = raise_one()
    answer = browser.post(f"/alerts/{alert}/act/", {"do": "resolve", "reason": "x"})
    assert answer.status_code == 403
    assert Alert.objects.get(public=alert).state == "open"
