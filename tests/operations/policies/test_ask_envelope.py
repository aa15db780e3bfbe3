"""Does more money wait for a second person, does less hold at once, is neither done twice?"""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.access.roles import Role
from o10.kernel.errors import Forbidden, IdempotencyMismatch, SelfApproval, ValidationFailed
from policies import facade as policies
from policies.core.approvals import BaseChanged, NotOpen
from policies.models import Alert, Approval, EnvelopeVersion, TemporaryRaise
from policies.operations.tree_rules import Overallocated
from tests.operations.policies.company import (
    DOLLAR,
    NOW,
    make_books,
    make_caller,
    make_tree,
)

pytestmark = pytest.mark.django_db
MAKER = make_caller(key="usr_owner", role=Role.OWNER)
CHECKER = make_caller(key="usr_controller", role=Role.CONTROLLER)
CFO = make_caller(key="usr_cfo", role=Role.CFO)
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def tree() -> dict[str, policies.EnvelopeView]:
    make_books()
    return make_tree(company=1000 * DOLLAR, department=500 * DOLLAR, use_case=100 * DOLLAR)


def ask(
    envelope: policies.EnvelopeView, actor: Caller = MAKER, key: str = "", **fields: Any
) -> policies.EnvelopeView | policies.ApprovalView:
    until = fields.pop("until", None)
    return policies.ask_envelope_change(
        envelope=envelope.id,
        change=policies.EnvelopeChange(**{"reason": "because", **fields}),
        actor=actor,
        now=NOW,
        key=key,
        until=until,
    )


def asked(*args: Any, **fields: Any) -> policies.ApprovalView:
    found = ask(*args, **fields)
    assert isinstance(found, policies.ApprovalView)
    return found


def cap_of(envelope: policies.EnvelopeView) -> int | None:
    amount = policies.get_envelope(envelope=envelope.id, now=NOW).amount_nanos
    return None if amount is None else int(amount)


def document_of(digest: bytes) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM ledger_document WHERE hash = %s", [digest])
        return dict(json.loads(bytes(cursor.fetchone()[0])))


def approve(view: policies.ApprovalView, *people: Caller, **fields: Any) -> None:
    for person in people:
        policies.approve(approval=view.id, actor=person, **{"now": LATER, **fields})


def test_a_raise_changes_nothing_until_others_agree(tree: dict[str, Any]) -> None:
    view = asked(tree["use_case"], amount_nanos=120 * DOLLAR)
    assert (view.kind, view.needs) == ("envelope.raise", ("controller",))
    assert cap_of(tree["use_case"]) == 100 * DOLLAR
    with pytest.raises(SelfApproval):
        approve(view, MAKER)
    approve(view, CHECKER)
    assert cap_of(tree["use_case"]) == 120 * DOLLAR
    version = EnvelopeVersion.objects.get(envelope__public=tree["use_case"].id, version=2)
    assert version.actor == MAKER.principal
    entry = ledger.find_by_uid(ledger_id=ledger.COMPANY_LEDGER, uid=version.entry_uid)
    assert entry is not None
    said = document_of(entry.entry.doc)["approval"]
    assert said == {
        "id": view.id,
        "maker": MAKER.principal,
        "checkers": [CHECKER.principal],
    }


def test_above_materiality_the_cfo_agrees_too(tree: dict[str, Any]) -> None:
    view = asked(tree["use_case"], amount_nanos=150 * DOLLAR)
    assert view.needs == ("controller",), "50 of 500 is ten per cent, not more"
    more = asked(tree["use_case"], amount_nanos=151 * DOLLAR)
    assert more.needs == ("controller", "cfo")
    approve(more, CHECKER)
    assert cap_of(tree["use_case"]) == 100 * DOLLAR
    approve(more, CFO)
    assert cap_of(tree["use_case"]) == 151 * DOLLAR
    with pytest.raises(BaseChanged):
        approve(view, CHECKER)
    assert policies.get_approval(approval=view.id, now=LATER).state == "void"
    assert cap_of(tree["use_case"]) == 151 * DOLLAR


def test_less_holds_at_once_and_is_confirmed_by_another_person(tree: dict[str, Any]) -> None:
    view = ask(tree["use_case"], CFO, amount_nanos=80 * DOLLAR)
    assert isinstance(view, policies.EnvelopeView)
    assert cap_of(tree["use_case"]) == 80 * DOLLAR
    [confirm] = policies.find_open(subject=tree["use_case"].id, now=NOW)
    assert confirm.kind == "envelope.confirm"
    assert confirm.expires_at == NOW + timedelta(hours=24)
    with pytest.raises(SelfApproval):
        approve(confirm, CFO)
    approve(confirm, CHECKER)
    assert cap_of(tree["use_case"]) == 80 * DOLLAR


def test_nobody_confirms_and_the_limit_stays(tree: dict[str, Any]) -> None:
    ask(tree["use_case"], state="frozen")
    over = NOW + timedelta(hours=24)
    assert policies.end_due(now=over) == 1 and policies.end_due(now=over) == 0
    [view] = policies.list_approvals(now=over).items
    assert (view.kind, view.state) == ("envelope.confirm", "expired")
    assert Alert.objects.get(kind="limit_unconfirmed").subject == view.id
    assert policies.get_envelope(envelope=tree["use_case"].id, now=NOW).state == "frozen"


def test_restoring_needs_two(tree: dict[str, Any]) -> None:
    ask(tree["use_case"], state="frozen")
    view = asked(tree["use_case"], state="active")
    assert (view.kind, view.needs) == ("envelope.restore", ("cfo|controller",))
    assert policies.get_envelope(envelope=tree["use_case"].id, now=NOW).state == "frozen"
    approve(view, CFO)
    assert policies.get_envelope(envelope=tree["use_case"].id, now=NOW).state == "active"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"amount_nanos": None}, "envelope.uncap"),
        ({"amount_nanos": 101 * DOLLAR}, "envelope.raise"),
        ({"hard": False}, "envelope.loosen"),
        ({"per_call_nanos": None}, ""),
        ({"allow_overallocation": True}, "envelope.loosen"),
        ({"amount_nanos": 101 * DOLLAR, "hard": False}, "envelope.raise"),
        ({"amount_nanos": 99 * DOLLAR, "hard": False}, "envelope.loosen"),
        ({"name": "Another"}, ""),
        ({"soft_thresholds_ppm": (900_000,)}, ""),
    ],
)
def test_each_change_has_its_kind(
    tree: dict[str, Any], fields: dict[str, Any], kind: str
) -> None:
    found = ask(tree["use_case"], **fields)
    assert (found.kind if isinstance(found, policies.ApprovalView) else "") == kind
    if not kind:
        assert not Approval.objects.exists(), "what moves no money needs nobody"


def test_a_new_envelope_waits_and_then_is_there(tree: dict[str, Any]) -> None:
    draft = policies.EnvelopeDraft(
        scope_kind="customer",
        scope_slug="acme",
        parent=tree["use_case"].id,
        amount_nanos=5 * DOLLAR,
        reason="new customer",
    )
    view = policies.ask_envelope(draft=draft, actor=MAKER, now=NOW, key="k")
    again = policies.ask_envelope(draft=draft, actor=MAKER, now=LATER, key="k")
    assert again.id == view.id and Approval.objects.count() == 1
    assert len(policies.list_envelopes(now=NOW, slugs=None).items) == 3
    approve(view, CHECKER)
    made = policies.get_approval(approval=view.id, now=LATER).result["envelope"]
    assert policies.get_envelope(envelope=made, now=LATER).amount_nanos == str(5 * DOLLAR)


def test_what_could_never_be_is_refused_before_anybody_is_asked(tree: dict[str, Any]) -> None:
    with pytest.raises(Overallocated):
        ask(tree["use_case"], amount_nanos=501 * DOLLAR)
    with pytest.raises(ValidationFailed):
        ask(tree["company"], amount_nanos=None)
    viewer = make_caller(key="usr_viewer", role=Role.VIEWER)
    for who in (viewer, CHECKER, CFO, make_caller(key="usr_admin", role=Role.ADMIN)):
        with pytest.raises(Forbidden):
            ask(tree["use_case"], who, amount_nanos=120 * DOLLAR)
    with pytest.raises(Forbidden):
        ask(tree["use_case"], viewer, amount_nanos=1)
    assert not Approval.objects.exists()


def test_a_repeat_is_one_request_even_after_it_was_carried_out(tree: dict[str, Any]) -> None:
    view = asked(tree["use_case"], key="a", amount_nanos=120 * DOLLAR)
    approve(view, CHECKER)
    assert asked(tree["use_case"], key="a", amount_nanos=120 * DOLLAR).id == view.id
    with pytest.raises(IdempotencyMismatch):
        ask(tree["use_case"], key="a", amount_nanos=130 * DOLLAR)
    ask(tree["use_case"], key="b", amount_nanos=60 * DOLLAR)
    ask(tree["use_case"], key="c", amount_nanos=40 * DOLLAR)
    again = ask(tree["use_case"], key="b", amount_nanos=60 * DOLLAR)
    assert isinstance(again, policies.EnvelopeView) and cap_of(tree["use_case"]) == 40 * DOLLAR


def test_a_temporary_raise_falls_back(tree: dict[str, Any]) -> None:
    until = NOW + timedelta(days=2)
    view = asked(tree["use_case"], amount_nanos=120 * DOLLAR, until=until)
    sooner = NOW + timedelta(days=1)
    approve(view, CHECKER, until=sooner)
    assert cap_of(tree["use_case"]) == 120 * DOLLAR
    assert policies.end_raises(now=sooner - timedelta(seconds=1)) == 0
    assert policies.end_raises(now=sooner) == 1 and policies.end_raises(now=sooner) == 0
    assert cap_of(tree["use_case"]) == 100 * DOLLAR


def test_a_later_change_takes_the_place_of_a_temporary_raise(tree: dict[str, Any]) -> None:
    until = NOW + timedelta(days=2)
    approve(asked(tree["use_case"], amount_nanos=120 * DOLLAR, until=until), CHECKER)
    approve(asked(tree["use_case"], amount_nanos=130 * DOLLAR, until=until), CHECKER)
    assert TemporaryRaise.objects.get(state="running").back_to_nanos == 100 * DOLLAR
    approve(asked(tree["use_case"], amount_nanos=140 * DOLLAR), CHECKER)
    assert policies.end_raises(now=until) == 0
    assert cap_of(tree["use_case"]) == 140 * DOLLAR


def test_a_top_up_ends_with_the_period(tree: dict[str, Any]) -> None:
    view = policies.ask_top_up(
        envelope=tree["use_case"].id,
        add_nanos=5 * DOLLAR,
        reason="campaign",
        actor=MAKER,
        now=NOW,
    )
    approve(view, CHECKER)
    assert cap_of(tree["use_case"]) == 105 * DOLLAR
    end = TemporaryRaise.objects.get().until
    assert (end.month, end.day) == (12, 1)
    assert policies.end_raises(now=end) == 1
    assert cap_of(tree["use_case"]) == 100 * DOLLAR


def test_an_approval_that_cannot_be_carried_out_writes_nothing(tree: dict[str, Any]) -> None:
    view = asked(tree["use_case"], amount_nanos=400 * DOLLAR)
    approve(view, CHECKER)
    policies.change_envelope(
        envelope=tree["department"].id,
        change=policies.EnvelopeChange(amount_nanos=200 * DOLLAR, reason="less for all"),
        actor=make_caller(key="key_finance", role=Role.FINOPS),
        now=LATER,
    )
    with pytest.raises(Overallocated):
        approve(view, CFO)
    still = policies.get_approval(approval=view.id, now=LATER)
    assert still.state == "open" and still.needs == ("cfo",)
    policies.withdraw(approval=view.id, actor=MAKER, now=LATER)
    with pytest.raises(NotOpen):
        approve(view, CFO)
