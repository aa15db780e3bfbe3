"""What does Django's admin show of the ledger? Everything it may, and changes nothing.

Tables with a composite key have no place in the admin; pages and `ledger_verify` show them.
"""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from ledger import models


class ReadOnly(admin.ModelAdmin):
    """A table to look at."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes here."""
        return False


@admin.register(models.Entry)
class EntryAdmin(ReadOnly):
    """Entries, newest first; the page of an entry is in the ledger itself."""

    list_display: ClassVar = ("uid", "kind", "effective_at", "use_case_id", "amount_nanos")
    list_filter: ClassVar = ("kind",)
    ordering: ClassVar = ("-recorded_at", "-id")


@admin.register(models.Ledger)
class LedgerAdmin(ReadOnly):
    """The ledgers."""

    list_display: ClassVar = ("id", "origin", "currency", "time_zone", "created_at")


@admin.register(models.SealState)
class SealStateAdmin(ReadOnly):
    """How far the sealer is."""

    list_display: ClassVar = ("ledger_id", "seq", "fence", "updated_at")


@admin.register(models.Verification)
class VerificationAdmin(ReadOnly):
    """What verifiers found."""

    list_display: ClassVar = ("finished_at", "mode", "ok", "from_seq", "upto_seq")
    list_filter: ClassVar = ("ok", "mode")
    ordering: ClassVar = ("-id",)
