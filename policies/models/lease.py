"""Which slices of envelopes are lent to which processes, and what became of each?

Both tables are caches: every figure of a lease is a sum of ledger entries that name it, and
`policies.queries.conservation` proves it.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class LeaseHolder(models.Model):
    """Which process may spend leased money, where is its journal, and how far is it booked?

    `fence` counts the starts of holders and is never used twice: a statement with an older
    fence than the lease's changes nothing. `born` is the start time of the process in clock
    ticks since boot, which tells it from a later process with its number. `booked_to` is a
    byte offset of the journal, raised in the transaction that books what lies before it.
    What could not be booked stays in the journal and is counted in `put_aside`.
    """

    KINDS = ("plane", "router")

    fence = models.BigAutoField(primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    born = models.BigIntegerField()
    kind = models.CharField(max_length=8)
    caller = models.CharField(max_length=64, blank=True, help_text="key_… of a router")
    journal = models.CharField(max_length=128, blank=True, help_text="file name")
    booked_to = models.BigIntegerField(db_default=0, help_text="bytes of the journal")
    booked_at = models.DateTimeField(null=True)
    put_aside = models.IntegerField(
        db_default=0, help_text="records of the journal that could not be booked"
    )
    differing = models.IntegerField(
        db_default=0, help_text="settles booked as answered whose price comes out otherwise"
    )
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="when it last renewed")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        """Table, rules and the index of those that live."""

        db_table = "lease_holder"
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=("plane", "router")), name="lease_holder_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(booked_to__gte=0), name="lease_holder_booked_ge_0"
            ),
        ]
        indexes = [
            models.Index(
                fields=["fence"], name="lease_holder_alive", condition=Q(ended_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        """Which process?"""
        return f"{self.fence} {self.host}:{self.pid}"


class Lease(models.Model):
    """How much of one path is lent, what of it is spent, and what came back?

    Units: nanos of the ledger's currency. What is still lent is the `rest`: granted less
    returned, settled and expired. `open` is the part of the rest in reservations that the
    books know of; for reading only. `expired` went to unsettled; `late` of it was proven by
    a later settle and `written_off` of it was given up. `path_ids` and `path_periods` name
    the balance rows, root first; they never change.
    State: open = may reserve; draining = only ends what is open; expired = part of it is
    unsettled; closed = nothing is left.
    """

    STATES = ("open", "draining", "closed", "expired")

    id = models.UUIDField(primary_key=True)
    fence = models.BigIntegerField(help_text="holder")
    use_case = models.IntegerField()
    root = models.IntegerField(help_text="tree")
    path_ids = ArrayField(models.IntegerField())
    path_periods = ArrayField(models.DateTimeField())
    granted_nanos = models.BigIntegerField()
    returned_nanos = models.BigIntegerField(db_default=0)
    settled_nanos = models.BigIntegerField(db_default=0)
    expired_nanos = models.BigIntegerField(db_default=0)
    late_nanos = models.BigIntegerField(db_default=0)
    written_off_nanos = models.BigIntegerField(db_default=0)
    open_nanos = models.BigIntegerField(db_default=0)
    state = models.CharField(max_length=8, db_default="open")
    policy_version = models.IntegerField()
    granted_at = models.DateTimeField(help_text="decides the period of all its entries")
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        """Table, the rules that stand behind every operation, and indexes."""

        db_table = "lease"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=("open", "draining", "closed", "expired")),
                name="lease_state_known",
            ),
            models.CheckConstraint(
                condition=Q(granted_nanos__gte=0)
                & Q(returned_nanos__gte=0)
                & Q(settled_nanos__gte=0)
                & Q(expired_nanos__gte=0)
                & Q(late_nanos__gte=0)
                & Q(written_off_nanos__gte=0)
                & Q(open_nanos__gte=0),
                name="lease_amounts_ge_0",
            ),
            models.CheckConstraint(
                condition=Q(
                    granted_nanos__gte=F("returned_nanos")
                    + F("settled_nanos")
                    + F("expired_nanos")
                ),
                name="lease_gives_no_more_than_granted",
            ),
            models.CheckConstraint(
                condition=Q(expired_nanos__gte=F("late_nanos") + F("written_off_nanos")),
                name="lease_resolves_no_more_than_expired",
            ),
            models.CheckConstraint(
                condition=~Q(state="closed")
                | (
                    Q(
                        granted_nanos=F("returned_nanos")
                        + F("settled_nanos")
                        + F("expired_nanos")
                    )
                    & Q(expired_nanos=F("late_nanos") + F("written_off_nanos"))
                ),
                name="lease_closed_keeps_nothing",
            ),
        ]
        indexes = [
            # Leases by the million end closed; all questions are about the others.
            models.Index(
                fields=["fence", "root"], name="lease_of_holder", condition=~Q(state="closed")
            ),
            models.Index(fields=["expires_at"], name="lease_due", condition=~Q(state="closed")),
        ]

    def __str__(self) -> str:
        """Which lease, in which state?"""
        return f"{self.id} {self.state}"
