"""Which price refreshes were proposed, what became of each, which doubted rows were released?

Append-only by grant and by trigger (migration 0009): a proposal is what people decide on, so it
stays as it was shown.
"""

from django.db import models
from django.db.models import Q

from ledger.models.price import PriceQuarantine, PriceVersion


class PriceProposal(models.Model):
    """What would a catalogue change, on which state of the book, with which money effect?

    `body` holds the diff as it was computed: rules to add, changes, new offers, rows listed
    apart, disagreements, absent offers, aliases, and the effect on the last 30 days.
    """

    id = models.TextField(primary_key=True)
    catalogue = models.TextField()
    edition = models.TextField()
    content_hash = models.TextField()
    base_version = models.IntegerField()
    base_digest = models.BinaryField()
    body = models.JSONField()
    body_hash = models.BinaryField()
    actor = models.TextField()
    made_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_price_proposal"
        constraints = [
            # The same catalogue against the same book is the same proposal.
            models.UniqueConstraint(
                fields=["content_hash", "base_version"], name="price_proposal_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.catalogue} {self.edition}"


class PriceProposalEnd(models.Model):
    """How did a proposal end? Once: applied as a version, or void for a newer one."""

    proposal = models.OneToOneField(
        PriceProposal, primary_key=True, on_delete=models.PROTECT, related_name="end"
    )
    outcome = models.TextField()
    version = models.ForeignKey(
        PriceVersion, null=True, on_delete=models.PROTECT, related_name="+"
    )
    actor = models.TextField()
    ended_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_price_proposal_end"
        constraints = [
            models.CheckConstraint(
                name="price_proposal_end_known",
                condition=Q(outcome="applied", version__isnull=False)
                | Q(outcome__in=["superseded", "declined"], version__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.proposal_id} {self.outcome}"


class PriceRelease(models.Model):
    """Which doubted row became a price after all, by whose word, and why?"""

    quarantine = models.OneToOneField(
        PriceQuarantine, primary_key=True, on_delete=models.PROTECT, related_name="release"
    )
    version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    requested_by = models.TextField()
    approved_by = models.TextField()
    released_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_price_release"
        constraints = [
            # What a machine doubted needs a person's reason.
            models.CheckConstraint(name="price_release_has_reason", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"release of quarantined row {self.quarantine_id}"
