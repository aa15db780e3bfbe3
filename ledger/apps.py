"""Under which name does Django know the ledger?"""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """What was spent, provably."""

    name = "ledger"
    label = "ledger"
    verbose_name = "Ledger"
