"""Which path leads to which page of reports?"""

from django.urls import path, re_path

from reports.web.api_costs import (
    AllocationRules,
    Allocations,
    CostComponents,
    OutcomeValues,
)
from reports.web.api_drivers import Drivers
from reports.web.api_exports import export, export_one
from reports.web.api_full_costs import Costs, DriverCosts, UnitCosts
from reports.web.api_hardware import Hardware
from reports.web.api_imports import ConfirmImport, Imports, OneImport
from reports.web.api_invoices import BookInvoice, Invoices, OneInvoice
from reports.web.api_outcomes import Outcomes
from reports.web.api_periods import ClosePeriod, OnePeriod, Periods
from reports.web.pages_burn import burn
from reports.web.pages_close import accrue, close_list, close_month, prepare
from reports.web.pages_cost import (
    ask_allocation,
    ask_rule,
    ask_value,
    cost,
    outcomes,
    remove_machine,
    state_amount,
    state_machine,
)
from reports.web.pages_drivers import drivers
from reports.web.pages_imports import (
    confirm,
    discard,
    import_new,
    import_one,
    imports,
    rejects,
)
from reports.web.pages_invoice import book, invoice
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
    path("cost/hardware/", state_machine, name="cost-machine"),
    path("cost/hardware/remove/", remove_machine, name="cost-machine-remove"),
    path("cost/rules/", ask_rule, name="cost-rule"),
    path("cost/allocations/", ask_allocation, name="cost-allocate"),
    path("cost/drivers/", drivers, name="cost-drivers"),
    path("cost/outcomes/", outcomes, name="cost-outcomes"),
    path("cost/outcomes/values/", ask_value, name="cost-value"),
    path("search/", search, name="search"),
    path("imports/", imports, name="imports"),
    path("imports/new/", import_new, name="import-new"),
    path("imports/<str:public>/", import_one, name="import"),
    path("imports/<str:public>/confirm/", confirm, name="import-confirm"),
    path("imports/<str:public>/discard/", discard, name="import-discard"),
    path("imports/<str:public>/rejects.csv", rejects, name="import-rejects"),
    path("invoices/<str:public>/", invoice, name="invoice"),
    path("invoices/<str:public>/book/", book, name="invoice-book"),
    path("close/", close_list, name="close"),
    path("close/<str:period>/", close_month, name="close-month"),
    path("close/<str:period>/prepare/", prepare, name="close-prepare"),
    path("close/<str:period>/accrue/", accrue, name="close-accrue"),
    path("api/v1/imports", Imports.as_view(), name="api-imports"),
    path("api/v1/imports/<str:public>:confirm", ConfirmImport.as_view(), name="api-confirm"),
    path("api/v1/imports/<str:public>", OneImport.as_view(), name="api-import"),
    path("api/v1/invoices", Invoices.as_view(), name="api-invoices"),
    path("api/v1/invoices/<str:public>:book", BookInvoice.as_view(), name="api-invoice-book"),
    path("api/v1/invoices/<str:public>", OneInvoice.as_view(), name="api-invoice"),
    path("api/v1/periods", Periods.as_view(), name="api-periods"),
    path("api/v1/periods/<str:period>:close", ClosePeriod.as_view(), name="api-period-close"),
    path("api/v1/periods/<str:period>", OnePeriod.as_view(), name="api-period"),
    path("api/v1/costs", Costs.as_view(), name="api-costs"),
    path("api/v1/unit-costs", UnitCosts.as_view(), name="api-unit-costs"),
    path("api/v1/driver-costs", DriverCosts.as_view(), name="api-driver-costs"),
    path("api/v1/hardware", Hardware.as_view(), name="api-hardware"),
    path("api/v1/drivers", Drivers.as_view(), name="api-drivers"),
    path("api/v1/outcomes", Outcomes.as_view(), name="api-outcomes"),
    path("api/v1/outcome-values", OutcomeValues.as_view(), name="api-outcome-values"),
    path("api/v1/cost-components", CostComponents.as_view(), name="api-cost-components"),
    path("api/v1/allocation-rules", AllocationRules.as_view(), name="api-allocation-rules"),
    path("api/v1/allocations", Allocations.as_view(), name="api-allocations"),
    re_path(
        r"^(?P<screen>use-cases|cost|cost/use-cases|cost/amounts|cost/rules|cost/hardware"
        r"|cost/drivers|cost/drivers/volumes|cost/outcomes"
        r"|cost/outcomes/values|envelopes|ledger|policies/decisions"
        r"|prices|prices/quarantine|prices/proposals|prices/revaluations|fx-rates|commitments"
        r"|imports|imports/bills|close|approvals|approvals/raised|approvals/open|approvals/done"
        r"|policies/kill-criteria|alerts|alerts/rules|alerts/changes)"
        r"\.(?P<form>csv|xlsx|json)$",
        export,
        name="export",
    ),
    re_path(
        r"^(?P<screen>imports|invoices|close|policies/kill-criteria)/(?P<public>[^/]+)"
        r"\.(?P<form>csv|xlsx|json)$",
        export_one,
        name="export-one",
    ),
]
