"""Which path leads to which page of spend control?"""

from django.urls import path

from policies.web.pages_decisions import decision, decisions
from policies.web.pages_envelopes import change, envelope, envelopes
from policies.web.pages_kill_criteria import (
    kill_criteria,
    kill_criteria_of,
    kill_criterion,
    kill_criterion_act,
    kill_criterion_new,
)

urlpatterns = [
    path("policies/kill-criteria/", kill_criteria, name="kill-criteria"),
    path("policies/kill-criteria/new/", kill_criterion_new, name="kill-criterion-new"),
    path("policies/kill-criteria/of/<str:slug>/", kill_criteria_of, name="kill-criteria-of"),
    path("policies/kill-criteria/<str:criterion>/", kill_criterion, name="kill-criterion"),
    path(
        "policies/kill-criteria/<str:criterion>/act/",
        kill_criterion_act,
        name="kill-criterion-act",
    ),
    path("envelopes/", envelopes, name="envelopes"),
    path("envelopes/<str:envelope_id>/", envelope, name="envelope"),
    path("envelopes/<str:envelope_id>/change/", change, name="envelope-change"),
    path("policies/decisions/", decisions, name="decisions"),
    path("policies/decisions/<str:decision_id>/", decision, name="decision"),
]
