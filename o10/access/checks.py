"""May this caller do this? `check_` raises with the reason, `can_` answers for templates."""

from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Action, Role
from o10.kernel.errors import Forbidden, SelfApproval


def can(*, caller: Caller, action: Action) -> bool:
    """Does the role allow it, and do the key's own verbs?"""
    return action in ROLE_ACTIONS[caller.role] and action in caller.verbs


def check(*, caller: Caller, action: Action) -> None:
    """Does the role allow it, and do the key's own verbs?

    Raises: Forbidden (`forbidden`) with `action` and `role`.
    """
    if not can(caller=caller, action=action):
        raise Forbidden(action=action.value, role=caller.role.value)


def can_for_role(*, role: Role, action: Action) -> bool:
    """May a person of this role do it? For navigation and buttons."""
    return action in ROLE_ACTIONS[role]


def can_see_use_case(*, caller: Caller, slug: str) -> bool:
    """Is this use case within the key's scope?"""
    return caller.use_case_slugs is None or slug in caller.use_case_slugs


def check_see_use_case(*, caller: Caller, slug: str) -> None:
    """Is this use case within the key's scope?

    Raises: Forbidden (`forbidden`) with `use_case`.
    """
    if not can_see_use_case(caller=caller, slug=slug):
        raise Forbidden(action="use_case_scope", use_case=slug)


def can_manage_person(*, caller: Caller, person_id: str) -> bool:
    """May the caller change this person's role or access? Never one's own."""
    return can(caller=caller, action=Action.MANAGE_PEOPLE) and caller.principal != person_id


def check_manage_person(*, caller: Caller, person_id: str) -> None:
    """May the caller change this person's role or access? Never one's own.

    Raises: Forbidden (`forbidden`); SelfApproval (`self_approval`) for oneself.
    """
    check(caller=caller, action=Action.MANAGE_PEOPLE)
    if not can_manage_person(caller=caller, person_id=person_id):
        raise SelfApproval(person=person_id)
