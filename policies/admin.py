"""What does Django's admin show of spend control? Everything, and changes nothing.

Rules change through operations alone, which write versions and ledger entries.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from policies import models


class ReadOnly(admin.ModelAdmin):
    """A table to look at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes here."""
        return False


@admin.register(models.Department)
class DepartmentAdmin(ReadOnly):
    """Departments."""

    list_display = ("slug", "name", "created_at")


@admin.register(models.UseCase)
class UseCaseAdmin(ReadOnly):
    """Use cases and their rules."""

    list_display = ("slug", "name", "department", "mode", "state", "updated_at")
    list_select_related = ("department",)


@admin.register(models.Envelope)
class EnvelopeAdmin(ReadOnly):
    """Envelopes as they are in force."""

    list_display = ("public", "name", "scope_kind", "slug", "amount_nanos", "state", "version")


@admin.register(models.EnvelopeVersion)
class EnvelopeVersionAdmin(ReadOnly):
    """Every version an envelope ever had."""

    list_display = ("envelope_id", "version", "at", "actor", "reason")


@admin.register(models.Reservation)
class ReservationAdmin(ReadOnly):
    """Holds and how they ended."""

    list_display = ("id", "state", "use_case", "amount_nanos", "open_nanos", "expires_at")


@admin.register(models.DecisionLog)
class DecisionLogAdmin(ReadOnly):
    """Decisions; the answers carry tokens and are not shown."""

    list_display = ("id", "decided_at", "use_case_slug", "decision", "reason")
    exclude = ("answer",)


@admin.register(models.PolicyVersion)
class PolicyVersionAdmin(ReadOnly):
    """Policy versions."""

    list_display = ("version", "hash", "at", "actor")
