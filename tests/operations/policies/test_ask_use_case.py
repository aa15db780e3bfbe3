"""Do enforcing, restoring and another model wait for two people, and does less hold at once?"""

from datetime import timedelta
from typing import Any

import pytest

from o10.access.keys import Caller
from o10.access.roles import Role
from o10.kernel.errors import Forbidden, SelfApproval, ValidationFailed
from policies import facade as policies
from policies.core.approvals import BaseChanged
from policies.models import Approval
from tests.operations.policies.company import (
    CHEAP,
    DOLLAR,
    FINANCE,
    MODEL,
    NOW,
    make_books,
    make_caller,
    make_tree,
)
from tests.operations.policies.company import ask as authorize

pytestmark = pytest.mark.django_db
MAKER = make_caller(key="usr_owner", role=Role.OWNER)
SECOND = make_caller(key="usr_engineer", role=Role.OWNER)
CHECKER = make_caller(key="usr_controller", role=Role.CONTROLLER)
CFO = make_caller(key="usr_cfo", role=Role.CFO)
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def tree() -> dict[str, policies.EnvelopeView]:
    make_books()
    return make_tree(use_case=DOLLAR)


def set_mode(mode: str) -> None:
    policies.change_use_case(
        slug="support", change=policies.UseCaseChange(mode=mode), actor=FINANCE, now=NOW
    )


def ask(actor: Caller = MAKER, key: str = "", **fields: Any) -> Any:
    return policies.ask_use_case_change(
        slug="support",
        change=policies.UseCaseChange(**{"reason": "because", **fields}),
        actor=actor,
        now=NOW,
        key=key,
    )


def approve(view: Any, *people: Caller, **fields: Any) -> None:
    for person in people:
        policies.approve(approval=view.id, actor=person, **{"now": LATER, **fields})


def mode() -> str:
    return policies.get_use_case(slug="support").mode


def models(*names: str) -> tuple[policies.ApprovedModel, ...]:
    return tuple(policies.ApprovedModel(name=name) for name in names)


def decided(model: str = MODEL, **fields: Any) -> tuple[str, str]:
    found = authorize(model=model, **fields)
    return found["decision"], found["reasons"][0]["code"]


def test_enforcing_needs_a_second_owner_and_a_controller(tree: Any) -> None:
    set_mode("shadow")
    dear = {"max_output_tokens": 100_000}
    assert decided(**dear)[0] == "allow", "shadow denies nobody"
    view = ask(mode="enforce")
    assert (view.kind, view.needs) == ("rollout.enforce", ("owner", "controller"))
    with pytest.raises(SelfApproval):
        approve(view, MAKER)
    for stranger in (CFO, make_caller(key="usr_admin", role=Role.ADMIN)):
        with pytest.raises(Forbidden):
            approve(view, stranger)
    approve(view, CHECKER)
    assert mode() == "shadow"
    approve(view, SECOND)
    assert mode() == "enforce"
    assert decided(**dear)[0] == "deny", "the very next call obeys it"
    labels = [row.label for row in view.text.evidence]
    assert "Would have been denied, 7 days" in labels


def test_stepping_back_holds_at_once_and_is_confirmed(tree: Any) -> None:
    found = ask(mode="shadow", key="k")
    assert isinstance(found, policies.UseCaseView) and found.mode == "shadow"
    assert ask(mode="shadow", key="k").mode == "shadow"
    [confirm] = policies.find_open(subject="use_case/support", now=NOW)
    assert (confirm.kind, confirm.needs) == ("use_case.confirm", ("cfo|controller|finops",))
    with pytest.raises(SelfApproval):
        approve(confirm, MAKER)
    approve(confirm, CHECKER)
    assert mode() == "shadow" and Approval.objects.count() == 1


def test_a_stop_is_for_many_and_restoring_needs_two(tree: Any) -> None:
    with pytest.raises(Forbidden):
        ask(CFO, state="stopped", name="Another")
    ask(CFO, state="stopped")
    assert decided() == ("deny", "EMERGENCY_STOP")
    view = ask(state="active")
    assert (view.kind, view.needs) == ("use_case.restore", ("cfo|controller",))
    approve(view, CFO)
    assert decided()[0] == "allow"


def test_a_model_more_needs_a_named_person_and_is_used_by_the_next_call(tree: Any) -> None:
    found = ask(approved_models=models(CHEAP))
    assert isinstance(found, policies.UseCaseView), "fewer models hold at once"
    assert decided() == ("deny", "MODEL_NOT_APPROVED")
    assert decided(CHEAP)[0] == "allow"
    policies.found_approval_policy(
        policy=policies.ApprovalPolicy(compliance_approvers=(SECOND.principal,)),
        actor="command-line",
        now=NOW,
    )
    view = ask(approved_models=models(CHEAP, MODEL), key="m")
    assert (view.kind, view.needs) == ("offer.approve", ("controller", "compliance"))
    approve(view, CHECKER)
    assert decided() == ("deny", "MODEL_NOT_APPROVED")
    end = NOW + timedelta(days=30)
    approve(view, SECOND, until=end)
    assert decided()[0] == "allow"
    assert decided(now=end) == ("deny", "APPROVAL_EXPIRED")
    kept = policies.get_use_case(slug="support").approved_models or ()
    assert [(each.name, each.until, each.approval) for each in kept] == [
        (CHEAP, None, ""),
        (MODEL, end, view.id),
    ]
    assert ask(approved_models=models(CHEAP, MODEL), key="m").id == view.id
    ask(approved_models=models(CHEAP))
    assert decided() == ("deny", "MODEL_NOT_APPROVED")
    assert ask(approved_models=None).kind == "offer.approve", "all models are more models"


def test_what_changed_meanwhile_is_asked_again(tree: Any) -> None:
    set_mode("shadow")
    view = ask(mode="enforce")
    ask(mode="observe")
    with pytest.raises(BaseChanged):
        approve(view, CHECKER)
    assert mode() == "observe"


def test_what_needs_nobody_is_done_and_what_is_mixed_is_refused(tree: Any) -> None:
    assert ask(name="Support desk").name == "Support desk"
    set_mode("shadow")
    with pytest.raises(ValidationFailed):
        ask(mode="enforce", state="stopped")
    with pytest.raises(ValidationFailed):
        ask(approved_models=models(MODEL, MODEL))
    for role in (Role.VIEWER, Role.AUDITOR, Role.ADMIN, Role.CFO):
        with pytest.raises(Forbidden):
            ask(make_caller(key=f"usr_{role}", role=role), mode="enforce")
    with pytest.raises(Forbidden):
        ask(CHECKER, mode="enforce")
    assert not Approval.objects.exists()
