"""Which path leads to which door of policies? Below /api/v1/."""

from django.urls import path

from policies.web.api_decisions import Decisions, OneDecision
from policies.web.api_envelopes import EnvelopeBatches, Envelopes, OneEnvelope
from policies.web.api_leases import HolderJournal, LeaseReturn, Leases
from policies.web.api_snapshot import PolicySnapshot
from policies.web.api_use_cases import OneUseCase, UseCases

urlpatterns = [
    path("use-cases", UseCases.as_view(), name="api-use-cases"),
    path("use-cases/<str:slug>", OneUseCase.as_view(), name="api-use-case"),
    path("envelopes", Envelopes.as_view(), name="api-envelopes"),
    path("envelopes:batch", EnvelopeBatches.as_view(), name="api-envelope-batch"),
    path("envelopes/<str:envelope>", OneEnvelope.as_view(), name="api-envelope"),
    path("leases", Leases.as_view(), name="api-leases"),
    path("leases/<str:lease>:return", LeaseReturn.as_view(), name="api-lease-return"),
    path(
        "lease-holders/<str:holder>/journal", HolderJournal.as_view(), name="api-holder-journal"
    ),
    path("policy/snapshot", PolicySnapshot.as_view(), name="api-policy-snapshot"),
    path("decisions", Decisions.as_view(), name="api-decisions"),
    path("decisions/<str:decision>", OneDecision.as_view(), name="api-decision"),
]
