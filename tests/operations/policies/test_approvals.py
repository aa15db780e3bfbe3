"""Are two people needed, is one person one, and is what they approved exactly what happens?"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from ledger import facade as ledger
from o10.access import operations as access
from o10.access.keys import Caller, caller_of_person
from o10.access.roles import ROLE_ACTIONS, Role
from o10.kernel.errors import (
    Forbidden,
    IdempotencyMismatch,
    PreconditionFailed,
    SelfApproval,
    ValidationFailed,
)
from policies import facade as policies
from policies.core.approvals import AlreadyActed, BaseChanged, NotOpen
from policies.models import Approval, ApprovalPolicyVersion, ApprovalStep
from policies.operations import change_kinds
from tests.operations.policies.company import DOLLAR, NOW, make_books

pytestmark = pytest.mark.django_db

KIND = "allocation.rule"
LATER = NOW + timedelta(hours=1)


@dataclass
class Scene:
    """What the changes of a test are made against, and what was carried out."""

    base: str = "v1"
    done: list[tuple[dict[str, Any], policies.ApprovalView, Caller]] = field(
        default_factory=list
    )
    weight: policies.Weight = field(default_factory=policies.Weight)
    fails: bool = False


@pytest.fixture
def scene() -> Iterator[Scene]:
    make_books()
    found = Scene()

    def apply(
        change: Any, approval: policies.ApprovalView, actor: Caller, now: datetime
    ) -> policies.Applied:
        if found.fails:
            raise ValidationFailed(errors=[])
        found.done.append((dict(change), approval, actor))
        return policies.Applied(ids={"rule": "made"})

    before = dict(change_kinds._kinds)
    for name in (KIND, "price.refresh", "pack.publish", "offer.approve", "envelope.raise"):
        policies.register_change_kind(
            policies.ChangeKind(
                name=name,
                apply=apply,
                base_of=lambda change: found.base,
                describe=lambda change: policies.ChangeText(
                    title="Share of the platform",
                    rows=(policies.DiffRow("Share", "10%", "12%"),),
                    money_nanos=5 * DOLLAR,
                ),
                weight_of=lambda change: found.weight,
                takes_until=name == KIND,
            )
        )
    yield found
    change_kinds._kinds.clear()
    change_kinds._kinds.update(before)


def person(role: Role, name: str = "") -> Caller:
    row = access.create_person(
        email=f"{name or role.value}@example.com",
        display_name=(name or role.value).capitalize(),
        role=role,
        password=None,
        actor="command-line",
        now=NOW,
    )
    return caller_of_person(row)


def key_of(who: Caller, role: Role, key: str = "key_1") -> Caller:
    return Caller(key, key, who.principal, role, None, ROLE_ACTIONS[role])


def propose(actor: Caller | None, kind: str = KIND, **fields: Any) -> policies.ApprovalView:
    wanted: dict[str, Any] = {
        "subject": "platform",
        "change": {"share_ppm": 120_000},
        "reason": "more platform",
        "now": NOW,
        **fields,
    }
    return policies.propose_change(kind=kind, actor=actor, **wanted)


def set_policy(**fields: Any) -> None:
    newest = ApprovalPolicyVersion.objects.count() + 1
    ApprovalPolicyVersion.objects.create(version=newest, body=fields, at=NOW, actor="test")


def entries_of(approval: str) -> list[dict[str, Any]]:
    found = []
    for step in ApprovalStep.objects.filter(approval__public=approval).order_by("number"):
        stored = ledger.find_by_uid(ledger_id=ledger.COMPANY_LEDGER, uid=step.entry_uid)
        assert stored is not None and stored.entry.kind == ledger.Kind.APPROVAL
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT body FROM ledger_document WHERE hash = %s", [stored.entry.doc]
            )
            found.append(json.loads(bytes(cursor.fetchone()[0])))
    return found


def test_two_people_make_a_change(scene: Scene) -> None:
    finops, controller = person(Role.FINOPS), person(Role.CONTROLLER)
    view = propose(finops)
    assert view.state == "open" and view.needs == ("controller",) and not scene.done
    done = policies.approve(approval=view.id, actor=controller, now=LATER, reason="fine")
    assert done.state == "approved" and done.needs == () and done.result == {"rule": "made"}
    [(change, approval, actor)] = scene.done
    assert change == {"share_ppm": 120_000} and actor == controller
    assert approval.maker.id == finops.principal
    assert [each.id for each in approval.approved_by] == [controller.principal]
    raised, approved = entries_of(view.id)
    assert (raised["act"], raised["before"], raised["after"]) == ("raised", "", "open")
    assert (approved["act"], approved["before"], approved["after"]) == (
        "approved",
        "open",
        "approved",
    )
    assert approved["by"] == controller.principal and approved["maker"] == finops.principal
    assert approved["change_hash"] == raised["change_hash"] == view.change_hash
    with pytest.raises(NotOpen):
        policies.approve(approval=view.id, actor=person(Role.CONTROLLER, "other"), now=LATER)


def test_nobody_approves_what_they_asked_for(scene: Scene) -> None:
    finops = person(Role.FINOPS)
    view = propose(finops)
    set_policy(keys_may_approve=True)
    second = propose(finops, subject="after keys may")
    for caller in (
        finops,
        replace(finops, role=Role.CONTROLLER),
        replace(finops, role=Role.ADMIN, verbs=ROLE_ACTIONS[Role.ADMIN]),
        key_of(finops, Role.CONTROLLER),
    ):
        for each in (view, second):
            with pytest.raises(SelfApproval):
                policies.approve(approval=each.id, actor=caller, now=LATER)
    assert not scene.done and Approval.objects.filter(state="open").count() == 2
    assert ApprovalStep.objects.count() == 2, "a refusal writes nothing"


def test_one_person_counts_once_whatever_they_act_under(scene: Scene) -> None:
    finops, cfo = person(Role.FINOPS), person(Role.CFO)
    controller = person(Role.CONTROLLER)
    set_policy(keys_may_approve=True, tiers=[{"above_nanos": 1, "people": 3}])
    scene.weight = policies.Weight(nanos=5)
    view = propose(finops, "pack.publish")
    assert view.needs == ("controller", "cfo", "cfo|controller")
    policies.approve(approval=view.id, actor=controller, now=LATER)
    for again in (controller, key_of(controller, Role.CONTROLLER)):
        with pytest.raises(AlreadyActed):
            policies.approve(approval=view.id, actor=again, now=LATER)
    policies.approve(approval=view.id, actor=cfo, now=LATER)
    with pytest.raises(AlreadyActed):
        policies.approve(approval=view.id, actor=key_of(cfo, Role.CONTROLLER), now=LATER)
    assert policies.get_approval(approval=view.id, now=LATER).needs == ("cfo|controller",)
    last = policies.approve(approval=view.id, actor=person(Role.CFO, "second"), now=LATER)
    assert last.state == "approved" and len(scene.done) == 1


def test_delegation_does_not_make_one_person_two(scene: Scene) -> None:
    finops, controller, cfo = person(Role.FINOPS), person(Role.CONTROLLER), person(Role.CFO)
    deputy = person(Role.OWNER, "deputy")
    view = propose(finops, "pack.publish")
    with pytest.raises(Forbidden):
        policies.approve(approval=view.id, actor=deputy, now=LATER)
    with pytest.raises(SelfApproval):
        policies.delegate(approval=view.id, actor=controller, to=finops.principal, now=LATER)
    for nobody in (person(Role.AUDITOR), person(Role.ADMIN), controller):
        with pytest.raises(ValidationFailed):
            policies.delegate(
                approval=view.id, actor=controller, to=nobody.principal, now=LATER
            )
    for giver in (controller, cfo):
        policies.delegate(approval=view.id, actor=giver, to=deputy.principal, now=LATER)
    first = policies.approve(approval=view.id, actor=deputy, now=LATER)
    assert first.state == "open" and len(first.needs) == 1, "one person, one vote"
    with pytest.raises(AlreadyActed):
        policies.approve(approval=view.id, actor=deputy, now=LATER)
    voted_for = first.steps[-1].for_whom
    assert voted_for is not None
    gave, other = (
        (controller, cfo) if voted_for.id == controller.principal else (cfo, controller)
    )
    with pytest.raises(AlreadyActed):
        policies.approve(approval=view.id, actor=gave, now=LATER)
    assert policies.approve(approval=view.id, actor=other, now=LATER).state == "approved"


def test_keys_approve_only_where_the_company_says_so(scene: Scene) -> None:
    finops, controller = person(Role.FINOPS), person(Role.CONTROLLER)
    alone = Caller(
        "key_9", "key_9", "key_9", Role.CONTROLLER, None, ROLE_ACTIONS[Role.CONTROLLER]
    )
    view = propose(finops)
    for key in (alone, key_of(controller, Role.CONTROLLER)):
        with pytest.raises(Forbidden):
            policies.approve(approval=view.id, actor=key, now=LATER)
    set_policy(keys_may_approve=True)
    with pytest.raises(Forbidden):
        policies.approve(approval=view.id, actor=alone, now=LATER)
    view = propose(finops, subject="again")
    admin = person(Role.ADMIN)
    with pytest.raises(Forbidden):
        # A key an administrator made has no authority that its maker has not.
        policies.approve(approval=view.id, actor=key_of(admin, Role.CONTROLLER), now=LATER)
    assert policies.approve(approval=view.id, actor=alone, now=LATER).state == "approved"
    view = propose(finops, subject="third")
    set_policy(keys_may_approve=False)
    with pytest.raises(Forbidden):
        policies.approve(approval=view.id, actor=alone, now=LATER)


def test_compliance_is_a_named_person(scene: Scene) -> None:
    finops, controller = person(Role.FINOPS), person(Role.CONTROLLER)
    owner, admin = person(Role.OWNER), person(Role.ADMIN)
    set_policy(compliance_approvers=[owner.principal, admin.principal])
    view = propose(finops, "offer.approve")
    assert view.needs == ("controller", "compliance")
    policies.approve(approval=view.id, actor=controller, now=LATER)
    for refused in (admin, person(Role.CONTROLLER, "unnamed"), finops):
        with pytest.raises((Forbidden, SelfApproval)):
            policies.approve(approval=view.id, actor=refused, now=LATER)
    assert policies.approve(approval=view.id, actor=owner, now=LATER).state == "approved"


def test_a_changed_base_voids_the_request(scene: Scene) -> None:
    finops, controller = person(Role.FINOPS), person(Role.CONTROLLER)
    view, other = propose(finops), propose(finops, subject="another")
    scene.base = "v2"
    with pytest.raises(BaseChanged):
        policies.approve(approval=view.id, actor=controller, now=LATER)
    assert policies.get_approval(approval=view.id, now=LATER).state == "void"
    assert not scene.done and [each["act"] for each in entries_of(view.id)][-1] == "voided"
    assert policies.end_due(now=LATER) == 1
    assert policies.get_approval(approval=other.id, now=LATER).state == "void"


def test_silence_never_approves(scene: Scene) -> None:
    finops, controller = person(Role.FINOPS), person(Role.CONTROLLER)
    view = propose(finops)
    end = NOW + timedelta(days=7)
    assert view.expires_at == end
    assert policies.end_due(now=end - timedelta(seconds=1)) == 0
    with pytest.raises(NotOpen):
        policies.approve(approval=view.id, actor=controller, now=end)
    assert policies.get_approval(approval=view.id, now=end).state == "expired"
    assert policies.end_due(now=end) == 1 and policies.end_due(now=end) == 0
    assert not scene.done
    assert [each["after"] for each in entries_of(view.id)] == ["open", "expired"]


def test_a_policy_change_leaves_running_requests_alone(scene: Scene) -> None:
    finops, controller = person(Role.FINOPS), person(Role.CONTROLLER)
    scene.weight = policies.Weight(nanos=20_000 * DOLLAR)
    view = propose(finops, "envelope.raise")
    assert view.needs == ("controller", "cfo")
    set_policy(materiality_nanos=50_000 * DOLLAR, expiry_days=1)
    assert policies.get_approval(approval=view.id, now=LATER).needs == ("controller", "cfo")
    fresh = propose(finops, "envelope.raise", subject="fresh")
    assert fresh.needs == ("controller",)
    assert fresh.expires_at == NOW + timedelta(days=1) < view.expires_at
    done = policies.approve(approval=view.id, actor=controller, now=LATER)
    assert done.state == "open"


def test_decline_withdraw_ask_and_answer(scene: Scene) -> None:
    finops, controller = person(Role.FINOPS), person(Role.CONTROLLER)
    view = propose(finops)
    with pytest.raises(Forbidden):
        policies.ask(approval=view.id, actor=person(Role.VIEWER), now=LATER, reason="?")
    policies.ask(approval=view.id, actor=controller, now=LATER, reason="Also in December?")
    policies.ask(approval=view.id, actor=finops, now=LATER, reason="No, one month.")
    with pytest.raises(ValidationFailed):
        policies.decline(approval=view.id, actor=controller, now=LATER, reason="  ")
    with pytest.raises(SelfApproval):
        policies.decline(approval=view.id, actor=finops, now=LATER, reason="mine")
    with pytest.raises(Forbidden):
        policies.withdraw(approval=view.id, actor=controller, now=LATER)
    done = policies.decline(approval=view.id, actor=controller, now=LATER, reason="Too much")
    assert done.state == "declined" and done.decided_at == LATER
    assert [step.act for step in done.steps] == ["raised", "asked", "answered", "declined"]
    second = propose(finops, subject="second")
    assert policies.withdraw(approval=second.id, actor=finops, now=LATER).state == "withdrawn"
    assert not scene.done


def test_a_repeat_and_a_stale_form_have_one_effect(scene: Scene) -> None:
    finops, controller = person(Role.FINOPS), person(Role.CONTROLLER)
    view = propose(finops, key="k")
    assert propose(finops, key="k").id == view.id
    with pytest.raises(IdempotencyMismatch):
        propose(finops, key="k", change={"share_ppm": 130_000})
    for _ in range(2):
        done = policies.approve(
            approval=view.id, actor=controller, now=LATER, key="click", expected_version=1
        )
    assert done.state == "approved" and len(scene.done) == 1
    other = propose(finops, subject="other")
    policies.ask(approval=other.id, actor=controller, now=LATER, reason="why?")
    with pytest.raises(PreconditionFailed):
        policies.approve(approval=other.id, actor=controller, now=LATER, expected_version=1)


def test_what_fails_when_carried_out_leaves_the_request_open(scene: Scene) -> None:
    finops, controller = person(Role.FINOPS), person(Role.CONTROLLER)
    view = propose(finops)
    scene.fails = True
    with pytest.raises(ValidationFailed):
        policies.approve(approval=view.id, actor=controller, now=LATER)
    assert policies.get_approval(approval=view.id, now=LATER).needs == ("controller",)
    scene.fails = False
    assert policies.approve(approval=view.id, actor=controller, now=LATER).state == "approved"


def test_the_system_asks_and_people_decide(scene: Scene) -> None:
    view = propose(None, "price.refresh")
    assert view.maker.id == "system"
    with pytest.raises(Forbidden):
        propose(None)
    controller = person(Role.CONTROLLER)
    assert policies.approve(approval=view.id, actor=controller, now=LATER).state == "approved"


def test_an_end_can_be_set_where_the_kind_knows_one(scene: Scene) -> None:
    finops, controller = person(Role.FINOPS), person(Role.CONTROLLER)
    end = NOW + timedelta(days=3)
    view = propose(finops, until=end + timedelta(days=1))
    done = policies.approve(approval=view.id, actor=controller, now=LATER, until=end)
    assert done.until == end and scene.done[0][1].until == end
    with pytest.raises(ValidationFailed):
        propose(None, "price.refresh", until=end)
    with pytest.raises(ValidationFailed):
        propose(finops, subject="past", until=NOW)


def test_a_request_can_not_be_edited_in_the_database(scene: Scene) -> None:
    view = propose(person(Role.FINOPS))
    with pytest.raises(DatabaseError), transaction.atomic():
        Approval.objects.filter(public=view.id).update(change={"share_ppm": 1})
    with pytest.raises(DatabaseError), transaction.atomic():
        Approval.objects.filter(public=view.id).update(needs=[])
    with pytest.raises(DatabaseError), transaction.atomic():
        ApprovalStep.objects.all().delete()


def test_the_inbox_shows_what_waits_for_whom(scene: Scene) -> None:
    finops, controller, cfo = person(Role.FINOPS), person(Role.CONTROLLER), person(Role.CFO)
    view = propose(finops, "pack.publish")
    propose(controller_as_maker := person(Role.OWNER, "maker"))
    mine = policies.inbox(caller=controller, now=LATER)
    assert len(mine.mine) == 2 and not mine.raised
    assert policies.count_waiting(caller=controller, now=LATER) == 2
    assert policies.count_waiting(caller=cfo, now=LATER) == 1
    assert policies.count_waiting(caller=finops, now=LATER) == 0
    assert [each.id for each in policies.inbox(caller=finops, now=LATER).raised] == [view.id]
    assert len(policies.inbox(caller=controller_as_maker, now=LATER).raised) == 1
    policies.approve(approval=view.id, actor=controller, now=LATER)
    assert policies.count_waiting(caller=controller, now=LATER) == 1
