"""Which path leads to which door of policies? Below /api/v1/."""

from django.urls import path

from policies.web.api_access import KeyRevoke, Keys, OnePerson, People, PersonDeactivate
from policies.web.api_alert_rules import (
    AlertChannelRotate,
    AlertChannels,
    AlertChannelTest,
    AlertRulesDoor,
    AlertRuleTest,
    OneAlertChannel,
    OneAlertRule,
)
from policies.web.api_alerts import (
    AlertAcknowledge,
    AlertDeliveries,
    AlertResolve,
    Alerts,
    AlertSnoozes,
    Changes,
    ChangeSign,
    OneAlert,
    Redelivery,
)
from policies.web.api_approvals import (
    ApprovalPolicies,
    Approvals,
    Approve,
    Ask,
    Decline,
    Delegate,
    OneApproval,
    Withdraw,
)
from policies.web.api_commitments import Commitments, FxRates, FxSettlements, OneCommitment
from policies.web.api_corrections import EntryReverse
from policies.web.api_decisions import Decisions, OneDecision
from policies.web.api_envelopes import EnvelopeBatches, Envelopes, OneEnvelope
from policies.web.api_kill_criteria import (
    KillArm,
    KillCriteria,
    KillDecide,
    KillDrill,
    KillOverride,
    KillRestore,
    KillRetire,
    OneKillCriterion,
)
from policies.web.api_leases import HolderJournal, LeaseReturn, Leases
from policies.web.api_prices import (
    OnePriceProposal,
    PriceDismissal,
    PriceEnds,
    PriceHistory,
    PriceProposals,
    PriceQuarantine,
    PriceRelease,
    PriceRevaluations,
    Prices,
)
from policies.web.api_snapshot import PolicySnapshot
from policies.web.api_use_cases import OneUseCase, UseCases

urlpatterns = [
    path("use-cases", UseCases.as_view(), name="api-use-cases"),
    path("use-cases/<str:slug>", OneUseCase.as_view(), name="api-use-case"),
    path("envelopes", Envelopes.as_view(), name="api-envelopes"),
    path("envelopes:batch", EnvelopeBatches.as_view(), name="api-envelope-batch"),
    path("envelopes/<str:envelope>", OneEnvelope.as_view(), name="api-envelope"),
    path("kill-criteria", KillCriteria.as_view(), name="api-kill-criteria"),
    path("kill-criteria/<str:criterion>:drill", KillDrill.as_view(), name="api-kill-drill"),
    path("kill-criteria/<str:criterion>:arm", KillArm.as_view(), name="api-kill-arm"),
    path(
        "kill-criteria/<str:criterion>:restore", KillRestore.as_view(), name="api-kill-restore"
    ),
    path(
        "kill-criteria/<str:criterion>:override",
        KillOverride.as_view(),
        name="api-kill-override",
    ),
    path("kill-criteria/<str:criterion>:decide", KillDecide.as_view(), name="api-kill-decide"),
    path("kill-criteria/<str:criterion>:retire", KillRetire.as_view(), name="api-kill-retire"),
    path(
        "kill-criteria/<str:criterion>", OneKillCriterion.as_view(), name="api-kill-criterion"
    ),
    path("keys", Keys.as_view(), name="api-keys"),
    path("keys/<str:key>:revoke", KeyRevoke.as_view(), name="api-key-revoke"),
    path("people", People.as_view(), name="api-people"),
    path(
        "people/<str:person>:deactivate",
        PersonDeactivate.as_view(),
        name="api-person-deactivate",
    ),
    path("people/<str:person>", OnePerson.as_view(), name="api-person"),
    path("approvals", Approvals.as_view(), name="api-approvals"),
    path("approval-policy", ApprovalPolicies.as_view(), name="api-approval-policy"),
    path("approvals/<str:approval>:approve", Approve.as_view(), name="api-approve"),
    path("approvals/<str:approval>:decline", Decline.as_view(), name="api-decline"),
    path("approvals/<str:approval>:withdraw", Withdraw.as_view(), name="api-withdraw"),
    path("approvals/<str:approval>:ask", Ask.as_view(), name="api-ask"),
    path("approvals/<str:approval>:delegate", Delegate.as_view(), name="api-delegate"),
    path("approvals/<str:approval>", OneApproval.as_view(), name="api-approval"),
    path("ledger/entries/<str:entry>:reverse", EntryReverse.as_view(), name="api-reverse"),
    path("leases", Leases.as_view(), name="api-leases"),
    path("leases/<str:lease>:return", LeaseReturn.as_view(), name="api-lease-return"),
    path(
        "lease-holders/<str:holder>/journal", HolderJournal.as_view(), name="api-holder-journal"
    ),
    path("policy/snapshot", PolicySnapshot.as_view(), name="api-policy-snapshot"),
    path("decisions", Decisions.as_view(), name="api-decisions"),
    path("decisions/<str:decision>", OneDecision.as_view(), name="api-decision"),
    path("alerts", Alerts.as_view(), name="api-alerts"),
    path("alerts/<str:alert>:acknowledge", AlertAcknowledge.as_view(), name="api-alert-ack"),
    path("alerts/<str:alert>:resolve", AlertResolve.as_view(), name="api-alert-resolve"),
    path("alerts/<str:alert>:snooze", AlertSnoozes.as_view(), name="api-alert-snooze"),
    path(
        "alerts/<str:alert>/deliveries",
        AlertDeliveries.as_view(),
        name="api-alert-deliveries",
    ),
    path("alerts/<str:alert>", OneAlert.as_view(), name="api-alert"),
    path("alert-rules", AlertRulesDoor.as_view(), name="api-alert-rules"),
    path("alert-rules/<str:rule>:test", AlertRuleTest.as_view(), name="api-alert-rule-test"),
    path("alert-rules/<str:rule>", OneAlertRule.as_view(), name="api-alert-rule"),
    path("channels", AlertChannels.as_view(), name="api-channels"),
    path("channels/<str:channel>:test", AlertChannelTest.as_view(), name="api-channel-test"),
    path(
        "channels/<str:channel>:rotate", AlertChannelRotate.as_view(), name="api-channel-rotate"
    ),
    path("channels/<str:channel>", OneAlertChannel.as_view(), name="api-channel"),
    path("deliveries/<str:delivery>:redeliver", Redelivery.as_view(), name="api-redelivery"),
    path("changes:sign", ChangeSign.as_view(), name="api-change-sign"),
    path("changes", Changes.as_view(), name="api-changes"),
    path("prices", Prices.as_view(), name="api-prices"),
    path("prices:history", PriceHistory.as_view(), name="api-price-history"),
    path("prices:end", PriceEnds.as_view(), name="api-price-end"),
    path("prices:revalue", PriceRevaluations.as_view(), name="api-price-revalue"),
    path("price-proposals", PriceProposals.as_view(), name="api-price-proposals"),
    path(
        "price-proposals/<str:proposal>", OnePriceProposal.as_view(), name="api-price-proposal"
    ),
    path(
        "price-quarantine/<str:row>:dismiss",
        PriceDismissal.as_view(),
        name="api-price-dismissal",
    ),
    path("price-quarantine", PriceQuarantine.as_view(), name="api-price-quarantine"),
    path(
        "price-quarantine/<str:row>:release", PriceRelease.as_view(), name="api-price-release"
    ),
    path("fx-rates", FxRates.as_view(), name="api-fx-rates"),
    path("fx-rates:settle", FxSettlements.as_view(), name="api-fx-settle"),
    path("commitments", Commitments.as_view(), name="api-commitments"),
    path("commitments/<str:commitment>", OneCommitment.as_view(), name="api-commitment"),
]
