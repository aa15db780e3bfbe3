"""Which application reads for finance and the board?"""

from django.apps import AppConfig


class ReportsConfig(AppConfig):
    """Reports stand above policies and the ledger and only read them."""

    name = "reports"
    verbose_name = "Reports"
