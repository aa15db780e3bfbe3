"""Do two people give authority over money, people and whole departments?"""

from typing import Any

import pytest

from o10.access import keys, operations, queries
from o10.access.keys import Caller, caller_of_person
from o10.access.roles import Role
from o10.kernel.errors import (
    Forbidden,
    IdempotencyMismatch,
    SelfApproval,
    Unauthorized,
    ValidationFailed,
)
from policies import facade as policies
from policies.core.access_changes import GUARDED, role_needs_two
from tests.operations.policies.company import NOW, make_books, make_use_case

pytestmark = pytest.mark.django_db


def person(role: Role, name: str = "") -> Caller:
    made = operations.create_person(
        email=f"{name or role.value}@example.com",
        display_name=name or role.value,
        role=role,
        password=None,
        actor=operations.COMMAND_LINE,
        now=NOW,
    )
    return caller_of_person(made)


@pytest.fixture
def admin() -> Caller:
    make_books()
    keys.forget()
    for slug, department in (("support", "cx"), ("mail", "cx"), ("code", "it")):
        make_use_case(slug=slug, department=department)
    return person(Role.ADMIN)


def ask(admin: Caller, **fields: Any) -> policies.AskedKey:
    wanted = {"name": "router", "role": Role.ROUTER, "use_cases": None, "now": NOW, **fields}
    return policies.ask_key(actor=admin, **wanted)


def test_a_narrow_router_key_is_made_at_once(admin: Caller) -> None:
    made = ask(admin, use_cases=["support"])
    assert made.approval is None and made.id.startswith("key_")
    caller = keys.authenticate(header=f"Bearer {made.secret}", now=NOW)
    assert caller.principal == admin.principal


@pytest.mark.parametrize(
    ("role", "use_cases"),
    [
        (Role.ROUTER, None),
        (Role.ROUTER, ["code"]),
        (Role.ROUTER, ["support", "mail"]),
        (Role.CONTROLLER, ["support"]),
    ],
)
def test_a_wide_or_weighty_key_lives_once_a_second_person_agreed(
    admin: Caller, role: Role, use_cases: list[str] | None
) -> None:
    asked = ask(admin, role=role, use_cases=use_cases)
    assert asked.approval is not None and asked.approval.needs == ("admin|controller",)
    header = f"Bearer {asked.secret}"
    with pytest.raises(Unauthorized):
        keys.authenticate(header=header, now=NOW)
    with pytest.raises(SelfApproval):
        policies.approve(approval=asked.approval.id, actor=admin, now=NOW)
    policies.approve(approval=asked.approval.id, actor=person(Role.ADMIN, "second"), now=NOW)
    caller = keys.authenticate(header=header, now=NOW)
    assert (caller.role, caller.principal) == (role, admin.principal)
    assert asked.secret not in str(asked.approval.change)


def test_a_repeat_is_one_request_and_shows_no_secret_again(admin: Caller) -> None:
    first, again = ask(admin, key="k"), ask(admin, key="k")
    assert first.approval and again.approval and first.approval.id == again.approval.id
    assert first.secret and not again.secret
    with pytest.raises(IdempotencyMismatch):
        ask(admin, key="k", name="another")


def test_others_make_no_keys_and_wrong_ones_are_named(admin: Caller) -> None:
    with pytest.raises(Forbidden):
        ask(person(Role.CONTROLLER))
    with pytest.raises(ValidationFailed):
        ask(admin, use_cases=["nowhere"])
    with pytest.raises(ValidationFailed):
        ask(admin, role=Role.CFO)


def test_authority_is_given_and_taken_by_two(admin: Caller) -> None:
    viewer, controller = person(Role.VIEWER), person(Role.CONTROLLER)
    assert (
        policies.ask_role(person=viewer.principal, role=Role.OWNER, actor=admin, now=NOW)
        is None
    )
    up = policies.ask_role(person=viewer.principal, role=Role.CFO, actor=admin, now=NOW)
    down = policies.ask_role(
        person=controller.principal, role=Role.VIEWER, actor=admin, now=NOW
    )
    assert up is not None and down is not None
    with pytest.raises(SelfApproval):
        policies.approve(approval=up.id, actor=admin, now=NOW)
    policies.approve(approval=up.id, actor=controller, now=NOW)
    found = queries.find_person(viewer.principal)
    assert found is not None and found.role == Role.CFO.value
    with pytest.raises(SelfApproval):
        policies.ask_role(person=admin.principal, role=Role.CFO, actor=admin, now=NOW)


@pytest.mark.parametrize("before", sorted(Role))
@pytest.mark.parametrize("after", sorted(Role))
def test_every_change_of_role_that_touches_authority_needs_two(
    before: Role, after: Role
) -> None:
    touches = before in GUARDED or after in GUARDED
    assert role_needs_two(before=before, after=after) is (before is not after and touches)
