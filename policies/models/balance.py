"""What is spent, held and left in each envelope and period?

Both tables are caches: every number is a sum of ledger entries, and
`policies.queries.conservation` proves it.
"""

from django.db import models
from django.db.models import F, Q

from policies.models.envelope import Envelope


class EnvelopeTree(models.Model):
    """In which order did the money of one tree move? Locked first by whoever moves money.

    A counter of the tree and not the version of a balance row, because a period of a child
    may touch two periods of its root. Tree 0 counts spend that no envelope covers.
    """

    root_envelope_id = models.IntegerField(primary_key=True)
    version = models.BigIntegerField(default=0)

    class Meta:
        """Table."""

        db_table = "envelope_tree"

    def __str__(self) -> str:
        """Which tree, how many moves?"""
        return f"{self.root_envelope_id} v{self.version}"


class EnvelopeBalance(models.Model):
    """How much of the cap of one period is used, and by what?

    Units: nanos of the ledger's currency, except `version` and `epoch`. `held` holds what
    the API calls leased. `unguarded` is the part of `settled` that no reservation covered.
    `limit` is the cap, or after a cap cut the exposure of then, falling back to the cap.
    Cap and limit null = no cap at this level.
    """

    pk = models.CompositePrimaryKey("envelope_id", "period_start")
    envelope = models.ForeignKey(Envelope, on_delete=models.PROTECT, related_name="+")
    period_start = models.DateTimeField()
    period_end = models.DateTimeField(help_text="excluded")
    cap_nanos = models.BigIntegerField(null=True)
    limit_nanos = models.BigIntegerField(null=True)
    settled_nanos = models.BigIntegerField(default=0)
    held_nanos = models.BigIntegerField(default=0)
    unsettled_nanos = models.BigIntegerField(default=0)
    unguarded_nanos = models.BigIntegerField(default=0)
    contingency_nanos = models.BigIntegerField(default=0)
    version = models.BigIntegerField(default=0, help_text="tree version of its last change")
    epoch = models.IntegerField(default=1, help_text="epoch of the envelope it was made for")

    class Meta:
        """Table and the rules that stand behind every operation."""

        db_table = "envelope_balance"
        constraints = [
            models.CheckConstraint(condition=Q(held_nanos__gte=0), name="balance_held_ge_0"),
            models.CheckConstraint(
                condition=Q(unsettled_nanos__gte=0), name="balance_unsettled_ge_0"
            ),
            models.CheckConstraint(
                condition=Q(unguarded_nanos__gte=0), name="balance_unguarded_ge_0"
            ),
            models.CheckConstraint(
                condition=Q(cap_nanos__isnull=True) | Q(cap_nanos__gte=0),
                name="balance_cap_ge_0",
            ),
            models.CheckConstraint(
                condition=Q(contingency_nanos__gte=0), name="balance_contingency_ge_0"
            ),
            models.CheckConstraint(
                condition=Q(cap_nanos__isnull=True, limit_nanos__isnull=True)
                | Q(limit_nanos__gte=F("cap_nanos")),
                name="balance_limit_ge_cap",
            ),
            # The last line of defence: no statement, however wrong, commits past it.
            models.CheckConstraint(
                condition=Q(limit_nanos__isnull=True)
                | Q(
                    limit_nanos__gte=F("settled_nanos")
                    - F("unguarded_nanos")
                    + F("held_nanos")
                    + F("unsettled_nanos")
                ),
                name="balance_guarded_exposure_le_limit",
            ),
            models.CheckConstraint(
                condition=Q(period_end__gt=F("period_start")), name="balance_period_not_empty"
            ),
        ]

    def __str__(self) -> str:
        """Which envelope, from when?"""
        return f"{self.envelope_id} from {self.period_start:%Y-%m-%d}"
