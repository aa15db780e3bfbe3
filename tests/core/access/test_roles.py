"""Is the table of roles and actions complete, and as the contract says?"""

import pytest

from o10.access.roles import KEY_ROLES, PERSON_ROLES, ROLE_ACTIONS, SPEND_VERBS, Action, Role

MONEY = {
    Action.CHANGE_ENVELOPE,
    Action.CHANGE_USE_CASE,
    Action.CHANGE_PLAN,
    Action.CHANGE_PRICES,
    Action.CORRECT_LEDGER,
    Action.FREEZE_ENVELOPE,
    Action.APPROVE,
}
WRITES = (
    MONEY
    | {Action.RECORD_USAGE, Action.MANAGE_PEOPLE, Action.MANAGE_KEYS}
    | (SPEND_VERBS - {Action.DRY_RUN})
)


def test_every_role_has_its_row_and_every_action_has_somebody():
    assert set(ROLE_ACTIONS) == set(Role)
    assert frozenset().union(*ROLE_ACTIONS.values()) == set(Action)


def test_people_and_keys_share_no_role_that_spends():
    assert Role.ROUTER not in PERSON_ROLES
    for role in PERSON_ROLES:
        assert Action.AUTHORIZE not in ROLE_ACTIONS[role]
    assert {Role.ROUTER, Role.FINOPS, Role.CONTROLLER, Role.AUDITOR, Role.VIEWER} == KEY_ROLES


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
def test_viewer_and_auditor_change_nothing(role):
    assert not ROLE_ACTIONS[role] & WRITES


def test_the_administrator_has_no_authority_over_money():
    assert not ROLE_ACTIONS[Role.ADMIN] & MONEY
    assert ROLE_ACTIONS[Role.ADMIN] >= {Action.MANAGE_PEOPLE, Action.MANAGE_KEYS}


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMIN}))
def test_only_the_administrator_manages_people_and_keys(role):
    assert not ROLE_ACTIONS[role] & {Action.MANAGE_PEOPLE, Action.MANAGE_KEYS}


def test_whoever_approves_does_not_change_prices():
    for actions in ROLE_ACTIONS.values():
        assert not {Action.APPROVE, Action.CHANGE_PRICES} <= actions


def test_only_finance_agrees_to_what_moves_money():
    agreeing = {role for role in Role if Action.APPROVE in ROLE_ACTIONS[role]}
    assert agreeing == {Role.CONTROLLER, Role.CFO}
    assert all(Action.COUNTERSIGN in ROLE_ACTIONS[role] for role in agreeing)
