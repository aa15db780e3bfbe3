"""Which tables does spend control own, and which of them may ever change?

Every model stands in exactly one of the two lists; a test attacks the append-only ones.
"""

from policies.models.alert import (
    Alert,
    AlertAttempt,
    AlertChannel,
    AlertDelivery,
    AlertRule,
    AlertSnooze,
    ChangeSighting,
    OverrunHour,
    SignedChange,
    WatchCursor,
)
from policies.models.approval import Approval, ApprovalPolicyVersion, ApprovalStep
from policies.models.balance import EnvelopeBalance, EnvelopeTree
from policies.models.decision_log import AnswerLog, DecisionLog, DenialFold
from policies.models.envelope import Envelope, EnvelopeVersion, TemporaryRaise
from policies.models.kill import (
    KillCriterion,
    KillEvent,
    KillReview,
    KillVersion,
    ThrottleMinute,
)
from policies.models.lease import Lease, LeaseHolder
from policies.models.organisation import Organisation
from policies.models.policy import PolicyVersion, TokenKey
from policies.models.reservation import Reservation
from policies.models.use_case import Department, UseCase

APPEND_ONLY = (
    "policies_alert_attempt",
    "policies_answer_log",
    "policies_approval_policy",
    "policies_approval_step",
    "policies_decision_log",
    "policies_denial_fold",
    "policies_envelope_version",
    "policies_kill_event",
    "policies_kill_version",
    "policies_policy_version",
    "policies_signed_change",
    "policies_token_key",
)
"""Tables on which the application's database role may only SELECT and INSERT."""

MUTABLE = (
    "policies_organisation",
    "policies_department",
    "policies_use_case",
    "policies_envelope",
    "envelope_tree",
    "envelope_balance",
    "reservation",
    "lease",
    "lease_holder",
    "policies_kill_criterion",
    "policies_kill_review",
    "policies_throttle_minute",
    "policies_alert_rule",
    "policies_alert_channel",
    "policies_alert",
    "policies_alert_snooze",
    "policies_alert_delivery",
    "policies_change_sighting",
    "policies_watch_cursor",
    "policies_overrun_hour",
    "policies_approval",
    "policies_temporary_raise",
)
"""Definitions (their history is in version tables or entries), caches of the ledger, and the
life of alerts: raised, told, acknowledged, resolved."""

__all__ = [
    "APPEND_ONLY",
    "MUTABLE",
    "Alert",
    "AlertAttempt",
    "AlertChannel",
    "AlertDelivery",
    "AlertRule",
    "AlertSnooze",
    "AnswerLog",
    "Approval",
    "ApprovalPolicyVersion",
    "ApprovalStep",
    "ChangeSighting",
    "DecisionLog",
    "DenialFold",
    "Department",
    "Envelope",
    "EnvelopeBalance",
    "EnvelopeTree",
    "EnvelopeVersion",
    "KillCriterion",
    "KillEvent",
    "KillReview",
    "KillVersion",
    "Lease",
    "LeaseHolder",
    "Organisation",
    "OverrunHour",
    "PolicyVersion",
    "Reservation",
    "SignedChange",
    "TemporaryRaise",
    "ThrottleMinute",
    "TokenKey",
    "UseCase",
    "WatchCursor",
]
