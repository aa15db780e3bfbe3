"""Is a change that nobody signed found by its cost, named once, and a signed one left alone?"""

from datetime import timedelta

import pytest

from o10.access.roles import Role
from o10.kernel.errors import ValidationFailed
from o10.wire.requests import Authorize, Settle, read_authorize, read_settle
from policies import facade as policies
from policies.models import Alert, ChangeSighting, Organisation, WatchCursor
from tests.web.reports.pages_company import seal_all as seal

from .company import CHEAP, DOLLAR, FINANCE, MODEL, NOW, ask, make_caller, make_tree, pay

CONTROL = make_caller(key="usr_control", role=Role.CONTROLLER)
START = NOW - timedelta(hours=12)
CHANGE = NOW - timedelta(hours=6)
CALLS = 52


@pytest.fixture
def seal_all(committed_books, tmp_path):
    """Gives every entry its position, as the sealer would."""
    return lambda: seal(committed_books, tmp_path)


@pytest.fixture
def busy(committed_books):
    """A use case whose calls cost now a little more, now a little less."""
    Organisation.objects.create(
        slug="acme", name="Acme", demo=True, created_at=START, created_by="system"
    )
    make_tree(company=1_000 * DOLLAR, department=900 * DOLLAR, use_case=800 * DOLLAR, now=START)
    policies.evaluate_alerts(now=START)
    Alert.objects.all().delete()

    def calls(at=START, n=CALLS, tokens=1_200, out=310, attempts=1, model=MODEL, **fields):
        for number in range(n):
            moment = at + timedelta(minutes=number)
            asked = ask(
                now=moment, model=model, input_tokens=tokens + number % 7 * 10, **fields
            )
            usage = (tokens + number % 7 * 10, out + number % 5)
            for attempt in range(1, attempts + 1):
                last = attempt == attempts
                pay(asked, usage=usage, now=moment, attempt=attempt, final=last)
        return at

    return calls


def watch(seal, now=NOW):
    seal()
    policies.find_changes(now=now)
    policies.weigh_changes(now=now)
    policies.weigh_changes(now=now)
    return list(Alert.objects.filter(kind="unsigned_change").order_by("id"))


def begin():
    """The watch begins with an empty ledger."""
    policies.find_changes(now=START)
    assert WatchCursor.objects.exists()


CHANGES = {
    "a 40 % longer prompt": (
        {"prompt_version": "v1", "tokens": 4_000, "out": 100},
        {"prompt_version": "v2", "tokens": 5_600, "out": 100},
        "prompt version v2",
    ),
    "a doubled retry limit": (
        {"attempts": 2, "max_output_tokens": 4_000},
        {"attempts": 4, "max_output_tokens": 4_000},
        "retry ",
    ),
    "a dearer default": ({"model": CHEAP}, {"model": MODEL}, f"model {MODEL}"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_unsigned_change_is_exactly_one_alert(busy, seal_all, name):
    before, after, words = CHANGES[name]
    begin()
    busy(**before)
    assert watch(seal_all, CHANGE) == []
    busy(at=CHANGE, **after)
    (alert,) = watch(seal_all)
    assert words in alert.title
    assert "more since" in alert.title
    assert alert.detail.startswith("Nobody signed it.")
    assert alert.evidence["signer"] == ""
    assert alert.evidence["n_before"] == alert.evidence["n_after"] == CALLS
    assert alert.evidence["low_ppm"] > 1_100_000
    assert int(alert.evidence["month_nanos"]) > 0
    busy(at=CHANGE + timedelta(hours=2), **after)
    assert watch(seal_all) == [alert]
    assert not ChangeSighting.objects.filter(weighing="open").exists()


@pytest.mark.parametrize("name", CHANGES)
def test_the_same_change_with_approval_is_none(busy, seal_all, name):
    before, after, _ = CHANGES[name]
    begin()
    busy(**before)
    watch(seal_all, CHANGE)
    for dimension, value in (
        ("prompt_version", "v2"),
        ("attempt", "4"),
        ("model", MODEL),
    ):
        sign(dimension, value)
    busy(at=CHANGE, **after)
    assert watch(seal_all) == []
    signed = ChangeSighting.objects.filter(baseline=False, seen_at__gte=CHANGE)
    assert signed.exists()
    assert {each.signed_by for each in signed} == {"usr_control, key_finance"}


def test_overruns_and_burns_are_read_from_what_is_sealed(busy, seal_all):
    begin()
    policies.change_envelope(
        envelope=policies.list_envelopes(now=NOW, use_case="support").items[-1].id,
        change=policies.EnvelopeChange(amount_nanos=DOLLAR, reason="small"),
        actor=FINANCE,
        now=START,
    )
    at = NOW - timedelta(hours=1)
    pay(ask(now=at), usage=(1_200, 4_000), now=at)
    watch(seal_all)
    policies.evaluate_alerts(now=NOW)
    found = {
        each.kind: each for each in Alert.objects.filter(envelope__use_case__slug="support")
    }
    assert found["overrun"].evidence["overruns_nanos"] == "48000000"
    assert found["burn_rate"].evidence["burnt_nanos"] == "63000000"
    policies.find_changes(now=NOW)
    assert policies.evaluate_alerts(now=NOW) == 0


def test_a_late_signature_ends_the_weighing(busy, seal_all):
    begin()
    busy(prompt_version="v1")
    busy(at=CHANGE, n=10, prompt_version="v2", tokens=5_000)
    assert watch(seal_all) == []
    sign("prompt_version", "v2")
    busy(at=CHANGE + timedelta(hours=1), prompt_version="v2", tokens=5_000)
    assert watch(seal_all) == []
    assert ChangeSighting.objects.get(value="v2").signed_ref.startswith("apr_")


def test_a_change_that_moves_no_cost_is_no_alert(busy, seal_all):
    begin()
    busy(prompt_version="v1")
    busy(at=CHANGE, prompt_version="v2")
    assert watch(seal_all) == []
    (row,) = ChangeSighting.objects.filter(baseline=False)
    assert (row.dimension, row.value, row.before, row.signed_by) == (
        "prompt_version",
        "v2",
        "v1",
        "",
    )
    assert row.result["verdict"] == "steady"


def test_a_harmless_change_beside_it_is_not_blamed(busy, seal_all):
    begin()
    busy(prompt_version="v1")
    busy(at=CHANGE - timedelta(hours=3), prompt_version="v2")
    busy(at=CHANGE, prompt_version="v3", tokens=4_000)
    (alert,) = watch(seal_all)
    assert "prompt version v3" in alert.title


def test_what_was_there_before_the_watch_began_is_no_change(busy, seal_all):
    busy(prompt_version="v1", n=3)
    busy(prompt_version="v2", n=3)
    seal_all()
    begin()
    busy(at=CHANGE, prompt_version="v1", n=3)
    busy(at=CHANGE, prompt_version="v2", n=3)
    watch(seal_all)
    assert (
        not ChangeSighting.objects.filter(baseline=False).exclude(dimension="attempt").exists()
    )


def test_a_default_model_set_by_policy_is_signed_by_who_set_it(busy, seal_all):
    begin()
    busy(model=CHEAP, n=3)
    policies.change_use_case(
        slug="support",
        change=policies.UseCaseChange(default_model=MODEL, reason="better answers"),
        actor=FINANCE,
        now=CHANGE - timedelta(minutes=1),
    )
    busy(at=CHANGE, model=None, n=3)
    watch(seal_all)
    row = ChangeSighting.objects.get(dimension="model", value=MODEL)
    assert row.signed_by == "key_finance"
    assert row.signed_ref.startswith("policy v")


def test_a_settle_that_states_the_version_is_kept_with_it(busy, seal_all):
    begin()
    for at, version in ((START, "v1"), (CHANGE, "v2")):
        pay(ask(now=at), now=at, prompt_version=version)
    watch(seal_all)
    found = ChangeSighting.objects.filter(dimension="prompt_version").order_by("seq")
    assert [(each.value, each.baseline) for each in found] == [("v1", True), ("v2", False)]


@pytest.mark.parametrize(
    "text", ["You are a helpful assistant.", "v 1", "", "a" * 65, "é", "v1\n"]
)
def test_a_prompt_version_is_never_text(text):
    import msgspec

    from o10.kernel.errors import ValidationFailed as Failed
    from o10.wire.requests import decode

    for kind, body in (
        (Authorize, {"use_case": "x", "prompt_version": text}),
        (Settle, {"reservation": "rsv_x", "prompt_version": text}),
    ):
        with pytest.raises(Failed) as caught:
            decode(kind, msgspec.json.encode(body), max_bytes=1_000)
        assert caught.value.errors[0].pointer == "/prompt_version"


def test_a_journal_from_before_labels_is_still_read():
    import msgspec

    asked = {"use_case": "x", "input_tokens": 1, "prompt_version": "spring sale, v 2"}
    assert read_authorize(msgspec.json.encode(asked)).prompt_version == "spring sale, v 2"
    paid = {"reservation": "rsv_x", "prompt_version": "v 2"}
    assert type(read_settle(msgspec.json.encode(paid))) is Settle


def test_what_can_never_be_signed_is_refused(busy):
    for dimension, value in (("prompt_version", "some text"), ("attempt", "x"), ("mood", "a")):
        with pytest.raises(ValidationFailed):
            sign(dimension, value)


def sign(dimension, value):
    at = CHANGE - timedelta(minutes=5)
    asked = policies.propose_change(
        kind="change.signed",
        subject="support",
        change={"use_case": "support", "dimension": dimension, "value": value},
        actor=FINANCE,
        now=at,
        reason="planned",
    )
    policies.approve(approval=asked.id, actor=CONTROL, now=at)
