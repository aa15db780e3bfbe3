"""Which capacity is paid whether used or not, and what was charged for each day of it?

Append-only by grant and by trigger (migration 0009): a change of terms is a new version, a
changed day a new revision.
"""

from django.db import models
from django.db.models import F, Q


class CommitmentRow(models.Model):
    """What was agreed: where, how many units, at which rate, how long, who owns it?

    Units: `hourly_rate_nanos` nanos of `currency` for one unit and hour; `unit_tokens` tokens
    one unit serves in an hour; [start_at, end_at) UTC; notice by `notice_date` at the latest.
    """

    id = models.AutoField(primary_key=True)
    public = models.TextField()
    version = models.IntegerField()
    name = models.TextField()
    venue = models.TextField()
    model = models.TextField()
    region = models.TextField()
    units = models.IntegerField()
    hourly_rate_nanos = models.BigIntegerField()
    currency = models.TextField()
    unit_tokens = models.BigIntegerField()
    term = models.TextField()
    start_at = models.DateTimeField()
    end_at = models.DateTimeField()
    notice_date = models.DateField()
    owner_kind = models.TextField()
    owner_slug = models.TextField()
    beyond = models.TextField()
    evidence = models.TextField()
    requested_by = models.TextField()
    approved_by = models.TextField()
    recorded_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_commitment"
        constraints = [
            models.UniqueConstraint(
                fields=["public", "version"], name="commitment_version_once"
            ),
            models.CheckConstraint(
                name="commitment_counts_positive",
                condition=Q(units__gt=0, unit_tokens__gt=0, hourly_rate_nanos__gte=0),
            ),
            models.CheckConstraint(
                name="commitment_ends_after_start", condition=Q(end_at__gt=F("start_at"))
            ),
            models.CheckConstraint(
                name="commitment_owner_known",
                condition=Q(owner_kind__in=["use_case", "department", "company"]),
            ),
            models.CheckConstraint(
                name="commitment_beyond_known", condition=Q(beyond__in=["on_demand", "refused"])
            ),
            models.CheckConstraint(name="commitment_has_evidence", condition=~Q(evidence="")),
        ]

    def __str__(self) -> str:
        return f"{self.public} v{self.version}"


class CommitmentDay(models.Model):
    """What was charged for one day of a commitment, and how does it divide?

    A later revision states the same charge with the usage that came late. Units: tokens; nanos
    of the ledger's currency. `beyond_nanos` is what the tokens beyond the capacity cost on
    demand, beside the charge; `beyond_unpriced` are those of them nobody knows a price for.
    """

    id = models.BigAutoField(primary_key=True)
    public = models.TextField()
    day = models.DateField()
    revision = models.IntegerField()
    terms_version = models.IntegerField()
    hours = models.IntegerField()
    capacity_tokens = models.BigIntegerField()
    used_tokens = models.BigIntegerField()
    beyond_tokens = models.BigIntegerField()
    charge_nanos = models.BigIntegerField()
    used_nanos = models.BigIntegerField()
    waste_nanos = models.BigIntegerField()
    beyond_nanos = models.BigIntegerField(default=0)
    beyond_unpriced = models.BigIntegerField(default=0)
    used_by = models.JSONField()
    fx_rate = models.TextField(default="")
    fx_date = models.DateField(null=True)
    entry_uid = models.UUIDField(unique=True)
    recorded_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_commitment_day"
        constraints = [
            models.UniqueConstraint(
                fields=["public", "day", "revision"], name="commitment_day_once"
            ),
            # Nothing of a charge is lost between what was used and what was not.
            models.CheckConstraint(
                name="commitment_day_adds_up",
                condition=Q(charge_nanos=F("used_nanos") + F("waste_nanos")),
            ),
            models.CheckConstraint(
                name="commitment_day_beyond_costs",
                condition=Q(beyond_nanos__gte=0, beyond_unpriced__gte=0)
                & Q(beyond_unpriced__lte=F("beyond_tokens")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.public} {self.day}"
