"""For which business purpose is inference bought, and who answers for it?"""

from django.db import models
from django.db.models import Q


class Department(models.Model):
    """Which part of the company is it? The second level of the envelope tree."""

    slug = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField()

    class Meta:
        """Table."""

        db_table = "policies_department"

    def __str__(self) -> str:
        """The name on screen."""
        return self.name


class UseCase(models.Model):
    """Which purpose does a call serve, and which rules hold for it?

    Units: `fail_open_cap_nanos` per key and hour; tokens where a name ends in `_tokens`. A
    null in `max_input_tokens` means that only the model's own limit holds.
    `approved_models` is a list of {name, until, evidence, approval}; approvals add to it.
    """

    MODES = ("observe", "shadow", "enforce")
    STATES = ("active", "stopped", "sunset")
    FAIL_MODES = ("closed", "open")
    FLOOR_CLASSES = ("lean", "balanced", "strict")

    id = models.AutoField(primary_key=True, help_text="number in ledger entries")
    public = models.CharField(max_length=30, unique=True, help_text="public id, uc_…")
    slug = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=120)
    department = models.ForeignKey(Department, on_delete=models.PROTECT, related_name="+")
    owner = models.CharField(
        max_length=64, blank=True, help_text="pseudonymous id of a person, usr_…"
    )
    floor_class = models.CharField(max_length=16, default="balanced")
    mode = models.CharField(max_length=8, default="enforce")
    state = models.CharField(max_length=8, default="active")
    starts_at = models.DateTimeField(null=True, help_text="no call before; null = now")
    fail_mode = models.CharField(max_length=8, default="closed")
    fail_open_cap_nanos = models.BigIntegerField(default=5_000_000_000)
    default_model = models.CharField(max_length=128, blank=True)
    default_max_output_tokens = models.IntegerField(
        null=True, help_text="null = 1,024 until its output is measured"
    )
    max_input_tokens = models.IntegerField(null=True)
    fit_output = models.BooleanField(
        default=False, help_text="grant fewer output tokens where the asked bound doesn't fit"
    )
    may_write_cache = models.BooleanField(default=False)
    strict_prices = models.BooleanField(default=False)
    may_pin = models.BooleanField(default=True)
    approved_models = models.JSONField(
        null=True, help_text="approved models or offers, by name; null = all that have a price"
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        """Table and rules."""

        db_table = "policies_use_case"
        constraints = [
            models.CheckConstraint(
                condition=Q(mode__in=("observe", "shadow", "enforce")),
                name="use_case_mode_known",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("active", "stopped", "sunset")),
                name="use_case_state_known",
            ),
            models.CheckConstraint(
                condition=Q(fail_mode__in=("closed", "open")), name="use_case_fail_mode_known"
            ),
            models.CheckConstraint(
                condition=Q(fail_open_cap_nanos__gte=0), name="use_case_fail_open_cap_ge_0"
            ),
        ]

    def __str__(self) -> str:
        """The name on screen."""
        return self.name
