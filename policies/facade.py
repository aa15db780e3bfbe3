"""Which names of spend control may other apps and the doors use?"""

from ledger.facade import measure_clock_offset
from policies.core.alert_drafts import (
    AlertRuleChange,
    AlertRuleDraft,
    ChannelChange,
    ChannelDraft,
)
from policies.core.alert_kinds import MADE_BY_HAND, Severity
from policies.core.approvals import ApprovalPolicy, Tier, Weight
from policies.core.drafts import (
    EnvelopeChange,
    EnvelopeDraft,
    UseCaseChange,
    UseCaseDraft,
)
from policies.core.kill_pack import PACK as KILL_PACK
from policies.core.kill_pack import find_offered
from policies.core.kill_spec import Spec as KillSpec
from policies.core.kill_text import LEVER_NAMES, span_text, value_text
from policies.core.levers import Lever
from policies.core.metrics import METRICS
from policies.models import APPEND_ONLY, MUTABLE
from policies.operations.authorize import authorize, dry_run
from policies.operations.change_alert_rule import (
    change_alert_rule,
    create_alert_rule,
    test_alert_rule,
)
from policies.operations.change_channel import (
    NewSecret,
    change_channel,
    create_channel,
    rotate_channel_secret,
    test_channel,
)
from policies.operations.change_envelope import change_envelope
from policies.operations.change_kinds import (
    Applied,
    ChangeKind,
    ChangeText,
    DiffRow,
    EffectRow,
    EvidenceRow,
)
from policies.operations.change_kinds import register as register_change_kind
from policies.operations.create_envelope import create_envelope
from policies.operations.create_envelopes import BATCH_MOST, create_envelopes
from policies.operations.create_use_case import (
    change_use_case,
    create_department,
    create_use_case,
)
from policies.operations.decide_change import (
    approve,
    ask,
    decline,
    delegate,
    end_due,
    withdraw,
)
from policies.operations.deliver import deliver_due
from policies.operations.evaluate_alerts import evaluate_alerts
from policies.operations.evaluate_kill import look_at_all, look_at_criterion, watch_criteria
from policies.operations.expire import expire_due
from policies.operations.extend import extend
from policies.operations.fold_denials import fold_denials
from policies.operations.found_organisation import found_organisation
from policies.operations.handle_alert import (
    acknowledge_alert,
    resolve_alert,
    snooze_alert,
    wake_alert,
)
from policies.operations.keep_exposure import keep_exposure
from policies.operations.keep_shipment import keep_shipment
from policies.operations.kill_changes import (
    ask_to_arm,
    ask_to_change,
    ask_to_override,
    ask_to_restore,
    ask_to_retire,
)
from policies.operations.kill_changes import register_kinds as register_kill_kinds
from policies.operations.kill_criteria import (
    CriterionDraft,
    apply_arm,
    apply_loosen,
    apply_override,
    apply_restore,
    apply_retire,
    apply_trip,
    change_criterion,
    create_criterion,
    needs_two_to_restore,
    restore_alone,
    retire_draft,
)
from policies.operations.lend_to_router import lend_to_router
from policies.operations.propose_change import propose_change
from policies.operations.raise_alert import Raised, raise_alert
from policies.operations.reconcile_leases import reconcile_leases
from policies.operations.redeliver import redeliver
from policies.operations.release import release
from policies.operations.return_from_router import return_from_router
from policies.operations.run_books import run_books
from policies.operations.settle import settle
from policies.operations.teller.authorizing import authorize as authorize_at
from policies.operations.teller.ending import extend as extend_at
from policies.operations.teller.ending import release as release_at
from policies.operations.teller.ending import settle as settle_at
from policies.operations.teller.opening import open_teller
from policies.operations.teller.teller import Teller
from policies.operations.teller.tending import Rounds, close_teller
from policies.operations.token_keys import forget_keys
from policies.operations.watch_balances import watch_balances
from policies.operations.wind_down import wind_down
from policies.operations.write_off import write_off_before, write_off_due
from policies.queries.alerts import (
    AlertPage,
    AlertRules,
    AlertRuleView,
    AlertView,
    ChangeView,
    Channels,
    ChannelView,
    Deliveries,
    DeliveryView,
    count_by_severity,
    count_open_alerts,
    get_alert,
    get_alert_rule,
    get_channel,
    list_alert_rules,
    list_alerts,
    list_changes,
    list_channels,
    list_deliveries,
)
from policies.queries.approval_policy import (
    ApprovalPolicyView,
    approval_policy,
    list_approval_policies,
)
from policies.queries.approvals import (
    ApprovalPage,
    ApprovalView,
    Inbox,
    can_decide,
    count_waiting,
    find_open,
    get_approval,
    inbox,
    list_approvals,
)
from policies.queries.backlog import Backlog, backlog
from policies.queries.closing import (
    StillOpen,
    closing_balances,
    period_drift,
    still_open,
)
from policies.queries.conservation import Finding, check_conservation, policy_findings
from policies.queries.current_policy import forget_policy
from policies.queries.decision_pages import (
    DecisionCount,
    DecisionDetail,
    DecisionLogFilter,
    DecisionLogPage,
    DecisionRow,
    HoldState,
    count_by_hour,
    count_decisions,
    count_open_holds,
    get_decision_detail,
    list_decision_rows,
    list_open_holds,
)
from policies.queries.decision_query import DECISION_GRAMMAR, decision_filter_of
from policies.queries.decision_trail import DecisionTrail, get_decision_trail
from policies.queries.decision_words import find_decision_words
from policies.queries.envelope_history import VersionLine, list_version_lines
from policies.queries.envelope_pages import (
    BindingLimit,
    EnvelopeLine,
    Health,
    PeriodLine,
    get_envelope_line,
    list_envelope_lines,
    list_path_lines,
    list_period_lines,
    numbers_below,
)
from policies.queries.envelope_screen import (
    EnvelopeScreen,
    EnvelopeTreeScreen,
    Preview,
    get_envelope_screen,
    get_envelope_tree,
)
from policies.queries.envelopes import (
    AsOf,
    EnvelopeBatch,
    EnvelopePage,
    EnvelopeView,
    get_envelope,
    ledger_position,
    list_envelopes,
)
from policies.queries.hold_figures import HoldFigures, hold_figures
from policies.queries.kill_pages import (
    KillDrillView,
    KillListScreen,
    KillPage,
    KillScreen,
    KillView,
    drill_criterion,
    fraction_of,
    get_kill_list,
    get_kill_screen,
    get_kill_view,
    list_criteria,
    needs_somebody,
)
from policies.queries.lease_figures import LeaseFigures, lease_figures
from policies.queries.live_invariants import check_invariants
from policies.queries.metric_sources import MetricScope, register_metric_source
from policies.queries.organisation import (
    OrganisationView,
    find_organisation,
    organisation,
)
from policies.queries.places import find_places
from policies.queries.policy_slice import policy_slice, slice_stamp
from policies.queries.runs import (
    CallOfDecision,
    calls_of_decisions,
    runs_of_reservations,
)
from policies.queries.use_case_pages import (
    UseCaseRow,
    get_use_case_row,
    list_department_names,
    list_use_case_rows,
)
from policies.queries.use_cases import (
    UseCasePage,
    UseCaseView,
    get_use_case,
    held_by_use_case,
    list_use_cases,
)

__all__ = [
    "ask_to_arm",
    "ask_to_change",
    "ask_to_override",
    "ask_to_restore",
    "ask_to_retire",
    "register_kill_kinds",
    "KILL_PACK",
    "find_offered",
    "LEVER_NAMES",
    "span_text",
    "value_text",
    "Lever",
    "METRICS",
    "KillDrillView",
    "KillListScreen",
    "KillPage",
    "KillScreen",
    "KillView",
    "drill_criterion",
    "fraction_of",
    "get_kill_list",
    "get_kill_screen",
    "get_kill_view",
    "list_criteria",
    "needs_somebody",
    "Applied",
    "ApprovalPage",
    "ApprovalPolicy",
    "ApprovalPolicyView",
    "ApprovalView",
    "ChangeKind",
    "ChangeText",
    "DiffRow",
    "EffectRow",
    "EvidenceRow",
    "Inbox",
    "Tier",
    "Weight",
    "approval_policy",
    "approve",
    "ask",
    "can_decide",
    "count_waiting",
    "decline",
    "delegate",
    "end_due",
    "find_open",
    "get_approval",
    "inbox",
    "list_approval_policies",
    "list_approvals",
    "propose_change",
    "register_change_kind",
    "withdraw",
    "AlertRuleChange",
    "AlertRuleDraft",
    "ChannelChange",
    "ChannelDraft",
    "MADE_BY_HAND",
    "Severity",
    "change_alert_rule",
    "create_alert_rule",
    "test_alert_rule",
    "NewSecret",
    "change_channel",
    "create_channel",
    "rotate_channel_secret",
    "test_channel",
    "deliver_due",
    "evaluate_alerts",
    "acknowledge_alert",
    "resolve_alert",
    "snooze_alert",
    "wake_alert",
    "redeliver",
    "AlertPage",
    "AlertRules",
    "AlertRuleView",
    "AlertView",
    "Channels",
    "ChannelView",
    "ChangeView",
    "Deliveries",
    "DeliveryView",
    "count_by_severity",
    "count_open_alerts",
    "get_alert",
    "get_alert_rule",
    "get_channel",
    "list_alert_rules",
    "list_alerts",
    "list_changes",
    "list_channels",
    "list_deliveries",
    "CriterionDraft",
    "KillSpec",
    "MetricScope",
    "apply_arm",
    "apply_loosen",
    "apply_override",
    "apply_restore",
    "apply_retire",
    "apply_trip",
    "change_criterion",
    "create_criterion",
    "look_at_all",
    "look_at_criterion",
    "needs_two_to_restore",
    "register_metric_source",
    "restore_alone",
    "retire_draft",
    "watch_criteria",
    "wind_down",
    "StillOpen",
    "closing_balances",
    "period_drift",
    "still_open",
    "write_off_before",
    "CallOfDecision",
    "calls_of_decisions",
    "runs_of_reservations",
    "Raised",
    "raise_alert",
    "authorize_at",
    "settle_at",
    "release_at",
    "open_teller",
    "extend_at",
    "close_teller",
    "Teller",
    "Rounds",
    "APPEND_ONLY",
    "AsOf",
    "BATCH_MOST",
    "Backlog",
    "BindingLimit",
    "DECISION_GRAMMAR",
    "DecisionCount",
    "DecisionDetail",
    "DecisionLogFilter",
    "DecisionLogPage",
    "DecisionRow",
    "DecisionTrail",
    "EnvelopeBatch",
    "EnvelopeChange",
    "EnvelopeDraft",
    "EnvelopeLine",
    "EnvelopePage",
    "EnvelopeScreen",
    "EnvelopeTreeScreen",
    "EnvelopeView",
    "Finding",
    "Health",
    "HoldFigures",
    "HoldState",
    "LeaseFigures",
    "MUTABLE",
    "OrganisationView",
    "PeriodLine",
    "Preview",
    "UseCaseChange",
    "UseCaseDraft",
    "UseCasePage",
    "UseCaseRow",
    "UseCaseView",
    "VersionLine",
    "authorize",
    "backlog",
    "change_envelope",
    "change_use_case",
    "check_conservation",
    "check_invariants",
    "count_by_hour",
    "count_decisions",
    "count_open_holds",
    "create_department",
    "create_envelope",
    "create_envelopes",
    "create_use_case",
    "decision_filter_of",
    "dry_run",
    "expire_due",
    "extend",
    "find_decision_words",
    "find_organisation",
    "find_places",
    "fold_denials",
    "forget_keys",
    "forget_policy",
    "found_organisation",
    "get_decision_detail",
    "get_decision_trail",
    "get_envelope",
    "get_envelope_line",
    "get_envelope_screen",
    "get_envelope_tree",
    "get_use_case",
    "get_use_case_row",
    "held_by_use_case",
    "hold_figures",
    "keep_exposure",
    "lease_figures",
    "ledger_position",
    "list_decision_rows",
    "list_department_names",
    "list_envelope_lines",
    "list_envelopes",
    "list_open_holds",
    "list_path_lines",
    "list_period_lines",
    "list_use_case_rows",
    "list_use_cases",
    "list_version_lines",
    "measure_clock_offset",
    "numbers_below",
    "organisation",
    "reconcile_leases",
    "release",
    "run_books",
    "settle",
    "write_off_due",
    "watch_balances",
    "keep_shipment",
    "lend_to_router",
    "policy_findings",
    "policy_slice",
    "return_from_router",
    "slice_stamp",
]
