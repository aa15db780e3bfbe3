"""Which holds exist, how much of each is still held, and how did they end?

A cache of the ledger, like the balances: `policies.queries.conservation` replays it.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Reservation(models.Model):
    """How much is held for one call, for how long, and what became of it?

    Units: nanos of the ledger's currency. `amount_nanos` is what was ever taken (reserve and
    its extends), `open_nanos` what is still held or, once expired, still unsettled;
    `settled_nanos` what attempts have cost so far, overruns included. `path_ids` and
    `path_periods` name the balance rows, root first; they never change.
    `held` tells whether the hold moves balances: in `observe` and `shadow` it doesn't.
    `lease` = the money lies in this lease, and the entries of the lease hold it; null = the
    hold has an entry of its own. `sequence` is the place in the holder's journal. `alias_of`
    names the first reservation where two hosts answered one request id.
    """

    STATES = ("open", "settled", "released", "expired", "written_off")

    id = models.UUIDField(primary_key=True)
    state = models.CharField(max_length=12, default="open")
    held = models.BooleanField(help_text="false in observe and shadow: nothing was held")
    caller = models.CharField(max_length=64, help_text="key_… or usr_… that authorized")
    actor_id = models.IntegerField(help_text="interned number of it in the ledger")
    use_case = models.IntegerField()
    root = models.IntegerField(help_text="tree, 0 = no envelope")
    path_ids = ArrayField(models.IntegerField())
    path_periods = ArrayField(models.DateTimeField())
    dims_id = models.IntegerField()
    run_id = models.CharField(max_length=128, blank=True)
    model = models.CharField(max_length=128)
    venue = models.CharField(max_length=128, blank=True)
    region = models.CharField(max_length=64, blank=True)
    tier = models.CharField(max_length=32, blank=True)
    offer_id = models.IntegerField()
    venue_id = models.IntegerField()
    model_id = models.IntegerField()
    price_version = models.IntegerField()
    policy_version = models.IntegerField()
    decision_id = models.UUIDField(help_text="row of the decision log")
    decision = models.UUIDField(help_text="binding of the decision's content in entries")
    shape = models.JSONField(help_text="what an extend decides again by: bounds, n, customer")
    input_bound = models.BigIntegerField(help_text="tokens")
    max_output_tokens = models.IntegerField(help_text="granted to each of n answers")
    amount_nanos = models.BigIntegerField()
    open_nanos = models.BigIntegerField()
    settled_nanos = models.BigIntegerField(default=0)
    attempts = models.SmallIntegerField(default=0, help_text="attempts settled so far")
    authorized_at = models.DateTimeField(help_text="decides the period of all its entries")
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    lease = models.UUIDField(null=True)
    sequence = models.BigIntegerField(db_default=0, help_text="0 = not from a journal")
    alias_of = models.UUIDField(null=True)

    class Meta:
        """Table, rules and the indexes of the sweeps."""

        db_table = "reservation"
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    state__in=("open", "settled", "released", "expired", "written_off")
                ),
                name="reservation_state_known",
            ),
            models.CheckConstraint(
                condition=Q(open_nanos__gte=0) & Q(amount_nanos__gte=0),
                name="reservation_amounts_ge_0",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("open", "expired")) | Q(open_nanos=0),
                name="reservation_ended_holds_nothing",
            ),
            models.CheckConstraint(
                condition=Q(lease__isnull=True) | Q(held=True),
                name="reservation_in_lease_is_held",
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                name="reservation_due",
                condition=Q(state__in=("open", "expired")),
            ),
            models.Index(
                fields=["use_case", "run_id"],
                name="reservation_run",
                condition=~Q(run_id=""),
            ),
            models.Index(
                fields=["lease"],
                name="reservation_open_in_lease",
                condition=Q(lease__isnull=False, state="open"),
            ),
        ]

    def __str__(self) -> str:
        """Which hold, in which state?"""
        return f"{self.id} {self.state}"
