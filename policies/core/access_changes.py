"""Which changes of people and keys need a second person?

Authority over money and people is given by two; so are keys that speak for a whole department.
Source: product.md section 8.
"""

from collections.abc import Collection, Iterable

from o10.access.roles import Role

GUARDED = frozenset({Role.CONTROLLER, Role.CFO, Role.ADMIN})
"""Roles that one person alone neither gives nor takes."""


def key_needs_two(
    *,
    role: Role,
    use_cases: Iterable[str] | None,
    departments: Collection[Collection[str]],
) -> bool:
    """Does a key like this need a second person?

    `departments`: the use cases of each. Wide is a key over all use cases, or over all those of
    some department.
    """
    if role in GUARDED:
        return True
    if role is not Role.ROUTER:
        return False
    if use_cases is None:
        return True
    scope = set(use_cases)
    return any(members and scope.issuperset(members) for members in departments)


def role_needs_two(*, before: Role, after: Role) -> bool:
    """Does a person's change from this role to that one need a second person?"""
    return before is not after and bool({before, after} & GUARDED)
