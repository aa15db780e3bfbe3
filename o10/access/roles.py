"""What may each role do? One table, role by action.

Source: contract.md section 6 and product.md sections 2 and 8. The table is complete: every role
names its actions, and whatever it does not name is forbidden.
"""

from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """Under which role does this caller act?"""

    VIEWER = "viewer"
    OWNER = "owner"
    FINOPS = "finops"
    CONTROLLER = "controller"
    CFO = "cfo"
    AUDITOR = "auditor"
    ADMIN = "admin"
    ROUTER = "router"


class Action(StrEnum):
    """What does the caller want to do? Also the vocabulary of a key's verbs."""

    AUTHORIZE = "authorize"
    DRY_RUN = "dry_run"
    SETTLE = "settle"
    RELEASE = "release"
    EXTEND = "extend"
    RECORD_USAGE = "record_usage"
    READ_SPEND = "read_spend"
    READ_DECISIONS = "read_decisions"
    READ_LEDGER = "read_ledger"
    CHANGE_USE_CASE = "change_use_case"
    CHANGE_ENVELOPE = "change_envelope"
    FREEZE_ENVELOPE = "freeze_envelope"
    CHANGE_KILL_CRITERION = "change_kill_criterion"
    APPROVE = "approve"
    """Agree to what moves money."""
    COUNTERSIGN = "countersign"
    """Be the second person where the table of approvals (policies.core.approvals) says so."""
    CHANGE_PLAN = "change_plan"
    CHANGE_PRICES = "change_prices"
    CORRECT_LEDGER = "correct_ledger"
    EXPORT_LEDGER = "export_ledger"
    HANDLE_ALERTS = "handle_alerts"
    CHANGE_ALERT_RULES = "change_alert_rules"
    CHANGE_CHANNELS = "change_channels"
    MANAGE_PEOPLE = "manage_people"
    MANAGE_KEYS = "manage_keys"


SPEND_VERBS = frozenset(
    {Action.AUTHORIZE, Action.DRY_RUN, Action.SETTLE, Action.RELEASE, Action.EXTEND}
)
_READ = frozenset({Action.READ_SPEND, Action.READ_DECISIONS, Action.READ_LEDGER})
_ALERTS = frozenset({Action.HANDLE_ALERTS, Action.CHANGE_ALERT_RULES})
_PROPOSE = frozenset(
    {
        Action.CHANGE_USE_CASE,
        Action.CHANGE_ENVELOPE,
        Action.FREEZE_ENVELOPE,
        Action.CHANGE_KILL_CRITERION,
    }
)

ROLE_ACTIONS = MappingProxyType(
    {
        Role.VIEWER: _READ | {Action.DRY_RUN},
        Role.OWNER: _READ | _PROPOSE | _ALERTS | {Action.DRY_RUN, Action.COUNTERSIGN},
        Role.FINOPS: _READ
        | _PROPOSE
        | _ALERTS
        | {
            Action.CHANGE_CHANNELS,
            Action.DRY_RUN,
            Action.COUNTERSIGN,
            Action.RECORD_USAGE,
            Action.CHANGE_PLAN,
            Action.CHANGE_PRICES,
            Action.CORRECT_LEDGER,
            Action.EXPORT_LEDGER,
        },
        Role.CONTROLLER: _READ
        | _PROPOSE
        | _ALERTS
        | {
            Action.CHANGE_CHANNELS,
            Action.DRY_RUN,
            Action.CHANGE_PLAN,
            Action.APPROVE,
            Action.COUNTERSIGN,
            Action.CORRECT_LEDGER,
            Action.EXPORT_LEDGER,
        },
        Role.CFO: _READ
        | {
            Action.DRY_RUN,
            Action.FREEZE_ENVELOPE,
            Action.APPROVE,
            Action.COUNTERSIGN,
            Action.EXPORT_LEDGER,
            Action.HANDLE_ALERTS,
        },
        Role.AUDITOR: _READ | {Action.DRY_RUN, Action.EXPORT_LEDGER},
        Role.ADMIN: frozenset(
            {
                Action.READ_SPEND,
                Action.COUNTERSIGN,
                Action.MANAGE_PEOPLE,
                Action.MANAGE_KEYS,
                Action.CHANGE_CHANNELS,
            }
        ),
        Role.ROUTER: SPEND_VERBS
        | {Action.RECORD_USAGE, Action.READ_SPEND, Action.READ_DECISIONS},
    }
)

KEY_ROLES = frozenset({Role.ROUTER, Role.FINOPS, Role.CONTROLLER, Role.AUDITOR, Role.VIEWER})
"""Roles a key may carry (contract.md section 3, `create_key`)."""

PERSON_ROLES = frozenset(Role) - {Role.ROUTER}
"""Roles a person may carry: a person never spends as a router."""
