"""Which path leads to which page of spend control?"""

from django.urls import path

from policies.web.pages_alerts import (
    alert,
    alert_act,
    alert_changes,
    alert_channel_act,
    alert_channels,
    alert_redeliver,
    alert_rule,
    alert_rule_act,
    alert_rule_new,
    alert_rules,
    alerts,
)
from policies.web.pages_approval_policy import approval_policy
from policies.web.pages_approvals import approval, approval_act, approvals
from policies.web.pages_decisions import decision, decisions
from policies.web.pages_envelopes import change, envelope, envelopes
from policies.web.pages_kill_criteria import (
    kill_criteria,
    kill_criteria_of,
    kill_criterion,
    kill_criterion_act,
    kill_criterion_edit,
    kill_criterion_new,
)
from policies.web.pages_people import key_act, people, person_act
from policies.web.pages_use_case_rules import use_case_rules

urlpatterns = [
    path("alerts/", alerts, name="alerts"),
    path("alerts/rules/", alert_rules, name="alert-rules"),
    path("alerts/rules/new/", alert_rule_new, name="alert-rule-new"),
    path("alerts/rules/<str:rule_id>/", alert_rule, name="alert-rule"),
    path("alerts/rules/<str:rule_id>/act/", alert_rule_act, name="alert-rule-act"),
    path("alerts/channels/", alert_channels, name="alert-channels"),
    path("alerts/channels/<str:channel_id>/act/", alert_channel_act, name="alert-channel-act"),
    path("alerts/changes/", alert_changes, name="alert-changes"),
    path("alerts/deliveries/<str:delivery>/again/", alert_redeliver, name="alert-redeliver"),
    path("alerts/<str:alert_id>/", alert, name="alert"),
    path("alerts/<str:alert_id>/act/", alert_act, name="alert-act"),
    path("policies/kill-criteria/", kill_criteria, name="kill-criteria"),
    path("policies/kill-criteria/new/", kill_criterion_new, name="kill-criterion-new"),
    path("policies/kill-criteria/of/<str:slug>/", kill_criteria_of, name="kill-criteria-of"),
    path("policies/kill-criteria/<str:criterion>/", kill_criterion, name="kill-criterion"),
    path(
        "policies/kill-criteria/<str:criterion>/edit/",
        kill_criterion_edit,
        name="kill-criterion-edit",
    ),
    path(
        "policies/kill-criteria/<str:criterion>/act/",
        kill_criterion_act,
        name="kill-criterion-act",
    ),
    path("approvals/", approvals, name="approvals"),
    path("approvals/policy/", approval_policy, name="approval-policy"),
    path("approvals/<str:approval_id>/", approval, name="approval"),
    path("approvals/<str:approval_id>/act/", approval_act, name="approval-act"),
    path("settings/people/", people, name="people"),
    path("settings/people/<str:person>/act/", person_act, name="person-act"),
    path("settings/keys/<str:key>/act/", key_act, name="key-act"),
    path("use-cases/<str:slug>/policy/", use_case_rules, name="use-case-rules"),
    path("envelopes/", envelopes, name="envelopes"),
    path("envelopes/<str:envelope_id>/", envelope, name="envelope"),
    path("envelopes/<str:envelope_id>/change/", change, name="envelope-change"),
    path("policies/decisions/", decisions, name="decisions"),
    path("policies/decisions/<str:decision_id>/", decision, name="decision"),
]
