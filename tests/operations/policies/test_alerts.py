"""Is what the rules find raised once, told once to each channel, and to nobody else?"""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from o10.access.roles import Role
from o10.kernel.errors import Forbidden, ValidationFailed
from policies import facade as policies
from policies.models import (
    Alert,
    AlertAttempt,
    AlertChannel,
    AlertDelivery,
    AlertRule,
    Organisation,
)
from policies.operations import deliver
from tests.receiver import mail_box, receiver

from .company import DOLLAR, FINANCE, NOW, ask, entries, make_caller, make_tree, pay

OWNER = make_caller(key="usr_owner", role=Role.OWNER)
SOON = NOW + timedelta(seconds=15)


@pytest.fixture
def demo(books):
    """A company whose data is made up: this machine may be posted to."""
    Organisation.objects.create(
        slug="acme", name="Acme", demo=True, created_at=NOW, created_by="system"
    )


@pytest.fixture
def web():
    with receiver() as found:
        yield found


def channel(kind="webhook", target="", **fields):
    draft = policies.ChannelDraft(name=kind, kind=kind, target=target, **fields)
    return policies.create_channel(draft=draft, actor=FINANCE, now=NOW)


def raise_one(subject="env_1", window="2026-11", now=NOW, **fields):
    told = {
        "kind": "envelope_threshold",
        "title": "Support has used 80.0% of $1.00.",
        "detail": "Spent <b>$0.80</b> & more.",
        "severity": "warning",
        "evidence": {"cap_nanos": "1000000000"},
        **fields,
    }
    return policies.raise_alert(subject=subject, window=window, now=now, **told)


def deliver_all(now=SOON):
    return policies.deliver_due(now=now)


def test_a_finding_is_raised_once_in_its_window(demo):
    first, again = raise_one(), raise_one(title="Other words")
    assert (first.fresh, again.fresh) == (True, False)
    assert first.alert == again.alert
    assert raise_one(window="2026-12").fresh
    assert Alert.objects.count() == 2


def test_news_are_told_and_wait_for_nobody(demo, web):
    channel(target=web.url)
    raise_one(kind="period_closed", severity="info", title="2026-10 is closed")
    raise_one(subject="env_2", severity="info")
    assert {each.kind: each.state for each in Alert.objects.all()} == {
        "period_closed": "resolved",
        "envelope_threshold": "open",
    }
    assert deliver_all() == 2
    assert policies.count_open_alerts() == 0
    raise_one(subject="env_3", severity="warning")
    assert policies.count_open_alerts() == 1


def test_p30_many_workers_at_once_raise_and_tell_it_once(committed_books, web):
    Organisation.objects.create(
        slug="acme", name="Acme", demo=True, created_at=NOW, created_by="system"
    )
    channel(target=web.url)

    def work(number):
        from django.db import connection

        try:
            raise_one()
            deliver_all()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(24)))
    deliver_all()
    assert Alert.objects.count() == 1
    assert len(web.got) == 1
    assert AlertAttempt.objects.count() == 1


def test_p30_thresholds_on_actual_and_forecast_speak_once_each(demo, web):
    channel(target=web.url)
    make_tree(
        company=100 * DOLLAR, department=50 * DOLLAR, soft_thresholds_ppm=(500_000, 800_000)
    )
    cost = NOW + timedelta(minutes=1)
    for _ in range(3):
        pay(
            ask(now=cost, input_tokens=120_000, max_output_tokens=100),
            usage=(120_000, 0),
            now=cost,
        )
    for step in range(3):
        policies.evaluate_alerts(now=cost + timedelta(seconds=step))
    told = {
        (each.kind, each.window)
        for each in Alert.objects.filter(envelope__use_case__slug="support")
    }
    assert told == {
        ("envelope_threshold", "2026-11-01T00:00Z 50%"),
        ("envelope_threshold", "2026-11-01T00:00Z 80%"),
        ("envelope_forecast", "2026-11-01T00:00Z 100%"),
    }
    deliver_all(cost + timedelta(minutes=1))
    bodies = [json.loads(each.body) for each in web.got]
    assert len(bodies) == Alert.objects.count()
    assert {each["data"]["event"] for each in bodies} >= {
        "threshold_crossed",
        "projected_limit_exceeded",
    }


def test_p05_traffic_without_a_price_is_one_alert(demo):
    make_tree()
    for number in range(50):
        ask(model="nobody/knows", request_id=f"r{number}")
    policies.evaluate_alerts(now=NOW + timedelta(seconds=5))
    policies.evaluate_alerts(now=NOW + timedelta(seconds=20))
    (alert,) = Alert.objects.filter(kind="unpriced_traffic")
    assert alert.evidence["calls"] == 50
    assert alert.severity == "critical"


def test_a_model_that_served_without_a_price_is_one_alert(demo):
    make_tree()
    for number in range(3):
        pay(ask(request_id=f"s{number}"), model="nobody/knows")
    pay(ask(request_id="own"))
    pay(ask(request_id="silent"), usage=None)
    policies.evaluate_alerts(now=NOW + timedelta(seconds=5))
    policies.evaluate_alerts(now=NOW + timedelta(seconds=20))
    (alert,) = Alert.objects.filter(kind="unpriced_traffic")
    assert (alert.evidence["model"], alert.evidence["served"]) == ("nobody/knows", 3)
    assert alert.evidence["use_case"] == "support"


def test_a_forgotten_hold_is_told_and_resolves_when_it_is_gone(demo):
    make_tree()
    ask()
    late = NOW + timedelta(minutes=12)
    policies.evaluate_alerts(now=late)
    (alert,) = Alert.objects.filter(kind="leaked_holds")
    assert alert.state == "open"
    policies.expire_due(now=late)
    policies.evaluate_alerts(now=late + timedelta(seconds=15))
    alert.refresh_from_db()
    assert (alert.state, alert.state_by) == ("resolved", "")


def test_a_webhook_is_verified_by_the_reference_library(demo, web, monkeypatch):
    made = channel(target=f"{web.url}/hook?room=1")
    now = datetime.now(UTC)
    raise_one(now=now)
    assert deliver_all(now) == 1
    (got,) = web.got
    told = Webhook(made.secret).verify(got.body, got.headers)
    assert got.path == "/hook?room=1"
    assert told["type"] == "io.o10.envelope.threshold.v1"
    assert told["data"]["evidence"] == {"cap_nanos": "1000000000"}
    with pytest.raises(WebhookVerificationError):
        Webhook(made.secret).verify(got.body + b" ", got.headers)


def test_a_rotated_secret_signs_beside_the_old_one_until_the_grace_is_over(demo, web):
    now = datetime.now(UTC)
    old = channel(target=web.url)
    new = policies.rotate_channel_secret(
        channel=old.channel, grace=timedelta(hours=1), actor=FINANCE, now=now
    )
    raise_one(now=now)
    deliver_all(now)
    for secret in (old.secret, new.secret):
        Webhook(secret).verify(web.got[0].body, web.got[0].headers)
    raise_one(window="later", now=now)
    AlertChannel.objects.update(previous_ends_at=now - timedelta(seconds=1))
    deliver_all(now)
    Webhook(new.secret).verify(web.got[1].body, web.got[1].headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old.secret).verify(web.got[1].body, web.got[1].headers)


def test_what_fails_is_tried_again_under_the_same_id_and_logged(demo, web):
    channel(target=web.url)
    raise_one()
    web.answers = [500, 302, 429]
    web.headers = {"Retry-After": "1000"}
    at = SOON
    waits = []
    for _ in range(4):
        deliver_all(at)
        row = AlertDelivery.objects.get()
        waits.append(round((row.due_at - at).total_seconds(), -1))
        at = row.due_at
    assert row.state == "sent"
    assert waits[:3] == [1000, 1000, 1800]
    assert len({each.headers["webhook-id"] for each in web.got}) == 1
    codes = list(AlertAttempt.objects.order_by("id").values_list("number", "code"))
    assert codes == [(1, 500), (2, 302), (3, 429), (4, 200)]


def test_tries_end_after_three_days(demo, web):
    channel(target=web.url)
    raise_one()
    web.answers = [500] * 20
    at, tries = SOON, 0
    while (row := AlertDelivery.objects.get()).state != "given_up":
        at = max(at, row.due_at)
        deliver_all(at)
        tries += 1
        assert tries < 15
    assert tries == 10
    assert timedelta(days=2.5) < at - SOON <= timedelta(days=3.2)


def test_gone_disables_the_channel(demo, web):
    made = channel(target=web.url)
    raise_one()
    web.answers = [410]
    deliver_all()
    assert policies.get_channel(channel=made.channel).state == "disabled"
    assert raise_one(window="next").fresh
    deliver_all()
    assert len(web.got) == 1


def test_a_worker_that_dies_loses_its_claim_and_the_next_one_sends(demo, web):
    channel(target=web.url)
    raise_one()
    first = deliver.claim_next(now=SOON)
    assert deliver.claim_next(now=SOON) is None
    deliver.send(first, now=SOON)
    # It dies here: sent, but not noted.
    assert deliver_all(SOON + timedelta(seconds=59)) == 0
    assert deliver_all(SOON + timedelta(seconds=61)) == 1
    assert len({each.headers["webhook-id"] for each in web.got}) == 1
    assert len({each.body for each in web.got}) == 1
    assert deliver_all(SOON + timedelta(hours=1)) == 0


def test_slack_and_teams_get_one_message_for_what_is_due_at_once(demo, web):
    channel("slack", f"{web.url}/slack")
    channel("teams", f"{web.url}/teams")
    raise_one()
    raise_one(window="other", title="Review <script> *has* used 50.0%.")
    assert deliver_all(SOON + timedelta(minutes=1)) == 2
    slack, teams = sorted(web.got, key=lambda each: each.path)
    said = json.loads(slack.body)
    assert said["text"].startswith("2 alerts: Support has used 80.0% of $1.00.")
    assert len(said["blocks"]) == 5
    assert "&lt;script&gt;" in said["blocks"][3]["text"]["text"]
    assert said["blocks"][1]["text"]["text"].endswith("|Open in o10>")
    (attachment,) = json.loads(teams.body)["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["contentUrl"] is None
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert card["actions"][0]["type"] == "Action.OpenUrl"
    assert not any("Submit" in json.dumps(each) for each in card["actions"])


def test_a_mail_has_text_html_and_one_message_id(demo, settings):
    with mail_box() as box:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", box.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        channel("email", "cfo@example.com, ops@example.com")
        raise_one(title="Käse & <b>Brot</b> has used 80.0%.\nBcc: x@example.com")
        deliver_all(SOON + timedelta(minutes=1))
    (mail,) = box.mails
    row = AlertDelivery.objects.get()
    assert row.state == "sent"
    assert mail["Message-ID"].startswith(f"<{row.message}@")
    assert mail["List-Unsubscribe"].endswith("/alerts/channels/>")
    assert mail["Bcc"] is None
    text, html = (part.get_payload(decode=True).decode() for part in mail.get_payload())
    assert "Käse & <b>Brot</b>" in text
    assert "Käse &amp; &lt;b&gt;Brot&lt;/b&gt;" in html


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://10.0.0.8/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/x",
        "https://[64:ff9b::a00:1]/x",
        "https://[fd00::1]/x",
        "https://0.0.0.0/x",
        "https://user:word@example.com/x",
        "https://metadata.google.internal/x",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https://example.com:99999/x",
    ],
)
def test_no_channel_leads_inside(books, url):
    with pytest.raises(ValidationFailed):
        channel(target=url)


def test_a_name_that_leads_inside_later_reaches_nothing(books, web, monkeypatch):
    made = channel(target="https://hooks.example.com/x")
    monkeypatch.setattr(
        "socket.getaddrinfo",
        lambda host, port, **_: [
            (2, 1, 6, "", ("93.184.216.34", port)),
            (2, 1, 6, "", ("10.0.0.1", port)),
        ],
    )
    raise_one()
    assert deliver_all() == 0
    (tried,) = AlertAttempt.objects.all()
    assert (tried.code, tried.outcome[:11]) == (0, "the address")
    assert made.channel


def test_addresses_and_secrets_are_told_to_nobody(demo, web, caplog, capfd):
    made = channel(target=f"{web.url}/services/T000/SECRETPATH")
    raise_one()
    deliver_all()
    shown = json.dumps(
        [
            repr(made),
            str(policies.list_channels()),
            str(policies.list_deliveries()),
            [bytes(each.doc).hex() for each in entries(kind=21)],
        ]
    )
    from ledger.models import Document

    documents = " ".join(bytes(each.body).decode() for each in Document.objects.all())
    logged = caplog.text + "".join(capfd.readouterr())
    assert made.secret.startswith("whsec_")
    for text in (shown, documents, logged):
        assert "SECRETPATH" not in text
        assert made.secret[6:] not in text


def test_each_change_of_rule_and_channel_is_an_entry_with_before_and_after(demo, web):
    made = channel(target=web.url)
    policies.change_channel(
        channel=made.channel,
        change=policies.ChannelChange(least_severity="critical", reason="less noise"),
        actor=FINANCE,
        now=NOW,
        key="once",
    )
    policies.change_channel(
        channel=made.channel,
        change=policies.ChannelChange(least_severity="critical", reason="less noise"),
        actor=FINANCE,
        now=NOW,
        key="once",
    )
    rule = policies.create_alert_rule(
        draft=policies.AlertRuleDraft(
            name="Day", kind="spend_over", threshold="250", window="day"
        ),
        actor=OWNER,
        now=NOW,
    )
    policies.change_alert_rule(
        rule=rule,
        change=policies.AlertRuleChange(state="paused", reason="holiday"),
        actor=OWNER,
        now=NOW,
    )
    from ledger.models import Document

    bodies = {bytes(each.hash): json.loads(bytes(each.body)) for each in Document.objects.all()}
    told = [bodies[bytes(each.doc)] for each in entries(kind=21)]
    told = [each for each in told if "alert" in each["change"]]
    assert [each["change"].split()[-1] for each in told] == [
        "created",
        "changed",
        "created",
        "changed",
    ]
    assert told[1]["before"]["least_severity"] == "info"
    assert told[1]["after"]["least_severity"] == "critical"
    assert told[3]["after"]["state"] == "paused"
    assert told[3]["reason"] == "holiday"


def test_who_may_not_change_channels_or_handle_alerts_is_refused(demo, web):
    with pytest.raises(Forbidden):
        policies.create_channel(
            draft=policies.ChannelDraft(name="x", kind="webhook", target=web.url),
            actor=OWNER,
            now=NOW,
        )
    auditor = make_caller(key="usr_auditor", role=Role.AUDITOR)
    alert = raise_one().alert
    for step in (policies.acknowledge_alert, policies.resolve_alert):
        with pytest.raises(Forbidden):
            step(alert=alert, reason="x", actor=auditor, now=NOW)


def test_a_snooze_tells_later_and_not_at_all_once_resolved(demo, web):
    channel(target=web.url)
    alert = raise_one().alert
    until = NOW + timedelta(hours=2)
    policies.snooze_alert(
        alert=alert, until=until, whole_kind=True, reason="known", actor=OWNER, now=NOW
    )
    second = raise_one(subject="env_2").alert
    assert deliver_all(NOW + timedelta(hours=1)) == 0
    policies.resolve_alert(alert=second, reason="done", actor=OWNER, now=NOW)
    assert deliver_all(until) == 1
    assert json.loads(web.got[0].body)["data"]["id"] == alert


def test_a_rule_and_a_channel_are_tried_by_hand(demo, web):
    made = channel(target=web.url)
    policies.evaluate_alerts(now=NOW)
    rule = AlertRule.objects.get(kind="seal_lag")
    for _ in range(2):
        policies.test_alert_rule(rule=rule.public, actor=OWNER, now=NOW, key="k")
        policies.test_channel(channel=made.channel, actor=OWNER, now=NOW, key="k")
    deliver_all()
    bodies = [json.loads(each.body)["data"] for each in web.got]
    assert sorted(each["kind"] for each in bodies if each["test"]) == ["seal_lag", "test"]
    assert not Alert.objects.filter(test=True).exclude(state="resolved").exists()


def test_what_was_sent_is_sent_again_by_hand_under_its_id(demo, web):
    channel(target=web.url)
    raise_one()
    deliver_all()
    policies.redeliver(delivery=AlertDelivery.objects.get().public, actor=FINANCE, now=SOON)
    deliver_all()
    assert len(web.got) == 2
    assert len({each.headers["webhook-id"] for each in web.got}) == 1
    assert len({each.body for each in web.got}) == 1
