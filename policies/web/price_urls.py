"""Which path leads to which page of prices, rates and committed capacity?"""

from django.urls import path

from policies.web.pages_commitments import commitment, commitment_new, commitments, fx_rates
from policies.web.pages_prices import price, price_end, price_new, prices, quarantine
from policies.web.pages_proposals import proposal, proposals, revaluations

urlpatterns = [
    path("prices/", prices, name="prices"),
    path("prices/new/", price_new, name="price-new"),
    path("prices/end/", price_end, name="price-end"),
    path("prices/quarantine/", quarantine, name="price-quarantine"),
    path("prices/proposals/", proposals, name="price-proposals"),
    path("prices/proposals/<str:proposal_id>/", proposal, name="price-proposal"),
    path("prices/revaluations/", revaluations, name="revaluations"),
    path("prices/offers/<path:slug>/", price, name="price"),
    path("fx-rates/", fx_rates, name="fx-rates"),
    path("commitments/", commitments, name="commitments"),
    path("commitments/new/", commitment_new, name="commitment-new"),
    path("commitments/<str:commitment_id>/", commitment, name="commitment"),
]
