"""Are rules met exactly when they say, in windows that are the same only within them?"""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.errors import ValidationFailed
from policies.core.alert_drafts import threshold_of, threshold_text
from policies.core.alert_kinds import BUILT_IN, KINDS, Severity, Window, event_type_of
from policies.core.alert_messages import SLACK_HEADER_MOST, Told, slack_body, teams_body
from policies.core.alert_rules import (
    EnvelopeFigures,
    Scope,
    find_burns,
    find_forecasts,
    find_overruns,
    find_thresholds,
    run_rate,
    share_text,
    spend_finding,
    thresholds_reached,
    times_text,
    window_text,
)
from policies.core.webhook_target import allowed_of, reachable, target_of

START = datetime(2026, 10, 31, 23, tzinfo=UTC)
END = datetime(2026, 11, 30, 23, tzinfo=UTC)
NOW = START + timedelta(days=10)
DOLLAR = 10**9
ALL = Scope()


def envelope(**fields):
    figures = {
        "number": 1,
        "public": "env_1",
        "name": "Support",
        "scope_kind": "use_case",
        "department": "service",
        "use_case": "support",
        "use_case_number": 7,
        "cap": 1_000 * DOLLAR,
        "settled": 0,
        "lent": 0,
        "unsettled": 0,
        "start": START,
        "end": END,
        "thresholds_ppm": (500_000, 800_000, 1_000_000),
    }
    return EnvelopeFigures(**(figures | fields))


def test_p12_forty_cents_of_fifteen_dollars_reach_no_threshold():
    each = envelope(cap=15 * DOLLAR, settled=400_000_000)
    assert thresholds_reached(each, (26_667, 500_000)) == []
    assert thresholds_reached(each, (26_666,)) == [26_666]


@given(
    st.integers(1, 10**18),
    st.integers(0, 10**18),
    st.integers(0, 10**15),
    st.lists(st.integers(1, 10_000_000), max_size=6),
)
def test_a_threshold_is_reached_exactly_when_the_fraction_says_so(cap, settled, lent, wanted):
    each = envelope(cap=cap, settled=settled, lent=lent)
    share = Fraction(settled + lent, cap)
    assert thresholds_reached(each, wanted) == sorted(
        {one for one in wanted if share >= Fraction(one, 1_000_000)}
    )


def test_a_full_envelope_speaks_too_when_what_is_left_fits_no_call():
    each = envelope(settled=999 * DOLLAR, denied=3)
    (half, most, full) = find_thresholds([each], scope=ALL, threshold=None, currency="USD")
    assert [one.window.split()[1] for one in (half, most, full)] == ["50%", "80%", "100%"]
    assert full.severity is Severity.CRITICAL and "calls are denied" in full.title
    assert (half.severity, most.severity) == (Severity.INFO, None)


def test_a_cap_of_zero_has_no_shares_and_no_forecast():
    each = envelope(cap=0, settled=5, burnt=5, overruns=5)
    kwargs = {"scope": ALL, "threshold": 1, "currency": "USD"}
    assert list(find_thresholds([each], **kwargs)) == []
    assert list(find_forecasts([each], **kwargs, now=NOW)) == []
    assert list(find_overruns([each], **kwargs)) == []


def test_the_run_rate_goes_on_at_the_same_pace():
    assert run_rate(settled=300, start=START, end=END, now=NOW) == 900
    assert run_rate(settled=1, start=START, end=END, now=START + timedelta(days=20)) == 2
    assert run_rate(settled=1, start=START, end=END, now=START) is None
    assert run_rate(settled=1, start=START, end=END, now=START + timedelta(hours=35)) is None
    assert run_rate(settled=1, start=START, end=END, now=START + timedelta(hours=36)) == 20
    assert run_rate(settled=1, start=START, end=END, now=END + timedelta(hours=1)) is None
    (found,) = find_forecasts(
        [envelope(settled=334 * DOLLAR)],
        scope=ALL,
        threshold=1_000_000,
        currency="USD",
        now=NOW,
    )
    assert found.title == "Support is heading for $1,002 of $1,000."
    assert found.evidence["method"] == "run-rate"


def test_a_burn_is_a_multiple_of_the_even_pace_and_no_trifle():
    def burns(burnt, **fields):
        return list(
            find_burns(
                [envelope(burnt=burnt, **fields)],
                scope=ALL,
                threshold=3_000_000,
                window=Window.DAY,
                currency="USD",
                zone="UTC",
                now=NOW,
            )
        )

    # 1,000 over 120 windows of six hours are 8.33 each: 25 is three times that.
    assert len(burns(25 * DOLLAR)) == 1
    assert burns(25 * DOLLAR - 1) == []
    assert burns(25 * DOLLAR, end=START + timedelta(hours=20)) == []


def test_overruns_speak_above_half_a_percent_not_at_it():
    kwargs = {"scope": ALL, "threshold": 5_000, "currency": "USD"}
    assert list(find_overruns([envelope(overruns=5 * DOLLAR)], **kwargs)) == []
    assert len(list(find_overruns([envelope(overruns=5 * DOLLAR + 1)], **kwargs))) == 1


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (Scope(), True),
        (Scope("department", "service"), True),
        (Scope("department", "law"), False),
        (Scope("use_case", "support"), True),
        (Scope("envelope", "env_1"), True),
        (Scope("envelope", "env_2"), False),
    ],
)
def test_a_rule_watches_its_scope_alone(scope, covered):
    assert scope.covers(envelope()) is covered


def test_windows_follow_the_company_and_hours_do_not_repeat_when_clocks_go_back():
    late = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    assert window_text(Window.DAY, now=late, zone="Europe/Berlin") == "2026-11-01"
    assert window_text(Window.DAY, now=late, zone="UTC") == "2026-10-31"
    assert window_text(Window.MONTH, now=late, zone="Asia/Tokyo") == "2026-11"
    assert (
        window_text(Window.WEEK, now=datetime(2027, 1, 1, tzinfo=UTC), zone="UTC") == "2026-W53"
    )
    first, second = (datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1))
    hours = [window_text(Window.HOUR, now=at, zone="Europe/Berlin") for at in (first, second)]
    assert len(set(hours)) == 2


def test_spend_speaks_above_its_amount():
    kwargs = {
        "name": "Acme",
        "subject": "company",
        "window": Window.DAY,
        "currency": "USD",
        "zone": "UTC",
        "now": NOW,
        "use_case": None,
    }
    assert spend_finding(spent=250, threshold=250, **kwargs) is None
    assert spend_finding(spent=251, threshold=250, **kwargs) is not None


def test_shares_and_multiples_are_written_shortly():
    assert [share_text(each) for each in (800_000, 1_000_000, 5_000, 333_333)] == [
        "80%",
        "100%",
        "0.5%",
        "33.3333%",
    ]
    assert [times_text(each) for each in (3_000_000, 1_500_000)] == ["3 times", "1.5 times"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_complete_and_a_threshold_survives_the_round_trip(kind):
    row = KINDS[kind]
    assert row.windows and row.scopes and row.meaning.endswith(".")
    assert event_type_of(kind).startswith("io.o10.") and event_type_of(kind).endswith(".v1")
    for value in (1, 999_999, 45 * 86_400):
        text = threshold_text(row, value)
        assert threshold_of(row, text) == value


@pytest.mark.parametrize("text", ["", "-1", "1e3", "0", "nan", "1.0000001", "101", "٣"])
def test_a_share_that_is_none_is_refused(text):
    with pytest.raises(ValidationFailed):
        threshold_of(KINDS["burn_rate"], text)


def test_the_built_in_rules_are_those_of_the_specification():
    assert {row.name for row in BUILT_IN} == {
        "envelope_threshold",
        "envelope_forecast",
        "burn_rate",
        "overrun",
        "unpriced_traffic",
        "price_book_stale",
        "seal_lag",
        "leaked_holds",
        "unsigned_change",
    }


@given(st.text(max_size=400), st.text(max_size=3_000), st.integers(1, 20))
def test_messages_keep_to_the_limits_of_the_rooms(title, detail, number):
    import json

    told = Told(
        id="alt_1",
        kind="burn_rate",
        severity="critical",
        subject="env_1",
        title=title or "x",
        detail=detail,
        state="open",
        raised_at="2026-11-24T09:30:00Z",
        url="https://o10.example.com/alerts/alt_1/",
        evidence={},
        event="raised",
    )
    slack = json.loads(slack_body([told] * number))
    assert len(slack["blocks"]) <= 50 and slack["text"]
    assert len(slack["blocks"][0]["text"]["text"]) <= SLACK_HEADER_MOST
    for block in slack["blocks"][1:]:
        parts = block.get("elements", [block.get("text")])
        assert all(0 < len(part["text"]) <= 3_000 for part in parts)
        assert "<script" not in json.dumps(block)
    assert len(teams_body([told])) < 28_000


def test_a_setting_opens_what_it_names_and_nothing_else():
    allowed = allowed_of("hooks.corp, 10.1.0.0/16", local=False)
    assert target_of("https://10.1.2.3/x", allowed=allowed).port == 443
    assert target_of("https://hooks.corp/x", allowed=allowed).host == "hooks.corp"
    assert reachable(
        target_of("https://hooks.corp/x", allowed=allowed), ["10.9.9.9"], allowed=allowed
    ) == ["10.9.9.9"]
    with pytest.raises(ValidationFailed):
        target_of("https://10.2.0.1/x", allowed=allowed)
    assert target_of("http://localhost:8/x", allowed=allowed_of("", local=True)).port == 8
