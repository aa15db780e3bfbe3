"""Do changes of envelopes hold at once, leave history, and keep the rules of the tree?"""

from datetime import UTC, datetime, timedelta

import pytest

from o10.access.roles import Role
from o10.kernel.errors import (
    Conflict,
    Forbidden,
    IdempotencyMismatch,
    NotFound,
    PreconditionFailed,
    ValidationFailed,
)
from policies import facade as policies
from policies.models import EnvelopeBalance, EnvelopeVersion, PolicyVersion

from .company import (
    DOLLAR,
    FINANCE,
    NOW,
    ask,
    entries,
    make_caller,
    make_envelope,
    make_tree,
    make_use_case,
    money_of,
    pay,
    prolong,
    reason_of,
)

pytestmark = pytest.mark.usefixtures("sound")
ENVELOPE_CHANGE = 1


def change(envelope, *, actor=FINANCE, key="", expected=None, now=NOW, **fields):
    return policies.change_envelope(
        envelope=envelope.id,
        change=policies.EnvelopeChange(**{"reason": "because", **fields}),
        actor=actor,
        now=now,
        key=key,
        expected_version=expected,
    )


def test_a_raised_cap_holds_for_the_next_call():
    tree = make_tree(use_case=14_999_999)
    assert reason_of(ask()) == "ENVELOPE_HARD_LIMIT"
    view = change(tree["use_case"], amount_nanos=15_000_000)
    assert (view.cap_nanos, view.version) == ("15000000", 2)
    assert ask()["decision"] == "allow"


def test_a_cap_cut_below_the_exposure_grants_nothing_and_ratchets_down():
    tree = make_tree()
    first, second = ask(), ask()
    change(tree["use_case"], amount_nanos=10_000_000)
    balance = EnvelopeBalance.objects.get(cap_nanos=10_000_000)
    assert balance.limit_nanos == 30_000_000
    assert reason_of(ask()) == "ENVELOPE_HARD_LIMIT"
    pay(first)
    balance = EnvelopeBalance.objects.get(cap_nanos=10_000_000)
    assert balance.limit_nanos == 22_650_000
    pay(second, usage=(0, 0))
    balance = EnvelopeBalance.objects.get(cap_nanos=10_000_000)
    assert balance.limit_nanos == 10_000_000
    assert policies.check_conservation() == []


def test_frozen_stops_new_calls_and_lets_open_ones_settle():
    tree = make_tree()
    answer = ask()
    change(tree["department"], state="frozen")
    assert reason_of(ask()) == "ENVELOPE_FROZEN"
    pay(answer)
    change(tree["department"], state="active")
    assert ask()["decision"] == "allow"


def test_closed_is_for_ever():
    tree = make_tree()
    change(tree["use_case"], state="closed")
    assert reason_of(ask()) == "ENVELOPE_CLOSED"
    with pytest.raises(Conflict):
        change(tree["use_case"], state="active")
    make_envelope(amount=DOLLAR)
    assert ask()["decision"] == "allow"


def test_every_version_stays_and_names_its_entry():
    tree = make_tree()
    change(tree["use_case"], amount_nanos=2 * DOLLAR, reason="more tickets")
    rows = EnvelopeVersion.objects.filter(envelope__public=tree["use_case"].id).order_by(
        "version"
    )
    assert [(row.version, row.body["amount_nanos"]) for row in rows] == [
        (1, DOLLAR),
        (2, 2 * DOLLAR),
    ]
    assert rows[1].reason == "more tickets"
    assert {row.entry_uid for row in rows} <= {
        each.uid for each in entries(kind=ENVELOPE_CHANGE)
    }


def test_a_change_is_a_new_policy_version_with_its_entry():
    tree = make_tree()
    before = PolicyVersion.objects.order_by("-version").first()
    change(tree["use_case"], per_call_nanos=1_000_000)
    after = PolicyVersion.objects.order_by("-version").first()
    assert after.version == before.version + 1
    assert after.hash != before.hash
    answer = ask()
    assert reason_of(answer) == "PER_CALL_LIMIT"
    assert answer["policy"] == {"version": after.version, "hash": after.hash}
    assert [each.uid for each in entries(kind=21)][-1] == after.entry_uid


def test_past_periods_keep_the_cap_they_had():
    tree = make_tree()
    pay(ask())
    december = NOW + timedelta(days=20)
    ask(now=december)
    change(tree["use_case"], amount_nanos=3 * DOLLAR, now=december)
    caps = EnvelopeBalance.objects.filter(envelope__public=tree["use_case"].id)
    assert list(caps.order_by("period_start").values_list("cap_nanos", flat=True)) == [
        DOLLAR,
        3 * DOLLAR,
    ]


def test_the_same_key_changes_once_and_with_another_change_conflicts():
    tree = make_tree()
    first = change(tree["use_case"], amount_nanos=2 * DOLLAR, key="k")
    assert change(tree["use_case"], amount_nanos=2 * DOLLAR, key="k").version == first.version
    with pytest.raises(IdempotencyMismatch):
        change(tree["use_case"], amount_nanos=3 * DOLLAR, key="k")


def test_a_change_of_another_version_than_was_read_is_refused():
    tree = make_tree()
    change(tree["use_case"], amount_nanos=2 * DOLLAR, expected=1)
    with pytest.raises(PreconditionFailed):
        change(tree["use_case"], amount_nanos=3 * DOLLAR, expected=1)


def test_a_child_may_not_promise_more_than_its_parent_has():
    make_use_case()
    make_use_case(slug="search")
    make_envelope(kind="company", slug="", amount=DOLLAR)
    make_envelope(amount=DOLLAR // 2)
    with pytest.raises(Conflict):
        make_envelope(slug="search", amount=DOLLAR // 2 + 1)
    other = make_envelope(slug="search", amount=DOLLAR // 2)
    with pytest.raises(Conflict):
        change(other, amount_nanos=DOLLAR // 2 + 1)


def test_a_parent_that_allows_it_may_be_promised_twice():
    make_use_case()
    make_use_case(slug="search")
    parent = make_envelope(kind="company", slug="", amount=DOLLAR, allow_overallocation=True)
    make_envelope(amount=DOLLAR)
    make_envelope(slug="search", amount=DOLLAR)
    with pytest.raises(Conflict):
        change(parent, allow_overallocation=False)


def test_a_parent_cannot_be_cut_below_what_it_promised():
    tree = make_tree()
    with pytest.raises(Conflict):
        change(tree["department"], amount_nanos=DOLLAR - 1)


def test_no_cap_needs_one_above_and_nothing_below():
    make_use_case()
    with pytest.raises(ValidationFailed):
        make_envelope(amount=None)
    make_envelope(kind="company", slug="", amount=DOLLAR)
    own = make_envelope(amount=None)
    with pytest.raises(Conflict):
        make_envelope(kind="customer", slug="acme", parent=own.id, amount=1)
    change(own, amount_nanos=DOLLAR)
    make_envelope(kind="customer", slug="acme", parent=own.id, amount=1)
    with pytest.raises(ValidationFailed):
        change(own, amount_nanos=None)


def test_negative_amounts_and_impossible_periods_name_their_fields():
    make_use_case()
    with pytest.raises(ValidationFailed) as caught:
        make_envelope(
            amount=-1,
            per_call_nanos=-1,
            period_kind="fixed",
            start_at=NOW,
            end_at=NOW - timedelta(days=1),
        )
    pointers = {error.pointer for error in caught.value.errors}
    assert pointers == {"/amount", "/per_call", "/period/end"}


def test_parents_are_made_before_children():
    make_use_case()
    make_envelope()
    with pytest.raises(Conflict):
        make_envelope(kind="department", slug="service", amount=DOLLAR)
    with pytest.raises(Conflict):
        make_envelope(kind="company", slug="", amount=DOLLAR)


def test_one_scope_has_one_envelope_at_a_time():
    make_tree()
    with pytest.raises(Conflict):
        make_envelope(amount=1)


def test_the_children_of_an_envelope_are_of_one_kind():
    tree = make_tree()
    make_envelope(kind="customer", slug="acme", parent=tree["use_case"].id, amount=1)
    with pytest.raises(Conflict):
        make_envelope(kind="environment", slug="prod", parent=tree["use_case"].id, amount=1)


def test_p02_calls_of_unknown_customers_share_the_default_child():
    tree = make_tree()
    make_envelope(kind="customer", slug="acme", parent=tree["use_case"].id, amount=DOLLAR // 2)
    default = make_envelope(
        kind="customer", slug="default", parent=tree["use_case"].id, amount=15_000_000
    )
    assert ask(customer="new-1")["decision"] == "allow"
    assert reason_of(ask(customer="new-2")) == "ENVELOPE_HARD_LIMIT"
    assert ask(customer="acme")["decision"] == "allow"
    assert money_of(default)["held"] == 15_000_000
    assert money_of(tree["use_case"])["held"] == 30_000_000


@pytest.mark.parametrize("role", [Role.OWNER, Role.VIEWER, Role.ADMIN, Role.AUDITOR])
def test_money_is_decided_by_finance(role):
    tree = make_tree()
    with pytest.raises(Forbidden):
        change(tree["use_case"], amount_nanos=5, actor=make_caller(role=role))


def test_an_owner_may_freeze_and_not_thaw():
    tree = make_tree()
    owner = make_caller(key="usr_owner", role=Role.OWNER)
    assert change(tree["use_case"], state="frozen", actor=owner).state == "frozen"
    with pytest.raises(Forbidden):
        change(tree["use_case"], state="active", actor=owner)


def test_an_unknown_envelope_is_not_found():
    tree = make_tree()
    with pytest.raises(NotFound):
        policies.get_envelope(envelope=tree["use_case"].id[:-4] + "zzzz", now=NOW)


def test_a_fixed_envelope_starts_and_ends_at_its_instants():
    make_use_case()
    start, end = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    make_envelope(period_kind="fixed", start_at=start, end_at=end)
    assert reason_of(ask()) == "ENVELOPE_NOT_STARTED"
    assert ask(now=start)["decision"] == "allow"
    assert reason_of(ask(now=end)) == "ENVELOPE_CLOSED"
    assert policies.check_conservation() == []


def test_a_month_is_that_of_the_zone_of_the_envelope():
    make_use_case()
    make_envelope(time_zone="Asia/Tokyo")
    boundary = datetime(2026, 11, 30, 15, tzinfo=UTC)
    ask(now=boundary - timedelta(microseconds=1))
    ask(now=boundary)
    starts = EnvelopeBalance.objects.order_by("period_start").values_list(
        "period_start", flat=True
    )
    assert list(starts) == [datetime(2026, 10, 31, 15, tzinfo=UTC), boundary]


def test_a_stopped_use_case_stops_at_once_and_starts_again():
    make_tree()

    def state(value):
        policies.change_use_case(
            slug="support",
            change=policies.UseCaseChange(state=value, reason="drill"),
            actor=FINANCE,
            now=NOW,
        )

    state("stopped")
    assert reason_of(ask()) == "EMERGENCY_STOP"
    state("active")
    assert ask()["decision"] == "allow"


def test_lists_go_on_where_the_page_ended():
    tree = make_tree()
    first = policies.list_envelopes(now=NOW, limit=2)
    rest = policies.list_envelopes(now=NOW, cursor=first.next, limit=2)
    assert [view.id for view in (*first.items, *rest.items)] == [
        view.id for view in tree.values()
    ]
    assert rest.next is None
    make_use_case(slug="search")
    assert [view.slug for view in policies.list_use_cases(limit=1).items] == ["search"]


def test_a_hold_of_an_ended_period_obeys_a_later_freeze(books):
    tree = make_tree(use_case=DOLLAR, period_kind="day")
    answer = ask(ttl_s=86_400)
    tomorrow = NOW + timedelta(days=1)
    change(tree["use_case"], state="frozen", now=tomorrow)
    grown = prolong(answer, now=tomorrow - timedelta(seconds=60), max_output_tokens=900)
    assert grown["decision"] == "deny"
    assert reason_of(grown) == "ENVELOPE_FROZEN"
    change(tree["use_case"], state="active", now=tomorrow)
    grown = prolong(answer, now=tomorrow - timedelta(seconds=30), max_output_tokens=900)
    assert grown["decision"] == "allow"
