"""Which path leads to which page of reports?"""

from django.urls import path, re_path

from reports.web.api_costs import (
    AllocationRules,
    Allocations,
    CostComponents,
    OutcomeValues,
)
from reports.web.api_exports import export
from reports.web.api_outcomes import Outcomes
from reports.web.pages_burn import burn
from reports.web.pages_cost import (
    ask_allocation,
    ask_rule,
    ask_value,
    cost,
    outcomes,
    state_amount,
)
from reports.web.pages_overview import overview, search
from reports.web.pages_plan import plan
from reports.web.pages_use_cases import use_case, use_cases

urlpatterns = [
    path("", overview, name="overview"),
    path("use-cases/", use_cases, name="use-cases"),
    path("use-cases/<str:slug>/", use_case, name="use-case"),
    path("envelopes/<str:envelope_id>/burn/", burn, name="envelope-burn"),
    path("plan/", plan, name="plan"),
    path("cost/", cost, name="cost"),
    path("cost/amounts/", state_amount, name="cost-amount"),
    path("cost/rules/", ask_rule, name="cost-rule"),
    path("cost/allocations/", ask_allocation, name="cost-allocate"),
    path("cost/outcomes/", outcomes, name="cost-outcomes"),
    path("cost/outcomes/values/", ask_value, name="cost-value"),
    path("search/", search, name="search"),
    path("api/v1/outcomes", Outcomes.as_view(), name="api-outcomes"),
    path("api/v1/outcome-values", OutcomeValues.as_view(), name="api-outcome-values"),
    path("api/v1/cost-components", CostComponents.as_view(), name="api-cost-components"),
    path("api/v1/allocation-rules", AllocationRules.as_view(), name="api-allocation-rules"),
    path("api/v1/allocations", Allocations.as_view(), name="api-allocations"),
    re_path(
        r"^(?P<screen>use-cases|cost|cost/use-cases|cost/amounts|cost/rules|cost/outcomes"
        r"|cost/outcomes/values|envelopes|ledger|policies/decisions)\.(?P<form>csv|xlsx|json)$",
        export,
        name="export",
    ),
]
