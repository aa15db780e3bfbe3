"""Which path leads to which page of spend control?"""

from django.urls import path

from policies.web.pages_decisions import decision, decisions
from policies.web.pages_envelopes import change, envelope, envelopes

urlpatterns = [
    path("envelopes/", envelopes, name="envelopes"),
    path("envelopes/<str:envelope_id>/", envelope, name="envelope"),
    path("envelopes/<str:envelope_id>/change/", change, name="envelope-change"),
    path("policies/decisions/", decisions, name="decisions"),
    path("policies/decisions/<str:decision_id>/", decision, name="decision"),
]
